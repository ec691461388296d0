"""The tables that a test wrote are all there, or the run is not reported."""

from dataclasses import replace
from pathlib import Path

import pytest

from mmpkd.study.analysis.run_tables import read_run
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.errors import StudyError
from tests.study.synthetic import planned, write_run, write_study


def finished_run(folder: Path, metrics: dict[str, float | None]) -> Run:
    """Return a run of a student whose test logged the given values."""
    write_study(folder, (0,))
    run = planned(folder)[1]
    write_run(run.folder, 0, 0.1)
    state = run.record.state
    assert state is not None
    assert state.test is not None
    run.record.update(test=replace(state.test, metrics=metrics))
    return run


@pytest.mark.parametrize("table", ["predictions", "roi", "roi_union", "faithfulness"])
def test_a_table_that_is_gone_is_named(table: str, tmp_path: Path) -> None:
    """Without its regions, a run would be left out of the answer without a word."""
    run = finished_run(tmp_path, {f"test/rollout/{name}": 9.0 for name in ("num_roi", "union/num_roi", "deletion")})
    run.record.faithfulness.touch()
    assert read_run(run).rois is not None
    path = run.folder / f"{table}_test.parquet"
    path.unlink()
    with pytest.raises(StudyError, match=f"{path}, which the test of the run wrote, .* again: mmpkd test .*best.ckpt"):
        read_run(run)


def test_a_test_without_regions_has_no_table_of_them(tmp_path: Path) -> None:
    run = finished_run(tmp_path, {"test/auroc_macro": 0.5, "test/num_classes_evaluated": 1.0})
    for name in ("roi_test.parquet", "roi_union_test.parquet"):
        (run.folder / name).unlink()
    tables = read_run(run)
    assert (tables.rois, tables.unions) == (None, None)
