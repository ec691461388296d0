"""DICOM objects about DICOM files: they refer to the image, hold the map and the probabilities, and other readers read them."""

import shutil
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Literal

import gdcm
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.data import get_testdata_file

from mmpkd.attribution import AttentionRollout
from mmpkd.commands.infer import DICOM_KINDS
from mmpkd.commands.main import main as mmpkd
from mmpkd.inference.dicom.source import Equipment, in_source, pixel_aspect_ratio, read_source
from mmpkd.students import load_trained_student
from tests.data.dicom import write_dicom
from tests.inference.validators import errors_of_dciodvfy, errors_of_sr_validator
from tests.tiny import NAMES

highdicom = pytest.importorskip("highdicom", reason="needs mmpkd[dicom]")
from mmpkd.inference.dicom.segmentation import segmentation  # noqa: E402
from mmpkd.inference.dicom.structured_report import structured_report  # noqa: E402  # needs highdicom

CT = Path(str(get_testdata_file("CT_small.dcm", download=False)))
RADIOGRAPH: dict[str, object] = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1",
    "SOPInstanceUID": "2.25.11",
    "StudyInstanceUID": "2.25.12",
    "SeriesInstanceUID": "2.25.13",
    "Modality": "CR",
    "PatientOrientation": ["L", "F"],
    # as real files have them, against the standard
    "PatientName": "c64d5667-a776-4f95-9e21-bfabafb07740",
    "PatientAge": "62",
    "PixelSpacing": [0, 0],
}
# of a chest, which is no paired body part, with a frame of reference and no slices
DIGITAL_RADIOGRAPH: dict[str, object] = {
    **RADIOGRAPH,
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1",
    "SOPInstanceUID": "2.25.21",
    "SeriesInstanceUID": "2.25.23",
    "Modality": "DX",
    "ImageLaterality": "U",
    "PixelSpacing": [0.2, 0.2],
    "FrameOfReferenceUID": "2.25.24",
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],  # without a position, it is no plane in space
    "PatientSex": "W",
    "PatientBirthDate": "19000000",
    "StudyDate": "2020-01-01",
    "StudyTime": "10 o'clock",
}
MAMMOGRAM: dict[str, object] = {
    **RADIOGRAPH,
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2",
    "SOPInstanceUID": "2.25.31",
    "SeriesInstanceUID": "2.25.33",
    "Modality": "MG",
    "ImageLaterality": "L",
    "PatientOrientation": ["A", "R"],
    "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
    "PatientName": "Yamada^Hanako=山田^花子=やまだ^はなこ",
    "PixelSpacing": [0.1, 0.3],
}
SOURCES = {"cr": RADIOGRAPH, "dx": DIGITAL_RADIOGRAPH, "mg": MAMMOGRAM}


@pytest.fixture(scope="module")
def written(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Objects about a CT slice, and about projections, which have no place in space."""
    folder = tmp_path_factory.mktemp("dicom")
    shutil.copy(CT, folder / "ct.dcm")
    pixels = np.random.default_rng(0).integers(0, 4095, (48, 40)).astype(np.uint16)
    with pydicom.config.disable_value_validation():
        for name, tags in SOURCES.items():
            write_dicom(folder / f"{name}.dcm", pixels, 12, **tags)
    words = ["infer", str(checkpoint), str(folder), "--out", str(folder / "out")]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # users can do nothing about a header
        assert mmpkd([*words, "--dicom", *DICOM_KINDS]) == 0
    return folder


def rollout(checkpoint: Path, path: Path) -> np.ndarray:
    """Return the rollout of an image file, in the pixels of a file that was stretched to the frame."""
    trained = load_trained_student(checkpoint)
    pixels, placement = trained.read(path)
    return in_source(AttentionRollout()(trained.student, trained.normalised(pixels))[0].numpy(), placement)


@pytest.mark.parametrize("name", ["ct", *SOURCES])
def test_every_object_refers_to_image_study_and_patient(name: str, written: Path) -> None:
    source = pydicom.dcmread(written / f"{name}.dcm")
    for kind in DICOM_KINDS:
        made = pydicom.dcmread(written / "out" / "dicom" / f"{name}_{kind}.dcm")
        assert made.StudyInstanceUID == source.StudyInstanceUID
        assert str(made.PatientID) == str(source.get("PatientID", ""))
        assert made.SeriesInstanceUID != source.SeriesInstanceUID
        assert str(source.SOPInstanceUID) in str(made)
        assert "research" in made.SeriesDescription.lower()
        reader = gdcm.Reader() if kind == "report" else gdcm.ImageReader()  # not the reader that others are made with
        reader.SetFileName(str(written / "out" / "dicom" / f"{name}_{kind}.dcm"))
        assert reader.Read()
    assert len({path.stat().st_ino for path in (written / "out" / "dicom").iterdir()}) == (1 + len(SOURCES)) * len(
        DICOM_KINDS
    )


@pytest.mark.parametrize("name", ["ct", "cr"])
def test_segmentations_hold_the_map(name: str, written: Path, checkpoint: Path) -> None:
    expected = rollout(checkpoint, written / f"{name}.dcm")
    assert expected.max() > 0.9
    fractional = highdicom.seg.segread(written / "out" / "dicom" / f"{name}_fractional.dcm")
    found = fractional.get_pixels_by_source_instance([pydicom.dcmread(written / f"{name}.dcm").SOPInstanceUID])[
        0, ..., 0
    ]
    np.testing.assert_allclose(found, expected, atol=0.5 / 255 + 1e-4)
    reader = gdcm.ImageReader()  # another reader, for the binary one
    reader.SetFileName(str(written / "out" / "dicom" / f"{name}_binary.dcm"))
    assert reader.Read()
    binary = pydicom.dcmread(written / "out" / "dicom" / f"{name}_binary.dcm").pixel_array
    assert ((expected >= 0.5) == (binary > 0)).mean() > 0.999


def test_the_capture_shows_the_map_over_the_image(written: Path, checkpoint: Path) -> None:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(written / "out" / "dicom" / "ct_capture.dcm"))
    assert reader.Read()
    assert tuple(reader.GetImage().GetDimensions()) == (128, 128)
    made = pydicom.dcmread(written / "out" / "dicom" / "ct_capture.dcm")
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == pydicom.dcmread(CT).SOPInstanceUID
    colours = made.pixel_array[40:].astype(float)  # below the words
    colourfulness = colours.max(-1) - colours.min(-1)
    heat = rollout(checkpoint, CT)[40:]
    assert colourfulness[heat > 0.6].mean() > 20
    assert (colourfulness[heat == 0] == 0).all()


def test_the_report_holds_the_probabilities(written: Path) -> None:
    import pandas as pd

    table = pd.read_parquet(written / "out" / "predictions.parquet").set_index("name")
    report = highdicom.sr.srread(written / "out" / "dicom" / "ct_report.dcm")
    groups = report.content.get_image_measurement_groups()
    assert [group.finding_type.meaning for group in groups] == list(NAMES)
    for name, group in zip(NAMES, groups, strict=True):
        (measurement,) = group.get_measurements()
        assert float(measurement.value) == pytest.approx(table.loc["ct", f"probability/{name}"], abs=1e-6)
        (decision,) = group.get_qualitative_evaluations()
        assert (decision.value.meaning == "Yes") == table.loc["ct", f"above_threshold/{name}"]
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == pydicom.dcmread(CT).SOPInstanceUID


def test_a_projection_is_described_as_one(written: Path) -> None:
    for name, side in (("dx", ""), ("mg", "L"), ("cr", "")):
        assert pydicom.dcmread(written / "out" / "dicom" / f"{name}_capture.dcm").Laterality == side
        for kind in DICOM_KINDS:
            assert "PatientAge" not in pydicom.dcmread(written / "out" / "dicom" / f"{name}_{kind}.dcm")
    made = pydicom.dcmread(written / "out" / "dicom" / "dx_binary.dcm")
    assert made.PatientOrientation == ["L", "F"]
    assert made.FrameOfReferenceUID == DIGITAL_RADIOGRAPH["FrameOfReferenceUID"]
    assert "PixelMeasuresSequence" not in made.SharedFunctionalGroupsSequence[0]


@pytest.mark.parametrize("kind", DICOM_KINDS)
def test_words_in_any_script_are_kept_and_invalid_values_left_out(kind: str, written: Path) -> None:
    made = pydicom.dcmread(written / "out" / "dicom" / f"mg_{kind}.dcm")
    assert str(made.PatientName) == MAMMOGRAM["PatientName"]
    made = pydicom.dcmread(written / "out" / "dicom" / f"dx_{kind}.dcm")
    for name in ("PatientSex", "PatientBirthDate", "StudyDate", "StudyTime"):
        assert not made[name].value


def test_a_finding_is_named_in_its_own_script(written: Path, tmp_path: Path) -> None:
    source = read_source(written / "mg.dcm")
    structured_report(source, [("肺炎", 0.5, True)], Equipment("vit", "0")).save_as(tmp_path / "report.dcm")
    (group,) = highdicom.sr.srread(tmp_path / "report.dcm").content.get_image_measurement_groups()
    assert group.finding_type.meaning == "肺炎"
    assert errors_of_dciodvfy(tmp_path / "report.dcm") == []


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        ({"PixelSpacing": [0.2, 0.2]}, None),
        ({"PixelSpacing": [0, 0]}, None),
        ({"PixelSpacing": [0.1, 0.3]}, [1, 3]),
        ({"ImagerPixelSpacing": [0.3, 0.2]}, [3, 2]),
        ({"PixelAspectRatio": [4, 2]}, [2, 1]),
        ({"PixelAspectRatio": [1, 1]}, None),
        ({"PixelSpacing": None, "PixelAspectRatio": [1, 2]}, [1, 2]),
        ({"PixelSpacing": [float("inf"), 1], "PixelAspectRatio": [1, 2]}, [1, 2]),
        ({"PixelSpacing": [float("nan"), 1]}, None),
    ],
)
def test_the_shape_of_a_pixel_is_height_by_width(tags: dict[str, object], expected: list[int] | None) -> None:
    source = pydicom.Dataset()
    for name, value in tags.items():
        setattr(source, name, value)
    assert pixel_aspect_ratio(source) == expected


def test_a_capture_has_pixels_in_the_shape_of_those_of_the_image(written: Path) -> None:
    assert pydicom.dcmread(written / "out" / "dicom" / "mg_capture.dcm").PixelAspectRatio == [1, 3]
    assert "PixelAspectRatio" not in pydicom.dcmread(written / "out" / "dicom" / "ct_capture.dcm")


@pytest.mark.parametrize("kind", DICOM_KINDS)
def test_dciodvfy_finds_no_error(kind: str, written: Path) -> None:
    for name in ("ct", *SOURCES):
        assert errors_of_dciodvfy(written / "out" / "dicom" / f"{name}_{kind}.dcm") == [], name


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("fractional", "MaximumFractionalValue"),
        ("binary", "SegmentSequence"),
        ("capture", "ConversionType"),
        ("report", "CompletionFlag"),
    ],
)
def test_dciodvfy_finds_what_is_missing(kind: str, missing: str, written: Path, tmp_path: Path) -> None:
    broken = pydicom.dcmread(written / "out" / "dicom" / f"ct_{kind}.dcm")
    delattr(broken, missing)
    broken.save_as(tmp_path / "broken.dcm")
    assert f"<{missing}>" in "".join(errors_of_dciodvfy(tmp_path / "broken.dcm"))


def test_the_report_follows_its_template(written: Path, tmp_path: Path) -> None:
    """A copy of the last finding, with a measurement without a value, is the only thing that is wrong."""
    report = pydicom.dcmread(written / "out" / "dicom" / "ct_report.dcm")
    findings = report.ContentSequence[-1].ContentSequence
    findings.append(deepcopy(findings[-1]))
    (measurement,) = [item for item in findings[-1].ContentSequence if item.ValueType == "NUM"]
    del measurement.MeasuredValueSequence
    report.save_as(tmp_path / "report.dcm")
    (error,) = errors_of_sr_validator(tmp_path / "report.dcm")
    assert error.startswith("Error: Template 300 Measurement/[Row 1] NUM")
    assert f".{len(NAMES) + 1}." in error
    assert error.endswith('NUM (probability,99MMPKD,"Probability"): Missing value')


def test_other_files_get_none_and_a_header_that_says_too_little_is_named(
    checkpoint: Path, tiny_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dicom(tmp_path / "bare.dcm", np.zeros((8, 8), np.uint16), 12)
    shutil.copy(CT, tmp_path / "good.dcm")
    shutil.copy(tiny_root / "test" / "0.png", tmp_path / "plain.png")
    words = ["infer", str(checkpoint), str(tmp_path), "--out", str(tmp_path / "out"), "--dicom", "report"]
    assert mmpkd(words) == 1
    assert [path.name for path in (tmp_path / "out" / "dicom").iterdir()] == ["good_report.dcm"]
    assert "it has no StudyInstanceUID, SeriesInstanceUID" in caplog.text
    (tmp_path / "bare.dcm").unlink()
    before = (tmp_path / "out" / "dicom" / "good_report.dcm").stat().st_mtime_ns
    assert mmpkd(words) == 0
    assert (tmp_path / "out" / "dicom" / "good_report.dcm").stat().st_mtime_ns == before


def test_a_header_of_any_kind_is_used_or_named(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sound = write_dicom(tmp_path / "sound.dcm", np.eye(8, dtype=np.uint16), 12, **RADIOGRAPH | {"PatientAge": "062Y"})
    elements = {
        "number": ("AccessionNumber", "US", b"\7\0"),
        "texts": ("PatientSex", "LO", b"M\\F "),
        "damaged": (
            "DeidentificationMethodCodeSequence",
            "UN",
            b"\1\2\3\4\5\6",
        ),  # which pydicom takes for the end of a file
        "uid": ("StudyInstanceUID", "US", b"\7\0"),
    }
    for name, (keyword, vr, value) in elements.items():
        dataset = pydicom.dcmread(sound)
        tag = pydicom.tag.Tag(keyword)
        dataset[tag] = pydicom.dataelem.RawDataElement(tag, vr, len(value), value, 0, False, True)
        dataset.save_as(tmp_path / f"{name}.dcm")
    (tmp_path / "bare").write_bytes(sound.read_bytes()[132:])  # without a preamble
    words = ["infer", str(checkpoint), str(tmp_path), "--out", str(tmp_path / "out"), "--dicom", *DICOM_KINDS]
    assert mmpkd(words) == 1
    written = sorted(path.name for path in (tmp_path / "out" / "dicom").iterdir())
    assert set(written) >= {f"{name}_{kind}.dcm" for name in ("sound", "bare", "texts") for kind in DICOM_KINDS}
    for name in ("number", "damaged", "uid"):
        (line,) = [record.message for record in caplog.records if f"{name}.dcm" in record.message]
        assert line.startswith("Expected a header of ")
        assert "\n" not in line
    assert len(pd.read_csv(tmp_path / "out" / "predictions.csv").filter(like="probability").dropna()) == 6


def test_what_a_header_allows_is_written_and_kept_when_more_is_asked_for(checkpoint: Path, tmp_path: Path) -> None:
    source = pydicom.dcmread(CT)
    del source.FrameOfReferenceUID  # which a segmentation of a slice needs
    source.save_as(tmp_path / "ct.dcm")
    words = ["infer", str(checkpoint), str(tmp_path / "ct.dcm"), "--out", str(tmp_path / "out")]
    assert mmpkd(words) == 0
    assert mmpkd([*words, "--dicom", "report"]) == 0
    (report,) = (tmp_path / "out" / "dicom").iterdir()
    before = report.read_bytes()
    assert mmpkd([*words, "--dicom", *DICOM_KINDS]) == 1
    assert sorted(path.name for path in report.parent.iterdir()) == ["ct_capture.dcm", "ct_report.dcm"]
    assert report.read_bytes() == before


@pytest.mark.parametrize("kind", ["fractional", "binary"])
def test_a_map_of_zeros_is_an_object_like_any_other(
    kind: Literal["fractional", "binary"], written: Path, tmp_path: Path
) -> None:
    for name in ("ct", "dx"):
        source = read_source(written / f"{name}.dcm")
        empty = {"rollout": np.zeros((source.Rows, source.Columns), np.float32)}
        with pydicom.config.disable_value_validation(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The string .* is unlikely")
            segmentation(source, empty, Equipment("vit", "0"), kind).save_as(tmp_path / "empty.dcm")
        assert not pydicom.dcmread(tmp_path / "empty.dcm").pixel_array.any()
        assert errors_of_dciodvfy(tmp_path / "empty.dcm") == []


def test_a_missing_package_is_named(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mmpkd.inference.dicom.files.importlib.util.find_spec", lambda _: None)
    assert mmpkd(["infer", str(checkpoint), str(CT), "--out", str(tmp_path / "out"), "--dicom", "report"]) == 1
    assert "Expected the package highdicom for --dicom but it is not installed" in capsys.readouterr().err
