"""Chest ImaGenome and REFLACX, beside MS-CXR."""

from pathlib import Path

import numpy as np
import pytest

from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.regions import BoxRegion, EllipseRegion
from data_modules.split import Split
from tests.data.mimic_cxr.data import FRAME, write_imagenome, write_images, write_mimic, write_reflacx

FINDINGS = ("Cardiomegaly", "Edema", "Lung Lesion")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_mimic(tmp_path)
    return tmp_path


def read(root: Path, source: str, **arguments: object) -> dict[str, Split]:
    options = {"label_names": FINDINGS, "roi_source": source, "image_size": 20, "resize": "stretch", **arguments}
    return dict(MIMICCXRDataModule(root, **options).splits)  # type: ignore[arg-type]


def test_scene_graphs_give_the_anatomy_in_which_a_finding_was_reported(root: Path) -> None:
    write_imagenome(root / "chest-imagenome")
    splits = read(root, "imagenome_silver")
    ((roi,),) = splits["test"].rois.values()
    # once, although two phrases say it; what the report denies, other findings and regions without a box are left out
    assert (roi.label, roi.regions, roi.frame) == (1, (BoxRegion((20, 10, 80, 90)),), FRAME)
    assert splits["test"].counts["roi_without_scene_graph"] == 2


def test_gold_boxes_are_joined_by_name_and_empty_ones_counted(root: Path) -> None:
    write_imagenome(root / "chest-imagenome")
    splits = read(root, "imagenome_gold")
    ((roi,),) = splits["test"].rois.values()
    assert (roi.label, roi.regions, roi.frame) == (1, (BoxRegion((20, -10, 80, 120)),), FRAME)
    assert splits["test"].counts["roi_empty_boxes"] == 1
    # the annotated patient of image a does not train, whichever collection is scored
    for source in ("imagenome_gold", "ms_cxr", "none"):
        assert read(root, source)["train"].sample_id.tolist() == ["c"]


def test_a_box_beyond_the_image_is_drawn_up_to_its_border(root: Path) -> None:
    write_imagenome(root)
    data = MIMICCXRDataModule(root, label_names=FINDINGS, roi_source="imagenome_gold", image_size=20, resize="stretch")
    mask = next(iter(data.test_dataloader()))["roi_mask"][0].numpy()
    assert np.flatnonzero(mask.all(axis=0)).tolist() == list(range(2, 8))
    assert mask.sum() == 20 * 6


def test_ellipses_of_all_readers_and_phases_are_joined_above_a_certainty(root: Path) -> None:
    write_reflacx(root / "reflacx")
    splits = read(root, "reflacx")
    edema, lesion = splits["test"].rois[0]
    assert (edema.label, edema.frame) == (1, FRAME)
    assert edema.regions == (EllipseRegion((0, 0, 50, 100)), EllipseRegion((150, 0, 200, 100)))
    assert (lesion.label, lesion.regions) == (2, (EllipseRegion((150, 0, 200, 100)),))
    assert splits["test"].counts["roi_readings_without_ellipses"] == 1
    assert len(read(root, "reflacx", min_certainty=1)["test"].rois[0][0].regions) == 3
    assert splits["train"].sample_id.tolist() == ["a"]  # image c was read, too


@pytest.mark.parametrize("source", ["reflacx", "imagenome_gold", "imagenome_silver"])
def test_a_collection_that_is_asked_for_must_be_there(root: Path, source: str) -> None:
    with pytest.raises(FileNotFoundError, match=source):
        read(root, source)


def test_a_missing_archive_or_table_is_named(root: Path) -> None:
    write_imagenome(root)
    (root / "silver_dataset" / "scene_graph.zip").unlink()
    with pytest.raises(FileNotFoundError, match=r"scene_graph\.zip"):
        read(root, "imagenome_silver")
    write_images(root)
    (root / "main_data").mkdir()
    with pytest.raises(FileNotFoundError, match="metadata_phase_1"):
        read(root, "ms_cxr")
