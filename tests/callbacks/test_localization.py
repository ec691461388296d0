import json
import multiprocessing
import random
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from data_modules.batch import Batch
from data_modules.images.regions import BoxRegion, Roi
from data_modules.split import Split
from mmpkd.attribution import (
    AllOnes,
    AttentionRelevance,
    AttentionRollout,
    AttributionMethod,
    CenterGaussian,
    GradCAM,
    ImageIntensity,
    LastLayerAttention,
    MeanRoi,
    resize_heatmap,
)
from mmpkd.callbacks.localization import AttributionMapLogger, FaithfulnessMonitor
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.callbacks.localization.pair_columns import Columns
from mmpkd.callbacks.localization.score_table import ScoreTable
from mmpkd.callbacks.tables import Rows
from mmpkd.metrics import IoU, PointingGame, default_scores, iou, patch_ceiling
from mmpkd.metrics.pairs import one_to_one
from mmpkd.numerics.processes import from_first
from mmpkd.records.roi_table import score_columns, stratified
from tests.callbacks.localization_data import LABELS, SIDE, MemoryData, StudentModule, make_samples, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore")
COLUMNS = {"sample_id", "patient_id", "finding", "attribution", "area", "target", "probability"}
SCORES = [score.name for score in default_scores(0.1)]
STUDENT = ["rollout", "last_layer"]
BY_FINDING = ["relevance", "grad_cam"]
BASELINES = ["all_ones", "random", "center_gaussian", "image_intensity"]


def _test(folder: Path, monitor: LocalizationMonitor, data: MemoryData) -> tuple[pd.DataFrame, Trainer]:
    trainer = make_trainer(folder, [monitor])
    trainer.test(StudentModule(), datamodule=data, verbose=False)
    return pd.read_parquet(folder / "roi_test.parquet"), trainer


def test_table_has_one_row_per_pair_and_attribution(tmp_path: Path) -> None:
    frame, _ = _test(tmp_path, LocalizationMonitor(), MemoryData(make_samples()))
    assert set(frame.columns) >= COLUMNS | set(SCORES)
    assert set(frame["attribution"]) == {*STUDENT, *BY_FINDING, *BASELINES}
    pairs = frame[frame["attribution"] == "rollout"][["sample_id", "finding"]]
    expected = [
        ("study/0", "Effusion"),
        ("study/2", "Effusion"),
        ("study/2", "Mass"),
        ("study/5", "Mass"),
        ("study/6", "Mass"),
    ]
    assert [tuple(row) for row in pairs.to_numpy()] == expected
    assert len(frame) == 5 * 8
    files = {path.name for path in tmp_path.iterdir()}
    unions = {"roi_union_test.parquet", "roi_union_test_strata.csv"}
    assert files == {"roi_test.parquet", "roi_test_strata.csv", *unions, "maps_test.npz"}  # no temporary file is left


@pytest.mark.parametrize(("own", "of_data", "expected"), [(None, 0.3, 0.3), (0.2, 0.3, 0.2), (None, None, 0.1)])
def test_the_area_of_a_region_is_that_of_the_data_unless_it_is_given(
    own: float | None, of_data: float | None, expected: float
) -> None:
    monitor, data = LocalizationMonitor(top_area=own), MemoryData(make_samples())
    if of_data is not None:
        data.roi_area = of_data  # type: ignore[attr-defined]  # a data module of a user's may have none
    trainer: Any = SimpleNamespace(datamodule=data)
    monitor.setup(trainer, StudentModule(), "test")
    (area,) = [score.area for score in monitor.scores if isinstance(score, IoU) and score.name == "iou_top_area"]
    assert area == expected


def test_row_computed_by_hand(tmp_path: Path) -> None:
    frame, _ = _test(tmp_path, LocalizationMonitor(top_area=0.2), MemoryData(make_samples()))
    row = frame[(frame["sample_id"] == "study/2") & (frame["finding"] == "Mass") & (frame["attribution"] == "rollout")]
    sample, student = make_samples()[2], StudentModule().student.eval()
    assert sample.image is not None
    assert sample.roi_mask is not None
    image = torch.tensor(sample.image[None])
    heatmap = AttentionRollout()(student, image)
    mask = sample.roi_mask[1]
    patch = np.unravel_index(int(heatmap.argmax()), (4, 4))
    hit = mask[int(patch[0]) * 8 + 4, int(patch[1]) * 8 + 4]
    values = resize_heatmap(heatmap, (SIDE, SIDE))[0].numpy()
    top = np.zeros(SIDE * SIDE, dtype=bool)
    top[np.argsort(-values, axis=None, kind="stable")[: round(0.2 * SIDE * SIDE)]] = True
    intersection = (top.reshape(SIDE, SIDE) & mask).sum()
    expected_iou = intersection / (top.sum() + mask.sum() - intersection)
    assert row["pointing_game"].item() == float(hit)
    assert row["iou_top_area"].item() == pytest.approx(expected_iou, abs=0.01)  # a tie at the border
    ceiling = patch_ceiling(torch.tensor(mask[None]), (4, 4)).item()
    assert row["iou_ceiling"].item() == pytest.approx(ceiling)
    assert row["iou_top_area"].item() <= 1
    assert row["area"].item() == pytest.approx(6 * 8 / SIDE**2)
    assert np.isnan(row["target"].item())  # this label is not stated
    with torch.no_grad():
        probability = student(image).logits.sigmoid()[0, 1]
    assert row["probability"].item() == pytest.approx(probability.item(), abs=1e-6)
    assert row["patient_id"].item() == "patient1"
    assert row["prefix_mass"].item() == pytest.approx(1 - heatmap.sum().item(), abs=1e-5)


def test_scores_equal_the_functions_sample_by_sample(tmp_path: Path) -> None:
    frame, _ = _test(tmp_path, LocalizationMonitor([ImageIntensity(), AttentionRollout()]), MemoryData(make_samples()))
    student = StudentModule().student.eval()
    for method in (ImageIntensity(), AttentionRollout()):
        for sample in (make_samples()[0], make_samples()[5]):
            heatmap = method(student, torch.tensor(sample.image)[None])
            pairs = one_to_one(heatmap, torch.tensor(sample.roi_mask))
            row = frame[(frame["sample_id"] == sample.sample_id) & (frame["attribution"] == method.name)]
            for score in default_scores(0.1):
                assert row[score.name].item() == pytest.approx(score.score(pairs).item(), abs=1e-5), score.name


def test_logged_means_and_counts(tmp_path: Path) -> None:
    frame, trainer = _test(tmp_path, LocalizationMonitor(), MemoryData(make_samples()))
    logged = trainer.callback_metrics
    for name, rows in frame.groupby("attribution"):
        for score in SCORES:
            if rows[score].notna().any():
                assert logged[f"test/{name}/{score}"].item() == pytest.approx(rows[score].mean())
            else:
                assert (name, score) == ("all_ones", "cnr")
                assert f"test/{name}/{score}" not in logged
        assert logged[f"test/{name}/num_roi"] == 5
        assert logged[f"test/{name}/num_undefined"] == 1  # the empty ROI
    assert logged["test/all_ones/num_constant"] == 5
    assert logged["test/rollout/num_constant"] == 0
    assert 0 < logged["test/rollout/prefix_mass"] < 1
    assert "test/all_ones/prefix_mass" not in logged
    empty = frame[frame["sample_id"] == "study/6"]
    assert empty[SCORES].isna().all().all()


def test_all_ones_give_the_chance_level(tmp_path: Path) -> None:
    frame, _ = _test(tmp_path, LocalizationMonitor([AllOnes()], []), MemoryData(make_samples()))
    frame = frame[frame["area"] > 0]
    for score in set(SCORES) - {"pointing_game", "pixel_auroc", "cnr"}:
        np.testing.assert_allclose(frame[score], frame["area"], rtol=1e-5, err_msg=score)
    assert (frame["pixel_auroc"] == 0.5).all()
    assert frame["cnr"].isna().all()


def test_order_and_batch_size_change_nothing(tmp_path: Path) -> None:
    first, _ = _test(tmp_path / "a", LocalizationMonitor(), MemoryData(make_samples(), 3))
    shuffled = make_samples()
    random.Random(0).shuffle(shuffled)
    second, _ = _test(tmp_path / "b", LocalizationMonitor(), MemoryData(shuffled, 2))
    pd.testing.assert_frame_equal(first, second, atol=1e-5)


def test_repeated_samples_count_once(tmp_path: Path) -> None:
    samples = make_samples()
    first, _ = _test(tmp_path / "a", LocalizationMonitor(), MemoryData(samples))
    second, trainer = _test(tmp_path / "b", LocalizationMonitor(), MemoryData([*samples, *samples[:3]]))
    pd.testing.assert_frame_equal(first, second, atol=1e-5)
    assert trainer.callback_metrics["test/rollout/num_roi"] == 5


def test_attention_comes_from_the_step_and_only_for_samples_with_roi(tmp_path: Path) -> None:
    passes: list[int] = []
    module = StudentModule()
    module.student.register_forward_hook(lambda m, args, output: passes.append(len(args[0])))
    trainer = make_trainer(tmp_path, [LocalizationMonitor(test_attributions=[])])
    trainer.test(module, datamodule=MemoryData(make_samples()), verbose=False)
    assert passes == [3, 3, 1]  # the module's own passes, no other
    assert len(torch.overrides._get_current_function_mode_stack()) == 0


def test_outputs_are_the_same_with_and_without_monitor(tmp_path: Path) -> None:
    from mmpkd.callbacks.predictions import PredictionWriter

    for name, callbacks in {"without": [], "with": [LocalizationMonitor()]}.items():
        trainer = make_trainer(tmp_path / name, [*callbacks, PredictionWriter()])
        trainer.test(StudentModule(), datamodule=MemoryData(make_samples()), verbose=False)
    without, recorded = (pd.read_parquet(tmp_path / name / "predictions_test.parquet") for name in ("without", "with"))
    pd.testing.assert_frame_equal(without, recorded, check_exact=True)


def test_fit_skips_the_sanity_check(tmp_path: Path) -> None:
    calls: list[int] = []

    class Counting(AllOnes):
        name = "counting"

        def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
            calls.append(trainer.current_epoch)
            return super().__call__(student, image)

    Counting.is_baseline = False
    trainer = make_trainer(tmp_path, [LocalizationMonitor([Counting()])], max_epochs=2, num_sanity_val_steps=2)
    trainer.fit(StudentModule(), datamodule=MemoryData(make_samples()))
    assert calls == 3 * [0] + 3 * [1]  # three batches with ROIs
    assert (tmp_path / "roi_val.parquet").is_file()
    assert not (tmp_path / "roi_test.parquet").exists()


def test_what_validation_teaches_belongs_to_the_weights_of_its_epoch(tmp_path: Path) -> None:
    """Any epoch may be the one of the best checkpoint; its thresholds must not be those of other weights, or missing."""
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = []

    class Keeping(Callback):
        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if not trainer.sanity_checking:
                kept.append((deepcopy(pl_module.state_dict()), deepcopy(monitor.state_dict())))

    monitor = LocalizationMonitor()
    make_trainer(tmp_path, [monitor, Keeping()], max_epochs=3).fit(
        StudentModule(), datamodule=MemoryData(make_samples())
    )
    thresholds = []
    for weights, learned in kept:
        module, again = StudentModule(), LocalizationMonitor()
        module.load_state_dict(weights)
        make_trainer(tmp_path, [again]).validate(module, datamodule=MemoryData(make_samples()), verbose=False)
        expected = again.state_dict()
        thresholds.append(learned["thresholds"]["rollout"])
        assert thresholds[-1] == expected["thresholds"]["rollout"]
        torch.testing.assert_close(learned["mean_roi"]["mean_roi"]["mean"], expected["mean_roi"]["mean_roi"]["mean"])
    assert len(thresholds) == 3
    assert thresholds[0] != thresholds[2]


def test_bfloat16_run(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [LocalizationMonitor()], precision="bf16-mixed")
    trainer.validate(StudentModule(), datamodule=MemoryData(make_samples()), verbose=False)
    frame = pd.read_parquet(tmp_path / "roi_val.parquet")
    assert frame["relevance_mass"].notna().sum() == 6 * 4


def test_no_roi_writes_no_table(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [LocalizationMonitor()])
    samples = [sample for sample in make_samples() if not len(sample.roi_mask if sample.roi_mask is not None else ())]
    trainer.test(StudentModule(), datamodule=MemoryData(samples), verbose=False)
    assert not (tmp_path / "roi_test.parquet").exists()


def test_failing_step_stops_the_recording(tmp_path: Path) -> None:
    class Failing(StudentModule):
        def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        make_trainer(tmp_path, [LocalizationMonitor()]).test(Failing(), datamodule=MemoryData(make_samples()))
    assert len(torch.overrides._get_current_function_mode_stack()) == 0


def test_module_without_student_is_refused(tmp_path: Path) -> None:
    class Teacher(LightningModule):
        def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
            return {"probability": torch.zeros(len(batch["sample_id"]), len(LABELS))}

    with pytest.raises(TypeError, match="Expected Teacher to have a `student`"):
        make_trainer(tmp_path, [LocalizationMonitor()]).test(Teacher(), datamodule=MemoryData(make_samples()))


@pytest.mark.parametrize(
    ("name", "options", "methods", "error", "words"),
    [
        (
            "vit_nano_patch8_64",
            {"depth": 1, "global_pool": "max"},
            (AttentionRollout(),),
            ValueError,
            "'token', 'avg' or",
        ),
        (
            "vit_nano_patch8_64",
            {"depth": 1, "global_pool": "max"},
            (AttentionRelevance(),),
            ValueError,
            "'token', 'avg' or",
        ),
        ("vit_nano_patch8_64", {"depth": 0}, (AllOnes(), LastLayerAttention()), ValueError, "Set `depth`"),
        ("swin_tiny_patch4_window7_224", {}, (AttentionRollout(),), TypeError, "use mmpkd.attribution.GradCAM"),
        ("xcit_nano_12_p16_224", {"depth": 1}, (AttentionRollout(),), TypeError, "a model with a patch embedding"),
        ("vit_nano_patch8_64", {"depth": 0}, (GradCAM(),), TypeError, "a norm and an attention"),
    ],
)
@pytest.mark.parametrize("kind", ["attributions", "test_attributions", "faithfulness", "figures"])
def test_a_student_without_maps_is_refused_before_anything_long(
    name: str,
    options: dict[str, Any],
    methods: tuple[AttributionMethod, ...],
    error: type[Exception],
    words: str,
    kind: str,
) -> None:
    with torch.device("meta"):
        module = SimpleNamespace(student=timm.create_model(name, num_classes=2, **options))
    if kind == "faithfulness":
        callbacks: list[Any] = [FaithfulnessMonitor(list(methods), num_steps=1)]
    elif kind == "figures":
        callbacks = [LocalizationMonitor([AllOnes()], []), AttributionMapLogger(list(methods))]
    else:
        own: dict[str, list[AttributionMethod]] = {
            "attributions": [CenterGaussian()],
            "test_attributions": [],
            kind: list(methods),
        }
        callbacks = [LocalizationMonitor(own["attributions"], own["test_attributions"])]
    trainer = SimpleNamespace(callbacks=callbacks, datamodule=None)
    with pytest.raises(error, match=words):
        callbacks[-1].setup(trainer, module, "fit")


@pytest.mark.parametrize(
    "options",
    [{"attributions": []}, {"top_area": 0.0}, {"scores": [IoU(0.5), IoU(0.5)]}],
)
def test_impossible_settings_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        LocalizationMonitor(**options)  # type: ignore[arg-type]


def test_attributions_need_different_names() -> None:
    methods: list[AttributionMethod] = [AttentionRollout(), AttentionRollout(residual_weight=0.2)]
    with pytest.raises(ValueError, match="different names"):
        LocalizationMonitor(methods)


def test_yaml_can_name_everything() -> None:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_subclass_arguments(LocalizationMonitor, "monitor")
    value = {
        "class_path": "mmpkd.callbacks.localization.LocalizationMonitor",
        "init_args": {
            "attributions": [
                {"class_path": "mmpkd.attribution.AttentionRollout", "init_args": {"residual_weight": 0.3}},
                {"class_path": "mmpkd.attribution.RandomMap"},
            ],
            "test_attributions": [{"class_path": "mmpkd.attribution.GradCAM"}],
            "scores": [
                {"class_path": "mmpkd.metrics.PointingGame", "init_args": {"tolerance": 0.05, "unit": "fraction"}},
                {"class_path": "mmpkd.metrics.IoU", "init_args": {"threshold": 0.3}},
            ],
        },
    }
    monitor = parser.instantiate_classes(parser.parse_object({"monitor": value})).monitor
    assert [method.name for method in monitor.attributions] == ["rollout", "random"]
    assert monitor.attributions[0].residual_weight == 0.3
    assert [method.name for method in monitor.test_attributions] == ["grad_cam"]
    assert [score.name for score in monitor.scores] == ["pointing_game_0.05side", "iou_0.3"]
    value["init_args"] = {"top_area": 0.05}
    monitor = parser.instantiate_classes(parser.parse_object({"monitor": value})).monitor
    assert next(score for score in monitor.scores if score.name == "iou_top_area").area == 0.05


def _score_on_rank(rank: int, folder: str, port: int) -> None:
    """One of two processes with an overlapping share of the samples, as a padded sampler would deal them."""
    import os

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    rows = Rows()
    mine = [["a", "b", "c"], ["c", "d", "a"]][rank]
    score = torch.tensor([{"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}[s] for s in mine])
    rows.add({"sample_id": mine, "score": score})
    frame = rows.gather(("sample_id",))
    table = ScoreTable()
    sizes = []
    for epoch in range(2):
        known: Columns = {"sample_id": mine, "finding": ["Mass"] * 3}
        table.add(known)
        for name in ("rollout", "ones")[: 2 - epoch]:  # the baseline is scored in the first epoch only
            table.add_scores(name, known, {"score": score})
        epoch_table = table.gather({"ones"})
        sizes.append([table.num_rows, table.has_baselines, -1 if epoch_table is None else len(epoch_table)])
    table.start()
    table.gather({"ones"})
    found = {
        "table": None if frame is None else frame.to_dict("list"),
        "sizes": [*sizes, table.num_rows],
        "computed": from_first(lambda: f"by {rank}"),
        "errors": [_error_of(rank, kind) for kind in (OSError, SystemExit)],
    }
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


def _error_of(rank: int, kind: type[BaseException]) -> list[str]:
    """Return kind and message of the error of a process, if the first one fails."""

    def fail() -> None:
        raise kind(f"Expected a file but got none in {rank}.")

    try:
        from_first(fail)
    except (Exception, SystemExit) as error:
        return [type(error).__name__, str(error)]
    return []


def test_the_first_process_gathers_rows_without_duplicates_and_speaks_for_all(tmp_path: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # a fork has everything imported already; a spawned process would take seconds for that
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_score_on_rank, args=(rank, str(tmp_path), port)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["table"] == {"sample_id": ["a", "b", "c", "d"], "score": [1, 2, 3, 4]}
    assert second["table"] is None  # it writes none
    # rows of two attributions, then of one and the scores that were kept; both processes know what is left to score
    assert first["sizes"] == [[8, True, 8], [4, True, 8], 0]
    assert second["sizes"] == [[8, True, -1], [4, True, -1], 0]
    assert [first["computed"], second["computed"]] == ["by 0", "by 0"]
    message = "Expected a file but got none in 0."
    assert first["errors"] == [["OSError", message], ["SystemExit", message]]
    assert second["errors"] == [["FirstProcessError", message]] * 2


def test_maps_of_a_finding_are_scored_against_that_finding(tmp_path: Path) -> None:
    frame, _ = _test(tmp_path, LocalizationMonitor(), MemoryData(make_samples()))
    sample, student = make_samples()[2], StudentModule().student.eval()
    image = torch.tensor(sample.image)[None]
    for method in (AttentionRelevance(), GradCAM()):
        for position, finding in enumerate((0, 1)):
            heatmap = method(student, image)[:, finding]
            mask = torch.tensor(sample.roi_mask)[position][None]
            own = frame[(frame["sample_id"] == "study/2") & (frame["finding"] == LABELS[finding])]
            row = own[own["attribution"] == method.name]
            assert row["iou_otsu"].item() == pytest.approx(iou(heatmap, mask, "otsu").item(), abs=1e-5)


def test_baseline_maps_are_scored_once_a_fit_and_reported_in_every_epoch(tmp_path: Path) -> None:
    calls: list[int] = []

    class Counting(AllOnes):
        name = "counting"

        def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
            calls.append(trainer.current_epoch)
            return super().__call__(student, image)

    monitor = LocalizationMonitor([AttentionRollout(), Counting()])
    trainer = make_trainer(tmp_path, [monitor], max_epochs=3)
    trainer.fit(StudentModule(), datamodule=MemoryData(make_samples()))
    assert calls == [0, 0, 0]  # the three batches with ROIs of the first epoch
    last = pd.read_parquet(tmp_path / "roi_val.parquet")
    assert set(last["attribution"]) == {"rollout", "counting"}
    by_name = {name: rows.reset_index(drop=True) for name, rows in last.groupby("attribution")}
    # what is known about a pair is of this epoch, for a baseline map too
    pd.testing.assert_series_equal(by_name["rollout"]["probability"], by_name["counting"]["probability"])
    assert trainer.callback_metrics["val/counting/iou_otsu"].item() == pytest.approx(
        by_name["counting"]["iou_otsu"].mean()
    )
    trainer.validate(StudentModule(), datamodule=MemoryData(make_samples()), verbose=False)
    assert len(calls) == 6


def test_what_validation_teaches_is_kept_and_used_in_test(tmp_path: Path) -> None:
    monitor, module, samples = LocalizationMonitor(), StudentModule(), make_samples()
    trainer = make_trainer(tmp_path, [monitor])
    trainer.validate(module, datamodule=MemoryData(samples), verbose=False)
    validation = pd.read_parquet(tmp_path / "roi_val.parquet")
    assert "iou_val" not in validation
    assert "mean_roi" not in set(validation["attribution"])
    state = torch.load(_saved(monitor.state_dict(), tmp_path), weights_only=True)
    fresh = LocalizationMonitor()
    fresh.load_state_dict(state)
    frame, _ = _test(tmp_path, fresh, MemoryData(samples))
    mean = frame[frame["attribution"] == "mean_roi"]
    assert len(mean) == 5
    # the only ROIs of Mass are those of samples 2 and 5: their mean at the patch centre, by hand
    method = next(m for m in fresh.attributions if isinstance(m, MeanRoi))
    own = [torch.tensor(samples[2].roi_mask)[1], torch.tensor(samples[5].roi_mask)[0]]
    expected = torch.stack([m.float().reshape(4, 8, 4, 8).mean((1, 3)) for m in own]).mean(0)
    heatmap = method.of_label(module, torch.zeros(1, 1, SIDE, SIDE), torch.tensor([1]))[0]
    torch.testing.assert_close(heatmap, expected)
    # a finding without an ROI in validation has the mean over all
    nothing = method.of_label(module, torch.zeros(1, 1, SIDE, SIDE), torch.tensor([2]))[0]
    assert not torch.equal(nothing, expected)
    # on the data that it was tuned on, no threshold is better on average than the tuned one
    rollout = frame[(frame["attribution"] == "rollout") & (frame["finding"] == "Mass")].dropna(subset=["iou_val"])
    student = module.student.eval()
    pairs = [
        (AttentionRollout()(student, torch.tensor(samples[i].image)[None]), torch.tensor(samples[i].roi_mask)[k][None])
        for i, k in ((2, 1), (5, 0))
    ]
    best = max(float(torch.cat([iou(h, m, t / 255) for h, m in pairs]).mean()) for t in np.linspace(0, 254, 255))
    assert rollout["iou_val"].mean() == pytest.approx(best, abs=2e-3)


def _saved(state: dict[str, object], folder: Path) -> Path:
    torch.save(state, folder / "state.pt")
    return folder / "state.pt"


def test_without_a_validation_nothing_is_tuned(tmp_path: Path) -> None:
    frame, _ = _test(tmp_path, LocalizationMonitor(), MemoryData(make_samples()))
    assert frame["iou_val"].isna().all()
    assert "mean_roi" not in set(frame["attribution"])


def test_rows_say_what_results_can_be_broken_down_by(tmp_path: Path) -> None:
    samples = make_samples()
    data = MemoryData(samples)
    box = BoxRegion((0.0, 0.0, 4.0, 4.0))
    rois = {
        0: (Roi(0, (box,)),),
        2: (Roi(0, (box, box)), Roi(1, (box,) * 4)),
        5: (Roi(1, (box,)),),
        6: (Roi(1, (box,)),),
    }
    names = np.array([sample.sample_id for sample in samples])
    view = np.array(["AP", "PA", "AP", "PA", "AP", "PA", ""])
    split = Split(
        names,
        names,
        [Path()] * 7,
        np.stack([sample.label for sample in samples]),
        np.ones(7, np.bool_),
        rois=rois,
        strata={"view": view},
    )
    data.splits = {"test": split}
    module = StudentModule()
    module.scores = SimpleNamespace(thresholds=torch.tensor([0.0, 1.1, 0.5]))  # type: ignore[assignment]
    trainer = make_trainer(tmp_path, [LocalizationMonitor()])
    trainer.test(module, datamodule=data, verbose=False)
    frame = pd.read_parquet(tmp_path / "roi_test.parquet")
    rows = frame[frame["attribution"] == "rollout"].set_index(["sample_id", "finding"])
    assert rows["num_regions"].tolist() == [1, 2, 4, 1, 1]
    assert rows["stratum/view"].tolist() == ["AP", "AP", "AP", "PA", ""]
    # effusion counts as predicted from 0 on, mass never; the label of mass in study/2 is not stated
    target = rows["target"].tolist()
    assert rows["recognised"].tolist()[:2] == [float(target[0] == 1), float(target[1] == 1)]
    assert np.isnan(rows["recognised"].tolist()[2])
    assert rows["recognised"].tolist()[3] == float(target[3] == 0)
    strata = pd.read_csv(tmp_path / "roi_test_strata.csv")
    pd.testing.assert_frame_equal(strata, stratified(frame), check_dtype=False)
    assert set(strata["stratum"]) == {"finding", "area", "num_regions", "recognised", "view"}
    own = strata[(strata["stratum"] == "view") & (strata["attribution"] == "rollout")].set_index("value")
    assert own["num_roi"].to_dict() == {"AP": 3, "PA": 1}
    assert own.loc["AP", "num_patients"] == 2
    expected = rows[rows["stratum/view"] == "AP"]["iou_otsu"].mean()
    assert own.loc["AP", "iou_otsu"] == pytest.approx(expected)
    many = strata[(strata["stratum"] == "num_regions") & (strata["attribution"] == "rollout")]
    assert dict(zip(many["value"].astype(str), many["num_roi"], strict=True)) == {"1": 3, "2": 1, "3 or more": 1}
    assert set(score_columns(frame)) == {*SCORES, "iou_val"}


def test_scores_can_be_chosen(tmp_path: Path) -> None:
    scores = [PointingGame(0.1, "fraction"), IoU(0.3)]
    frame, trainer = _test(tmp_path, LocalizationMonitor(scores=scores), MemoryData(make_samples()))
    assert score_columns(frame) == ["pointing_game_0.1side", "iou_0.3", "iou_val"]
    assert "test/rollout/iou_0.3" in trainer.callback_metrics
