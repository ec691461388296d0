"""How time and memory of a test and a validation grow with their images, on one process and on two that share them.

Run: python benchmarks/processes.py [--images 5000] [--factor 10] [--side 32] [--stages test validate]

A tiny student, so that tables, maps and scores dominate: `Trainer.test` and `Trainer.validate` with MultilabelScores (AUROC and
others of 14 labels), PredictionWriter, and LocalizationMonitor with rollout, last-layer attention and all scores, in a test also
maps; every second image has two regions. Each measurement runs in processes of its own. `batches` is the CPU time of all
batches; `end` is that of what follows the last one: gathering, scores, tables and files; both of the process with the most.
Memory is how much a process grows from the first batch on, and after the last one: the first process, which writes, and the
other. With MALLOC_MMAP_THRESHOLD_=262144, memory is returned when it is freed; what the allocator holds back otherwise varies.
"""

import argparse
import itertools
import logging
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from timing import Bar, show_bars
from torch.utils.data import DataLoader, IterableDataset

from data_modules.base import License, PrivilegedDataModule
from data_modules.batch import Batch
from data_modules.split import Split
from mmpkd.attribution import AttentionRollout, LastLayerAttention
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.callbacks.predictions import PredictionWriter
from mmpkd.modules import DistillationModule
from mmpkd.students import VisionTransformerStudent

NAMES = tuple(f"Finding {k}" for k in range(14))
BATCH = 50
# doubling, sorting and noise are allowed for; a square would be 10 times this
MARGIN = 1.2


class Batches(IterableDataset[Batch]):
    """Random images, generated batch by batch so that they take no memory; the share of one process.

    Args:
        num_images: Images of all processes.
        side: Height and width in pixels.
        rank: Process.
        world_size: Number of processes.
    """

    def __init__(self, num_images: int, side: int, rank: int, world_size: int) -> None:
        self.rows = np.arange(rank, num_images, world_size)
        self.side = side

    def __iter__(self) -> Iterator[Batch]:
        for first in range(0, len(self.rows), BATCH):
            yield self._batch(self.rows[first : first + BATCH])

    def _batch(self, rows: np.ndarray) -> Batch:
        generator = torch.Generator().manual_seed(int(rows[0]))
        with_roi = torch.from_numpy(np.flatnonzero(rows % 4 < 2)).repeat_interleave(2)
        num_pairs, side = len(with_roi), self.side
        mask = torch.zeros(num_pairs, side, side, dtype=torch.bool)
        mask[:, side // 4 : side // 2, side // 4 : side // 2] = True
        return {
            "image": torch.randn(len(rows), 1, side, side, generator=generator),
            "label": torch.randint(0, 2, (len(rows), len(NAMES)), generator=generator).float(),
            "index": torch.from_numpy(rows),
            "sample_id": [f"sample{row}" for row in rows],
            "patient_id": [f"patient{row}" for row in rows],
            "roi_mask": mask,
            "roi_sample": with_roi,
            "roi_label": torch.arange(num_pairs) % 2,
        }


class Data(PrivilegedDataModule):
    """Batches of `Batches` to test and to validate.

    Args:
        num_images: Images of all processes.
        side: Height and width in pixels.
    """

    license: ClassVar[License] = "synthetic"

    def __init__(self, num_images: int, side: int) -> None:
        super().__init__(NAMES, image_size=side, batch_size=BATCH)
        self.num_images = num_images

    def read_splits(self) -> dict[str, Split]:
        """Return what the monitor asks about samples."""
        sizes = {"train": 2, "val": self.num_images, "test": self.num_images}
        return {name: _split(name, size) for name, size in sizes.items()}

    def test_dataloader(self) -> Any:
        """Return the share of this process."""
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(Batches(self.num_images, self.image_size, rank, world_size), batch_size=None)

    val_dataloader = test_dataloader


def _split(name: str, size: int) -> Split:
    names = np.array([f"{name}{row}" for row in range(size)])
    label = np.resize(np.eye(2, len(NAMES), dtype=np.float32), (size, len(NAMES)))
    return Split(names, names, [Path()] * size, label, np.ones(size, dtype=np.bool_))


class Watch(Callback):
    """Notes time and memory of a test or a validation in a file for each process.

    Args:
        folder: Where.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start = self.last = 0.0
        self.before = self.held = self.peak = 0

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start."""
        self.before = forget_peak()
        self.start = time.process_time()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        """Note when the last batch ends, and what is held then."""
        self.last = time.process_time()
        self.peak = max(self.peak, memory("VmHWM"))
        self.held = forget_peak()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write."""
        peak = memory("VmHWM")
        grown = max(peak, self.peak) - self.before
        times = [self.last - self.start, time.process_time() - self.last]
        values = [*times, grown / 2**20, (peak - self.held) / 2**20]
        np.save(self.folder / f"rank{trainer.global_rank}.npy", values)

    on_validation_start = on_test_start
    on_validation_batch_end = on_test_batch_end
    on_validation_end = on_test_end


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # the test split of MIMIC-CXR has 5,159 images
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--factor", type=int, default=10)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--stages", nargs="+", default=["test", "validate"])
    options = parser.parse_args()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    print("stage    processes   images   batches       end   memory of each process         of the end")
    bars = []
    for stage, processes in itertools.product(options.stages, (1, 2)):
        found = []
        for images in (options.images, options.images * options.factor):
            by_rank = in_own_process(stage, processes, images, options.side)
            found.append(by_rank.max(0)[:3])
            seconds, end, _ = found[-1]
            grown, of_end = (", ".join(f"{size:.0f} MB" for size in by_rank[:, column]) for column in (2, 3))
            print(
                f"{stage:8s} {processes:9d} {images:8d} {seconds:7.2f} s {end:7.2f} s {grown:>24s} {of_end:>18s}",
                flush=True,
            )
        for name, less, more in zip(("batches", "end", "memory"), *found, strict=True):
            what = f"{name} of {stage}, {options.factor} times the images, {processes} processes"
            bars.append(Bar(what, more / less, options.factor * MARGIN))
    show_bars(bars)


def in_own_process(stage: str, processes: int, images: int, side: int) -> np.ndarray:
    """Return seconds of batches, seconds of the end, MiB, and MiB of the end, (ranks, 4)."""
    with tempfile.TemporaryDirectory() as folder:
        # forked before anything is computed, so that nothing is imported again
        job = get_context("fork").Process(target=run, args=(stage, processes, images, side, folder))
        job.start()
        job.join()
        if job.exitcode:
            raise ChildProcessError(
                f"Expected `{stage}` over {processes} processes to end but its status is {job.exitcode}."
            )
        return np.stack([np.load(path) for path in sorted(Path(folder).glob("rank*.npy"))])


def run(stage: str, processes: int, images: int, side: int, folder: str) -> None:
    """Test or validate a student once."""
    torch.set_num_threads(1)
    monitor = LocalizationMonitor([AttentionRollout(), LastLayerAttention()], [])
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="auto" if processes == 1 else "ddp_fork",
        callbacks=[PredictionWriter(), monitor, Watch(Path(folder))],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    torch.manual_seed(0)
    student = VisionTransformerStudent("vit_nano_patch8_64", len(NAMES), side, options={"depth": 1})
    getattr(trainer, stage)(DistillationModule(student), Data(images, side), verbose=False)


def forget_peak() -> int:
    """Forget the peak of this process's memory so far, and return what it holds, in bytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return memory("VmRSS")


def memory(name: str) -> int:
    """Return memory of this process in bytes: `VmRSS`, what it holds, or `VmHWM`, its peak."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.split(f"{name}:")[1].split()[0])


if __name__ == "__main__":
    main()
