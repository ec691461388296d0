"""Time variants of one thing side by side; the other files of this folder are the benchmarks."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch


def parser(description: str | None, repeats: int, batch: int = 8) -> argparse.ArgumentParser:
    """Return a parser of the options that benchmarks of a model share."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="vit_small_patch16_224")
    arguments.add_argument("--batch", type=int, default=batch)
    arguments.add_argument("--repeats", type=int, default=repeats)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--device", default="cpu")
    return arguments


def measure(variants: Mapping[str, Callable[[], object]], repeats: int, device: str = "cpu") -> dict[str, float]:
    """Return the median seconds of each variant, run in turn, after one warm-up round; on a CPU, its own CPU time."""
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    times: dict[str, list[float]] = {name: [] for name in variants}
    for repeat in range(repeats + 1):
        for name, variant in variants.items():
            start = clock()
            variant()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            if repeat:
                times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def show(times: Mapping[str, float], reference: str) -> None:
    """Print milliseconds, and how many times those of the reference."""
    width = max(len(name) for name in times)
    for name, seconds in times.items():
        print(f"{name:{width}s} {1000 * seconds:9.2f} ms  x {seconds / times[reference]:.3f} of {reference}")
