"""A study whose runs have kept their maps: some tie, one is constant, one is not finite, and regions are empty."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from data_modules.images.regions import BoxRegion, Roi
from data_modules.split import Split
from mmpkd.metrics import HeatmapPairs, IoU, PointingGame, Rois, patch_ceiling
from mmpkd.records import RunFolder
from mmpkd.records.map_file import MapFile, write_maps
from mmpkd.records.unit import Unit
from mmpkd.study.analysis.run_tables import RunTables, read_run
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.plan.study_plan import StudyPlan
from tests.study.synthetic import write_run, write_study
from tests.tiny import SIDE, TinyDataModule

GRID = 4
AREAS: dict[Unit, float] = {"finding": 0.07, "image": 0.11}
OF_STUDENT = ("rollout", "relevance")
OF_FINDING = ("relevance", "mean_roi")
Floats = NDArray[np.float32]


class ExploredData(TinyDataModule):
    """The tiny data set with regions of many sizes, one of them empty, and two views."""

    def read_splits(self) -> Mapping[str, Split]:
        """Return the splits."""
        splits = dict(super().read_splits())
        test = splits["test"]
        rois = {row: tuple(_moved(roi, row) for roi in own) for row, own in test.rois.items()}
        first = min(row for row, own in rois.items() if len(own) == 2)
        nothing = (BoxRegion((4.0, 4.0, 4.0, 4.0)),)
        rois[first] = (Roi(rois[first][0].label, nothing), rois[first][1])
        last = max(row for row, own in rois.items() if len(own) == 1)
        rois[last] = (Roi(rois[last][0].label, nothing),)
        views = np.array([("AP", "PA")[row % 2] for row in range(len(test))])
        return {**splits, "test": replace(test, rois=rois, strata={"view": views})}


def _moved(roi: Roi, row: int) -> Roi:
    x, y, side = (11 * row + 7 * roi.label) % 20, (5 * row) % 20, 3 + row % 10
    return Roi(roi.label, (BoxRegion((float(x), float(y), float(x + side), float(y + side))),))


class Regions:
    """The regions of the test images, sorted by image and finding, and the unions of each image's."""

    def __init__(self, data: ExploredData) -> None:
        split, dataset = data.splits["test"], data.dataset("test", load_images=True, load_privileged=False)
        found: dict[tuple[str, str], tuple[NDArray[np.bool_], int]] = {}
        for row in split.rois:
            sample = dataset[row]
            assert sample.roi_mask is not None
            for roi, mask in zip(split.rois[row], sample.roi_mask, strict=True):
                found[sample.sample_id, data.label_names[roi.label]] = (mask, row)
        self.pairs = sorted(found)
        self.mask = torch.from_numpy(np.stack([found[pair][0] for pair in self.pairs]))
        self.row = [found[pair][1] for pair in self.pairs]
        self.samples = list(dict.fromkeys(name for name, _ in self.pairs))
        self.image = torch.tensor([self.samples.index(name) for name, _ in self.pairs])
        self.union = torch.stack([self.mask[self.image == k].any(0) for k in range(len(self.samples))])
        self.patient = [str(split.patient_id[row]) for row in self.row]

    def maps(self, seed: Sequence[int]) -> dict[str, Floats]:
        """Return maps by attribution, (R, h, w)."""
        rng = np.random.default_rng(list(seed))
        images = rng.random((len(self.samples), GRID, GRID)).astype(np.float32) ** 3
        images[1] = np.round(3 * images[1])  # patches tie
        images[2] = 0.25
        images[3] = np.nan
        findings = np.array([finding.startswith("Left") for _, finding in self.pairs])
        gaussian = np.exp(-np.square(np.linspace(-1, 1, GRID, dtype=np.float32)))
        rois = np.where(
            findings[:, None, None], gaussian[:, None] * np.arange(GRID), gaussian[None] + np.zeros((GRID, 1))
        )
        return {
            "rollout": images[self.image.numpy()],
            "relevance": rng.random((len(self.pairs), GRID, GRID)).astype(np.float32),
            "center_gaussian": np.repeat((gaussian[:, None] * gaussian)[None], len(self.pairs), axis=0),
            "mean_roi": rois.astype(np.float32),
        }

    def table(self, maps: Mapping[str, Floats], seed: Sequence[int], unit: Unit) -> pd.DataFrame:
        """Return the scores of maps against regions, or against unions."""
        is_finding = unit == "finding"
        mask = self.mask if is_finding else self.union
        first = [self.image.tolist().index(k) for k in range(len(self.samples))]
        keys = self.pairs if is_finding else [(name, "any") for name in self.samples]
        rng = np.random.default_rng([*seed, len(keys)])
        known = pd.DataFrame(keys, columns=["sample_id", "finding"]).assign(
            patient_id=self.patient if is_finding else [self.patient[k] for k in first],
            area=mask.flatten(1).float().mean(1).numpy(),
            num_regions=1 if is_finding else np.bincount(self.image.numpy()),
            target=1.0,
            probability=rng.random(len(keys)).astype(np.float32),
            recognised=rng.integers(0, 2, len(keys)).astype(np.float64),
            iou_ceiling=patch_ceiling(mask, (GRID, GRID)).numpy(),
        )
        parts = []
        for name, own in maps.items():
            if is_finding or name not in OF_FINDING:
                scores = scored(torch.from_numpy(own if is_finding else own[first]), mask, AREAS[unit])
                parts.append(known.assign(attribution=name, **scores))
        table = pd.concat(parts, ignore_index=True)
        # an image without any pixel in a region has no union
        return table if is_finding else table[table["area"] > 0]


def scored(heatmap: Tensor, mask: Tensor, area: float) -> dict[str, Floats]:
    """Return both scores of maps and regions, one to one."""
    pairs = HeatmapPairs(heatmap, Rois(mask))
    return {own.name: own.score(pairs).numpy() for own in (IoU("top_area", area), PointingGame())}


def write_explored_study(
    folder: Path, seeds: Sequence[int] = (0, 1), has_external: bool = False
) -> tuple[StudyPlan, list[Run]]:
    """Write the files of finished runs, and return the study and the runs, if asked also on another data set, `elsewhere`."""
    path = write_study(folder, seeds, "external: {elsewhere: {data: other.yaml}}\n" if has_external else "")
    settings, regions = _data(folder / "images", 20)
    others, other_regions = _data(folder / "others", 18) if has_external else ({}, regions)
    (folder / "other.yaml").write_text(yaml.safe_dump(others))
    # the settings of the arms' own data, which another data set replaces
    for name in ("baseline", "distill"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"data": settings}))
    plan = load_plan(path)
    runs = plan_runs(plan, folder / "out", plan.seeds, ())
    for run in runs:
        write_run(run.folder, run.seed, 0.0, run.arm.role)
        if run.arm.role == "student":
            write_scored(run.record, other_regions if run.test_set else regions, (run.seed, len(run.arm.name)))
            _license(run, "synthetic")
        if run.external is None:
            run.record.config.write_text(yaml.safe_dump({"data": settings, "run": {"hash_ids": False}}))
    return plan, runs


def _data(root: Path, num_eval: int) -> tuple[dict[str, object], Regions]:
    """Return the settings of a data module, and the regions of its test images."""
    data = ExploredData(str(root), num_eval=num_eval)
    data.serve(load_images=True, load_privileged=False)
    arguments = {"root": data.root.as_posix(), "num_eval": num_eval}
    return {"class_path": "tests.study.explored.ExploredData", "init_args": arguments}, Regions(data)


def write_scored(record: RunFolder, regions: Regions, seed: Sequence[int]) -> None:
    """Write the maps of a run and their scores."""
    maps = regions.maps(seed)
    regions.table(maps, seed, "finding").to_parquet(record.rois("test"))
    regions.table(maps, seed, "image").to_parquet(record.unions("test"))
    names, findings = zip(*regions.pairs, strict=True)
    write_maps(MapFile(names, findings, maps, (SIDE, SIDE), AREAS, None), record.scored_maps("test"))


def _license(run: Run, name: str) -> None:
    state = run.record.state
    assert state is not None
    assert state.test is not None
    run.record.update(test=replace(state.test, license=name))


def with_license(runs: Sequence[Run], name: str) -> list[RunTables]:
    """Return the tables of runs on data of some license."""
    for run in runs:
        _license(run, name)
    return [read_run(run) for run in runs]
