import json
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback

from mmpkd.attribution import AttentionRollout, AttributionMethod, GradCAM, LastLayerAttention
from mmpkd.callbacks.localization.attribution_maps import AttributionMapLogger
from mmpkd.callbacks.localization.map_samples import MapSample, caption, choose_examples, choose_fixed, file_name, rank
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.students import VisionTransformerStudent
from tests.callbacks.localization_data import LABELS, SIDE, MemoryData, StudentModule, make_samples, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore")


def _files(folder: Path, kind: str = "maps/test") -> list[str]:
    return sorted(str(path.relative_to(folder / kind)) for path in (folder / kind).rglob("*.png"))


def _callbacks(*arguments: Any, **options: Any) -> list[Callback]:
    return [LocalizationMonitor(test_attributions=[]), AttributionMapLogger(*arguments, **options)]


def _test(folder: Path, callbacks: list[Callback], data: MemoryData, **options: Any) -> None:
    make_trainer(folder, callbacks, **options).test(StudentModule(), datamodule=data, verbose=False)


def test_files_show_images_with_rois(tmp_path: Path) -> None:
    _test(tmp_path, _callbacks(), MemoryData(make_samples()))
    # the ROI of study/6 is empty: there is nothing to show
    assert _files(tmp_path) == ["study_0.png", "study_2.png", "study_5.png"]
    assert _files(tmp_path, "figures/test") == _files(tmp_path)
    picture = cv2.imread(str(tmp_path / "maps/test/study_0.png"))
    assert picture is not None
    assert picture.shape == (384, 384, 3)
    contour = (picture == (233, 180, 86)).all(-1)  # the first contour colour, as BGR
    rows, columns = np.nonzero(contour)
    assert rows.max() == pytest.approx(16 * 12, abs=3)  # the ROI ends at pixel 16 of 32, enlarged 12 times
    assert columns.max() == pytest.approx(16 * 12, abs=3)


def test_choice_does_not_depend_on_order(tmp_path: Path) -> None:
    shuffled = make_samples()
    random.Random(1).shuffle(shuffled)
    _test(tmp_path / "a", _callbacks(num_images=2, num_examples=0), MemoryData(make_samples(), 3))
    _test(tmp_path / "b", _callbacks(num_images=2, num_examples=0), MemoryData(shuffled, 2))
    assert len(_files(tmp_path / "a")) == 2
    assert _files(tmp_path / "a") == _files(tmp_path / "b")


def pairs(rows: dict[str, list[tuple[str, float]]], score: float = 0.0) -> pd.DataFrame:
    """Return a table of (finding, area) by image."""
    return pd.DataFrame(
        [(name, finding, area, score) for name, own in rows.items() for finding, area in own],
        columns=["sample_id", "finding", "area", "pointing_game"],
    )


def test_fixed_images_are_the_smallest_and_largest_rois_and_findings_in_turn() -> None:
    common = {f"c{i}": [("Effusion", 0.2 + i / 100)] for i in range(20)}
    others = {"rare": [("Mass", 0.3)], "tiny": [("Effusion", 0.01)], "huge": [("Effusion", 0.9)]}
    chosen = choose_fixed(pairs({**common, **others}), 5)
    assert chosen[:2] == ["tiny", "huge"]
    assert "rare" in chosen
    first = sorted([*common, "tiny", "huge"], key=rank)
    assert chosen[2] in first
    assert chosen == choose_fixed(pairs({**common, **others}).sample(frac=1, random_state=3), 5)
    assert choose_fixed(pairs({**common, **others}), 1) == ["tiny"]
    by_hash = [name for name in first if name not in ("tiny", "huge")]
    assert chosen[2] == by_hash[0] == sorted(common, key=rank)[0]
    assert choose_fixed(pairs({}), 3) == []


def test_examples_are_hits_and_misses_by_their_hash_and_not_by_their_score() -> None:
    hits = pairs({f"h{i}": [("Effusion", 0.1)] for i in range(9)}, 1.0)
    misses = pairs({f"m{i}": [("Effusion", 0.1)] for i in range(9)}, 0.0)
    both = pd.concat([pairs({"both": [("Effusion", 0.1)]}, 1.0), pairs({"both": [("Mass", 0.1)]}, 0.0)])
    table = pd.concat([hits, misses, both], ignore_index=True)
    chosen = choose_examples(table, "pointing_game", 3, but=["h0", "m0"])
    assert chosen["hits"] == sorted((f"h{i}" for i in range(1, 9)), key=rank)[:3]
    expected = sorted([*(f"m{i}" for i in range(1, 9)), "both"], key=rank)[:3]
    assert chosen["misses"] == expected
    assert choose_examples(table, "pointing_game", 0, but=[]) == {"hits": [], "misses": []}


def test_hits_and_misses_have_folders_of_their_own(tmp_path: Path) -> None:
    _test(tmp_path, _callbacks(num_images=1, num_examples=4), MemoryData(make_samples()))
    table = pd.read_parquet(tmp_path / "roi_test.parquet")
    own = table[(table["attribution"] == "rollout") & (table["area"] > 0)]
    worst = own.groupby("sample_id")["pointing_game"].min()
    files = _files(tmp_path)
    fixed = [name for name in files if "/" not in name]
    assert len(fixed) == 1
    rest = {file_name(name): value for name, value in worst.items() if f"{file_name(str(name))}.png" not in fixed}  # type: ignore[arg-type]
    expected = {f"{'hits' if value >= 0.5 else 'misses'}/{name}.png" for name, value in rest.items()}
    assert set(files) - set(fixed) == expected
    assert len(expected) == 2


def test_other_students_are_drawn_beside_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    other = VisionTransformerStudent("vit_nano_patch8_64", len(LABELS), SIDE, options={"depth": 2})
    checkpoint = {
        "student": other.settings,
        "input": {"mean": 0.5, "std": 0.25, "preparation": {}},
        "label_names": list(LABELS),
        "state_dict": {f"student.{key}": value for key, value in other.state_dict().items()},
    }
    torch.save(checkpoint, tmp_path / "other.ckpt")
    seen: list[dict[str, np.ndarray]] = []

    def figure(image: np.ndarray, heatmaps: dict[str, np.ndarray], *_: object) -> Any:
        del image
        seen.append(dict(heatmaps))
        return type("Figure", (), {"savefig": lambda self, *a, **k: None})()

    monkeypatch.setattr("mmpkd.callbacks.localization.attribution_maps.map_figure", figure)
    methods: list[AttributionMethod] = [AttentionRollout(), GradCAM()]
    callbacks = _callbacks(methods, compare={"baseline": str(tmp_path / "other.ckpt")})
    _test(tmp_path, callbacks, MemoryData(make_samples()))
    assert next(list(panels) for panels in seen) == [
        "rollout",
        "grad cam: Effusion",
        "rollout, baseline",
        "grad cam: Effusion, baseline",
    ]
    sample = next(s for s in make_samples() if s.sample_id == "study/5")
    image = torch.tensor(sample.image)[None]
    matching = [
        panels["rollout, baseline"]
        for panels in seen
        if np.allclose(panels["rollout, baseline"], AttentionRollout()(other.eval(), image)[0], atol=1e-6)
    ]
    assert len(matching) == 1
    own = GradCAM().of_label(StudentModule().student.eval(), image, torch.tensor([1]))[0]
    drawn = [panels["grad cam: Mass"] for panels in seen if "grad cam: Mass" in panels]
    assert any(np.allclose(panel, own, atol=1e-6) for panel in drawn)


def test_a_student_that_cannot_be_compared_is_refused_before_anything_starts(tmp_path: Path) -> None:
    other = VisionTransformerStudent("vit_nano_patch8_64", 1, SIDE, options={"depth": 1})
    saved = {"student": other.settings, "input": {"mean": 0.5, "std": 0.25}, "label_names": ["Other"], "state_dict": {}}
    torch.save(saved, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="Expected 'baseline' to be a student with the labels"):
        _test(tmp_path, _callbacks(compare={"baseline": str(tmp_path / "other.ckpt")}), MemoryData(make_samples()))


def test_the_monitor_must_come_first(tmp_path: Path) -> None:
    for callbacks in ([AttributionMapLogger()], list(reversed(_callbacks()))):
        with pytest.raises(ValueError, match="Expected a LocalizationMonitor before"):
            _test(tmp_path, callbacks, MemoryData(make_samples()))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Expected LocalizationMonitor to score 'grad_cam'"):
        _test(tmp_path, _callbacks([GradCAM()]), MemoryData(make_samples()))


def test_caption_names_finding_probability_and_label_only() -> None:
    mask = np.zeros((2, 2, 2), np.bool_)
    sample = MapSample("patient-17", torch.zeros(1, 2, 2), mask, (0, 1), (1.0, float("nan")), (0.834, 0.1))
    assert caption(sample, LABELS) == "Effusion: p = 0.83, label present; Mass: p = 0.10, label unknown"


def test_file_names_stay_inside_the_folder() -> None:
    assert file_name("../p10/s5.dcm") == ".._p10_s5.dcm"
    assert "/" not in file_name("a/b\\c:d")


def test_every_n_epochs(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, _callbacks(every_n_epochs=3), max_epochs=2, num_sanity_val_steps=1)
    trainer.fit(StudentModule(), datamodule=MemoryData(make_samples()))
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("options", [{"num_images": 0}, {"num_examples": -1}, {"every_n_epochs": 0}])
def test_impossible_settings_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="num_images"):
        AttributionMapLogger(**options)  # type: ignore[arg-type]


def test_attributions_need_different_names() -> None:
    with pytest.raises(ValueError, match="different names"):
        AttributionMapLogger([AttentionRollout(), AttentionRollout(discard_ratio=0.5)])


def _wandb(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from lightning.pytorch.loggers import WandbLogger

    for variable in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(folder))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CONSOLE", "off")
    folder.mkdir(parents=True, exist_ok=True)
    return WandbLogger(save_dir=folder, offline=True, project="test")


def test_wandb_gets_images_boxes_and_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = _wandb(tmp_path / "wb", monkeypatch)
    methods: list[AttributionMethod] = [AttentionRollout(), LastLayerAttention()]
    _test(tmp_path, _callbacks(methods, num_examples=0), MemoryData(make_samples()), logger=logger)
    logger.experiment.finish()
    media = next((tmp_path / "wb").rglob("files/media"))
    for name in ("rollout", "last_layer"):
        pictures = list((media / "images" / "test" / "attribution").glob(f"{name}_*.png"))
        assert len(pictures) == 3
    assert len(list(media.rglob("*.mask.png"))) == 2 * 4  # one per ROI and attribution
    boxes = [json.loads(path.read_text()) for path in media.rglob("*.boxes2D.json")]
    assert len(boxes) == 2 * 3
    assert {box["box_caption"] for image in boxes for box in image["box_data"]} == {"Effusion", "Mass"}
    corners = [tuple(box["position"].values()) for image in boxes for box in image["box_data"]]
    assert (0, 16 * 12, 0, 16 * 12) in corners  # x, x, y, y of sample 0, enlarged 12 times
    assert list((media / "table" / "test").glob("localization_by_stratum_*.table.json"))


def test_credentialed_images_do_not_go_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = _wandb(tmp_path / "wb", monkeypatch)
    data = MemoryData(make_samples())
    data.license = "credentialed"
    monkeypatch.setattr(
        "mmpkd.callbacks.localization.attribution_maps.may_log_media", lambda tracker, name: name != "credentialed"
    )
    _test(tmp_path, _callbacks(), data, logger=logger)
    logger.experiment.finish()
    assert not list((tmp_path / "wb").rglob("*.png"))
    assert _files(tmp_path)  # they are in the run folder
