import json
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from mmpkd.attribution import LastLayerAttention
from mmpkd.callbacks.attribution_maps import AttributionMapLogger, MapSample, caption, choose, file_name, rank
from tests.callbacks.localization_data import LABELS, SIDE, MemoryData, StudentModule, make_samples, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore")


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "maps" / "test").iterdir())}


def _test(folder: Path, callback: AttributionMapLogger, data: MemoryData, **options: Any) -> None:
    make_trainer(folder, [callback], **options).test(StudentModule(), datamodule=data, verbose=False)


def test_files_show_images_with_rois(tmp_path: Path) -> None:
    _test(tmp_path, AttributionMapLogger(), MemoryData(make_samples()))
    assert list(_files(tmp_path)) == ["study_0.png", "study_2.png", "study_5.png", "study_6.png"]
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
    _test(tmp_path / "a", AttributionMapLogger(num_images=2), MemoryData(make_samples(), 3))
    _test(tmp_path / "b", AttributionMapLogger(num_images=2), MemoryData(shuffled, 2))
    names = list(_files(tmp_path / "a"))
    assert len(names) == 2
    assert names == list(_files(tmp_path / "b"))


def _sample(name: str, *findings: int) -> MapSample:
    values = (0.5,) * len(findings)
    return MapSample(name, torch.zeros(1, 2, 2), np.zeros((len(findings), 2, 2), np.bool_), findings, values, values)


def test_choice_takes_findings_in_turn() -> None:
    common = sorted((_sample(f"c{i}", 0) for i in range(20)), key=lambda s: s.rank)
    rare, both = _sample("rare", 1), _sample("both", 0, 1)
    chosen = choose({0: [*common, both], 1: [rare, both]}, 4)
    assert {"rare", "both"} <= {sample.sample_id for sample in chosen}
    assert len({sample.sample_id for sample in chosen}) == 4
    assert choose({0: common}, 3) == common[:3]
    assert [s.sample_id for s in common] == sorted((s.sample_id for s in common), key=rank)
    assert choose({}, 3) == []


def test_only_so_many_images_are_held(tmp_path: Path) -> None:
    held: list[int] = []

    class Spy(AttributionMapLogger):
        def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            held.append(max(len(kept) for kept in self._candidates.values()))
            super().on_test_epoch_end(trainer, pl_module)

    _test(tmp_path, Spy(num_images=1), MemoryData(make_samples()))
    assert held == [1]
    assert len(_files(tmp_path)) == 1


def test_caption_names_finding_probability_and_label_only() -> None:
    sample = MapSample(
        "patient-17",
        torch.zeros(1, 2, 2),
        np.zeros((2, 2, 2), np.bool_),
        (0, 1),
        (1.0, float("nan")),
        (0.834, 0.1),
    )
    assert caption(sample, LABELS) == "Effusion: p = 0.83, label present; Mass: p = 0.10, label not stated"


def test_file_names_stay_inside_the_folder() -> None:
    assert file_name("../p10/s5.dcm") == ".._p10_s5.dcm"
    assert "/" not in file_name("a/b\\c:d")


def test_every_n_epochs(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [AttributionMapLogger(every_n_epochs=3)], max_epochs=2, num_sanity_val_steps=1)
    trainer.fit(StudentModule(), datamodule=MemoryData(make_samples()))
    assert not (tmp_path / "maps").exists()


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="num_images"):
        AttributionMapLogger(num_images=0)


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
    _test(tmp_path, AttributionMapLogger(LastLayerAttention()), MemoryData(make_samples()), logger=logger)
    logger.experiment.finish()
    media = next((tmp_path / "wb").rglob("files/media"))
    pictures = list((media / "images" / "test" / "attribution").glob("last_layer_*.png"))
    assert len(pictures) == 4
    assert len(list(media.rglob("*.mask.png"))) == 5  # one per ROI
    boxes = [json.loads(path.read_text()) for path in media.rglob("*.boxes2D.json")]
    assert len(boxes) == 4
    assert {box["box_caption"] for image in boxes for box in image["box_data"]} == {"Effusion", "Mass"}
    corners = [tuple(box["position"].values()) for image in boxes for box in image["box_data"]]
    assert (0, 16 * 12, 0, 16 * 12) in corners  # x, x, y, y of sample 0, enlarged 12 times


def test_credentialed_images_do_not_go_online(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import WandbLogger

    class Experiment:
        offline = False

    class Online(WandbLogger):
        def __init__(self) -> None:
            self.keys: list[str] = []
            self._save_dir = str(tmp_path)

        @property
        def experiment(self) -> Any:
            return Experiment()

        def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
            del images, step, kwargs
            self.keys.append(key)

    class FakeTrainer:
        loggers = [Online()]  # noqa: RUF012
        datamodule = MemoryData(make_samples())
        global_step = 0

    callback, trainer = AttributionMapLogger(), FakeTrainer()
    sample = MapSample("a", torch.zeros(1, SIDE, SIDE), np.ones((1, SIDE, SIDE), np.bool_), (0,), (1.0,), (0.5,))
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    for license_name, expected in (("credentialed", 0), ("open", 1), ("synthetic", 2)):
        trainer.datamodule.license = license_name
        callback._log(trainer, "test/attribution/rollout", [picture], [sample])  # type: ignore[arg-type]
        assert len(trainer.loggers[0].keys) == expected
