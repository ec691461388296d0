import os
from collections.abc import Iterator

import pytest

from data_modules.processes.processors import num_processors


@pytest.fixture
def one_processor() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
@pytest.mark.usefixtures("one_processor")
def test_processors_that_are_not_granted_are_not_counted() -> None:
    assert num_processors() == 1


@pytest.mark.parametrize(("granted", "expected"), [("3", 3), ("16", 8), ("", 8), ("0", 8), ("many", 8)])
def test_a_job_of_a_cluster_uses_what_it_asked_for(
    granted: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", granted)
    assert num_processors() == expected


def test_a_run_of_a_study_uses_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert num_processors() == 1
