"""An epoch of prepared images at the size of MIMIC-CXR, against what the disk gives.

Run: python benchmarks/epoch.py [--rows 377110] [--size 224] [--workers 2] [--written 40000]

Two files: one of `--written` rows (2 GB) of noise, which shows the disk; and one of all rows (19 GB at 224 pixels) that has no
blocks on the disk, so that reading it shows what the program costs at a size that memory may not hold. Both are dropped from
memory before every measurement. `plain` reads the same images in the same order, one system call each, and does nothing with
them; `memory map` copies 20,000 of them out of `numpy.memmap`, as this program did before; `loader` is the training loader, with
augmentation, for as many. Wall time, since waiting for the disk is what is measured, and CPU time of all processes.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from many_images import NUM_IMAGES, ManyImages, write
from timing import Bar, show_bars

from data_modules.images.prepared import PreparedImages
from data_modules.images.transforms import Augmentation

BATCH = 256
# reading should not cost more than the disk itself
WANTED = 0.5
# images that slow variants read, of a larger file
PART = 20_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=NUM_IMAGES)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--written", type=int, default=40_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("written", options.written), ("no blocks on the disk", options.rows)):
            root = Path(folder) / name.replace(" ", "_")
            prepared = write(root, rows, options.size)
            if name == "written":
                fill(prepared / "images.bin")
            print(f"{name}: {rows} images, {(prepared / 'images.bin').stat().st_size / 1e9:.1f} GB")
            run(root, prepared, rows, options)


def run(root: Path, prepared: Path, rows: int, options: argparse.Namespace) -> None:
    """Measure one file in order and at random, and print."""
    data = ManyImages(root, rows, prepared=prepared, batch_size=BATCH, num_workers=options.workers,
                      image_size=options.size, augmentation=Augmentation())  # fmt: skip
    images = data.prepared_images("train")
    assert images is not None
    part = min(rows, PART)
    bars = []
    for name, order in (("in order", np.arange(rows)), ("at random", np.random.default_rng(0).permutation(rows))):
        disk = show(name, "plain", prepared, rows, lambda order=order: plain(prepared, images, order))
        own = show(name, "prepared", prepared, rows, lambda order=order: read(images, order))
        bars.append(Bar(f"prepared / plain reads of the disk, {name}", own / disk, WANTED, is_least=True))
        show(name, "memory map", prepared, part, lambda order=order: mapped(prepared, images, order[:part]))
    show("at random", f"loader, {options.workers} processes", prepared, part, lambda: serve(data, part))
    show_bars(bars)


def show(order: str, name: str, prepared: Path, count: int, read: Callable[[], object]) -> float:
    """Measure one way to read, with the file out of memory, print images per second, and return them."""
    drop(prepared / "images.bin")
    cpu, start = cpu_seconds(), time.perf_counter()
    read()
    wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    print(
        f"  {order:10s} {name:22s} {count / wall:9.0f} images/s   {1e6 * cpu / count:7.1f} us of CPU each", flush=True
    )
    return count / wall


def plain(prepared: Path, images: PreparedImages, order: np.ndarray) -> None:
    """Read images into one buffer."""
    size = images.bytes_per_image
    buffer = bytearray(size)
    with (prepared / "images.bin").open("rb", buffering=0) as file:
        for row in order.tolist():
            os.preadv(file.fileno(), [buffer], row * size)


def mapped(prepared: Path, images: PreparedImages, order: np.ndarray) -> None:
    """Copy images out of a memory map."""
    side = images.meta.side
    pixels = np.memmap(prepared / "images.bin", np.uint8, "r", shape=(images.meta.num_images, side, side))
    for row in order.tolist():
        pixels[row].copy()


def read(images: PreparedImages, order: np.ndarray) -> None:
    """Read images as float32 with their placements."""
    for row in order.tolist():
        images.read(row)


def serve(data: ManyImages, count: int) -> None:
    """Serve training batches."""
    for served, _ in enumerate(data.train_dataloader(), start=1):
        if served * BATCH >= count:
            return


def fill(path: Path) -> None:
    """Write noise over a file."""
    size = path.stat().st_size
    noise = np.random.default_rng(0).integers(0, 256, 1 << 24, np.uint8).tobytes()
    with path.open("r+b") as file:
        for start in range(0, size, len(noise)):
            file.write(noise[: size - start])
        file.flush()
        os.fsync(file.fileno())


def drop(path: Path) -> None:
    """Take a file out of memory."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it has ended."""
    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


if __name__ == "__main__":
    main()
