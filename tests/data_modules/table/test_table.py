from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data_modules.checks.all_checks import check_data
from data_modules.forms import TableFromStrata
from data_modules.images.regions import BoxRegion
from data_modules.table import TableDataModule
from data_modules.table.privileged import PrivilegedColumns
from data_modules.table.rois import RoiColumns, RoiPatients
from data_modules.table.split_column import SplitColumn
from tests.real import real_data

COLUMNS = ["id", "file", "patient", "split", "ill", "note", "age", "finding", "x", "y", "w", "h"]
ROWS = [
    ("a", "a.png", "p1", "train", 1, "fever", 50, "mass|cyst", None, None, None, None),
    ("b", "b.png", "p2", "train", 0, "", None, "cyst", None, None, None, None),
    ("c", "c.png", "p3", "train", None, "N/A", 70, "", 0, 0, 4, 4),
    ("d", "d.png", "p3", "train", 1, "cough", 70, "mass", None, None, None, None),
    ("e", "e.png", "p4", "val", 1, "cough", 20, "new", 4, 8, 8, 4),
    ("f", "f.png", "p5", "test", 1, "cough", 20, "mass", 4, 8, 8, 4),
    ("f", "f.png", "p5", "test", 1, "cough", 20, "mass", 12, 0, 4, 4),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    pd.DataFrame(ROWS, columns=COLUMNS).to_csv(tmp_path / "table.csv", index=False)
    for name in "abcdef":
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


BOXES = RoiColumns("ill", box_columns=("x", "y", "w", "h"))


def module(root: Path, **more: object) -> TableDataModule:
    arguments: dict[str, object] = {
        "path": "table.csv",
        "image_column": "file",
        "label_columns": ["ill"],
        "sample_column": "id",
        "patient_column": "patient",
        "image_size": 16,
        **more,
    }
    return TableDataModule(root, **arguments)  # type: ignore[arg-type]


def test_labels_text_and_identifiers(root: Path) -> None:
    train = module(root, privileged=PrivilegedColumns(text="note")).splits["train"]
    assert train.sample_id.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(train.label[:, 0], [1, 0, np.nan, 1])
    assert train.report == ["fever", "", "N/A", "cough"]
    assert train.has_privileged.tolist() == [True, False, True, True]


def test_columns_become_numbers_and_multi_hot_with_the_vocabulary_of_training(root: Path) -> None:
    splits = module(root, privileged=PrivilegedColumns(numeric=("age",), categorical=("finding",))).splits
    table = splits["train"].table
    assert table is not None
    assert table.categorical_names == ("finding=cyst", "finding=mass")
    np.testing.assert_array_equal(table.categorical, [[1, 1], [1, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(table.numeric[:, 0], [50, np.nan, 70, 70])
    val = splits["val"].table
    assert val is not None
    assert val.categorical.sum() == 0  # "new" is unknown in training


@pytest.mark.parametrize(
    ("policy", "train", "test"), [("drop", ["a", "b"], ["f"]), ("test", ["a", "b"], ["c", "d", "f"])]
)
def test_patients_with_a_region_never_stay_in_training(
    root: Path, policy: RoiPatients, train: list[str], test: list[str]
) -> None:
    data = module(root, rois=replace(BOXES, patients=policy))
    assert data.splits["train"].sample_id.tolist() == train
    assert data.splits["test"].sample_id.tolist() == test
    assert not data.splits["train"].rois


def test_several_rows_of_a_sample_are_the_boxes_of_one_region(root: Path) -> None:
    batch = next(iter(module(root, rois=BOXES).test_dataloader()))
    expected = np.zeros((16, 16), bool)
    expected[8:12, 4:12] = expected[0:4, 12:16] = True
    np.testing.assert_array_equal(batch["roi_mask"][0].numpy(), expected)
    assert batch["roi_label"].tolist() == [0]


@pytest.mark.parametrize("column", ["ill", "patient", "note"])
def test_rows_of_one_sample_that_contradict_each_other_are_refused(root: Path, column: str) -> None:
    frame = pd.read_csv(root / "table.csv", dtype=str, keep_default_na=False)
    again = frame.iloc[[0]].assign(**{column: "0" if column == "ill" else "other"})
    pd.concat([frame, again]).to_csv(root / "table.csv", index=False)
    with pytest.raises(ValueError, match=rf"differ in \['{column}'\]"):
        _ = module(root, privileged=PrivilegedColumns(text="note")).splits


def test_the_column_of_images_may_name_the_samples(root: Path) -> None:
    assert module(root, sample_column="file").splits["test"].sample_id.tolist() == ["f.png"]
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    frame.loc[6, "ill"] = 0
    frame.to_csv(root / "table.csv", index=False)
    with pytest.raises(ValueError, match=r"sample 'f\.png'.* they differ in \['ill'\]"):
        _ = module(root, sample_column="file").splits


def test_masks_are_found_by_pattern(root: Path) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[2:5, 3:9] = 255
    Image.fromarray(mask).save(root / "f_mask.png")
    batch = next(iter(module(root, rois=RoiColumns("ill", mask_pattern="{id}_mask.png")).test_dataloader()))
    np.testing.assert_array_equal(batch["roi_mask"][0].numpy(), mask > 0)


def test_a_table_of_test_samples_tests_students(root: Path) -> None:
    frame = pd.read_csv(root / "table.csv")
    frame[frame["split"] == "test"].to_csv(root / "table.csv", index=False)
    data = module(root, rois=BOXES, load_images=True, load_privileged=False)
    data.setup("test")
    assert list(data.splits) == ["test"]
    assert len(next(iter(data.test_dataloader()))["image"]) == len(data.splits["test"])
    # the label is always 1 here, which leaves it without a score
    problems = check_data(data, num_workers=0).problems
    assert {problem.severity for problem in problems} == {"warning"}
    assert "splits in train: Expected samples to train on but all are of the test split" in str(problems[0])
    for stage, missing in (("fit", "'train', 'val'"), ("validate", "'val'")):
        with pytest.raises(ValueError, match=rf"\[{missing}\] have none\. Check data\.split\.column"):
            data.setup(stage)


@pytest.mark.parametrize("use", ["loader", "privileged", "fold", "form"])
def test_whatever_needs_training_samples_says_that_there_are_none(root: Path, use: str) -> None:
    frame = pd.read_csv(root / "table.csv")
    frame[frame["split"] == "test"].to_csv(root / "table.csv", index=False)
    data = module(root, strata_columns=("finding",), load_images=False, load_privileged=use == "form")
    if use == "fold":
        data.hold_out(0, 3)
    if use == "form":
        data.use_form(TableFromStrata(["finding"]))
    reads = {"loader": data.train_dataloader, "privileged": lambda: data.privileged_dataloader("train")}
    with pytest.raises(ValueError, match=r"samples in train but .* only in test\. Check data\.split\.column"):
        reads.get(use, lambda: data.splits)()


def test_a_form_of_what_only_teachers_see_is_not_asked_of_test_samples(root: Path) -> None:
    frame = pd.read_csv(root / "table.csv")
    frame[frame["split"] == "test"].to_csv(root / "table.csv", index=False)
    data = module(root, load_images=False, load_privileged=False)
    data.use_form(TableFromStrata(["view"]))
    assert len(data.splits["test"]) == 1


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "patient",
            r"an identifier in every row of column 'patient' .* NA or the like \(row 4\)\. Correct .* rows out",
        ),
        ("note", r"blank cells where column 'note' of 'table.csv' .* hold \['NA'\] \(row 4\)\. Write them as blanks"),
    ],
)
def test_na_is_no_patient_and_no_report(root: Path, column: str, message: str) -> None:
    """As R writes what is missing. Only a report may be blank instead."""
    change(root, 2, column, "NA")
    with pytest.raises(ValueError, match=message):
        _ = module(root, privileged=PrivilegedColumns(text="note")).splits


def test_identifiers_keep_their_zeros(root: Path) -> None:
    table = pd.read_csv(root / "table.csv", dtype=str).drop_duplicates("id")
    table.assign(id=[f"{i:03d}" for i in range(len(table))]).to_csv(root / "table.csv", index=False)
    assert module(root).splits["train"].sample_id.tolist() == ["000", "001", "002", "003"]


def test_parquet_and_row_filters(root: Path) -> None:
    pd.read_csv(root / "table.csv").to_parquet(root / "table.parquet")
    data = module(root, path="table.parquet", where="id != 'a'")
    assert data.splits["train"].sample_id.tolist() == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_column": "fil"}, "Did you mean 'file'"),
        ({"label_columns": ["age"]}, "hold 0, 1 or blank"),
        ({"split": SplitColumn(train="training")}, r"Expected the splits .* found \['train'\]"),
        ({"where": "agee > 40"}, r"columns of 'table\.csv' in data\.where but got \['agee'\]\. Did you mean 'age'"),
        ({"rois": RoiColumns("ill", mask_pattern="{ID}.png")}, r"in data\.rois\.mask_pattern but got \['ID'\]"),
        (
            {"privileged": PrivilegedColumns(numeric=("note",))},
            r"numbers in column 'note' of 'table\.csv' \(data\.privileged\.numeric\) but got 'fever'",
        ),
        (
            {"privileged": PrivilegedColumns(numeric=("age", "age"))},
            r"once in data\.privileged\.numeric but got \['age'\] twice",
        ),
        ({"label_columns": ["ill", "ill"]}, r"data\.label_columns.* 'ill' and 'ill'"),
        ({"rois": RoiColumns("well", mask_pattern="{id}")}, "labels that a region shows"),
        ({"rois": RoiColumns("ill", mask_pattern="{id}_none.png")}, "no sample has one"),
    ],
)
def test_mistakes_are_explained(root: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ = module(root, **arguments).splits


def test_a_region_needs_a_label_and_a_table_must_exist(root: Path) -> None:
    with pytest.raises(ValueError, match=r"rois\.label"):
        RoiColumns(mask_pattern="{id}.png")
    with pytest.raises(FileNotFoundError, match=r"data\.path"):
        _ = module(root, path="nothing.csv").splits


def test_the_license_of_a_table_is_credentialed_unless_stated(root: Path) -> None:
    assert module(root).license == "credentialed"
    assert module(root, data_license="open").license == "open"


def test_real_radiographs_with_notes_and_lesion_masks() -> None:
    data = TableDataModule(
        real_data("covid_cxr"),
        "metadata.csv",
        "file",
        ["label_covid19"],
        "image_id",
        "group_id",
        privileged=PrivilegedColumns(text="clinical_notes"),
        rois=RoiColumns("label_covid19", mask_pattern="masks/{image_id}__lesion_union.png", patients="test"),
        image_size=64,
    )
    report = data.data_report()
    assert sum(split["samples"] for split in report.values()) == 306
    assert report["val"]["with_roi"] + report["test"]["with_roi"] == 44
    assert report["train"]["with_roi"] == 0
    assert sum(split["with_privileged"] for split in report.values()) == 214
    batch = next(iter(data.test_dataloader()))
    assert batch["roi_mask"].any(dim=(1, 2)).all()


def test_regions_of_several_labels_are_told_by_a_column(root: Path) -> None:
    frame = pd.read_csv(root / "table.csv")
    frame["tall"] = 1 - frame["ill"].fillna(0)
    frame["shows"] = ["", "", "ill", "", "tall", "ill", "tall"]
    frame.to_csv(root / "table.csv", index=False)
    data = module(
        root,
        label_columns=["ill", "tall"],
        rois=RoiColumns(label_column="shows", box_columns=BOXES.box_columns),
    )
    assert [roi.label for roi in data.splits["val"].rois[0]] == [1]
    assert [(roi.label, roi.regions) for roi in data.splits["test"].rois[0]] == [
        (0, (BoxRegion((4, 8, 12, 12)),)),
        (1, (BoxRegion((12, 0, 16, 4)),)),
    ]
    frame.assign(shows=["", "", "ill", "", "tal", "ill", "tall"]).to_csv(root / "table.csv", index=False)
    misspelt = module(
        root, label_columns=["ill", "tall"], rois=RoiColumns(label_column="shows", box_columns=BOXES.box_columns)
    )
    with pytest.raises(ValueError, match="Did you mean 'tall'"):
        _ = misspelt.splits
    with pytest.raises(ValueError, match=r"either data\.rois\.label"):
        RoiColumns(box_columns=BOXES.box_columns)


def test_masks_of_several_columns_are_joined(root: Path) -> None:
    for name, rows in (("one", slice(0, 4)), ("two", slice(8, 12))):
        pixels = np.zeros((16, 16), np.uint8)
        pixels[rows] = 255
        Image.fromarray(pixels).save(root / f"{name}.png")
    frame = pd.read_csv(root / "table.csv").drop_duplicates("id")
    frame["left"] = [None, None, None, None, None, "one.png"]
    frame["right"] = [None, None, None, None, "two.png", "two.png"]
    frame.to_csv(root / "table.csv", index=False)
    data = module(root, rois=RoiColumns("ill", mask_columns=("left", "right")))
    mask = next(iter(data.test_dataloader()))["roi_mask"][0].numpy()
    assert np.flatnonzero(mask.all(axis=1)).tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert not mask[4:8].any()
    assert next(iter(data.val_dataloader()))["roi_mask"].sum() == 4 * 16


def test_normalised_boxes_need_no_image_to_be_read(root: Path) -> None:
    frame = pd.read_csv(root / "table.csv")
    frame[["x", "y", "w", "h"]] /= 16
    frame.to_csv(root / "table.csv", index=False)
    pixels = module(root, rois=replace(BOXES, box_format="xywh_normalised"))
    mask = next(iter(pixels.val_dataloader()))["roi_mask"][0].numpy()
    assert np.argwhere(mask).min(axis=0).tolist() == [8, 4]
    assert mask.sum() == 8 * 4


def test_strata_and_parquet(root: Path) -> None:
    frame = pd.read_csv(root / "table.csv")
    frame.assign(view=pd.Series(["PA", "AP", None, "PA", "PA", "AP", "AP"])).to_parquet(root / "table.parquet")
    split = module(
        root, path="table.parquet", strata_columns=["view"], privileged=PrivilegedColumns(numeric=("age",))
    ).splits
    assert split["train"].strata["view"].tolist() == ["PA", "AP", "", "PA"]
    assert split["test"].take(np.array([0])).strata["view"].tolist() == ["AP"]
    np.testing.assert_array_equal(split["train"].label[:, 0], [1, 0, np.nan, 1])


def change(root: Path, row: int, column: str, cell: str) -> None:
    """Write another cell into the table; rows are counted from 0 below the header."""
    frame = pd.read_csv(root / "table.csv", dtype=str, keep_default_na=False)
    frame.loc[row, column] = cell
    frame.to_csv(root / "table.csv", index=False)


@pytest.mark.parametrize("column", ["patient", "id", "file", "split"])
def test_a_blank_cell_is_no_patient_sample_file_or_split(root: Path, column: str) -> None:
    change(root, 1, column, " ")
    with pytest.raises(ValueError, match=rf"column '{column}' of 'table.csv' but 1 cell is blank \(row 3\)"):
        _ = module(root).splits
    assert module(root, where=f"{column}.notna()").splits["train"].sample_id.tolist() == ["a", "c", "d"]


def test_patients_that_were_numbers_are_told_apart_beside_a_blank(root: Path) -> None:
    patients = pd.Series([101, None, 103, 103, 104, 105, 105], dtype=float)
    frame = pd.read_csv(root / "table.csv").assign(patient=patients)
    for name in ("table.csv", "table.parquet"):
        write = frame.to_parquet if name.endswith("parquet") else frame.to_csv
        write(root / name, index=False)
        splits = module(root, path=name, where="id != 'b'").splits
        assert splits["train"].patient_id.tolist() == ["101", "103", "103"]
        assert splits["test"].patient_id.tolist() == ["105"]


def test_two_splits_of_the_same_value_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different value of each split .*\['train', 'train', 'test'\]"):
        SplitColumn(val="train")


def test_a_separator_separates() -> None:
    with pytest.raises(ValueError, match=r"Expected text as data\.privileged\.separator but got ''"):
        PrivilegedColumns(categorical=("finding",), separator="")


def test_labels_may_be_true_and_false(root: Path) -> None:
    frame = pd.read_csv(root / "table.csv")
    frame["ill"] = pd.Series([True, False, None, True, True, True, True], dtype=object)
    frame.to_csv(root / "table.csv", index=False)
    frame.to_parquet(root / "table.parquet")
    for name in ("table.csv", "table.parquet"):
        np.testing.assert_array_equal(module(root, path=name).splits["train"].label[:, 0], [1, 0, np.nan, 1])


def test_patients_who_leave_training_are_counted_with_their_positives_and_regions(root: Path) -> None:
    policies: tuple[RoiPatients, ...] = ("test", "drop")
    moved, dropped = (module(root, rois=replace(BOXES, patients=policy)).splits["train"].counts for policy in policies)
    assert moved == {"dropped_roi_patients": 0, "dropped_rois": 0, "moved_to_test": 2, "positives_taken_out: ill": 1}
    assert dropped == {"dropped_roi_patients": 2, "dropped_rois": 1, "moved_to_test": 0, "positives_taken_out: ill": 1}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_table_gives_the_same_splits_in_both_formats(tmp_path: Path, data: st.DataObject) -> None:
    def column(cells: st.SearchStrategy[Any]) -> list[Any]:
        return data.draw(st.lists(cells, min_size=6, max_size=6))

    frame = pd.DataFrame(
        {
            "id": data.draw(st.permutations(["007", "7", "x", "70", "1.0", "0"])),
            "file": "image.png",
            "patient": pd.Series([3, 1, 2, 6, 4, 5], dtype=data.draw(st.sampled_from(["int64", "float64", "str"]))),
            "split": ["train", "train", "train", "val", "test", "test"],
            "ill": pd.Series(column(st.sampled_from([0, 1, None])), dtype="Int64"),
            "age": column(st.one_of(st.none(), st.floats(-1e30, 1e30))),
            "finding": column(st.sampled_from(["a|b", "b", "", None, " c "])),
            "x": pd.Series(column(st.one_of(st.none(), st.floats(0, 8))), dtype=float),
            "view": pd.Series(column(st.sampled_from(["PA", "AP", None])), dtype="category"),
        }
    )
    frame = frame.assign(y=frame["x"], r=frame["x"])
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    columns: dict[str, object] = {
        "privileged": PrivilegedColumns("finding", numeric=("age",), categorical=("finding",)),
        "rois": RoiColumns("ill", circle_columns=("x", "y", "r")),
        "strata_columns": ["view"],
    }
    first, second = (
        dict(module(tmp_path, path=f"table.{kind}", **columns).read_splits()) for kind in ("csv", "parquet")
    )
    for name, split in first.items():
        assert split.fingerprint() == second[name].fingerprint()
        assert split.patient_id.tolist() == second[name].patient_id.tolist()
        assert split.strata["view"].tolist() == second[name].strata["view"].tolist()
        assert (split.rois, split.counts, split.image) == (second[name].rois, second[name].counts, second[name].image)
