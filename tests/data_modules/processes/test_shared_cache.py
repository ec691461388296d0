"""Loader processes share what they cache: every image is decoded once, whoever is asked for it."""

import multiprocessing
import os
import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from data_modules.base import PrivilegedDataModule
from data_modules.batch import collate
from data_modules.images.geometry import Window, whole
from data_modules.images.preparation import Image, Preprocess
from data_modules.processes.shared_cache import FOLDER, SharedCache
from data_modules.samplers import EpochSampler
from tests.data_modules.shared_process import die_while_writing, put, read_all, read_until_written
from tests.tiny import TinyDataModule


@dataclass(frozen=True)
class NoteDecodes:
    """Notes the process that decodes each image, and changes nothing."""

    path: Path

    def __call__(self, image: Image) -> tuple[Image, Window]:
        with self.path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return image, whole((image.shape[0], image.shape[1]))


class Noted(TinyDataModule):
    """The tiny data, cached, whose decodes are noted."""

    notes: Path

    def preprocess(self) -> Preprocess:
        return NoteDecodes(self.notes)


def decodes(path: Path) -> Counter[str]:
    return Counter(path.read_text().split()) if path.is_file() else Counter()


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_an_image_is_decoded_once_by_all_loader_processes(
    workers: int, persistent: bool, tiny_root: Path, tmp_path: Path
) -> None:
    data: PrivilegedDataModule = Noted(str(tiny_root))
    data.notes, data.cache_images = tmp_path / "notes.txt", True  # type: ignore[attr-defined]
    plain, cached = TinyDataModule(str(tiny_root)).dataset("test", True, False), data.dataset("test", True, False)
    # in another order than the epoch before: another process is asked for an image
    sampler = EpochSampler(len(cached), seed=0, shuffle=True)
    loader = DataLoader(
        cached, 2, sampler=sampler, num_workers=workers, persistent_workers=persistent, collate_fn=collate
    )
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for batch in loader:
            for position, index in enumerate(batch["index"].tolist()):
                expected = plain[0, index]
                np.testing.assert_array_equal(batch["image"][position].numpy(), expected.image)
            masks = [torch.from_numpy(plain[0, index].roi_mask) for index in batch["index"].tolist()]
            assert torch.equal(batch["roi_mask"], torch.cat(masks))
        by_process = decodes(data.notes)  # type: ignore[attr-defined]
        assert sum(by_process.values()) == len(cached)
    assert len(by_process) == max(workers, 1)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_see_what_others_wrote_however_they_were_started(method: str, small_server: None) -> None:
    context = multiprocessing.get_context(method)
    cache = SharedCache([5, 0, 1 << 20, 3])
    assert [cache.get(index) is None for index in range(4)] == [True, False, True, True]
    put(cache, 0, 7)
    child = context.Process(target=put, args=(cache, 2, 9))  # type: ignore[attr-defined]
    child.start()
    child.join()
    found = cache.get(2)
    assert found is not None
    assert (found == 9).all()
    assert not found.flags.writeable
    killed = context.Process(target=die_while_writing, args=(cache, 3))  # type: ignore[attr-defined]
    killed.start()
    killed.join()
    assert killed.exitcode == -9
    assert cache.get(3) is None


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="only Linux tells how memory is shared")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_cached_images_are_in_memory_once(method: str, tmp_path: Path, small_server: None) -> None:
    cache = SharedCache([1 << 20] * 32)
    for index in range(32):
        put(cache, index, index)
    context = multiprocessing.get_context(method)
    names = [tmp_path / name for name in "ab"]
    readers = [context.Process(target=read_all, args=(cache, name)) for name in names]  # type: ignore[attr-defined]
    for reader in readers:
        reader.start()
    for reader, name in zip(readers, names, strict=True):
        reader.join()
        total, growth = name.read_text().split()
        assert int(total) == sum(range(32))
        assert float(growth) < 4  # of 34 MB


def test_a_torn_entry_is_never_served(tmp_path: Path) -> None:
    cache = SharedCache([1 << 18] * 24)
    reader = multiprocessing.get_context("fork").Process(target=read_until_written, args=(cache, tmp_path / "found"))
    reader.start()
    for index in range(24):
        put(cache, index, index + 1)
    reader.join()
    assert reader.exitcode == 0
    assert (tmp_path / "found").read_text() == "24"


@pytest.mark.parametrize("size", [10**13, 10**18])
def test_too_little_room_is_said_before_anything_is_written(size: int) -> None:
    with pytest.raises(OSError, match=rf"Expected room for {size // 10**9}\.0 GB .* Set TMPDIR"):
        SharedCache([size])


def test_a_copy_for_anything_but_a_process_is_empty() -> None:
    cache = SharedCache([2, 0, 4])
    put(cache, 0, 1)
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.get(0) is None
    put(copy, 2, 5)
    assert copy.get(2).tolist() == [5] * 4
    assert cache.get(2) is None


def test_caches_of_one_name_are_one_where_a_study_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = np.arange(4, dtype=np.uint8)
    monkeypatch.delenv(FOLDER, raising=False)
    SharedCache([4, 0, 4], "a").put(2, value)
    assert SharedCache([4, 0, 4], "a").get(2) is None
    monkeypatch.setenv(FOLDER, str(tmp_path))
    first, second = SharedCache([4, 0, 4], "a"), SharedCache([4, 0, 4], "a")
    first.put(2, value)
    for later in (second, SharedCache([4, 0, 4], "a")):
        np.testing.assert_array_equal(later.get(2), value)
        assert later.get(0) is None
    for other in (SharedCache([4, 0, 4], "b"), SharedCache([4, 0, 4])):
        assert other.get(2) is None


def test_runs_of_a_study_decode_an_image_once_and_see_the_same_pixels(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))

    def images(side: int | None = None) -> list[NDArray[np.generic]]:
        data = Noted(str(tiny_root))
        data.notes, data.cache_images = tmp_path / "notes.txt", True
        data.image_size = data.image_size if side is None else side
        dataset = data.dataset("train", True, False)
        return [sample.image for index in range(3) if (sample := dataset[0, index]).image is not None]

    first, second = images(), images()
    assert decodes(tmp_path / "notes.txt").total() == 3
    np.testing.assert_array_equal(first, second)
    assert images(16)[0].shape[-1] == 16  # another frame has files of its own
    assert decodes(tmp_path / "notes.txt").total() == 6
