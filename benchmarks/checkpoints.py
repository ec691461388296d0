"""What saving the checkpoint costs that a run goes on from, and checking it.

Run: python benchmarks/checkpoints.py [--model vit_base_patch16_224] [--repeats 5] [--folder FOLDER]

The checkpoint holds a model and the two moments of AdamW. Wall time, since most of it is waiting for the disk: a plain
`torch.save`, the same forced to disk, and ours, which also keeps the file before it. A run saves every ten minutes.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from timing import Bar, show_bars

from mmpkd.records.checkpoint import SafeCheckpointIO, is_damaged

SECONDS_BETWEEN_SAVES = 600


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_base_patch16_224")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", help="where to write (default: the system's temporary folder)")
    options = parser.parse_args()
    checkpoint = training_state(options.model)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "last.ckpt"
        variants: dict[str, Callable[[], object]] = {
            "torch.save": lambda: torch.save(checkpoint, path),
            "torch.save, forced to disk": lambda: save_and_flush(checkpoint, path),
            "ours": lambda: SafeCheckpointIO().save_checkpoint(checkpoint, path),
            "checksums, when a run goes on": lambda: is_damaged(path),
        }
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(options.repeats):
            for name, variant in variants.items():
                start = time.perf_counter()
                variant()
                seconds[name].append(time.perf_counter() - start)
        print(f"{options.model}: {path.stat().st_size / 1e9:.2f} GB, medians of {options.repeats}")
    for name, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(own, seconds["torch.save, forced to disk"], strict=True))
        print(f"{name:30s} {statistics.median(own):6.2f} s   x {ratio:.2f} of torch.save, forced to disk")
    share = statistics.median(seconds["ours"]) / SECONDS_BETWEEN_SAVES
    print(f"one save in ten minutes takes {share:.1%} of the time")
    show_bars([Bar("one save in ten minutes / the time", share, 0.01)])


def training_state(name: str) -> dict[str, Any]:
    """Return what a checkpoint of a training holds, after one step."""
    model = timm.create_model(name, num_classes=5, in_chans=1)
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {"state_dict": model.state_dict(), "optimizer_states": [optimizer.state_dict()]}


def save_and_flush(checkpoint: dict[str, Any], path: Path) -> None:
    """Write over the old file, and wait until the new content is on disk."""
    with path.open("wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
