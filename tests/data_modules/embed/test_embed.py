from pathlib import Path

import numpy as np
import pytest

from data_modules.embed import EMBEDDataModule
from data_modules.embed.tables import read_boxes, split_values
from data_modules.regions import BoxRegion
from data_modules.split import Split
from tests.data.mammography_sets.data import write_embed


def read(root: Path, **arguments: object) -> dict[str, Split]:
    return dict(EMBEDDataModule(root, image_size=40, **arguments).splits)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_embed(tmp_path)
    return tmp_path


def rows_of(splits: dict[str, Split], side: str) -> dict[str, float]:
    """Return the label of every image of a side, by its name."""
    return {
        str(name): float(label)
        for split in splits.values()
        for name, label, own in zip(split.sample_id, split.label[:, 0], split.strata["side"], strict=True)
        if own == side
    }


def test_a_finding_is_not_attributed_to_the_other_breast(root: Path) -> None:
    splits = read(root)
    assert all(label == 0 for label in rows_of(splits, "R").values())
    left = rows_of(splits, "L")
    assert {name for name, label in left.items() if label == 1} == {
        f"{1000 + i}L{v}" for i in range(0, 20, 2) for v in ("CC", "MLO")
    }
    assert len(rows_of(splits, "R")) == 20


def test_suspicious_findings_without_pathology_are_a_choice(root: Path) -> None:
    dropped, guessed = read(root), read(root, unproven="benign")
    assert sum(map(len, dropped.values())) == 20 + 20
    assert dropped["train"].counts["dropped_unproven"] == 20
    assert sum(map(len, guessed.values())) == 60
    assert sum(split.label.sum() for split in guessed.values()) == 20


def test_splits_are_by_patient_and_drawn_once(root: Path) -> None:
    splits = read(root)
    patients = {name: set(split.patient_id.tolist()) for name, split in splits.items()}
    assert [len(patients[name]) for name in ("train", "val", "test")] == [14, 2, 4]
    assert read(root)["test"].sample_id.tolist() == splits["test"].sample_id.tolist()
    assert set(read(root, split_seed=1)["test"].patient_id.tolist()) != patients["test"]
    assert not splits["train"].rois
    with pytest.raises(ValueError, match="leave patients to train on"):
        EMBEDDataModule(root, val_fraction=0.5, test_fraction=0.5)


def test_boxes_are_y_first_and_joined(root: Path) -> None:
    data = EMBEDDataModule(root, image_size=40, mean=0.0, std=1.0, batch_size=64)
    test = data.splits["test"]
    row, ((roi,)) = next(iter(test.rois.items()))
    assert str(test.sample_id[row]).endswith("LCC")
    assert roi.regions == (BoxRegion((10, 20, 20, 30)), BoxRegion((0, 0, 5, 5)))
    batch = next(iter(data.test_dataloader()))
    lesion = batch["image"][row, 0] > 0.7
    mask = batch["roi_mask"][batch["roi_sample"] == row][0]
    assert (lesion & mask).sum() >= 0.9 * lesion.sum()
    assert read_boxes("[20, 10, 30, 20]") == (BoxRegion((10, 20, 20, 30)),)
    assert read_boxes("[]") == read_boxes(float("nan")) == ()


def test_descriptors_of_a_breast_are_the_union_of_its_findings(root: Path) -> None:
    splits = read(root, columns="descriptors_density")
    split = next(split for split in splits.values() if "1000LCC" in split.sample_id)
    row = split.sample_id.tolist().index("1000LCC")
    table = split.table
    assert table is not None
    found = {name for name, value in zip(table.categorical_names, table.categorical[row], strict=True) if value}
    assert found == {"massshape=I", "massshape=R", "massshape=O", "massmargin=S", "massmargin=D"}
    assert table.numeric[row].tolist() == [3]
    assert not any("missing" in name or "nan" in name for name in table.categorical_names)
    assert split_values(" I, R ,") == {"I", "R"}


def test_presets(root: Path) -> None:
    assessment = read(root, columns="with_assessment")["train"].table
    nuisance = read(root, columns="nuisance")["train"].table
    assert assessment is not None
    assert nuisance is not None
    assert "asses=K" in assessment.categorical_names
    assert nuisance.categorical_names == ("side=L", "side=R", "ViewPosition=CC", "ViewPosition=MLO")
    np.testing.assert_array_equal(nuisance.categorical.sum(axis=1), 2)


def test_reduced_tables_missing_images_and_missing_tables(tmp_path: Path) -> None:
    write_embed(tmp_path / "reduced", reduced=True)
    assert len(read(tmp_path / "reduced")["train"]) > 0
    next((tmp_path / "reduced/cohort_1").rglob("*LCC.dcm")).unlink()
    with pytest.raises(FileNotFoundError, match=r"LCC\.dcm'.*image_prefix"):
        read(tmp_path / "reduced", unproven="benign")
    assert (
        read(tmp_path / "reduced", unproven="benign", missing_images="drop")["train"].counts["dropped_missing_images"]
        == 1
    )
    with pytest.raises(FileNotFoundError, match="EMBED_OpenData_metadata"):
        read(tmp_path / "nothing")
