"""The maps that a test keeps."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from mmpkd.attribution import AllOnes, AttentionRelevance, AttentionRollout, AttributionMethod, CenterGaussian
from mmpkd.callbacks.localization import scored_maps
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.callbacks.localization.scored_maps import ScoredMaps
from mmpkd.metrics import HeatmapPairs, PointingGame, Rois, iou, pointing_game
from mmpkd.records import RunFolder
from mmpkd.records.map_file import MapFile, read_maps
from tests.callbacks.localization_data import LABELS, MemoryData, StudentModule, make_samples, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore")


class Broken(AttributionMethod):
    """Its map of the second image of a batch is not finite."""

    name = "broken"

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        del student
        maps = torch.ones(len(image), 4, 4)
        maps[1:, 0, 0] = torch.inf
        return maps


def maps_of_a_test(folder: Path, monitor: LocalizationMonitor, batch_size: int = 3) -> MapFile:
    trainer = make_trainer(folder, [monitor])
    trainer.test(StudentModule(), datamodule=MemoryData(make_samples(), batch_size), verbose=False)
    return read_maps(RunFolder(folder).scored_maps("test"))


def masks_by_pair() -> dict[tuple[str, str], Tensor]:
    found = {}
    for sample in make_samples():
        assert sample.roi_mask is not None
        assert sample.roi_label is not None
        for label, mask in zip(sample.roi_label.tolist(), sample.roi_mask, strict=True):
            found[sample.sample_id, LABELS[label]] = torch.from_numpy(mask)
    return found


def test_the_maps_give_the_scores_of_the_table_again(tmp_path: Path) -> None:
    kept = maps_of_a_test(
        tmp_path, LocalizationMonitor([AttentionRollout(), CenterGaussian()], [AttentionRelevance()], top_area=0.2)
    )
    table = pd.read_parquet(tmp_path / "roi_test.parquet")
    masks = masks_by_pair()
    assert kept.top_area == {"finding": 0.2, "image": 0.2}
    assert kept.frame == (32, 32)
    assert set(kept.maps) == set(table["attribution"])
    mask = torch.stack([masks[pair] for pair in zip(kept.sample_id, kept.finding, strict=True)])
    for name, maps in kept.maps.items():
        own = table[table["attribution"] == name]
        assert list(zip(kept.sample_id, kept.finding, strict=True)) == list(
            zip(own["sample_id"], own["finding"], strict=True)
        )
        assert maps.dtype == np.float32
        heatmap = torch.from_numpy(maps)
        expected = own[["iou_top_area", "pointing_game"]].to_numpy(np.float32)
        np.testing.assert_array_equal(iou(heatmap, mask, "top_area", 0.2).numpy(), expected[:, 0])
        np.testing.assert_array_equal(pointing_game(heatmap, mask).numpy(), expected[:, 1])


def test_a_map_that_is_not_finite_is_told_from_zeros(tmp_path: Path) -> None:
    kept = maps_of_a_test(tmp_path, LocalizationMonitor([Broken()], [], [PointingGame()]))
    assert kept.top_area == {}
    table = pd.read_parquet(tmp_path / "roi_test.parquet")
    broken = np.isnan(kept.maps["broken"]).all((1, 2))
    assert broken.tolist() == (table["undefined"] & (table["area"] > 0)).tolist()
    assert broken.any()
    assert not broken.all()
    assert np.isfinite(kept.maps["broken"][~broken]).all()


def test_order_does_not_depend_on_batches_and_equal_tests_give_equal_bytes(tmp_path: Path) -> None:
    for name, batch_size in (("a", 3), ("b", 3), ("c", 7)):
        maps_of_a_test(tmp_path / name, LocalizationMonitor([AttentionRollout()], [], [PointingGame()]), batch_size)
    first, second, other = (RunFolder(tmp_path / name).scored_maps("test") for name in "abc")
    assert first.read_bytes() == second.read_bytes()
    for name, maps in read_maps(other).maps.items():
        np.testing.assert_allclose(maps, read_maps(first).maps[name], rtol=1e-4, atol=1e-6)


def test_maps_can_be_left_out_and_a_fit_keeps_none(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [LocalizationMonitor([AllOnes()], [], [PointingGame()], keep_maps=False)])
    trainer.test(StudentModule(), datamodule=MemoryData(make_samples()), verbose=False)
    trainer = make_trainer(tmp_path, [LocalizationMonitor([AllOnes()], [], [PointingGame()])])
    trainer.validate(StudentModule(), datamodule=MemoryData(make_samples()), verbose=False)
    assert not list(tmp_path.glob("maps_*"))


def test_processes_that_share_a_sample_keep_its_maps_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_process(names: list[str], value: float) -> ScoredMaps:
        maps = ScoredMaps()
        if not names:  # no region in its share
            return maps
        # regions of pairs may be followed by others of the same images
        image = torch.tensor([*range(len(names)), 0])
        pairs = HeatmapPairs(torch.full((len(names), 2, 2), value), Rois(torch.ones(len(image), 4, 4).bool(), image))
        maps.add("rollout", pairs, {"sample_id": names, "finding": ["Mass"] * len(names)})
        return maps

    sent: list[object] = []
    trainer: Any = SimpleNamespace(default_root_dir=tmp_path)
    monkeypatch.setattr(scored_maps, "tested_checkpoint", lambda _: "f" * 64)
    path = tmp_path / "maps_test.npz"
    monkeypatch.setattr(scored_maps, "gather", sent.append)  # another process than the first gets nothing
    for names, value in ((["c", "b", "a"], 1.0), ([], 0.0)):
        of_process(names, value).write(trainer, "test", {"finding": [PointingGame()]})
    assert not path.exists()  # only the first process writes
    monkeypatch.setattr(scored_maps, "gather", lambda value: [*sent, value])
    of_process(["d", "a"], 2.0).write(trainer, "test", {"finding": [PointingGame()]})
    kept = read_maps(path)
    assert kept.sample_id == ("a", "b", "c", "d")
    assert kept.maps["rollout"][:, 0, 0].tolist() == [1, 1, 1, 2]
    assert kept.checkpoint == "f" * 64


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    maps_of_a_test(tmp_path, LocalizationMonitor([AllOnes()], [], [PointingGame()]))
    path = RunFolder(tmp_path).scored_maps("test")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"Expected arrays in .*maps_test\.npz"):
        read_maps(path)
