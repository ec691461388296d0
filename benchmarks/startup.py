"""How long commands take to start, in CPU time, beside the imports that they cannot avoid.

Run: python benchmarks/startup.py [--repeats 5]

Every measurement is a process of its own on one thread; a round runs all of them in turn, and the medians of the rounds are
compared. Python's compiled modules are present (`make install` compiles them), and the phantoms are written before. `fit` is
`experiments/cxr/baseline.yaml` with W&B offline, from the command to the end of the first optimizer step, where the process ends
at once, as those do that only import something.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from data_modules.phantoms import write_chest_phantoms
from mmpkd.commands.main import OWN_COMMANDS

ROOT = Path(__file__).resolve().parents[1]
TORCH, LIGHTNING = "import torch", "import lightning.pytorch.cli"
SIZES = {"num_train": 64, "num_val": 32, "num_test": 32}


class StopAfterFirstStep(Callback):
    """Ends the process after the first optimizer step."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Stop, with a status that says that the step was done."""
        del pl_module
        os._exit(0 if trainer.global_step == 1 else 1)


def main() -> None:
    """Measure and print."""
    from timing import (  # lies beside this file; the training that is measured finds this file another way
        Bar,
        show_bars,
    )

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_chest_phantoms(folder / "phantoms", **SIZES)
        programs = {name: ["-c", f"{name}; import os; os._exit(0)"] for name in (TORCH, LIGHTNING)}
        programs |= {f"{command} --help": ["-m", "mmpkd", command, "--help"] for command in OWN_COMMANDS}
        programs["fit, first step"] = ["-m", "mmpkd", *fit(folder)]
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(options.repeats):
            for name, arguments in programs.items():
                seconds[name].append(cpu_seconds(arguments))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    show(medians)
    helps = [name for name in medians if name.endswith("--help")]
    bars = [Bar(f"{name} / {TORCH}", medians[name] / medians[TORCH], 0.5) for name in helps]
    show_bars([*bars, Bar(f"fit, first step / {LIGHTNING}", medians["fit, first step"] / medians[LIGHTNING], 1.45)])


def fit(folder: Path) -> list[str]:
    """Return the arguments of the training."""
    config = ROOT / "experiments" / "cxr" / "baseline.yaml"
    sizes = [f"--data.{name}={value}" for name, value in SIZES.items()]
    stop = "--trainer.callbacks+=benchmarks.startup.StopAfterFirstStep"
    run = [f"--run.dir={folder / 'run'}", "--run.wandb=offline", f"--data.root={folder / 'phantoms'}"]
    return ["fit", "--config", str(config), *run, *sizes, stop]


def cpu_seconds(arguments: list[str]) -> float:
    """Run Python with arguments and return the CPU time that it took.

    Raises:
        CalledProcessError: If it failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show(seconds: dict[str, float]) -> None:
    """Print a table of seconds and ratios."""
    table = Table("", "CPU seconds", f"ratio to {TORCH}", f"ratio to {LIGHTNING}")
    for name, value in seconds.items():
        to_torch, to_lightning = (f"{value / seconds[reference]:.2f}" for reference in (TORCH, LIGHTNING))
        table.add_row(name, f"{value:.2f}", to_torch, to_lightning)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
