import multiprocessing
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from data_modules.batch import Batch
from mmpkd.attribution import AllOnes, AttentionRollout, AttributionMethod, ImageIntensity, resize_heatmap
from mmpkd.callbacks.localization import LocalizationMonitor, score_heatmaps
from tests.callbacks.localization_data import LABELS, SIDE, MemoryData, StudentModule, make_samples, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore")
COLUMNS = {"sample_id", "patient_id", "finding", "attribution", "area", "target", "probability"}
SCORES = ["pointing_game", "iou_top_area", "iou_otsu", "relevance_mass"]


def _test(folder: Path, monitor: LocalizationMonitor, data: MemoryData) -> tuple[pd.DataFrame, Trainer]:
    trainer = make_trainer(folder, [monitor])
    trainer.test(StudentModule(), datamodule=data, verbose=False)
    return pd.read_parquet(folder / "roi_test.parquet"), trainer


def test_table_has_one_row_per_pair_and_attribution(tmp_path: Path) -> None:
    frame, _ = _test(tmp_path, LocalizationMonitor(), MemoryData(make_samples()))
    assert set(frame.columns) >= COLUMNS | set(SCORES)
    assert set(frame["attribution"]) == {"rollout", "last_layer", "all_ones", "random", "center_gaussian"}
    pairs = frame[frame["attribution"] == "rollout"][["sample_id", "finding"]]
    expected = [
        ("study/0", "Effusion"),
        ("study/2", "Effusion"),
        ("study/2", "Mass"),
        ("study/5", "Mass"),
        ("study/6", "Mass"),
    ]
    assert [tuple(row) for row in pairs.to_numpy()] == expected
    assert len(frame) == 5 * 5
    assert list(tmp_path.iterdir()) == [tmp_path / "roi_test.parquet"]  # no temporary file is left


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
            scores = score_heatmaps(heatmap, torch.tensor(sample.roi_mask), 0.1, 0.0)
            row = frame[(frame["sample_id"] == sample.sample_id) & (frame["attribution"] == method.name)]
            for name, value in scores.items():
                assert row[name].item() == pytest.approx(value.item(), abs=1e-5), name


def test_logged_means_and_counts(tmp_path: Path) -> None:
    frame, trainer = _test(tmp_path, LocalizationMonitor(), MemoryData(make_samples()))
    logged = trainer.callback_metrics
    for name, rows in frame.groupby("attribution"):
        for score in SCORES:
            assert logged[f"test/{name}/{score}"].item() == pytest.approx(rows[score].mean())
        assert logged[f"test/{name}/num_roi"] == 5
        assert logged[f"test/{name}/num_undefined"] == 1  # the empty ROI
    assert logged["test/all_ones/num_constant"] == 5
    assert logged["test/rollout/num_constant"] == 0
    assert 0 < logged["test/rollout/prefix_mass"] < 1
    assert "test/all_ones/prefix_mass" not in logged
    empty = frame[frame["sample_id"] == "study/6"]
    assert empty[SCORES].isna().all().all()


def test_all_ones_give_the_chance_level(tmp_path: Path) -> None:
    frame, _ = _test(tmp_path, LocalizationMonitor([AllOnes()]), MemoryData(make_samples()))
    frame = frame[frame["area"] > 0]
    for score in ("iou_otsu", "iou_top_area", "relevance_mass"):
        np.testing.assert_allclose(frame[score], frame["area"], rtol=1e-5)


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
    trainer = make_trainer(tmp_path, [LocalizationMonitor()])
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


def test_fit_skips_the_sanity_check_and_other_epochs(tmp_path: Path) -> None:
    calls: list[int] = []

    class Counting(AllOnes):
        name = "counting"

        def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
            calls.append(trainer.current_epoch)
            return super().__call__(student, image)

    trainer = make_trainer(
        tmp_path, [LocalizationMonitor([Counting()], every_n_epochs=2)], max_epochs=4, num_sanity_val_steps=2
    )
    trainer.fit(StudentModule(), datamodule=MemoryData(make_samples()))
    assert sorted(set(calls)) == [1, 3]
    assert len(calls) == 2 * 3  # two epochs of three batches with ROIs
    assert (tmp_path / "roi_val.parquet").is_file()
    assert not (tmp_path / "roi_test.parquet").exists()


def test_bfloat16_run(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [LocalizationMonitor()], precision="bf16-mixed")
    trainer.validate(StudentModule(), datamodule=MemoryData(make_samples()), verbose=False)
    frame = pd.read_parquet(tmp_path / "roi_val.parquet")
    assert frame["relevance_mass"].notna().sum() == 5 * 4


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
    "options",
    [{"attributions": []}, {"top_area": 0.0}, {"tolerance": -1.0}, {"every_n_epochs": 0}],
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
            "top_area": 0.05,
        },
    }
    monitor = parser.instantiate_classes(parser.parse_object({"monitor": value})).monitor
    assert [method.name for method in monitor.attributions] == ["rollout", "random"]
    assert monitor.attributions[0].residual_weight == 0.3
    assert monitor.top_area == 0.05


def _score_on_rank(rank: int, folder: str, port: int) -> None:
    """One of two processes with an overlapping share of the samples, as a padded sampler would deal them."""
    import os

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    from mmpkd.callbacks.tables import Rows

    rows = Rows()
    mine = [["a", "b", "c"], ["c", "d", "a"]][rank]
    rows.add({"sample_id": mine, "score": torch.tensor([{"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}[s] for s in mine])})
    frame = rows.gather(("sample_id",))
    frame.to_json(Path(folder) / f"{rank}.json")
    torch.distributed.destroy_process_group()


def test_processes_gather_rows_without_duplicates(tmp_path: Path) -> None:
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
    for rank in range(2):
        frame = pd.read_json(tmp_path / f"{rank}.json")
        assert frame["sample_id"].tolist() == ["a", "b", "c", "d"]
        assert frame["score"].tolist() == [1, 2, 3, 4]
