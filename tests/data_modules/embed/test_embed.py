from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_modules.checks import check_data
from data_modules.embed import EMBEDDataModule
from data_modules.embed.tables import label_findings, pool, read_findings, split_values
from data_modules.split import Split
from tests.data.mammography_sets.data import EMBED_BREAST, Release, mammogram, write_embed


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The open release; no test changes it."""
    folder = tmp_path_factory.mktemp("embed")
    write_embed(folder)
    return folder


def module(root: Path, **arguments: object) -> EMBEDDataModule:
    settings = {"roi_frame": "png", "image_size": 40, "batch_size": 64, "mean": 0.0, "std": 1.0} | arguments
    return EMBEDDataModule(root, **settings)  # type: ignore[arg-type]


def read(root: Path, **arguments: object) -> dict[str, Split]:
    return dict(module(root, **arguments).splits)


def rows_of(splits: dict[str, Split], side: str) -> dict[str, float]:
    """Return the label of every image of a side, by its name."""
    return {
        str(name): float(label)
        for split in splits.values()
        for name, label, own in zip(split.sample_id, split.label[:, 0], split.strata["side"], strict=True)
        if own == side
    }


def check_lesions(data: EMBEDDataModule) -> int:
    """Check that each region is the lesion, the brightest part of its breast; return how many there are."""
    batch = next(iter(data.test_dataloader()))
    for row, mask in zip(batch["roi_sample"].tolist(), batch["roi_mask"].numpy(), strict=True):
        lesion = batch["image"][row, 0].numpy() > 0.7
        assert (lesion & mask).sum() >= 0.9 * (lesion | mask).sum() > 0
    return len(batch["roi_sample"])


def test_a_finding_is_not_attributed_to_the_other_breast(root: Path) -> None:
    splits = read(root)
    for side, first in (("L", 0), ("R", 2)):
        ill = {f"{1000 + i}{side}{view}" for i in range(first, 20, 4) for view in ("CC", "MLO")}
        assert {name for name, label in rows_of(splits, side).items() if label == 1} == ill
    assert len(rows_of(splits, "R")) == 40


def test_suspicious_findings_without_pathology_are_a_choice(root: Path) -> None:
    dropped, guessed = read(root), read(root, unproven="benign")
    assert sum(map(len, dropped.values())) == 80 - 20
    assert dropped["train"].counts["dropped_unproven"] == 20
    assert sum(map(len, guessed.values())) == 80
    assert sum(split.label.sum() for split in guessed.values()) == 20
    # boxes of breasts without cancer are no regions of "Malignant"
    assert guessed["train"].counts["boxes_without_cancer"] > dropped["train"].counts["boxes_without_cancer"] == 0
    assert all(split.label[row, 0] == 1 for split in guessed.values() for row in split.rois)


def test_splits_are_by_patient_and_drawn_once(root: Path) -> None:
    splits = read(root)
    patients = {name: set(split.patient_id.tolist()) for name, split in splits.items()}
    assert [len(patients[name]) for name in ("train", "val", "test")] == [14, 2, 4]
    assert read(root)["test"].sample_id.tolist() == splits["test"].sample_id.tolist()
    assert set(read(root, split_seed=1)["test"].patient_id.tolist()) != patients["test"]
    assert not splits["train"].rois
    with pytest.raises(ValueError, match="leave patients to train on"):
        EMBEDDataModule(root, val_fraction=0.5, test_fraction=0.5)


# most patients are evaluated, so that there are boxes of both sides
WIDE = {"val_fraction": 0.1, "test_fraction": 0.8}


@pytest.mark.parametrize(("release", "reduced"), [("open", False), ("open", True), ("dicom", False), ("newer", True)])
def test_boxes_lie_on_the_lesions_of_both_breasts(tmp_path: Path, release: Release, reduced: bool) -> None:
    # of the breasts with cancer, a left and a right one were taken the other way round
    write_embed(tmp_path, 12, release, reduced, oblique=("1000LCC", "1002RCC"))
    data = module(tmp_path, roi_frame={"open": "png", "dicom": "dicom", "newer": None}[release], **WIDE)
    assert check_lesions(data) == 5
    test = data.splits["test"]
    assert {"1000LCC", "1002RCC"} < {str(test.sample_id[row]) for row in test.rois}
    assert data.splits["train"].counts.get("boxes_mirrored_by_side", 0) == 0


@pytest.mark.parametrize("above", [False, True])
def test_tables_are_found_under_the_names_of_newer_releases(tmp_path: Path, above: bool) -> None:
    write_embed(tmp_path / "embed", 12, "newer")
    folder = tmp_path / "embed" / "tables"
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("OpenData_", "OpenData_NUS_Datathon_")))
    folder.rename(folder.with_name("datathon_tables"))
    assert check_lesions(module(tmp_path if above else tmp_path / "embed", roi_frame=None, **WIDE)) == 5


def test_sides_views_and_types_are_read_in_any_case(root: Path, tmp_path: Path) -> None:
    write_embed(tmp_path)
    path = tmp_path / "tables/EMBED_OpenData_metadata.csv"
    table = pd.read_csv(path, dtype=str)
    for name in ("ImageLateralityFinal", "ViewPosition", "FinalImageType"):
        table[name] = table[name].str.lower() + " "
    table.to_csv(path, index=False)
    found = read(tmp_path)
    for name, expected in read(root).items():
        assert found[name].sample_id.tolist() == expected.sample_id.tolist()
        assert found[name].rois == expected.rois


def test_tables_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    write_embed(tmp_path, 8)
    path = tmp_path / "tables/EMBED_OpenData_metadata.csv"
    table = pd.read_csv(path, dtype=str)
    expected = module(tmp_path).splits["train"].sample_id.tolist()
    # as pandas writes a table with a blank
    table.assign(acc_anon=table["acc_anon"] + ".0").to_csv(path, index=False)
    assert module(tmp_path).splits["train"].sample_id.tolist() == expected
    table.assign(acc_anon=table["acc_anon"] + "0").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"findings of the 32 2D images of EMBED but none has"):
        _ = module(tmp_path).splits


def test_boxes_in_the_wrong_frame_are_refused_before_anything_long(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"side R .* in the background .*Set data\.roi_frame to 'png'"):
        _ = module(root, roi_frame="dicom", **WIDE).splits
    write_embed(tmp_path, 12, "dicom")
    with pytest.raises(ValueError, match=r"side R .* in the background .*Set data\.roi_frame to 'dicom'"):
        _ = module(tmp_path, roi_frame="png", **WIDE).splits
    with pytest.raises(ValueError, match=r"Expected data\.roi_frame to say"):
        _ = module(tmp_path, roi_frame=None, **WIDE).splits
    assert not module(tmp_path, roi_frame=None, with_regions=False, **WIDE).splits["test"].rois


def test_check_data_names_every_box_on_the_wrong_side(tmp_path: Path) -> None:
    # one of many is mirrored: the few images that are looked at before anything long need not be it
    write_embed(tmp_path, 48, "newer")
    path = tmp_path / "tables/EMBED_OpenData_metadata.csv"
    table = pd.read_csv(path, dtype=str)
    wrong = table["anon_dicom_path"].str.contains("1006RCC")
    table.loc[wrong, "DCM_ROI_coords"] = table.loc[wrong, "PNG_ROI_coords"]
    table.to_csv(path, index=False)
    data = module(tmp_path, load_images=True, **WIDE)
    (problem,) = [found for found in check_data(data, 0, num_workers=0).problems if found.check == "regions"]
    assert (problem.severity, problem.count, problem.examples) == ("error", 1, ("1006RCC",))
    assert "mirrored copies" in problem.message


@pytest.mark.parametrize("suffix", [".png", "_conv.png"])
def test_mirrored_png_files_need_the_size_of_their_originals(tmp_path: Path, suffix: str) -> None:
    write_embed(tmp_path, 12, "open", reduced=True)
    sizes = tmp_path / "sizes.csv"
    names = sorted(path.stem for path in tmp_path.rglob("*.dcm"))
    sizes.write_text("image_id,height,width\n" + "".join(f"{name},60,40\n" for name in names))
    from PIL import Image

    for path in tmp_path.rglob("*.dcm"):
        pixels = Image.fromarray((mammogram(False, EMBED_BREAST) // 257).astype(np.uint8))
        pixels.resize((80, 120), Image.Resampling.NEAREST).save(path.with_name(path.stem + suffix))
        path.unlink()
    data = module(tmp_path, image_frame="png", annotation_size=sizes, **WIDE)
    assert check_lesions(data) == 5
    with pytest.raises(ValueError, match=r"is a copy.*Set data\.annotation_size"):
        _ = module(tmp_path, image_frame="png", **WIDE).splits
    with pytest.raises(ValueError, match=r"side R .*Set data\.roi_frame to 'png'"):
        _ = module(tmp_path, image_frame="png", roi_frame="dicom", annotation_size=sizes, **WIDE).splits
    sizes.write_text("image_id,dim0,dim1\n" + "".join(f"{name},60,50\n" for name in names))
    with pytest.raises(OSError, match="squeezed copy"):
        _ = module(tmp_path, image_frame="png", annotation_size=sizes, **WIDE).splits


@pytest.mark.parametrize(
    ("cells", "labels", "num_unknown"),
    [
        (["B,L,K,0"], {"L": 1, "R": None}, 0),  # the other one of two breasts is unknown,
        (["B,L,B,0"], {"L": 1, "R": 0}, 0),  # unless it was assessed as benign
        (["L,R,S,0"], {"L": None, "R": 1}, 0),
        ([",R,S,1", "L,,N,"], {"L": None, "R": 1}, 0),
        (["B,B,K,0"], {"L": 1, "R": 1}, 0),
        ([",,K,0"], {"L": None, "R": None}, 2),
        (["B,,N,0", "L,,N,"], {"L": None, "R": None}, 2),  # a cancer, whatever was assessed
        (["L,,K,4", "R,,N,"], {"L": None, "R": 0}, 1),
        (["L,,K,0", "R,,N,"], {"L": None, "R": None}, 2),  # the cancer may be in either
        (["L,,K,0"], {"L": None, "R": None}, 2),
        (["L,,K,0", "R,R,N,1"], {"L": None, "R": 1}, 1),
        (["L, ,s,0 ", "R,,n ,"], {"L": None, "R": None}, 2),
        (["R,, n,", "L,,b,"], {"L": 0, "R": 0}, 0),
        (["l, l,K,0", "R,R,S,4"], {"L": 1, "R": 0}, 0),
        (["L,L,S,5", "R,R,N,6"], {"L": None, "R": 0}, 0),  # codes that mean different things
        (["L,L,S,3", "L,,S,"], {"L": None}, 0),
        (["L,L,S,2"], {"L": 0}, 0),
    ],
)
def test_pathology_counts_for_the_breast_that_it_names(
    tmp_path: Path, cells: list[str], labels: dict[str, float | None], num_unknown: int
) -> None:
    header = (
        "empi_anon,acc_anon,side,bside,asses,path_severity,tissueden,massshape,massmargin,massdens,calcfind,calcdistri"
    )
    rows = [f"p,e,{cell},3,O,,,," for cell in cells]
    (tmp_path / "EMBED_OpenData_clinical.csv").write_text("\n".join([header, *rows]))
    findings, counts = read_findings(tmp_path)
    pooled = pool(findings, label_findings(findings, "drop"), {"massshape": ["O"]}).reset_index("laterality")
    found = dict(zip(pooled["laterality"], pooled["label"], strict=True))
    assert {side: None if np.isnan(label) else label for side, label in found.items()} == labels
    assert (pooled["side_unknown"] & pooled["label"].isna()).sum() == num_unknown
    assert counts == {"findings_with_ambiguous_pathology": sum(cell[-1] in "56" for cell in cells)}
    # what was seen in one breast describes no other
    described = {side for cell in cells for side in ("L", "R") if cell.split(",")[0].upper() in (side, "B", "")}
    assert {side for side, shape in zip(pooled["laterality"], pooled["massshape"], strict=True) if shape} == described


def test_men_magnifications_and_pathology_without_a_side_are_left_out_and_counted(root: Path, tmp_path: Path) -> None:
    assert read(root)["train"].counts["dropped_special_views"] == 20
    write_embed(tmp_path, 12)
    path = tmp_path / "tables/EMBED_OpenData_clinical.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[table["empi_anon"] == "1001", "tissueden"] = "5"
    table.loc[(table["empi_anon"] == "1000") & (table["path_severity"] == "0"), "bside"] = None
    table.to_csv(path, index=False)
    splits = read(tmp_path)
    assert not any(name.startswith("1001") for split in splits.values() for name in split.sample_id.tolist())
    assert splits["train"].counts["dropped_male"] == 4
    # the cancer may be in either breast
    assert splits["train"].counts["dropped_pathology_side_unknown"] == 4
    assert not any(name.startswith("1000") for split in splits.values() for name in split.sample_id.tolist())


def test_descriptors_of_a_breast_are_the_union_of_its_findings(root: Path) -> None:
    splits = read(root, columns="descriptors_density")
    split = next(split for split in splits.values() if "1000LCC" in split.sample_id)
    row = split.sample_id.tolist().index("1000LCC")
    table = split.table
    assert table is not None
    found = {name for name, value in zip(table.categorical_names, table.categorical[row], strict=True) if value}
    assert found == {"massshape=I", "massshape=R", "massshape=O", "massmargin=S", "massmargin=D", "massdens=+"}
    assert table.numeric[row].tolist() == [3]
    assert not any("missing" in name or "nan" in name for name in table.categorical_names)
    assert split_values(" I, R ,") == {"I", "R"}


def test_presets(root: Path) -> None:
    assessment = read(root, columns="with_assessment")["train"].table
    data = module(root, columns="nuisance", **WIDE)
    nuisance = data.splits["train"].table
    assert assessment is not None
    assert nuisance is not None
    assert "asses=K" in assessment.categorical_names
    assert nuisance.categorical_names == ("side=L", "side=R", "ViewPosition=CC", "ViewPosition=MLO")
    np.testing.assert_array_equal(nuisance.categorical.sum(axis=1), 2)
    assert check_lesions(data) > 0


def test_missing_images_and_tables_are_named(tmp_path: Path) -> None:
    write_embed(tmp_path, 12, reduced=True)
    next(tmp_path.rglob("*LCC.dcm")).unlink()
    with pytest.raises(FileNotFoundError, match=r"LCC\.dcm'.*image_prefix"):
        read(tmp_path, unproven="benign")
    dropped = read(tmp_path, unproven="benign", missing_images="drop")["train"].counts
    assert dropped["dropped_missing_images"] == 1
    with pytest.raises(FileNotFoundError, match="EMBED_OpenData_metadata"):
        read(tmp_path / "nothing")
