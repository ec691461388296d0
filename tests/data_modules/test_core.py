"""The shared core: splits, batches, samplers, loaders."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.batch import Sample, collate
from data_modules.cbis_ddsm.breast import PrepareBreast
from data_modules.dataset import PrivilegedDataset
from data_modules.images.preparation import Preparation
from data_modules.images.regions import BoxRegion, Roi
from data_modules.images.transforms import Augmentation, SampleTransform, build_augmentation
from data_modules.samplers import EpochSampler
from data_modules.split import Split, check_disjoint_patients
from tests.tiny import TinyDataModule, write_tiny


def test_batches_obey_the_contract(tiny_root: Path) -> None:
    data = TinyDataModule(str(tiny_root), batch_size=4)
    batch = next(iter(data.test_dataloader()))
    assert set(batch) == {
        "image", "label", "privileged", "has_privileged", "index", "sample_id", "patient_id",
        "roi_mask", "roi_sample", "roi_label",
    }  # fmt: skip
    assert batch["image"].shape == (4, 1, 32, 32)
    assert batch["image"].dtype == torch.float32
    assert batch["label"].shape == (4, 2)
    assert batch["index"].tolist() == [0, 1, 2, 3]
    rois = batch["roi_mask"].shape[0]
    assert batch["roi_mask"].shape == (rois, 32, 32)
    assert batch["roi_mask"].dtype == torch.bool
    assert batch["roi_sample"].shape == batch["roi_label"].shape == (rois,)
    for row, finding in zip(batch["roi_sample"].tolist(), batch["roi_label"].tolist(), strict=True):
        assert batch["label"][row, finding] == 1
    assert batch["privileged"]["report"][0]
    assert batch["privileged"]["numeric"].shape == (4, 1)
    assert batch["privileged"]["categorical"].shape == (4, 2)


def test_training_batches_have_no_roi_and_predict_batches_no_privileged_input(tiny_root: Path) -> None:
    data = TinyDataModule(str(tiny_root))
    assert all(len(batch["roi_mask"]) == 0 for batch in data.train_dataloader())
    assert all("privileged" not in batch for batch in data.predict_dataloader())


def test_privileged_batches_open_no_image(tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = TinyDataModule(str(tiny_root))

    def refuse(*_: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr("data_modules.images.preparation.read_image", refuse)
    batches = list(data.privileged_dataloader("train"))
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(64))
    assert "image" not in batches[0]


def test_a_batch_without_any_roi_has_empty_masks() -> None:
    sample = Sample(np.zeros(2, np.float32), 0, "a", "p", image=np.zeros((1, 5, 6), np.float32))
    batch = collate([sample, sample])
    assert batch["roi_mask"].shape == (0, 5, 6)
    assert batch["roi_sample"].dtype == torch.int64


@pytest.mark.parametrize("seed", [0, 7])
def test_augmentation_is_the_same_for_any_number_of_workers_and_new_in_every_epoch(seed: int, tiny_root: Path) -> None:
    def epoch_images(num_workers: int, epoch: int) -> dict[int, torch.Tensor]:
        data = TinyDataModule(str(tiny_root), num_workers=num_workers, seed=seed, shift=0.3)
        loader = data.train_dataloader()
        assert isinstance(loader.sampler, EpochSampler)
        loader.sampler.set_epoch(epoch)
        return {int(i): x for batch in loader for i, x in zip(batch["index"], batch["image"], strict=True)}

    alone, workers, later = epoch_images(0, 0), epoch_images(2, 0), epoch_images(0, 1)
    assert alone.keys() == workers.keys()
    assert all(torch.equal(alone[i], workers[i]) for i in alone)
    differing = [not torch.equal(alone[i], later[i]) for i in alone]
    assert np.mean(differing) > 0.9
    shifts = {alone[i].sum().item() for i in alone}
    assert len(shifts) > 0.9 * len(alone)  # samples do not share one random stream


def test_other_seeds_give_another_order_and_other_augmentation(tiny_root: Path) -> None:
    first, second = (next(iter(TinyDataModule(str(tiny_root), seed=s).train_dataloader())) for s in (0, 1))
    assert first["index"].tolist() != second["index"].tolist()


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 3))
def test_evaluation_shards_serve_every_sample_exactly_once(n: int, world: int, epoch: int) -> None:
    served = []
    for rank in range(world):
        sampler = EpochSampler(n, shuffle=False, rank=rank, world_size=world)
        sampler.set_epoch(epoch)
        served += [index for _, index in sampler]
        assert len(sampler) == len(list(sampler))
    assert sorted(served) == list(range(n))


@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 2**31 - 1), st.integers(0, 9))
def test_training_shards_are_disjoint_equal_and_never_padded(n: int, world: int, seed: int, epoch: int) -> None:
    shards = []
    for rank in range(world):
        sampler = EpochSampler(n, seed, rank=rank, world_size=world)
        sampler.set_epoch(epoch)
        shards.append([index for _, index in sampler])
    assert {len(shard) for shard in shards} == {n // world}
    flat = [index for shard in shards for index in shard]
    assert len(set(flat)) == len(flat)


@given(st.integers(1, 40), st.integers(0, 40))
def test_resuming_continues_the_same_order(n: int, seen: int) -> None:
    seen = min(seen, n)
    whole, rest = EpochSampler(n, 3), EpochSampler(n, 3, start_epoch=2, start_sample=seen)
    for sampler in (whole, rest):
        sampler.set_epoch(2)
    assert list(rest) == list(whole)[seen:]
    for sampler in (whole, rest):
        sampler.set_epoch(3)
    assert list(rest) == list(whole)


@given(st.data())
def test_another_batch_size_or_number_of_processes_serves_what_is_left_once(draw: st.DataObject) -> None:
    n, world, size = draw.draw(st.integers(8, 90)), draw.draw(st.integers(1, 3)), draw.draw(st.integers(1, 8))
    num_batches = n // world // size
    batch = draw.draw(st.integers(0, max(0, num_batches - 1)))
    new_world, new_size = draw.draw(st.integers(1, 3)), draw.draw(st.integers(1, 12))

    def serve(start: int, world: int, size: int) -> list[list[list[int]]]:
        samplers = [EpochSampler(n, 3, True, 2, start, rank, world, size) for rank in range(world)]
        indices = [[index for _, index in sampler] for sampler in samplers]
        assert {len(own) for own in indices} == {samplers[0].num_left}  # ranks would wait for each other otherwise
        return [[own[first : first + size] for first in range(0, len(own), size)] for own in indices]

    whole = serve(0, world, size)
    assert all(len(keys) == size for own in whole for keys in own) or num_batches == 0
    seen = [index for own in whole for keys in own[:batch] for index in keys]
    rest = serve(len(seen), new_world, new_size)
    indices = [index for own in rest for keys in own for index in keys]
    assert len(set(indices)) == len(indices)
    assert not set(indices) & set(seen)
    if (new_world, new_size) == (world, size):
        assert [own[batch:] for own in whole] == rest
    # at most an incomplete batch of all processes
    assert n - len(seen) - len(indices) < new_world * new_size


def test_order_differs_between_epochs() -> None:
    sampler = EpochSampler(50, 0)
    first = [i for _, i in sampler]
    sampler.set_epoch(1)
    assert first != [i for _, i in sampler]


def test_an_argument_that_albumentations_ignores_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("albumentations.HorizontalFlip", lambda p, flip=A.VerticalFlip: flip(probability=p))
    with pytest.raises(ValueError, match="does not accept"):
        build_augmentation(Augmentation(horizontal_flip=0.5), 32)


def test_a_shift_moves_whole_pixels_and_blurs_nothing() -> None:
    image = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    transform = SampleTransform(Augmentation(shift=0.1), 0.0, 1.0, 0, image_size=32)
    for index in range(20):
        moved = transform(image, 0, index)[0][0]
        offsets = [(y, x) for y in range(-3, 4) for x in range(-3, 4)]
        inner = slice(4, 28)
        matches = [
            np.allclose(moved[inner, inner], np.roll(image, o, (0, 1))[inner, inner], atol=1e-5) for o in offsets
        ]
        assert sum(matches) == 1


def test_images_are_normalised_and_a_zero_spread_is_refused() -> None:
    image = np.full((4, 4), 0.75, np.float32)
    np.testing.assert_allclose(SampleTransform(None, 0.5, 0.25, 0)(image, 0, 0)[0], 1.0)
    with pytest.raises(ValueError, match="positive standard deviation"):
        SampleTransform(None, 0.5, 0.0, 0)


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_a_mask_follows_its_image_through_the_augmentation(index: int) -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[20:44, 12:30] = True
    augmentation = Augmentation(shift=0.1, scale=0.1, rotate=20, horizontal_flip=0.5)
    moved, (followed,) = SampleTransform(augmentation, 0.0, 1.0, 0, 64)(mask.astype(np.float32), 0, index, [mask])
    assert (followed != (moved[0] > 0.5)).mean() < 0.01  # outlines differ by less than a pixel
    assert not np.array_equal(followed, mask)


def test_a_loader_process_imports_no_training_library(tmp_path: Path) -> None:
    split = write_tiny(tmp_path, {"train": 4})["train"]
    dataset = PrivilegedDataset(split, SampleTransform(None, 0.5, 0.25, 0), Preparation(32), True, True)
    (tmp_path / "dataset.pickle").write_bytes(pickle.dumps(dataset))
    code = (
        "import pickle, sys; from pathlib import Path\n"
        "dataset = pickle.loads(Path(sys.argv[1]).read_bytes()); dataset[(0, 0)]\n"
        "print([name for name in ('lightning', 'pandas', 'albumentations', 'timm', 'scipy', 'pydicom') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "dataset.pickle")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return write_tiny(tmp_path, {"train": 6})["train"]


def test_columns_of_different_length_and_repeated_samples_are_refused(split: Split) -> None:
    with pytest.raises(ValueError, match="6 rows in every column"):
        replace(split, label=split.label[:5])
    with pytest.raises(ValueError, match="unique sample identifiers"):
        replace(split, sample_id=np.array(["a"] * 6))


def test_fingerprint_changes_with_everything_a_teacher_sees_and_with_nothing_else(split: Split) -> None:
    assert split.report is not None
    assert split.table is not None
    original = split.fingerprint()
    label = split.label.copy()
    label[0, 0] = np.nan
    changes = [
        replace(split, label=label),
        replace(split, report=[*split.report[:-1], "new"]),
        replace(split, table=replace(split.table, numeric=split.table.numeric + 1)),
        replace(split, has_privileged=~split.has_privileged),
        split.take(np.array([1, 0, 2, 3, 4, 5])),
    ]
    assert original not in {change.fingerprint() for change in changes}
    assert replace(split, image=[Path("elsewhere")] * 6).fingerprint() == original


def test_taking_rows_keeps_each_sample_together(split: Split) -> None:
    with_roi = replace(split, rois={4: (Roi(0, (BoxRegion((0, 0, 1, 1)),)),)})
    taken = with_roi.take(np.array([4, 2]))
    assert taken.sample_id.tolist() == ["train4", "train2"]
    assert list(taken.rois) == [0]
    np.testing.assert_array_equal(taken.label, split.label[[4, 2]])


def test_a_patient_in_two_splits_is_refused_without_naming_the_patient(tmp_path: Path) -> None:
    splits = write_tiny(tmp_path, {"train": 6, "val": 6})
    shared = replace(splits["val"], patient_id=splits["train"].patient_id)
    with pytest.raises(ValueError, match="3 patients are in both 'train' and 'val'") as error:
        check_disjoint_patients({"train": splits["train"], "val": shared})
    assert "train-patient0" not in str(error.value)


class Broken(TinyDataModule):
    """Returns whatever splits a test gives it."""

    broken: dict[str, Split]

    def read_splits(self) -> dict[str, Split]:
        return self.broken


@pytest.mark.parametrize(
    ("change", "message"), [("empty", r"\['test'\] have none"), ("roi", "zero-shot"), ("labels", "2 labels")]
)
def test_splits_that_cannot_give_a_fair_result_are_refused(change: str, message: str, tmp_path: Path) -> None:
    splits = write_tiny(tmp_path, {"train": 6, "val": 6, "test": 6})
    if change == "empty":
        splits["test"] = splits["test"].take(np.array([], dtype=np.int64))
    elif change == "roi":
        splits["train"] = replace(splits["train"], rois={0: (Roi(0),)})
    else:
        splits["val"] = replace(splits["val"], label=splits["val"].label[:, :1])
    data = Broken(str(tmp_path))
    data.broken = splits
    with pytest.raises(ValueError, match=message):
        data.setup("fit")


def test_cached_images_and_masks_are_the_same_as_read_ones(tiny_root: Path) -> None:
    data = TinyDataModule(str(tiny_root))
    plain = data.dataset("test", True, False)
    data.cache_images = True
    cached = data.dataset("test", True, False)
    for _ in range(2):
        for index in range(4):
            first, second = plain[0, index], cached[0, index]
            np.testing.assert_array_equal(first.image, second.image)
            np.testing.assert_array_equal(first.roi_mask, second.roi_mask)


def test_hashed_identifiers_tell_nothing_without_the_key_and_keep_patients_together(split: Split) -> None:
    first, again, other = (split.with_hashed_ids(key) for key in ("a", "a", "b"))
    assert np.array_equal(first.sample_id, again.sample_id)
    assert not np.intersect1d(first.sample_id, other.sample_id).size
    assert not np.intersect1d(first.sample_id, split.sample_id).size
    assert len(np.unique(first.sample_id)) == len(split)
    same = split.patient_id[:, None] == split.patient_id[None]
    assert np.array_equal(first.patient_id[:, None] == first.patient_id[None], same)
    assert all(len(name) == 16 for name in first.sample_id.tolist())


def test_preparation_is_kept_as_primitives_and_comes_back() -> None:
    plain = Preparation(64, "pad", "declared")
    assert Preparation.from_description(plain.describe()) == plain
    breast = Preparation(32, preprocess=PrepareBreast(window_percentiles=(1.0, 99.0), margin=0.1))
    described = json.loads(json.dumps(breast.describe()))
    assert Preparation.from_description(described) == breast

    def unknown(image: np.ndarray) -> None:
        del image

    with pytest.raises(TypeError, match="to be a dataclass"):
        Preparation(32, preprocess=unknown).describe()  # type: ignore[arg-type]
