"""Memory that a loader process has for itself, at the size of MIMIC-CXR, for each way to start it.

Run: python benchmarks/workers.py [--rows 377110] [--workers 2] [--methods fork forkserver spawn]

Serves image, label, report and table of synthetic rows with prepared images, from two loader processes, each of which collects
unused memory once, since that touches all Python objects. `Private_Dirty` of /proc/PID/smaps_rollup is memory that a
process wrote and shares with no other; that of a process with 100 rows, which holds what was imported, is taken off.

"""

import argparse
import gc
import multiprocessing
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from many_images import NUM_IMAGES, ManyImages, write
from timing import Bar, show_bars

FEW = 100
WANTED = 30  # MB
NUM_BATCHES = 60


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=NUM_IMAGES)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=["fork", "forkserver", "spawn"])
    parser.add_argument("--folder", type=Path, help="measure these rows (used by the benchmark)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.folder is not None:
        print(*private_megabytes(options.folder, options.rows, options.workers, options.methods[0]))
        return
    with tempfile.TemporaryDirectory() as folder:
        bars = []
        print(f"{'start':12s} {'MB per process':>16s} {'beyond imports':>16s}")
        for method in options.methods:
            few, many = (measured(Path(folder) / method, rows, options.workers, method) for rows in (FEW, options.rows))
            print(f"{method:12s} {many:16.1f} {many - few:16.1f}", flush=True)
            bars.append(Bar(f"MB beyond imports at {options.rows} rows, {method}", many - few, WANTED))
        show_bars(bars)


def measured(folder: Path, rows: int, workers: int, method: str) -> float:
    """Return the private megabytes of the loader process that has most of them, measured in a process of its own."""
    arguments = [
        "--folder",
        str(folder / str(rows)),
        "--rows",
        str(rows),
        "--workers",
        str(workers),
        "--methods",
        method,
    ]
    output = subprocess.check_output([sys.executable, __file__, *arguments], text=True)
    return max(float(word) for word in output.split())


def private_megabytes(folder: Path, rows: int, workers: int, method: str) -> list[float]:
    """Serve batches, and return the private megabytes of each loader process."""
    multiprocessing.set_start_method(method)
    data = ManyImages(folder, rows, num_workers=workers, prepared=write(folder, rows), batch_size=32)
    loader = data.train_dataloader()
    loader.worker_init_fn = collect
    batches = iter(loader)
    for _ in range(min(NUM_BATCHES, len(loader) - 1)):
        next(batches)
    return [private(worker.pid) for worker in batches._workers]


def private(process: int) -> float:
    """Return the megabytes that a process wrote and shares with no other."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def collect(worker: int) -> None:
    """Collect unused memory, as Python does from time to time."""
    del worker
    gc.collect()


if __name__ == "__main__":
    main()
