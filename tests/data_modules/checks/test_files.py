"""Files that are missing, shared, equal, or were prepared from others."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_modules.checks import check_data
from data_modules.images.mask_regions import MaskRegion
from data_modules.images.prepare import prepare_images
from data_modules.images.regions import Roi
from data_modules.split import Split
from tests.data_modules.checks.given import Given, check, only, problem


def with_image(splits: dict[str, Split], name: str, row: int, path: Path) -> dict[str, Split]:
    images = list(splits[name].image)
    images[row] = path
    return splits | {name: replace(splits[name], image=images)}


@pytest.mark.parametrize("kind", ["path", "relative", "symbolic", "hard"])
def test_one_file_under_two_identifiers_of_two_splits_is_an_error(
    splits: dict[str, Split], tmp_path: Path, kind: str
) -> None:
    path = splits["train"].image[3]
    other = {"path": path, "relative": path.parent / ".." / path.parent.name / path.name}.get(kind, tmp_path / "l.png")
    if kind == "symbolic":
        other.symlink_to(path)
    if kind == "hard":
        other.hardlink_to(path)
    report = check(with_image(splits, "test", 5, other), 0)
    assert problem(report) == ("error", "files", "train", 1)
    assert only(report).examples == ("train3 and test5",)
    within = check(with_image(splits, "train", 8, other), 0)
    assert problem(within) == ("warning", "files", "train", 1)
    assert check(with_image(splits, "train", 2, other), 0).problems == ()  # of the same patient


def test_equal_contents_are_found_if_asked_for(splits: dict[str, Split], tmp_path: Path) -> None:
    shutil.copy(splits["train"].image[3], tmp_path / "copy.png")
    copied = with_image(splits, "test", 5, tmp_path / "copy.png")
    assert check(copied, 0).problems == ()
    report = check(copied, 0, deep=True)
    assert problem(report) == ("error", "contents", "train", 1)
    assert only(report).examples == ("train3 and test5",)
    assert check(splits, 0, deep=True).problems == ()
    # one file under two paths is named once, by the check of files
    linked = check(with_image(splits, "test", 5, splits["train"].image[3]), 0, deep=True)
    assert only(linked).check == "files"


def test_missing_masks_are_counted(splits: dict[str, Split], tmp_path: Path) -> None:
    rois = {3: (Roi(0, (MaskRegion(tmp_path / "none.png"), MaskRegion(splits["val"].image[3]))),)}
    label = np.ones_like(splits["val"].label)
    label[0] = 0
    found = check(splits | {"val": replace(splits["val"], rois=rois, label=label)}, 0).problems
    (missing,) = [own for own in found if own.check == "files"]
    assert (missing.severity, missing.split, missing.count, missing.examples) == ("error", "val", 1, ("val3",))
    assert missing.example_file.endswith("none.png")


def test_prepared_images_of_other_data_or_settings_are_an_error(splits: dict[str, Split], tmp_path: Path) -> None:
    names = np.concatenate([split.sample_id for split in splits.values()])
    files = [path for split in splits.values() for path in split.image]
    data = Given(splits, prepared=tmp_path / "prepared")
    prepare_images(tmp_path / "prepared", data.preparation, names, files, num_workers=0)
    assert check_data(data, 0).problems == ()
    renamed = replace(splits["val"], sample_id=np.char.add("new", splits["val"].sample_id))
    lacking = check_data(Given(splits | {"val": renamed}, prepared=tmp_path / "prepared"), 0)
    assert problem(lacking)[:3] == ("error", "prepared", "val")
    data.resize = "stretch"
    stale = check_data(data, 0)
    assert [(own.severity, own.check) for own in stale.problems] == [("error", "prepared")] * 3
    assert "\n" not in stale.problems[0].message
