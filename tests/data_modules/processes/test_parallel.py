"""Many jobs on all processors."""

import logging

import pytest

from data_modules.processes.parallel import parallel


def test_progress_counts_what_jobs_consist_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("data_modules.processes.parallel.SECONDS_BETWEEN_LOG_LINES", 0.0)
    caplog.set_level(logging.INFO, "mmpkd")
    jobs = ["ab", "abc", "a"]
    assert list(parallel(str.upper, jobs, 0, "letters", sizes=[len(job) for job in jobs])) == ["AB", "ABC", "A"]
    assert list(parallel(str.upper, jobs, 0, "words")) == ["AB", "ABC", "A"]
    letters = ["letters: 6, in 1 processes", "letters: 2 of 6", "letters: 5 of 6", "letters: 6 of 6"]
    words = ["words: 3, in 1 processes", "words: 1 of 3", "words: 2 of 3", "words: 3 of 3"]
    assert caplog.messages == [*letters, *words]
