"""A study that is killed, again and again, ends with the report of an undisturbed one."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runs import config, student, text_teacher
from tests.study.synthetic import write_study

REPOSITORY = Path(__file__).parents[2]
# files that appear in the middle of things: a fit of a student in the study's process, a student between fit and test in its own
MOMENTS = (("baseline/seed0/checkpoints/last.ckpt",), ("distilled/seed0/summary.json", "--jobs", "2"))


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mmpkd", "study", str(folder / "study.yaml"), "--out", str(folder / "out"), *more]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill_at(folder: Path, moment: Path, *more: str) -> None:
    process = start(folder, *more)
    while not moment.exists():
        assert process.poll() is None, f"the study ended with {process.returncode} before {moment} appeared"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with (folder / "out" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # processes of the study save what they have, and end by themselves


@pytest.mark.slow
def test_a_killed_study_ends_with_the_report_of_an_undisturbed_one(tiny_root: Path, tmp_path: Path) -> None:
    callbacks = [
        {"class_path": "mmpkd.callbacks.localization.LocalizationMonitor"},
        {"class_path": "mmpkd.callbacks.attribution_maps.AttributionMapLogger", "init_args": {"num_images": 2}},
    ]
    write_study(tmp_path, (0,))
    run = {"save_every_n_steps": 3}
    config(tmp_path, "teacher", tiny_root, text_teacher(), run=run)
    for name in ("baseline", "distill"):
        config(tmp_path, name, tiny_root, student(), run=run, trainer={"callbacks": callbacks})
    assert start(tmp_path).wait() == 0
    (tmp_path / "out").rename(tmp_path / "undisturbed")
    for moment, *engine in MOMENTS:
        kill_at(tmp_path, tmp_path / "out" / moment, *engine)
        assert not (tmp_path / "out" / "report").exists()
    assert start(tmp_path).wait() == 0
    expected = sorted(path for path in (tmp_path / "undisturbed" / "report").rglob("*") if path.is_file())
    assert len(expected) == 6
    for path in expected:
        again = tmp_path / "out" / "report" / path.relative_to(tmp_path / "undisturbed" / "report")
        assert again.read_bytes() == path.read_bytes(), path.name
