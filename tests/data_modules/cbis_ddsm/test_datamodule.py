from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from data_modules.batch import Batch
from data_modules.cbis_ddsm import CBISDDSMDataModule
from data_modules.cbis_ddsm.breast import PrepareBreast
from data_modules.images.geometry import Resize
from data_modules.images.image_file import ImageReadError
from data_modules.images.prepare import prepare_images
from tests.data.cbis_ddsm.data import Lesion, Pixels, example, write_images, write_tables

LESIONS = example()


def _write(root: Path, lesions: list[Lesion] = LESIONS, masks: Mapping[str, Pixels] | None = None) -> None:
    write_tables(root, lesions)
    write_images(root / "CBIS-DDSM", lesions, masks=masks)


def _test_batch(module: CBISDDSMDataModule) -> Batch:
    module.setup("test")
    batch: Batch = next(iter(module.test_dataloader()))
    return batch


def test_a_batch_holds_image_label_descriptors_and_region(tmp_path: Path) -> None:
    _write(tmp_path)
    batch = _test_batch(CBISDDSMDataModule(tmp_path, image_size=32, batch_size=8, mean=0.0, std=1.0))
    assert batch["sample_id"] == ["P_00100_LEFT_CC", "P_00101_RIGHT_MLO", "P_00102_LEFT_CC"]
    assert batch["image"].shape == (3, 1, 32, 32)
    assert batch["label"][:, 0].tolist() == [1, 0, 1]
    assert batch["privileged"]["categorical"].sum(dim=1).tolist() == [3, 2, 2]
    assert batch["has_privileged"].all()
    assert batch["roi_sample"].tolist() == [0, 1, 2]
    assert batch["roi_label"].tolist() == [0, 0, 0]


def test_a_teacher_of_the_table_takes_prepared_images_as_its_students_do(tmp_path: Path) -> None:
    """One flag goes to all arms of a study; the teacher opens no images, and keeps the same samples."""
    _write(tmp_path)
    plain = CBISDDSMDataModule(tmp_path, image_size=32)
    splits = plain.splits.values()
    sample_id = np.concatenate([split.sample_id for split in splits])
    files = [path for split in splits for path in split.image]
    prepare_images(tmp_path / "prepared", plain.preparation, sample_id, files, num_workers=0)
    teacher = CBISDDSMDataModule(tmp_path, image_size=32, prepared=tmp_path / "prepared", load_images=False)
    assert {name: split.sample_id.tolist() for name, split in teacher.splits.items()} == {
        name: split.sample_id.tolist() for name, split in plain.splits.items()
    }


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_regions_lie_on_the_lesions(tmp_path: Path, crop: bool, resize: Resize) -> None:
    _write(tmp_path)
    module = CBISDDSMDataModule(
        tmp_path,
        image_size=64,
        mean=0.0,
        std=1.0,
        breast=PrepareBreast(crop=crop),
        resize=resize,
    )
    batch = _test_batch(module)
    for row, mask in zip(batch["roi_sample"], batch["roi_mask"], strict=True):
        lesion = batch["image"][row, 0] > 0.75
        # the first image has two lesions: the region is their union
        assert torch.logical_xor(lesion, mask).sum() <= 0.35 * mask.sum()
        assert mask.sum() > 20


def test_right_breasts_are_mirrored_with_their_region(tmp_path: Path) -> None:
    _write(tmp_path)
    batch = _test_batch(CBISDDSMDataModule(tmp_path, image_size=32, mean=0.0, std=1.0))
    image = batch["image"][1, 0]
    columns = torch.arange(32.0)
    assert (image.sum(dim=0) * columns).sum() / image.sum() < 15.5
    assert image[batch["roi_mask"][1]].mean() > 0.8


def test_training_has_no_region_and_validation_has(tmp_path: Path) -> None:
    _write(tmp_path)
    module = CBISDDSMDataModule(tmp_path, image_size=32, val_fraction=0.25)
    module.setup("fit")
    assert not module.splits["train"].rois
    assert len(module.splits["val"].rois) == len(module.splits["val"]) == 3
    assert module.data_report()["test"]["mask_same_size"] == 4


def test_only_the_description_files_are_needed_without_images(tmp_path: Path) -> None:
    write_tables(tmp_path, LESIONS)
    batch = _test_batch(CBISDDSMDataModule(tmp_path, load_images=False, columns="descriptors_density"))
    assert "image" not in batch
    assert batch["privileged"]["numeric"].tolist() == [[2.0]] * 3


def test_images_need_their_tree(tmp_path: Path) -> None:
    write_tables(tmp_path, LESIONS)
    with pytest.raises(FileNotFoundError, match="load_images"):
        CBISDDSMDataModule(tmp_path).setup("fit")


def test_one_sample_per_abnormality_has_its_own_region(tmp_path: Path) -> None:
    _write(tmp_path)
    module = CBISDDSMDataModule(
        tmp_path, unit="abnormality", image_size=64, breast=PrepareBreast(crop=False), resize="stretch"
    )
    batch = _test_batch(module)
    assert batch["label"][:, 0].tolist() == [0, 1, 0, 1]
    first, second = batch["roi_mask"][0], batch["roi_mask"][1]
    assert not (first & second).any()


def test_mask_of_the_same_aspect_is_aligned_and_of_another_is_left_out(tmp_path: Path) -> None:
    lesion = LESIONS[-1]
    double = np.kron(lesion.mask, np.ones((2, 2), np.bool_)).astype(np.uint8) * 255
    _write(tmp_path, masks={lesion.roi_folder: double, LESIONS[-2].roi_folder: double[:, :60]})
    module = CBISDDSMDataModule(tmp_path, image_size=32, breast=PrepareBreast(crop=False), resize="stretch")
    batch = _test_batch(module)
    assert batch["roi_sample"].tolist() == [0, 2]
    report = module.data_report()["test"]
    assert (report["mask_same_size"], report["mask_rescaled"], report["mask_mismatched"]) == (2, 1, 1)
    assert (report["with_roi"], report["without_usable_roi"]) == (2, 1)
    other = tmp_path / "other"
    _write(other)
    expected = _test_batch(CBISDDSMDataModule(other, image_size=32, breast=PrepareBreast(crop=False), resize="stretch"))
    torch.testing.assert_close(batch["roi_mask"][1], expected["roi_mask"][2])


def test_an_incomplete_region_is_no_region(tmp_path: Path) -> None:
    first = next(lesion for lesion in LESIONS if lesion.patient == "P_00100")
    _write(tmp_path, masks={first.roi_folder: np.zeros((60, 10), dtype=np.uint8)})
    batch = _test_batch(CBISDDSMDataModule(tmp_path, image_size=32))
    assert batch["roi_sample"].tolist() == [1, 2]


def test_region_of_the_malignant_lesions_only(tmp_path: Path) -> None:
    _write(tmp_path)
    module = CBISDDSMDataModule(
        tmp_path, image_size=64, breast=PrepareBreast(crop=False), roi_abnormalities="malignant"
    )
    batch = _test_batch(module)
    assert batch["roi_sample"].tolist() == [0, 2]
    everything = _test_batch(CBISDDSMDataModule(tmp_path, image_size=64, breast=PrepareBreast(crop=False)))
    assert batch["roi_mask"][0].sum() < everything["roi_mask"][0].sum()


def test_lesions_without_callback_can_be_dropped(tmp_path: Path) -> None:
    write_tables(tmp_path, LESIONS)
    kept = CBISDDSMDataModule(tmp_path, load_images=False)
    dropped = CBISDDSMDataModule(tmp_path, load_images=False, without_callback="drop")
    sizes = [sum(len(split) for split in module.splits.values()) for module in (kept, dropped)]
    assert sizes[0] - sizes[1] == 4
    assert sum(split.counts["dropped_without_callback"] for split in dropped.splits.values()) == 4


def test_missing_images_are_an_error_or_counted(tmp_path: Path) -> None:
    write_tables(tmp_path, LESIONS)
    write_images(tmp_path, [lesion for lesion in LESIONS if lesion.patient != "P_00101"])
    with pytest.raises(FileNotFoundError, match=r"1 have none, for example 'Mass-Test_P_00101_RIGHT_MLO'"):
        CBISDDSMDataModule(tmp_path).setup("fit")
    module = CBISDDSMDataModule(tmp_path, image_size=32, missing_images="drop")
    assert _test_batch(module)["sample_id"] == ["P_00100_LEFT_CC", "P_00102_LEFT_CC"]
    assert module.splits["test"].counts["dropped_missing_images"] == 1
    assert sorted(module.splits["test"].rois) == [0, 1]


def test_damaged_image_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path)
    path = next((tmp_path / "CBIS-DDSM" / LESIONS[-1].image_folder).rglob("*.dcm"))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ImageReadError, match="Restore it, or leave it out"):
        _test_batch(CBISDDSMDataModule(tmp_path, image_size=32))


def test_both_kinds_in_one_image_are_one_sample_with_one_region(tmp_path: Path) -> None:
    calc = Lesion("P_00102", "BENIGN", kind="calc", subset="test", box=(40, 4, 50, 12))
    train = [Lesion(f"P_0020{number}", pathology, kind="calc") for number, pathology in enumerate(["MALIGNANT"] * 4)]
    _write(tmp_path, [*LESIONS, calc, *train])
    module = CBISDDSMDataModule(
        tmp_path, abnormality="both", image_size=64, breast=PrepareBreast(crop=False), resize="stretch"
    )
    batch = _test_batch(module)
    row = batch["sample_id"].index("P_00102_LEFT_CC")
    assert batch["label"][row, 0] == 1
    assert len(batch["roi_sample"]) == 3
    mask = batch["roi_mask"][row]
    assert mask.sum() == pytest.approx((LESIONS[-1].mask | calc.mask).sum() * 64 * 64 / (60 * 40), rel=0.1)


def test_label_names_and_license() -> None:
    module = CBISDDSMDataModule(Path())
    assert module.label_names == ("Malignant",)
    assert module.license == "open"


def test_the_status_of_its_masks_is_known_for_every_sample(tmp_path: Path) -> None:
    odd = np.zeros((61, 55), np.uint8)
    odd[5:9, 5:9] = 255
    small = LESIONS[-1].mask[::2, ::2].astype(np.uint8) * np.uint8(255)
    _write(tmp_path, masks={LESIONS[13].roi_folder: odd, LESIONS[-1].roi_folder: small})
    test = CBISDDSMDataModule(tmp_path).splits["test"]
    # the first image has two lesions, and the mask of one fits
    assert dict(zip(test.sample_id.tolist(), test.strata["mask_status"].tolist(), strict=True)) == {
        "P_00100_LEFT_CC": "mismatched",
        "P_00101_RIGHT_MLO": "same_size",
        "P_00102_LEFT_CC": "rescaled",
    }


def test_those_who_were_not_called_back_may_be_a_class_of_their_own(tmp_path: Path) -> None:
    write_tables(tmp_path, LESIONS)
    data = CBISDDSMDataModule(tmp_path, without_callback="own_class", load_images=False, val_fraction=0.3)
    assert data.label_names == ("Malignant", "Benign without callback")
    label = np.concatenate([data.splits[name].label for name in ("train", "val")])
    assert label.sum(axis=0).tolist() == [4, 4]
    assert data.splits["test"].label[:, 1].sum() == 0
