"""What `mmpkd.infer` costs beside a plain loop that reads, normalises and predicts one file after the other.

Run: python benchmarks/inference.py [--images 256] [--repeats 5] [--workers 2]

Files are chest phantoms (JPEG). The student is a ViT-Ti of 12 blocks at 64 pixels with random weights, on one thread; times are
wall times, since the processes that read are others. All variants give the same probabilities.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from timing import Bar, ratio, show, show_bars

from data_modules.images.preparation import Preparation
from data_modules.phantoms import write_chest_phantoms
from mmpkd.inference import infer
from mmpkd.students import TrainedStudent, VisionTransformerStudent

LABELS = ("a", "b", "c")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    student = VisionTransformerStudent("vit_tiny_patch16_224", len(LABELS), 64).eval()
    trained = TrainedStudent(student, LABELS, torch.full((len(LABELS),), 0.5), Preparation(64))
    with tempfile.TemporaryDirectory() as folder:
        write_chest_phantoms(Path(folder), num_train=options.images, num_val=2, num_test=2)
        files = sorted(Path(folder).rglob("*.jpg"))[: options.images]
        variants = {
            "plain loop": lambda: plain(trained, files),
            "infer": lambda: infer(trained, files).iloc[:, 1:].to_numpy(),
            f"infer, {options.workers} processes read": lambda: (
                infer(trained, files, num_workers=options.workers).iloc[:, 1:].to_numpy()
            ),
        }
        expected = plain(trained, files)
        times: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(options.repeats):
            for name, run in variants.items():
                start = time.perf_counter()
                found = run()
                times[name].append(time.perf_counter() - start)
                assert np.allclose(found, expected, atol=1e-5), name
    print(f"{len(files)} files")
    show(times, "plain loop")
    show_bars([Bar("infer / plain loop", ratio(times, "infer", "plain loop"), 1.0)])


def plain(trained: TrainedStudent, files: list[Path]) -> np.ndarray:
    """Predict one file after the other."""
    rows = []
    with torch.no_grad():
        for path in files:
            pixels, _ = trained.read(path)
            rows.append(trained.student(trained.normalised(pixels)).logits.sigmoid()[0].numpy())
    return np.stack(rows)


if __name__ == "__main__":
    main()
