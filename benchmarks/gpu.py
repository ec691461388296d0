"""What a student costs on a GPU, in bfloat16: images per second, memory, and kernels that the host waits for.

Run: python benchmarks/gpu.py [--models vit_small_patch16_224 vit_base_patch16_224] [--minutes 5] [--settings]
     [--batch 256] [--steps 40] [--workers 8] [--device cuda]
     python benchmarks/gpu.py --device cpu --tiny      tries the code itself, in half a minute

- `bare loop`: a compiled timm model, autocast, AdamW and one batch that stays on the device: the peer.
- `fit`: `Trainer.fit` of a compiled student with ImagesOnDevice, augmentation included.
- `fit, loader processes`: the same from prepared images that loader processes read, augment and normalise.
- `fit, 8 bits from loaders`: the same from prepared images that loader processes only read, with augmentation on the device.
- `loop, loader processes`: the bare loop on prepared images that loader processes only read, with pinned copies while the
  device computes, and augmentation on the device: the limit of loading.
- `fit, stored targets`: `fit` distilled with stored outputs of a teacher.
- `fit, live BERT`: the same, with a frozen encoder of BERT-base's size on 256 tokens in every step.
- `validation`: batches of images that come from the host; then with rollout and all default scores of LocalizationMonitor.
- with `--settings`, the bare loop with channels last, fused AdamW, loss and optimizer compiled, without TF32, ...

The first steps, in which the model is compiled, are not counted. What has not started after `--minutes` is not measured.
"""

import argparse
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from distillation import LiveBert, make_targets
from gpu_fits import fit, num_waits, validate
from gpu_loops import VARIANTS, Sizes, bare_loop
from timing import Bar, show_bars
from transformers import BertConfig

from mmpkd.attribution import AttentionRollout
from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.teachers.lookup import StoredTeacher, TeacherLookup

# images per second on one H100, from ViT-5-Small (22 M parameters, batch 256): 7,716 compiled and 8,003 tuned
ANCHORS = {"vit_small_patch16_224": {"bare loop": 7700, "fit, stored targets": 7400}}

LOADED = "fit, loader processes"
STORED = "fit, 8 bits from loaders"
LIMIT = "loop, loader processes"


@dataclass
class Board:
    """What was found for a model.

    Attributes:
        sizes: What is measured.
        device: Where.
        deadline: `time.monotonic()` after which nothing starts.
        seconds: Seconds of the timed steps by variant.
        waits: Kernels that the host waits for in a step, by variant; empty on a CPU, where it never waits.
    """

    sizes: Sizes
    device: torch.device
    deadline: float
    seconds: dict[str, float] = field(default_factory=dict)
    waits: dict[str, int] = field(default_factory=dict)

    def report(self, name: str, run: Callable[[], float], reference: str | None = None) -> None:
        """Run a variant and print its speed, its memory, and its speed relative to another variant."""
        if time.monotonic() > self.deadline:
            print(f"{name:32s} not measured: no time is left", flush=True)
            return
        is_cuda = self.device.type == "cuda"
        if is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        self.seconds[name] = run()
        memory = f"{torch.cuda.max_memory_allocated(self.device) / 2**30:6.2f} GiB" if is_cuda else "   no GPU"
        relative = None if reference is None else self.speed(name, reference)
        words = "" if relative is None else f"  x {relative:.3f} of the speed of {reference}"
        print(f"{name:32s} {self.images_per_second(name):9.0f} images/s {memory}{words}", flush=True)

    def images_per_second(self, name: str) -> float | None:
        """Return the speed of a variant, or None if it was not measured."""
        seconds = self.seconds.get(name)
        return None if seconds is None else self.sizes.steps * self.sizes.batch / seconds

    def speed(self, name: str, reference: str) -> float | None:
        """Return the speed of a variant relative to another, or None if one of them was not measured."""
        both = {name, reference} <= set(self.seconds)
        return self.seconds[reference] / self.seconds[name] if both else None

    def bars(self) -> list[Bar]:
        """Return all bars; those of variants that were not measured have no value."""
        plain, scored = "validation", "validation, rollout and scores"
        found = [
            Bar("fit / bare loop, images/s", self.speed("fit", "bare loop"), 0.97, True),
            Bar(f"{STORED} / bare loop, images/s", self.speed(STORED, "bare loop"), 0.90, True),
            Bar("fit, stored targets / fit, images/s", self.speed("fit, stored targets", "fit"), 0.98, True),
            Bar("validation, rollout and scores / validation, time", self.speed(plain, scored), 1.15),
        ]
        waiting = ("fit", "fit, stored targets")
        found += [Bar(f"{name}: kernels that the host waits for", self.waits.get(name), 0) for name in waiting]
        anchors = ANCHORS.get(self.sizes.model, {}).items()
        found += [
            Bar(f"{name}, images/s on an H100", self.images_per_second(name), least, True) for name, least in anchors
        ]
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vit_small_patch16_224", "vit_base_patch16_224"])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--settings", action="store_true", help="also the bare loop with other settings")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and a few steps, to try the code itself")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("Expected a CUDA device but PyTorch finds none. Try the code itself with --device cpu --tiny.")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_float32_matmul_precision("high")
    deadline = time.monotonic() + 60 * options.minutes
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU, on which these figures mean nothing"
    )
    batch, steps, workers = options.batch, options.steps, options.workers
    all_sizes = [Sizes(model, 224, batch, steps, workers=workers) for model in options.models]
    for sizes in [tiny()] if options.tiny else all_sizes:
        print(f"{sizes.model}, batch {sizes.batch}, bf16, {sizes.steps} steps, PyTorch {torch.__version__}, {name}")
        run_all(Board(sizes, device, deadline), options.settings or options.tiny)


def tiny() -> Sizes:
    """Return sizes that try the code itself."""
    bert = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=99)
    return Sizes("vit_nano_patch8_64", 32, 2, steps=2, warm_up=1, tokens=8, bert=bert, compile=False, workers=1)


def run_all(board: Board, with_settings: bool) -> None:
    """Run all variants, print a line for each, and the bars."""
    sizes, device = board.sizes, board.device
    targets = make_targets((sizes.steps + sizes.warm_up) * sizes.batch)
    teachers: dict[str, Callable[[], TeacherLookup | None]] = {
        "fit": lambda: None,
        "fit, stored targets": lambda: StoredTeacher(targets),
        f"fit, live BERT, {sizes.tokens} tokens": lambda: LiveBert(sizes.tokens, sizes.bert),
    }
    board.report("bare loop", partial(bare_loop, sizes, device))
    for name, teacher in teachers.items():
        kept = partial(fit, sizes, device, teacher, [ImagesOnDevice()])
        board.report(name, kept, "bare loop" if name == "fit" else "fit")
    board.report(LIMIT, partial(bare_loop, sizes, device, VARIANTS["the same, pinned"]), "bare loop")
    board.report(STORED, partial(fit, sizes, device, teachers["fit"], [ImagesOnDevice(max_share=0)]), LIMIT)
    board.report(LOADED, partial(fit, sizes, device, teachers["fit"], []), STORED)
    board.report("validation", partial(validate, sizes, device, []))
    monitor = LocalizationMonitor([AttentionRollout()], [])
    scored = "validation, rollout and scores"
    board.report(scored, partial(validate, sizes, device, [monitor]), "validation")
    if device.type == "cuda":
        for name in ("fit", "fit, stored targets"):
            board.waits[name] = num_waits(sizes, device, teachers[name]())
    for name, settings in VARIANTS.items() if with_settings else ():
        board.report(f"loop, {name}", partial(bare_loop, sizes, device, settings), "bare loop")
    show_bars(board.bars())


if __name__ == "__main__":
    main()
