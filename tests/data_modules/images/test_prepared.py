"""Prepared images: what they hold, when they are refused, and that a kill loses little."""

import errno
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from data_modules.dataset import PrivilegedDataset
from data_modules.files.atomic import DiskFullError, reserve
from data_modules.images.geometry import Placement
from data_modules.images.image_file import ImageReadError
from data_modules.images.mask_regions import MaskRegion
from data_modules.images.pixel_file import CutOffError
from data_modules.images.preparation import Preparation
from data_modules.images.prepare import prepare_images, verify_images
from data_modules.images.prepared import PreparedImages, PreparedMeta, StaleImagesError, pack, unpack
from data_modules.images.regions import Roi
from data_modules.images.transforms import SampleTransform
from data_modules.split import Split
from mmpkd.commands.prepare import main
from tests.data_modules.images.test_geometry import placements
from tests.tiny import TinyDataModule, write_tiny

PREPARATION = Preparation(24, "pad")


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return write_tiny(tmp_path / "files", {"val": 10})["val"]


def build(folder: Path, split: Split, **arguments: object) -> dict[str, str]:
    return prepare_images(
        folder,
        PREPARATION,
        split.sample_id,
        split.image,
        **({"num_workers": 0} | arguments),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_prepared_images_are_the_files_to_half_a_level(tmp_path: Path, split: Split, depth: str) -> None:
    assert build(tmp_path / "p", split, depth=depth) == {}
    order = np.random.default_rng(0).permutation(len(split))[:7]
    shuffled = split.take(order)
    prepared = PreparedImages(tmp_path / "p", PREPARATION, shuffled.sample_id, shuffled.image)
    for i, path in enumerate(shuffled.image):
        (image, placement), (expected, where) = prepared.read(i), PREPARATION(path)
        assert np.abs(image - expected).max() <= 0.51 / np.iinfo(depth).max
        assert placement == where


@given(placements())
def test_a_placement_survives_the_index(placement: Placement) -> None:
    assert unpack(np.array(pack(placement))) == placement


def test_a_data_module_reads_them_with_the_same_regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = TinyDataModule(str(tmp_path / "files"), batch_size=4)
    expected = next(iter(plain.test_dataloader()))
    for_all = [(s.sample_id, s.image) for s in plain.splits.values()]
    names, files = np.concatenate([n for n, _ in for_all]), [f for _, fs in for_all for f in fs]
    prepare_images(tmp_path / "p", plain.preparation, names, files, num_workers=2)

    def refuse(*args: object) -> None:
        raise AssertionError("an image file was opened")

    monkeypatch.setattr("data_modules.images.preparation.read_image", refuse)
    data = TinyDataModule(str(tmp_path / "files"), batch_size=4, prepared=tmp_path / "p")
    batch = next(iter(data.test_dataloader()))
    np.testing.assert_allclose(batch["image"], expected["image"], atol=0.51 / 255 / 0.25)
    np.testing.assert_array_equal(batch["roi_mask"], expected["roi_mask"])
    hashed = TinyDataModule(str(tmp_path / "files"), batch_size=4, prepared=tmp_path / "p")
    hashed.hash_ids("secret")
    other = next(iter(hashed.test_dataloader()))
    np.testing.assert_array_equal(other["image"], batch["image"])
    assert set(other["sample_id"]).isdisjoint(batch["sample_id"])
    workers = TinyDataModule(str(tmp_path / "files"), batch_size=4, prepared=tmp_path / "p", num_workers=2)
    np.testing.assert_array_equal(next(iter(workers.test_dataloader()))["image"], batch["image"])


def test_an_unreadable_image_is_listed_skipped_and_left_out(tmp_path: Path) -> None:
    plain = TinyDataModule(str(tmp_path / "files"))
    split = plain.splits["test"]
    split.image[3].write_bytes(b"no image")
    names = np.concatenate([s.sample_id for s in plain.splits.values()])
    files = [f for s in plain.splits.values() for f in s.image]
    errors = prepare_images(tmp_path / "p", plain.preparation, names, files, num_workers=0)
    assert list(errors) == ["test3"]
    assert json.loads((tmp_path / "p" / "errors.json").read_text()) == errors
    data = TinyDataModule(str(tmp_path / "files"), prepared=tmp_path / "p")
    assert "test3" not in data.splits["test"].sample_id
    assert len(data.splits["test"]) == 15
    assert data.data_report()["test"]["dropped_unreadable_images"] == 1
    assert data.data_report()["train"]["dropped_unreadable_images"] == 0
    # once the file is restored, the same command mends it
    split.image[3].write_bytes(split.image[4].read_bytes())
    assert prepare_images(tmp_path / "p", plain.preparation, names, files, num_workers=0) == {}
    assert len(TinyDataModule(str(tmp_path / "files"), prepared=tmp_path / "p").splits["test"]) == 16


def test_an_unreadable_image_may_stop_the_work(tmp_path: Path, split: Split) -> None:
    split.image[3].unlink()
    with pytest.raises(ImageReadError, match=r"3\.png.*are kept"):
        build(tmp_path / "p", split, on_error="stop")
    with pytest.raises(StaleImagesError, match="not complete"):
        PreparedImages(tmp_path / "p", PREPARATION, split.sample_id, split.image)


def test_other_settings_are_refused(tmp_path: Path, split: Split) -> None:
    build(tmp_path / "p", split)
    for other in (replace(PREPARATION, image_size=32), replace(PREPARATION, resize="stretch")):
        with pytest.raises(StaleImagesError, match="prepared with"):
            PreparedImages(tmp_path / "p", other, split.sample_id, split.image)
        with pytest.raises(StaleImagesError, match="another folder"):
            prepare_images(tmp_path / "p", other, split.sample_id, split.image, num_workers=0)
    with pytest.raises(StaleImagesError, match="as uint16"):
        build(tmp_path / "p", split, depth="uint16")


def test_exchanged_files_and_missing_samples_are_refused(tmp_path: Path, split: Split) -> None:
    build(tmp_path / "p", split.take(np.arange(8)))
    with pytest.raises(StaleImagesError, match="2 are not there"):
        PreparedImages(tmp_path / "p", PREPARATION, split.sample_id, split.image)
    build(tmp_path / "p", split)  # adds the two
    PreparedImages(tmp_path / "p", PREPARATION, split.sample_id, split.image)
    with split.image[5].open("ab") as file:
        file.write(b"more")
    with pytest.raises(StaleImagesError, match=r"5\.png"):
        PreparedImages(tmp_path / "p", PREPARATION, split.sample_id, split.image)


def test_what_is_there_is_not_prepared_again(tmp_path: Path, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "p", split.take(np.arange(8)))
    before = (tmp_path / "p" / "images.bin").read_bytes()
    seen = []
    read = Preparation.__call__
    monkeypatch.setattr(Preparation, "__call__", lambda self, path: seen.append(path) or read(self, path))  # type: ignore[func-returns-value]
    build(tmp_path / "p", split)
    assert seen == list(split.image[8:])
    assert (tmp_path / "p" / "images.bin").read_bytes().startswith(before)


def test_no_folder_and_another_format_are_explained(tmp_path: Path, split: Split) -> None:
    with pytest.raises(FileNotFoundError, match="mmpkd prepare"):
        PreparedImages(tmp_path / "p", PREPARATION, split.sample_id, split.image)
    build(tmp_path / "p", split)
    replace(PreparedMeta.load(tmp_path / "p"), format=99).save(tmp_path / "p")
    with pytest.raises(StaleImagesError, match="of format 2"):
        PreparedMeta.load(tmp_path / "p")


def test_changed_pixels_and_a_cut_file_are_found(tmp_path: Path, split: Split) -> None:
    build(tmp_path / "p", split)
    assert verify_images(tmp_path / "p") == []
    path = tmp_path / "p" / "images.bin"
    data = bytearray(path.read_bytes())
    data[2 * 24 * 24 + 7] ^= 1
    path.write_bytes(data)
    assert verify_images(tmp_path / "p") == [str(split.sample_id[2])]
    path.write_bytes(data[:-1])
    with pytest.raises(CutOffError, match="cut off"):
        verify_images(tmp_path / "p")


def test_a_pickled_reader_does_not_carry_the_pixels(tmp_path: Path, split: Split) -> None:
    build(tmp_path / "p", split)
    prepared = PreparedImages(tmp_path / "p", PREPARATION, split.sample_id, split.image)
    first, _ = prepared.read(0)
    pickled = pickle.dumps(prepared)
    assert len(pickled) < 10_000
    np.testing.assert_array_equal(pickle.loads(pickled).read(0)[0], first)


def limit(num_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@contextmanager
def limited_files(num_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    # Python keeps bytecode that was cut off, and then cannot import the module
    sys.dont_write_bytecode = True
    limit(num_bytes)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
        sys.dont_write_bytecode = before[1]


def test_all_room_is_reserved_before_the_first_image_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "images.bin"
    reserve(path, 10_000)
    assert path.stat().st_size == 10_000 <= 512 * path.stat().st_blocks
    path.write_bytes(b"x" * 10_000)
    reserve(path, 1_000_000)
    assert path.stat().st_size == 1_000_000 <= 512 * path.stat().st_blocks
    assert path.read_bytes() == b"x" * 10_000 + bytes(990_000)
    reserve(path, 5_000)
    assert path.read_bytes() == b"x" * 5_000
    with limited_files(100_000), pytest.raises(DiskFullError, match=r"images\.bin' but: File too large"):
        reserve(path, 1_000_000)
    assert path.read_bytes() == b"x" * 5_000
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=5_000_000))
    with pytest.raises(DiskFullError, match=r"Expected 20\.00 GB for '.*images\.bin' but only 0\.01 GB are free"):
        reserve(path, 20_000_005_000)
    assert path.read_bytes() == b"x" * 5_000


def test_a_disk_that_cannot_reserve_room_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    reserve(tmp_path / "images.bin", 10_000)
    assert (tmp_path / "images.bin").stat().st_size == 10_000


@pytest.mark.parametrize("num_workers", ["0", "2"])
def test_a_full_disk_ends_the_command_with_one_line_and_keeps_what_is_there(
    num_workers: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = write_config(tmp_path), tmp_path / "p"
    args = [str(config), "--out", str(out), "--num_workers", num_workers]
    with limited_files(20_000):
        assert main(args) == 1
    error = capfd.readouterr().err.splitlines()
    assert len(error) == 1
    assert f"Expected room for '{out / 'images.bin'}' but: File too large" in error[0]

    # a disk that reserved no room, and fills up while images are written
    def fill(path: Path, num_bytes: int) -> None:
        reserve(path, num_bytes)
        limit(20_000)

    monkeypatch.setattr("data_modules.images.prepare.reserve", fill)
    with limited_files(10**9):
        assert main(args) == 1
    assert capfd.readouterr().err.splitlines() == error
    monkeypatch.undo()
    assert main(args) == 0
    assert verify_images(out) == []


def test_a_process_that_is_killed_ends_the_command_with_one_line_that_names_its_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Preparation.__call__

    def killed_at_3(self: Preparation, path: Path) -> object:
        if path.parts[-2:] == ("test", "3.png"):
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, path)

    config, out = write_config(tmp_path), tmp_path / "p"
    args = [str(config), "--out", str(out), "--num_workers", "1"]
    monkeypatch.setattr(Preparation, "__call__", killed_at_3)
    assert main(args) == 1
    error = capfd.readouterr().err.splitlines()
    assert len(error) == 1
    assert "Expected 1 processes to end by themselves but one was killed" in error[0]
    assert error[0].endswith(
        f"They were reading {tmp_path / 'files' / 'test' / '3.png'}. Images prepared so far are kept."
    )
    monkeypatch.undo()
    assert main(args) == 0


def write_config(tmp_path: Path) -> Path:
    config = tmp_path / "tiny.yaml"
    config.write_text(f"class_path: tests.tiny.TinyDataModule\ninit_args: {{root: {tmp_path / 'files'}}}\n")
    return config


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from data_modules.images import prepare
from data_modules.images.pixel_file import CutOffError
from data_modules.images.preparation import Preparation
prepare.CHUNK = 2
read = Preparation.__call__
def slow(self, path):
    time.sleep(0.05)
    return read(self, path)
Preparation.__call__ = slow
files = [Path(name) for name in sys.argv[2:]]
names = np.array([path.stem for path in files])
prepare.prepare_images(Path(sys.argv[1]), Preparation(24, "pad"), names, files, num_workers=0)
"""


@pytest.mark.slow
def test_a_kill_loses_at_most_what_was_in_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = write_tiny(tmp_path / "files", {"val": 60})["val"]
    names = np.array([path.stem for path in split.image])
    folder = tmp_path / "p"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(folder), *map(str, split.image)])
    deadline = time.monotonic() + 60
    while len(list((folder / "parts").glob("*.npz"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = len(list((folder / "parts").glob("[0-9]*.npz")))
    assert 4 <= finished < 30
    with pytest.raises(StaleImagesError, match="not complete"):
        PreparedImages(folder, PREPARATION, names, split.image)
    seen = []
    read = Preparation.__call__
    monkeypatch.setattr(Preparation, "__call__", lambda self, path: seen.append(path) or read(self, path))  # type: ignore[func-returns-value]
    prepare_images(folder, PREPARATION, names, split.image, num_workers=0)
    assert seen == list(split.image[2 * finished :])
    prepare_images(tmp_path / "undisturbed", PREPARATION, names, split.image, num_workers=0)
    assert (folder / "images.bin").read_bytes() == (tmp_path / "undisturbed" / "images.bin").read_bytes()
    assert verify_images(folder) == []


def test_the_command_prepares_verifies_and_names_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    out = str(tmp_path / "p")
    assert main([str(config), "--out", out, "--num_workers", "0", "--data.image_size=16"]) == 0
    assert f"--data.prepared={out}" in capsys.readouterr().out
    assert main([str(config), "--out", out, "--verify", "--data.image_size=16"]) == 0
    assert main([str(config), "--out", out, "--num_workers", "0"]) == 1
    assert "another folder" in capsys.readouterr().err
    assert main([str(tmp_path / "none.yaml")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_an_experiment_names_its_data(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(
        f"class_path: tests.tiny.TinyDataModule\ninit_args: {{root: {tmp_path / 'files'}, image_size: 16}}\n"
    )
    (tmp_path / "run.yaml").write_text("data: data.yaml\nmodel: {class_path: ignored}\n")
    assert main([str(tmp_path / "run.yaml"), "--out", str(tmp_path / "p"), "--num_workers", "0"]) == 0
    assert PreparedMeta.load(tmp_path / "p").side == 16


def test_a_mask_file_is_read_once(tmp_path: Path, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "p", split)
    with_mask = replace(split, rois={2: (Roi(0, (MaskRegion(split.image[2]),)),)})
    prepared = PreparedImages(tmp_path / "p", PREPARATION, split.sample_id, split.image)
    dataset = PrivilegedDataset(with_mask, SampleTransform(None, 0, 1, 0), PREPARATION, True, False, prepared=prepared)
    first = dataset[(0, 2)].roi_mask
    assert first is not None
    assert first.any()
    monkeypatch.setattr("data_modules.images.mask_regions.read_mask", None)
    np.testing.assert_array_equal(dataset[(1, 2)].roi_mask, first)
