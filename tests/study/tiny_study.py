"""A whole study on tiny data, through the real command line."""

from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.forked import start
from tests.runs import config, student, text_teacher
from tests.study.synthetic import write_study

MONITORS = [
    {"class_path": "mmpkd.callbacks.localization.LocalizationMonitor"},
    {"class_path": "mmpkd.callbacks.attribution_maps.AttributionMapLogger", "init_args": {"num_images": 2}},
]


def write_tiny_study(folder: Path, tiny_root: Path, max_epochs: int = 2) -> None:
    write_study(folder, (0,))
    run = {"save_every_n_steps": 3}
    config(folder, "teacher", tiny_root, text_teacher(), run=run)
    for name in ("baseline", "distill"):
        config(folder, name, tiny_root, student(), run=run, trainer={"callbacks": MONITORS, "max_epochs": max_epochs})


def start_study(folder: Path, *more: str) -> ForkServerProcess:
    return start(["study", str(folder / "study.yaml"), "--out", str(folder / "out"), *more], folder / "study.log")
