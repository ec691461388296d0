"""A whole study on tiny data, through the real command line."""

import re
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd

from tests.forked import start
from tests.runs import config, student, text_teacher
from tests.study.synthetic import write_study

MONITORS = [
    {"class_path": "mmpkd.callbacks.localization.LocalizationMonitor"},
    {"class_path": "mmpkd.callbacks.localization.AttributionMapLogger", "init_args": {"num_images": 2}},
]


def write_tiny_study(folder: Path, tiny_root: Path, max_epochs: int = 4) -> None:
    write_study(folder, (0,))
    # a study has folders of its own, and its settings are the same in every folder
    run = {"dir": "unused", "save_every_n_steps": 3}
    config(folder, "teacher", tiny_root, text_teacher(), run=run)
    for name in ("baseline", "distill"):
        config(folder, name, tiny_root, student(), run=run, trainer={"callbacks": MONITORS, "max_epochs": max_epochs})


def study_arguments(folder: Path, *more: str) -> list[str]:
    return ["study", str(folder / "study.yaml"), "--out", str(folder / "out"), *more]


def start_study(folder: Path, *more: str) -> BaseProcess:
    return start(study_arguments(folder, *more), folder / "study.log")


def check_two_processes(run: Path, logs: Sequence[Path]) -> None:
    """Check that a run had two processes that scored each region once."""
    texts = [log.read_text() for log in logs]
    assert any("GLOBAL_RANK: 1, MEMBER: 2/2" in text for text in texts)
    assert not any("sync_dist" in text for text in texts)  # Lightning has no doubt about what is logged
    rows = pd.read_parquet(run / "roi_test.parquet")
    assert not rows.duplicated(["attribution", "finding", "sample_id"]).any()
    expected = pd.read_parquet(run / "predictions_test.parquet")
    assert len(rows) == rows["attribution"].nunique() * expected.filter(like="target/").sum().sum()


def without_circumstances(path: Path) -> bytes:
    """Return a file without what a page says of the day and the duration."""
    return re.sub(rb'<p id="circumstances">.*?</p>', b"", path.read_bytes(), flags=re.DOTALL)


def check_same_report(expected: Path, actual: Path) -> None:
    """Check that two studies have the same report, file by file and byte by byte."""
    paths = sorted(path for path in (expected / "report").rglob("*") if path.is_file())
    names = {path.name for path in paths}
    assert {"index.html", "explore.html", "learning.svg", "auroc_distilled_baseline.svg"} <= names
    for path in paths:
        again = actual / path.relative_to(expected)
        assert without_circumstances(again) == without_circumstances(path), path.name
