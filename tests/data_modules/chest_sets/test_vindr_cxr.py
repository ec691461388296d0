from pathlib import Path

import numpy as np
import pytest

from data_modules.chest_sets import VinDrCXR
from data_modules.evaluation import EvaluationDataModule
from data_modules.images.regions import BoxRegion
from data_modules.split import Split
from tests.data.chest_sets.data import write_vindr_cxr

LABELS = ("Lung Lesion", "Pleural Effusion", "No Finding")


def read(root: Path, split: str = "test", min_readers: int = 1, **copies: object) -> EvaluationDataModule:
    reader = VinDrCXR(root, split, min_readers, **copies)  # type: ignore[arg-type]
    return EvaluationDataModule(reader, LABELS, image_size=20, resize="stretch")


def test_consensus_of_the_test_set(tmp_path: Path) -> None:
    write_vindr_cxr(tmp_path)
    test = read(tmp_path).splits["test"]
    assert test.sample_id.tolist() == ["t1", "t2"]
    # tumour and nodule are one label; a finding without a label of ours is left out
    np.testing.assert_array_equal(test.label, [[1, 0, 0], [0, 0, 1]])
    (roi,) = test.rois[0]
    assert roi.regions == (BoxRegion((10, 20, 30, 40)), BoxRegion((50, 60, 70, 80)))
    assert list(test.rois) == [0]  # "No finding" has a row without a box


def test_readers_of_the_training_set_are_counted(tmp_path: Path) -> None:
    write_vindr_cxr(tmp_path)
    one, two = (read(tmp_path, "train", n).splits["test"] for n in (1, 2))
    np.testing.assert_array_equal(one.label[0], [1, 1, 1])
    np.testing.assert_array_equal(two.label[0], [0, 1, 0])
    assert [roi.label for roi in two.rois[0]] == [1]
    assert len(two.rois[0][0].regions) == 2  # both readers' boxes, joined


def test_boxes_on_copies_need_the_size_of_the_originals(tmp_path: Path) -> None:
    expected = np.zeros((20, 20), bool)
    expected[4:8, 2:5] = expected[12:16, 8:12] = True  # x 10 to 30 and y 20 to 40, x 50 to 70 and y 60 to 80
    write_vindr_cxr(tmp_path / "dicom")
    sizes = tmp_path / "sizes.csv"
    sizes.write_text("image_id,dim0,dim1\nt1,100,120\nt2,100,120\n")
    masks = [next(iter(read(tmp_path / "dicom").test_dataloader()))["roi_mask"]]
    for size, squeezed in (((50, 60), False), ((64, 64), True), ((100, 120), False)):
        folder = tmp_path / str(size[0])
        write_vindr_cxr(folder, ".png", size)
        with pytest.raises(ValueError, match=r"t1\.png' is a copy.*Set data\.reader\.annotation_size"):
            _ = read(folder).splits
        data = read(folder, annotation_size=sizes, squeezed=squeezed)
        masks.append(next(iter(data.test_dataloader()))["roi_mask"])
        assert not read(folder, with_regions=False).splits["test"].rois
    for mask in masks:
        np.testing.assert_array_equal(mask[0].numpy(), expected)
    with pytest.raises(OSError, match="squeezed copy"):
        _ = read(tmp_path / "64", annotation_size=sizes).splits
    sizes.write_text("image_id,height,width\nt2,100,120\n")
    with pytest.raises(ValueError, match=r"1 are missing, for example 't1'"):
        _ = read(tmp_path / "50", annotation_size=sizes).splits


def test_arguments_and_columns_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="min_readers"):
        VinDrCXR(tmp_path, min_readers=0)
    write_vindr_cxr(tmp_path)
    path = tmp_path / "annotations_test.csv"
    path.write_text(path.read_text().replace("x_min", "xmin"))
    with pytest.raises(ValueError, match="Did you mean"):
        _ = read(tmp_path).splits


def relabelled(root: Path, old: str, new: str) -> Split:
    """Read the test set with the column of one finding in place of another's."""
    write_vindr_cxr(root)
    path = root / "image_labels_test.csv"
    header, rest = path.read_text().split("\n", 1)
    names = ["old" if name == new else new if name == old else name for name in header.split(",")]
    path.write_text(",".join(names).replace("old", old) + "\n" + rest)
    labels = ("Lung Opacity", "Pleural Other", "Pneumonia", "Enlarged Cardiomediastinum", "Support Devices")
    return EvaluationDataModule(VinDrCXR(root), labels, image_size=20).splits["test"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ILD", [1, 0, 0]),
        ("Pulmonary fibrosis", [np.nan, np.nan, 0]),
        ("Tuberculosis", [0, 0, np.nan]),
        ("Mediastinal shift", [0, 0, 0]),
        ("COPD", [0, 0, 0]),
    ],
)
def test_names_state_a_label_leave_it_open_or_are_another_thing(
    tmp_path: Path, name: str, expected: list[float]
) -> None:
    test = relabelled(tmp_path, "Nodule/Mass", name)
    np.testing.assert_array_equal(test.label[0, :3], expected)
    # outside the vocabulary, whatever is in the table
    assert np.isnan(test.label[:, 3:]).all()


def test_a_table_without_a_published_finding_is_refused(tmp_path: Path) -> None:
    write_vindr_cxr(tmp_path)
    path = tmp_path / "image_labels_test.csv"
    path.write_text(path.read_text().replace("Lung cavity", "Cavity"))
    with pytest.raises(ValueError, match=r"columns of 'image_labels_test\.csv' but got \['Lung cavity'\]"):
        _ = read(tmp_path).splits


def test_a_mirror_is_read_from_above(tmp_path: Path) -> None:
    root = tmp_path / "physionet.org/files/vindr-cxr/1.0.0"
    write_vindr_cxr(root)
    for path in root.glob("*.csv"):
        (root / "annotations").mkdir(exist_ok=True)
        path.rename(root / "annotations" / path.name)
    assert all(file.is_file() for file in read(tmp_path).splits["test"].image)
