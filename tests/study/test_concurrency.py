"""How many runs are made at a time."""

from pathlib import Path

import pytest

from mmpkd.study.execution.concurrency import num_devices, runs_at_a_time
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.flags import parse_flags
from mmpkd.study.plan.study_plan import Arm


def run(folder: Path, settings: str, *flags: str) -> Run:
    folder.mkdir(exist_ok=True)
    (folder / "base.yaml").write_text("trainer: {devices: 4}\n")
    (folder / "arm.yaml").write_text(settings)
    return Run(Arm("arm", (folder / "arm.yaml",), "student"), 0, folder / "run", overrides=parse_flags(flags))


ONE = "trainer: {devices: 1}\n"


@pytest.mark.parametrize(
    ("settings", "flags", "expected"),
    [
        (ONE, (), 1),
        ("data: {}\n", (), None),
        ("base: base.yaml\ntrainer: {max_epochs: 2}\n", (), 4),
        (f"base: base.yaml\n{ONE}", (), 1),
        (ONE, ("--trainer.devices", "2"), 2),
        (ONE, ("--trainer.devices=auto",), None),
    ],
)
def test_how_many_devices_a_run_asks_for(
    settings: str, flags: tuple[str, ...], expected: int | None, tmp_path: Path
) -> None:
    assert num_devices(run(tmp_path, settings, *flags)) == expected


def test_a_file_that_is_added_counts_after_those_of_the_arm(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("trainer: {devices: 3}\n")
    assert num_devices(run(tmp_path, ONE, f"--config={tmp_path / 'more.yaml'}")) == 3


def test_each_run_has_a_processor_or_a_gpu(tmp_path: Path) -> None:
    own = [run(tmp_path / str(number), ONE) for number in range(6)]
    assert [runs_at_a_time(own, processors, 0) for processors in (1, 2, 4, 64)] == [1, 2, 4, 6]
    assert [runs_at_a_time(own, 64, gpus) for gpus in (1, 2, 8)] == [1, 2, 8]
    assert runs_at_a_time([], 2, 0) == 1


def test_a_run_over_several_devices_has_them(tmp_path: Path) -> None:
    wide = [run(tmp_path / "wide", ONE, "--trainer.devices=2"), *(run(tmp_path / name, ONE) for name in "ab")]
    assert runs_at_a_time(wide, 4, 0) == 2
    assert runs_at_a_time(wide, 1, 0) == 1
    assert runs_at_a_time(wide, 64, 4) == 1
    assert runs_at_a_time([run(tmp_path / "all", "data: {}\n")], 64, 4) == 1
