"""Chest ImaGenome and REFLACX, beside MS-CXR."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_modules.images.regions import BoxRegion, EllipseRegion
from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.mimic_cxr.imagenome import read_imagenome_gold, read_imagenome_silver
from data_modules.mimic_cxr.labels import FINDINGS as CHEXPERT
from data_modules.mimic_cxr.rois import RoiOptions, RoiSource
from data_modules.split import Split
from tests.data.mimic_cxr.data import (
    FRAME,
    write_imagenome,
    write_imagenome_names,
    write_images,
    write_mimic,
    write_ms_cxr,
    write_reflacx,
)

FINDINGS = ("Cardiomegaly", "Edema", "Lung Lesion")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_mimic(tmp_path)
    return tmp_path


def read(root: Path, source: RoiSource, /, **options: Any) -> dict[str, Split]:
    rois = RoiOptions(source=source, **options)
    data = MIMICCXRDataModule(root, label_names=FINDINGS, rois=rois, image_size=20, resize="stretch")
    return dict(data.splits)


def test_scene_graphs_give_the_anatomy_in_which_a_finding_was_reported(root: Path) -> None:
    write_imagenome(root / "chest-imagenome")
    splits = read(root, "imagenome_silver")
    ((roi,),) = splits["test"].rois.values()
    # once, although two phrases say it; what the report denies, other findings and regions without a box are left out
    assert (roi.label, roi.regions, roi.frame) == (1, (BoxRegion((20, 10, 80, 90)),), FRAME)
    assert splits["test"].counts["roi_without_scene_graph (all splits)"] == 2


def test_gold_boxes_are_joined_by_name_and_empty_ones_counted(root: Path) -> None:
    write_imagenome(root / "chest-imagenome")
    splits = read(root, "imagenome_gold")
    ((roi,),) = splits["test"].rois.values()
    assert (roi.label, roi.regions, roi.frame) == (1, (BoxRegion((20, -10, 80, 120)),), FRAME)
    assert splits["test"].counts["roi_empty_boxes (all splits)"] == 1
    # the annotated patient of image a does not train, whichever collection is scored
    for source in ("imagenome_gold", "ms_cxr", "none"):
        assert read(root, source)["train"].sample_id.tolist() == ["c"]


def test_regions_of_gold_boxes_are_matched_in_any_case_and_findings_without_a_box_counted(root: Path) -> None:
    write_imagenome(root / "chest-imagenome")
    expected = read(root, "imagenome_gold")["test"]
    assert expected.counts["roi_findings_without_a_box (all splits)"] == 0
    path = root / "chest-imagenome/gold_dataset/gold_attributes_relations_500pts_500studies1st.txt"
    text = path.read_text()
    path.write_text(text.replace("right lung", "Right Lung"))
    assert read(root, "imagenome_gold")["test"].rois == expected.rois
    path.write_text(text.replace("right lung", "right lungs"))
    found = read(root, "imagenome_gold")["test"]
    assert (len(found.rois), found.counts["roi_findings_without_a_box (all splits)"]) == (0, 1)


def test_a_box_beyond_the_image_is_drawn_up_to_its_border(root: Path) -> None:
    write_imagenome(root)
    rois = RoiOptions(source="imagenome_gold")
    data = MIMICCXRDataModule(root, label_names=FINDINGS, rois=rois, image_size=20, resize="stretch")
    mask = next(iter(data.test_dataloader()))["roi_mask"][0].numpy()
    assert np.flatnonzero(mask.all(axis=0)).tolist() == list(range(2, 8))
    assert mask.sum() == 20 * 6


@pytest.mark.parametrize("beside", [False, True])
def test_ellipses_of_all_readers_and_phases_are_joined_above_a_certainty(root: Path, beside: bool) -> None:
    write_reflacx(root / "reflacx", beside)
    splits = read(root, "reflacx")
    edema, lesion = splits["test"].rois[0]
    assert (edema.label, edema.frame) == (1, FRAME)
    assert edema.regions == (EllipseRegion((0, 0, 50, 100)), EllipseRegion((150, 0, 200, 100)))
    assert (lesion.label, lesion.regions) == (2, (EllipseRegion((150, 0, 200, 100)),))
    assert splits["test"].counts["roi_readings_without_ellipses (all splits)"] == 1
    assert len(read(root, "reflacx", min_certainty=1)["test"].rois[0][0].regions) == 3
    assert splits["train"].sample_id.tolist() == ["a"]  # image c was read, too


def test_sizes_that_reflacx_states_have_to_be_those_of_the_images(root: Path) -> None:
    write_reflacx(root / "reflacx")
    for path in (root / "reflacx/main_data").glob("metadata_phase_*.csv"):
        path.write_text(path.read_text().replace(f",{FRAME[1]},{FRAME[0]}", f",{FRAME[1] // 2},{FRAME[0] // 2}"))
    with pytest.raises(ValueError, match="those of 2 of 2 images refer to another size"):
        read(root, "reflacx")


def test_devices_were_not_marked_by_the_readers_of_reflacx(root: Path) -> None:
    write_reflacx(root / "reflacx")
    options = RoiOptions(source="reflacx")
    test = MIMICCXRDataModule(root, label_names=("Edema", "Support Devices"), rois=options).read_splits()["test"]
    counted = [name for name in test.counts if "not_annotated" in name]
    assert counted == ["roi_not_annotated: Support Devices (all splits)"]


MIRROR = "mirror/physionet.org/files"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """The folder of the images without regions, and a mirror of all collections beside it."""
    write_mimic(tmp_path / "mimic")
    (tmp_path / "mimic" / "MS_CXR_Local_Alignment_v1.0.0.csv").unlink()
    write_ms_cxr(tmp_path / MIRROR / "ms-cxr" / "0.1")
    write_imagenome(tmp_path / MIRROR / "chest-imagenome" / "1.0.0")
    write_reflacx(tmp_path / MIRROR / "reflacx-xray-localization" / "1.0.0")
    return tmp_path


@pytest.mark.parametrize("above", ["", "mirror", MIRROR])
def test_collections_are_found_as_deep_as_mirrors_nest_them(
    mirror: Path, above: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "mmpkd"):
        splits = MIMICCXRDataModule(
            mirror / "mimic", rois=RoiOptions(mirror / above), label_names=FINDINGS
        ).read_splits()
    # image d has boxes, image c was read for REFLACX, image a has corrected boxes: nobody is left to train on
    assert splits["train"].counts["held_out_roi_patients"] == 3
    assert len(splits["train"]) == 0
    assert len(splits["test"].rois) == 1
    found = {
        name: splits["train"].counts[f"annotated_images: {name} (all splits)"]
        for name in ("ms_cxr", "imagenome_gold", "reflacx")
    }
    assert found == {"ms_cxr": 2, "imagenome_gold": 2, "reflacx": 2}
    said = "\n".join(record.message for record in caplog.records)
    place = Path(MIRROR, "ms-cxr/0.1/MS_CXR_Local_Alignment_v1.0.0.csv").relative_to(above)
    assert f"regions of ms_cxr: {place}" in said
    assert str(mirror) not in said


def test_a_root_of_regions_without_any_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sources: tuple[RoiSource, ...] = ("ms_cxr", "none")
    for source in sources:
        with pytest.raises(FileNotFoundError, match=r"rois\.root .*not held out of training"):
            read(root, source, root=tmp_path / "empty")
    # one that has other collections than the one that is scored, too
    write_reflacx(tmp_path / "regions")
    with pytest.raises(FileNotFoundError, match=r"'ms_cxr' in .* but found reflacx"):
        read(root, "ms_cxr", root=tmp_path / "regions")


def test_without_regions_it_is_said_that_nobody_is_held_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "MS_CXR_Local_Alignment_v1.0.0.csv").unlink()
    with caplog.at_level("INFO", "mmpkd"):
        assert read(root, "ms_cxr")["train"].counts["held_out_roi_patients"] == 0
    assert "no patient held out" in caplog.text


def test_regions_of_other_images_than_those_of_the_tables_are_said(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "MS_CXR_Local_Alignment_v1.0.0.csv").unlink()
    write_ms_cxr(root, boxes=(("d.dcm", "Edema", 0, 0, 10, 10),))
    assert read(root, "ms_cxr")["train"].counts["held_out_roi_patients"] == 0
    assert "Expected images of ms_cxr in the tables but none of its 1 is there" in caplog.text


@pytest.mark.parametrize("as_json", [False, True])
def test_of_two_versions_the_newest_is_scored_and_patients_of_both_are_held_out(
    root: Path, as_json: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # the file of release 0.1 in the folder of the images has a box in image f; the newer one has none there, and one in a
    old = root / "MS_CXR_Local_Alignment_v1.0.0.csv"
    (root / "ms-cxr" / "0.1").mkdir(parents=True)
    old.rename(root / "ms-cxr" / "0.1" / old.name)
    new = write_ms_cxr(
        root / "ms-cxr" / "1.1.0", as_json, boxes=(("g", "Edema", 0, 0, 10, 10), ("a", "Edema", 0, 0, 9, 9))
    )
    if not as_json:
        new.rename(new.with_name("MS_CXR_Local_Alignment_v1.1.0.csv"))
    with caplog.at_level("INFO", "mmpkd"):
        splits = read(root, "ms_cxr")
    assert [splits["test"].sample_id[row] for row in splits["test"].rois] == ["g"]
    assert splits["train"].sample_id.tolist() == ["c"]
    assert "patients of ms-cxr/0.1/MS_CXR_Local_Alignment_v1.0.0.csv are held out of training, too" in caplog.text


def test_labels_that_a_collection_has_no_name_for_are_counted(root: Path) -> None:
    test = MIMICCXRDataModule(root, label_names=("Edema", "Fracture")).splits["test"]
    assert {name: number for name, number in test.counts.items() if "not_annotated" in name} == {
        "roi_not_annotated: Fracture (all splits)": 3
    }


# real names of Chest ImaGenome, which once had no region
NAMES = {
    "mediastinal widening": ["Enlarged Cardiomediastinum"],
    "superior mediastinal mass/enlargement": ["Enlarged Cardiomediastinum"],
    "mediastinal displacement": [],
    "airspace opacity": ["Lung Opacity"],
    "infiltration": ["Lung Opacity"],
    "linear/patchy atelectasis": ["Atelectasis"],
    "hydropneumothorax": ["Pleural Effusion", "Pneumothorax"],
    "multiple masses/nodules": ["Lung Lesion"],
    "calcified nodule": ["Lung Lesion"],
    "rib fracture": ["Fracture"],
    "clavicle fracture": ["Fracture"],
    "spinal fracture": ["Fracture"],
    "vascular congestion": ["Edema"],
    "picc": ["Support Devices"],
}


@pytest.fixture(scope="module")
def imagenome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image for each name, in both parts."""
    root = tmp_path_factory.mktemp("imagenome")
    write_imagenome_names(root, list(NAMES))
    return root


@pytest.mark.parametrize("part", ["gold", "silver"])
def test_the_names_of_chest_imagenome_are_known(imagenome: Path, part: str) -> None:
    images = [f"i{n}" for n in range(len(NAMES))]
    if part == "gold":
        found = read_imagenome_gold(imagenome / "gold_dataset", CHEXPERT)
    else:
        found = read_imagenome_silver(imagenome / "silver_dataset", CHEXPERT, images)
    labels = {
        name: [CHEXPERT[roi.label] for roi in found.rois.get(image, ())]
        for name, image in zip(NAMES, images, strict=True)
    }
    assert labels == NAMES


def test_unpacked_scene_graphs_are_read_like_the_archive(root: Path) -> None:
    write_imagenome(root)
    expected = read(root, "imagenome_silver")["test"].rois
    archive = root / "silver_dataset" / "scene_graph.zip"
    with zipfile.ZipFile(archive) as graphs:
        graphs.extractall(archive.parent)
    archive.unlink()
    assert expected
    assert read(root, "imagenome_silver")["test"].rois == expected


@pytest.mark.parametrize("source", ["reflacx", "imagenome_gold", "imagenome_silver"])
def test_a_collection_that_is_asked_for_must_be_there(root: Path, source: RoiSource) -> None:
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
