"""Training steps in plain PyTorch on a GPU, the peer of `gpu.py`, with and without settings that are said to pay."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import timm
import torch
from distillation import NUM_CLASSES
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import BertConfig

from data_modules.images.device_images import augment
from data_modules.images.transforms import Augmentation

AUGMENTATION = Augmentation(shift=0.05, scale=0.1, rotate=10, contrast=0.1)


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
        workers: Loader processes.
    """

    model: str
    side: int
    batch: int
    steps: int = 40
    warm_up: int = 10
    tokens: int = 256
    bert: BertConfig = field(default_factory=BertConfig)
    compile: bool = True
    workers: int = 8


@dataclass(frozen=True)
class Settings:
    """Settings of a bare loop; by default those of `bare loop` itself.

    Attributes:
        channels_last: Whether images and weights are laid out channels last.
        fused: Whether AdamW is one kernel.
        whole_step: Whether loss and optimizer are compiled, too.
        tf32: Whether float32 products may use TF32.
        loads: Whether 8-bit images come from loader processes, and are augmented on the device.
        pinned: Whether loaded images lie in pinned memory and are copied while the device computes.
        augments: Whether images are augmented on the device.
    """

    channels_last: bool = False
    fused: bool = False
    whole_step: bool = False
    tf32: bool = True
    loads: bool = False
    pinned: bool = False
    augments: bool = False


# what each of them gives is measured against the bare loop
VARIANTS = {
    "channels last": Settings(channels_last=True),
    "fused AdamW": Settings(fused=True),
    "whole step compiled": Settings(whole_step=True),
    "without TF32": Settings(tf32=False),
    "augmented on the device": Settings(augments=True),
    "8 bits from loaders": Settings(loads=True, augments=True),
    "the same, pinned": Settings(loads=True, augments=True, pinned=True),
}


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Random 8-bit images and their positions, a whole batch per item, as prepared images are stored.

    Args:
        sizes: Sizes of a batch, and how many there are.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.num_batches = sizes.warm_up + sizes.steps
        self.batch = sizes.batch
        shape = (2 * sizes.batch, sizes.side, sizes.side)
        self.pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        if number >= self.num_batches:
            raise IndexError(number)
        index = torch.arange(number * self.batch, (number + 1) * self.batch)
        return self.pixels[index % len(self.pixels), None], index


def bare_loop(sizes: Sizes, device: torch.device, settings: Settings = Settings()) -> float:
    """Return the seconds of the timed steps in plain PyTorch: a compiled timm model, autocast and AdamW."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if settings.tf32 else "highest")
    try:
        step = training_step(sizes, device, settings)
        batches = iter(batches_of(sizes, device, settings))
        start = 0.0
        for number in range(sizes.warm_up + sizes.steps):
            if number == sizes.warm_up:
                start = now(device)
            step(*next(batches))
        return now(device) - start
    finally:
        torch.set_float32_matmul_precision(before)


def batches_of(sizes: Sizes, device: torch.device, settings: Settings) -> "list[tuple[Tensor, Tensor]] | DataLoader":
    """Return 8-bit images (B, 1, H, W) and positions (B,): the same batch on the device, or loaded ones."""
    images = Images(sizes)
    if not settings.loads:
        pixels, index = images[0]
        return [(pixels.to(device), index.to(device))] * len(images)
    pinned = settings.pinned and device.type == "cuda"
    return DataLoader(images, batch_size=None, num_workers=sizes.workers, pin_memory=pinned)


def training_step(sizes: Sizes, device: torch.device, settings: Settings) -> Callable[[Tensor, Tensor], None]:
    """Return a step on 8-bit images (B, 1, H, W) and their positions (B,)."""
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    model = timm.create_model(sizes.model, in_chans=1, num_classes=NUM_CLASSES, img_size=sizes.side)
    model = model.to(device, memory_format=layout).train()
    run = torch.compile(model) if sizes.compile and not settings.whole_step else model
    label = (torch.rand(sizes.batch, NUM_CLASSES, device=device) < 0.3).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=settings.fused)

    def loss_of(image: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits = run(image)
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), label)

    whole = sizes.compile and settings.whole_step
    loss = torch.compile(loss_of) if whole else loss_of
    update = torch.compile(optimizer.step) if whole else optimizer.step

    def step(pixels: Tensor, index: Tensor) -> None:
        image = pixels.to(device, non_blocking=settings.pinned).float() / 255
        if settings.augments:
            image = augment(image, AUGMENTATION, 0, 0, index.to(device, non_blocking=settings.pinned))
        value = loss(((image - 0.5) / 0.25).contiguous(memory_format=layout))
        optimizer.zero_grad()
        value.backward()
        update()

    return step


def now(device: torch.device) -> float:
    """Return the time when the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
