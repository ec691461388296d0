"""What a second thread of the CPU gains in a training step, on an idle and on a busy machine.

Run: python benchmarks/threads.py [--repeats 15]

A step is forward, loss, backward and AdamW, of the students of the phantoms' experiments and of ViT-S/16. The busy machine has a
process a processor that only computes. Wall time is compared here, since threads that wait for each other use up CPU time, too.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from timing import Bar, optimizer_step, show_bars

from data_modules.batch import Batch
from data_modules.processes.processors import num_processors
from mmpkd.modules import DistillationModule
from mmpkd.students import VisionTransformerStudent

# model, side of its images, samples in a batch
STUDENTS = (("vit_nano_patch8_64", 64, 32), ("vit_tiny_patch16_224", 224, 8), ("vit_small_patch16_224", 224, 8))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="steps of each kind (default: 15)")
    options = parser.parse_args()
    print(f"{num_processors()} processors, median of {options.repeats} steps")
    ratios = {}
    for name, side, size in STUDENTS:
        step = training_step(name, side, size)
        ratios[name, "idle"] = report(f"{name}, idle", step, options.repeats)
        with busy_machine():
            ratios[name, "busy"] = report(f"{name}, busy", step, options.repeats)
    smallest, largest = STUDENTS[0][0], STUDENTS[-1][0]
    show_bars(
        [
            Bar(f"{smallest}, which runs on one thread: all threads / one, busy", ratios[smallest, "busy"], 1.0, True),
            Bar(f"{largest}, which runs on all threads: all threads / one, idle", ratios[largest, "idle"], 1.0),
        ]
    )


def report(name: str, step: Callable[[], None], repeats: int) -> float:
    """Time a step with one thread and with all, in turn, print both, and return the ratio of all threads to one."""
    seconds: dict[int, list[float]] = {1: [], num_processors(): []}
    for _ in range(repeats + 1):
        for threads, values in seconds.items():
            torch.set_num_threads(threads)
            start = time.perf_counter()
            step()
            values.append(time.perf_counter() - start)
    one, several = (1000 * statistics.median(values[1:]) for values in seconds.values())
    print(f"{name:28s} 1 thread {one:7.1f} ms   {num_processors()} threads {several:7.1f} ms   x {several / one:.2f}")
    return several / one


@contextmanager
def busy_machine() -> Iterator[None]:
    """Keep every processor busy with a process of its own."""
    processes = [multiprocessing.Process(target=compute, daemon=True) for _ in range(num_processors())]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def compute() -> None:
    """Never end."""
    while True:
        sum(range(100_000))


def training_step(name: str, side: int, size: int) -> Callable[[], None]:
    """Return a training step of a student on random images."""
    module = DistillationModule(VisionTransformerStudent(name, 5, side)).train()
    batch: Batch = {
        "image": torch.randn(size, 1, side, side),
        "label": (torch.rand(size, 5) < 0.3).float(),
    }  # type: ignore[typeddict-item]
    return optimizer_step(module, lambda: module.losses(batch)["loss"])


if __name__ == "__main__":
    main()
