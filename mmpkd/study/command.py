"""`python -m mmpkd study`: teacher, arms and seeds, then a report."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from mmpkd.study.plan import StudyError
from mmpkd.study.plan_file import check_overrides, check_seeds, load_plan


def main(argv: Sequence[str]) -> int:
    """Run a study.

    Args:
        argv: Arguments after `study`.

    Returns:
        Exit status: 0, 1 if a run failed, 2 for a study that cannot run, 130 if it was interrupted.
    """
    arguments, overrides = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        return _run(arguments, overrides)
    except StudyError as error:
        sys.stderr.write(f"mmpkd study: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nmmpkd study: interrupted. The same command goes on where it stopped.\n")
        return 130


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        "mmpkd study",
        description="Train the teacher and the student arms of a study over seeds, test them, and write a report. "
        "Finished runs are kept, interrupted ones go on.",
        epilog="Lightning overrides for every run follow after --, for example: -- --trainer.max_epochs=2",
    )
    parser.add_argument("study", type=Path, help="study file, for example experiments/cxr/study.yaml")
    parser.add_argument("--out", type=Path, help="folder of the study (default: runs/<name>)")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds of the student arms (default: those of the file)")
    parser.add_argument("--dry-run", action="store_true", help="print what would run")
    parser.add_argument("--report-only", action="store_true", help="write the report of the finished runs")
    args = list(argv)
    split = args.index("--") if "--" in args else len(args)
    return parser.parse_args(args[:split]), args[split + 1 :]


def _run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from mmpkd.study.runner import check_unchanged, is_finished, plan_runs, run_all

    plan = load_plan(arguments.study)
    seeds = check_seeds(arguments.seeds) if arguments.seeds else plan.seeds
    out = arguments.out or Path("runs") / plan.name
    runs = plan_runs(plan, out, seeds, check_overrides(overrides))
    if arguments.dry_run:
        for run in runs:
            state = "finished" if is_finished(run) else "to do"
            sys.stdout.write(f"{state:9} {run.name:24} mmpkd fit {' '.join(run.flags)}\n")
        return 0
    failed: Sequence[tuple[object, str]] = ()
    finished = [run for run in runs if is_finished(run)]
    if arguments.report_only:
        for run in finished:
            check_unchanged(run)
    else:
        from mmpkd.cli import main as lightning

        outcome = run_all(runs, lightning)
        finished, failed = list(outcome.finished), outcome.failed
    return _report(plan, out, seeds, finished, failed)


def _report(plan: object, out: Path, seeds: Sequence[int], finished: object, failed: object) -> int:
    from mmpkd.study.report import write_report

    sentence, path = write_report(plan, out, seeds, finished, failed)  # type: ignore[arg-type]
    sys.stdout.write(f"\n{sentence}\n\nReport: {path}\n")
    return 1 if failed else 0
