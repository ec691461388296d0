"""What loader processes deliver: normalised floats, or prepared images as they are stored, which the device normalises.

Run: python benchmarks/batches.py [--images 8000] [--size 224] [--batch 256] [--workers 2] [--repeats 5]

Prepared 8-bit images of zeros, in memory after the first round. `float32` is what a loader in plain PyTorch gets; `as stored` is
what `Trainer.fit` loads where nothing changes the pixels before they are normalised: validation, test, training without
augmentation, and training with ImagesOnDevice, which augments on the device. Wall time, since processes work side by side;
each round runs all variants. `on the device` is what the main process of a training on a CPU then does: grey values, mean and
standard deviation.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import torch
from many_images import ManyImages, write
from timing import Bar, show_bars
from torch.utils.data import DataLoader

from data_modules.batch import collate
from data_modules.images.stored_pixels import grey_values
from data_modules.images.transforms import Augmentation

AUGMENTATION = Augmentation(shift=0.05, scale=0.1, rotate=10, brightness=0.1, contrast=0.1)
# variants: augmentation in the loader, and whether images are served as stored
VARIANTS = {"float32, augmented": (AUGMENTATION, False), "float32": (None, False), "as stored": (None, True)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        prepared = write(Path(folder), options.images, options.size)
        loaders = {name: loader(Path(folder), prepared, options, *how) for name, how in VARIANTS.items()}
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for repeat in range(options.repeats + 1):
            for name, own in loaders.items():
                rate, megabytes = serve(own)
                if repeat:
                    rates[name].append(rate)
                if repeat == options.repeats:
                    low, high = min(rates[name]), max(rates[name])
                    middle = statistics.median(rates[name])
                    print(f"{name:20s} {middle:8.0f} images/s ({low:.0f} to {high:.0f}) {megabytes:7.1f} MB a batch")
    batch = torch.zeros(options.batch, 1, options.size, options.size, dtype=torch.uint8)
    start = time.process_time()
    for _ in range(options.repeats):
        grey_values(batch).sub_(0.5).div_(0.25)
    seconds = (time.process_time() - start) / options.repeats
    print(f"{'on the device':20s} {1000 * seconds / options.batch:8.3f} ms of CPU an image")
    gain = statistics.median(rates["as stored"]) / statistics.median(rates["float32"])
    show_bars([Bar("as stored / float32, images/s", gain, 1, is_least=True)])


def loader(
    root: Path, prepared: Path, options: argparse.Namespace, augmentation: Augmentation | None, as_stored: bool
) -> DataLoader:
    """Return a loader of training images in order."""
    data = ManyImages(root, options.images, prepared=prepared, image_size=options.size, augmentation=augmentation)
    dataset = data.dataset("train", load_images=True, load_privileged=False)
    dataset.as_stored = as_stored
    workers = options.workers
    return DataLoader(
        dataset, options.batch, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0, drop_last=True
    )


def serve(batches: DataLoader) -> tuple[float, float]:
    """Return images per second of an epoch, and megabytes of the images of a batch."""
    count = size = 0
    start = time.perf_counter()
    for batch in batches:
        count += len(batch["index"])
        size = batch["image"].nbytes
    return count / (time.perf_counter() - start), size / 1e6


if __name__ == "__main__":
    main()
