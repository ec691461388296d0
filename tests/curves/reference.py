"""The loss of the first 20 steps of each arm, on tiny phantoms of both domains, on a CPU.

    python -m tests.curves.reference         writes tests/curves/reference.json; do so only if a change of the training is meant

Each arm is its own experiment (`experiments/{cxr,mammo}/{teacher,baseline,distill}.yaml`) with 80 images, batches of 4 and one
epoch; the distilled student has the teacher of these 20 steps.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mmpkd.cli.lightning_cli import main

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
REFERENCE = Path(__file__).with_name("reference.json")
STEPS = 20
DOMAINS = {"cxr": {"num_train": 80, "num_val": 16, "num_test": 8}, "mammo": {"num_train": 140, "num_test": 8}}
ARMS = ("teacher", "baseline", "distill")
SIZE = [
    "--data.batch_size=4",
    f"--data.max_train_samples={4 * STEPS}",
    "--trainer.max_epochs=1",
    "--trainer.limit_val_batches=4",
    "--trainer.accelerator=cpu",
    "--trainer.log_every_n_steps=1",
    "--run.wandb=disabled",
    "--trainer.callbacks=null",
]


def curves(folder: Path) -> Iterator[tuple[str, list[float]]]:
    """Train each arm, and yield its name and the loss of each step.

    Args:
        folder: Where data and runs are written.
    """
    for domain, sizes in DOMAINS.items():
        data = [f"--data.root={folder / domain / 'data'}", *(f"--data.{name}={size}" for name, size in sizes.items())]
        teacher = folder / domain / "teacher" / "checkpoints" / "best.ckpt"
        for arm in ARMS:
            run = folder / domain / arm
            own = [f"--model.teacher.path={teacher}"] if arm == "distill" else []
            config = EXPERIMENTS / domain / f"{arm}.yaml"
            main(["fit", "--config", str(config), f"--run.dir={run}", *data, *SIZE, *own])
            logged = pd.read_csv(run / "metrics.csv")
            losses = logged[logged["name"] == "train/loss"].sort_values("step")["value"]
            yield f"{domain}/{arm}", losses.tolist()


def write() -> None:
    """Write the reference."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: [float(f"{loss:.6g}") for loss in losses] for name, losses in curves(Path(folder))}
    lines = [f"  {json.dumps(name)}: {json.dumps(losses)}" for name, losses in found.items()]
    REFERENCE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write()
