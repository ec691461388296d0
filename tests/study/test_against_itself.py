from math import comb
from pathlib import Path

import numpy as np
import pytest

from mmpkd.statistics.estimands import Regions
from mmpkd.study.analysis.against_itself import against_itself, main
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.plan_file import load_plan
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, write_study


def one_region_each(num_patients: int) -> Regions:
    return Regions(np.arange(num_patients), np.zeros(num_patients, np.int64))


@pytest.mark.parametrize(("num_runs", "expected"), [(4, 3), (5, 15), (6, comb(6, 3) // 2), (10, 126)])
def test_every_split_is_judged_once(num_runs: int, expected: int) -> None:
    scores = np.random.default_rng(0).normal(size=(num_runs, 40))
    assert against_itself(scores, one_region_each(40)).num_splits == expected


def test_three_runs_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 4 runs"):
        against_itself(np.zeros((3, 5)), one_region_each(5))


def test_runs_of_one_method_are_seldom_told_apart() -> None:
    """Splits of a pool claim as often as independent studies of two halves do: in 3.2 % (4,000 of them, standard error .3 %)."""
    rng = np.random.default_rng(0)
    shares = []
    for pool in range(100):
        scores = rng.normal(0, 0.03, (8, 1)) + rng.normal(0, 0.2, 60) + rng.normal(0, 0.2, (8, 60))
        claims = against_itself(scores, one_region_each(60), seed=pool)
        shares.append(claims.num_false / claims.num_splits)
    assert 0.02 < np.mean(shares) < 0.045


def test_runs_of_two_methods_are_told_apart_where_the_split_is_theirs() -> None:
    rng = np.random.default_rng(0)
    scores = np.repeat([0.0, 1.0], 4)[:, None] + rng.normal(0, 0.01, (8, 60))
    claims = against_itself(scores, one_region_each(60))
    assert claims.num_false >= 1
    assert np.abs(claims.estimates).max() == pytest.approx(1, abs=0.02)


def test_the_finished_runs_of_a_study_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = load_plan(write_study(tmp_path, (0, 1, 2, 3)))
    run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine()))
    arguments = [str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), "--arms"]
    main([*arguments, "baseline"])
    assert "of 3 splits of 4 runs claim a difference" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"got \['nobody'\]"):
        main([*arguments, "nobody"])
    (tmp_path / "out" / "baseline" / "seed0" / "roi_test.parquet").unlink()
    with pytest.raises(SystemExit, match="Expected the attribution 'rollout'"):
        main([*arguments, "baseline"])
    with pytest.raises(SystemExit, match="at least 4 runs"):
        main([*arguments, "baseline", "--out", str(tmp_path / "empty")])
