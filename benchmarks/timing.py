"""Time variants of one thing side by side; the other files of this folder are the benchmarks."""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def parser(description: str | None, repeats: int, batch: int = 8) -> argparse.ArgumentParser:
    """Return a parser of the options that benchmarks of a model share."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="vit_small_patch16_224")
    arguments.add_argument("--batch", type=int, default=batch)
    arguments.add_argument("--repeats", type=int, default=repeats)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--device", default="cpu")
    return arguments


def measure(variants: Mapping[str, Callable[[], object]], repeats: int, device: str = "cpu") -> dict[str, list[float]]:
    """Return the seconds of each variant by round, after one warm-up round; on a CPU, its own CPU time.

    Each round runs all variants, in an order of its own, so that what slows the machine for a while slows all of them.
    """
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    times: dict[str, list[float]] = {name: [] for name in variants}
    order = random.Random(0)
    for repeat in range(repeats + 1):
        for name in order.sample(list(variants), len(variants)):
            start = clock()
            variants[name]()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            if repeat:
                times[name].append(clock() - start)
    return times


def show(times: Mapping[str, list[float]], reference: str) -> None:
    """Print median milliseconds, and the median and quartiles of the ratio to the reference in the same round."""
    width = max(len(name) for name in times)
    for name, seconds in times.items():
        ratios = [own / other for own, other in zip(seconds, times[reference], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"{name:{width}s} {1000 * statistics.median(seconds):9.2f} ms  "
            f"x {middle:.3f} of {reference} ({low:.3f} to {high:.3f})"
        )


def ratio(times: Mapping[str, Sequence[float]], name: str, reference: str) -> float:
    """Return the median of the ratios of two variants in the same round."""
    return statistics.median(own / other for own, other in zip(times[name], times[reference], strict=True))


def optimizer_step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Return a step of AdamW on a loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


@dataclass(frozen=True)
class Bar:
    """A value that a benchmark is expected to reach.

    Attributes:
        name: What was measured.
        value: What was found, or None if it was not measured here.
        wanted: The limit.
        is_least: Whether the limit is a least value rather than a largest one.
    """

    name: str
    value: float | None
    wanted: float
    is_least: bool = False

    @property
    def verdict(self) -> str:
        """`met`, `not met`, or `not measured`."""
        if self.value is None:
            return "not measured"
        is_met = self.value >= self.wanted if self.is_least else self.value <= self.wanted
        return "met" if is_met else "not met"


def show_bars(bars: Sequence[Bar]) -> None:
    """Print a table of all bars: name, value, limit, and whether it was met."""
    width = max(len(bar.name) for bar in bars)
    print(f"\n{'bar':{width}s} {'value':>10s} {'wanted':>12s}")
    for bar in bars:
        value = "-" if bar.value is None else f"{bar.value:.5g}"
        print(
            f"{bar.name:{width}s} {value:>10s} {'>=' if bar.is_least else '<='} {bar.wanted:9.5g}  {bar.verdict}",
            flush=True,
        )
