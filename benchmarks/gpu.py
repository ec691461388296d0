"""What a student costs on a GPU, in bfloat16: images per second, memory, and kernels that the host waits for.

Run: python benchmarks/gpu.py [--model vit_small_patch16_224] [--batch 256] [--steps 40] [--device cuda]
     python benchmarks/gpu.py --device cpu --tiny      tries the code itself, in half a minute

- `bare loop`: a compiled timm model, autocast, AdamW and one batch that stays on the device: the peer.
- `fit`: `Trainer.fit` of a compiled student with ImagesOnDevice, augmentation included.
- `fit, stored targets`: the same, distilled with stored outputs of a teacher.
- `fit, live BERT`: the same, with a frozen encoder of BERT-base's size on 128 tokens in every step.
- `validation`: batches of images that come from the host; then with rollout and all default scores of LocalizationMonitor.

The first steps, in which the model is compiled, are not counted.
"""

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import timm
import torch
from distillation import NUM_CLASSES, LiveBert, make_targets
from lightning.pytorch import Callback, LightningModule, Trainer
from synthetic import SyntheticDataModule
from timing import optimizer_step
from torch import Tensor, nn
from transformers import BertConfig

from mmpkd.attribution import AttentionRollout
from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.modules import DistillationModule
from mmpkd.students import VisionTransformerStudent
from mmpkd.teachers.lookup import StoredTeacher, TeacherLookup


@dataclass
class Sizes:
    """What is measured.

    Attributes:
        model: Name of a timm model.
        side: Side of the images.
        batch: Images a step.
        steps: Steps that are timed.
        warm_up: Steps before the clock starts.
        tokens: Tokens of a report.
        bert: Size of the live encoder.
        compile: Whether models are compiled.
    """

    model: str
    side: int
    batch: int
    steps: int = 40
    warm_up: int = 10
    tokens: int = 128
    bert: BertConfig = field(default_factory=BertConfig)
    compile: bool = True


class Clock(Callback):
    """Times the steps after the first ones.

    Args:
        warm_up: Steps before the clock starts.
        device: Where the work is done.
    """

    def __init__(self, warm_up: int, device: torch.device) -> None:
        self.warm_up, self.device = warm_up, device
        self.start = self.seconds = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Start after the first steps."""
        if batch_idx == self.warm_up:
            self.start = now(self.device)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop."""
        self.seconds = now(self.device) - self.start

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start after the first steps."""
        if batch_idx == self.warm_up:
            self.start = now(self.device)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop."""
        self.seconds = now(self.device) - self.start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_small_patch16_224")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and a few steps, to try the code itself")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("Expected a CUDA device but PyTorch finds none. Try the code itself with --device cpu --tiny.")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_float32_matmul_precision("high")
    sizes = tiny() if options.tiny else Sizes(options.model, 224, options.batch, options.steps)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    print(f"{sizes.model}, batch {sizes.batch}, bf16, {sizes.steps} steps, PyTorch {torch.__version__}, {name}")
    run_all(sizes, device)


def tiny() -> Sizes:
    """Return sizes that try the code itself."""
    bert = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=99)
    return Sizes("vit_nano_patch8_64", 32, 2, steps=2, warm_up=1, tokens=8, bert=bert, compile=False)


def run_all(sizes: Sizes, device: torch.device) -> None:
    """Run all variants and print a line for each."""
    targets = make_targets((sizes.steps + sizes.warm_up) * sizes.batch)
    teachers: dict[str, Callable[[], TeacherLookup | None]] = {
        "fit": lambda: None,
        "fit, stored targets": lambda: StoredTeacher(targets),
        f"fit, live BERT, {sizes.tokens} tokens": lambda: LiveBert(sizes.tokens, sizes.bert),
    }
    peer = report("bare loop", sizes, device, partial(bare_loop, sizes, device))
    for name, teacher in teachers.items():
        report(name, sizes, device, partial(fit, sizes, device, teacher), peer)
    plain = report("validation", sizes, device, partial(validate, sizes, device, []))
    monitor = LocalizationMonitor([AttentionRollout()], [])
    report("validation, rollout and scores", sizes, device, partial(validate, sizes, device, [monitor]), plain)
    for name, teacher in list(teachers.items())[:2]:
        print(f"kernels that the host waits for in a step, {name}: {num_waits(sizes, device, teacher())}")


def report(name: str, sizes: Sizes, device: torch.device, run: Callable[[], float], peer: float | None = None) -> float:
    """Run a variant, print its speed and memory, and return its seconds."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    seconds = run()
    memory = f"{torch.cuda.max_memory_allocated(device) / 2**30:6.2f} GiB" if device.type == "cuda" else "   no GPU"
    ratio = "" if peer is None else f"  x {seconds / peer:.3f} of the time"
    print(f"{name:32s} {sizes.steps * sizes.batch / seconds:9.0f} images/s {memory}{ratio}", flush=True)
    return seconds


def bare_loop(sizes: Sizes, device: torch.device) -> float:
    """Return the seconds of the timed steps in plain PyTorch."""
    model = timm.create_model(sizes.model, in_chans=1, num_classes=NUM_CLASSES, img_size=sizes.side).to(device).train()
    run = torch.compile(model) if sizes.compile else model
    image = torch.randn(sizes.batch, 1, sizes.side, sizes.side, device=device)
    label = (torch.rand(sizes.batch, NUM_CLASSES, device=device) < 0.3).float()

    def loss() -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits = run(image)
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), label)

    step = optimizer_step(model, loss)
    for _ in range(sizes.warm_up):
        step()
    start = now(device)
    for _ in range(sizes.steps):
        step()
    return now(device) - start


def student(sizes: Sizes, teacher: TeacherLookup | None) -> DistillationModule:
    """Return a student with a teacher, or without."""
    student = VisionTransformerStudent(sizes.model, NUM_CLASSES, sizes.side, compile=sizes.compile)
    module = DistillationModule(student)
    module._teacher = teacher
    return module


def trainer(device: torch.device, folder: str, callbacks: list[Callback]) -> Trainer:
    """Return a trainer that does nothing but train."""
    return Trainer(
        max_epochs=1,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed",
        callbacks=callbacks,
        logger=False,
        limit_val_batches=0 if any(isinstance(callback, ImagesOnDevice) for callback in callbacks) else None,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def fit(sizes: Sizes, device: torch.device, teacher: Callable[[], TeacherLookup | None]) -> float:
    """Return the seconds of the timed steps of a fit."""
    clock = Clock(sizes.warm_up, device)
    data = SyntheticDataModule(sizes.side, sizes.batch, sizes.steps + sizes.warm_up, 1)
    with tempfile.TemporaryDirectory() as folder:
        trainer(device, folder, [ImagesOnDevice(), clock]).fit(student(sizes, teacher()), data)
    return clock.seconds


def validate(sizes: Sizes, device: torch.device, callbacks: list[Callback]) -> float:
    """Return the seconds of the timed batches of a validation, the end of the epoch included."""
    clock = Clock(sizes.warm_up, device)
    data = SyntheticDataModule(sizes.side, sizes.batch, 2, sizes.steps + sizes.warm_up)
    with tempfile.TemporaryDirectory() as folder:
        trainer(device, folder, [*callbacks, clock]).validate(student(sizes, None), data, verbose=False)
    return clock.seconds


def num_waits(sizes: Sizes, device: torch.device, teacher: TeacherLookup | None) -> int | None:
    """Return how often the host waits for the device in one training step, or None on a CPU, where it never does."""
    if device.type != "cuda":
        return None
    module = student(sizes, None if teacher is None else teacher.to(device)).to(device).train()
    index = torch.arange(sizes.batch, device=device)
    image = torch.randn(sizes.batch, 1, sizes.side, sizes.side, device=device)
    batch: Any = {"image": image, "label": torch.ones(sizes.batch, NUM_CLASSES, device=device), "index": index}

    def loss() -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return module.losses(batch)["loss"]

    step = optimizer_step(module, loss)
    for _ in range(3):
        step()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        step()
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


def now(device: torch.device) -> float:
    """Return the time when the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
