"""`python -m mmpkd study`: teacher, arms and seeds, then a report."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmpkd.commands.command import new_folder
from mmpkd.error_lines import run_with_error_line, take_debug
from mmpkd.study.plan import StudyError
from mmpkd.study.plan_file import check_overrides, check_seeds, load_plan
from mmpkd.terminal import start_logging

if TYPE_CHECKING:
    from mmpkd.study.plan import StudyPlan
    from mmpkd.study.run import Run
    from mmpkd.study.runner import Outcome


def main(argv: Sequence[str]) -> int:
    """Run a study.

    Args:
        argv: Arguments after `study`; with `--debug` among them, every error has its traceback.

    Returns:
        Exit status: 0, 1 if a run failed, 2 for a study that cannot run, 130 if it was interrupted.
    """
    args, is_debug = take_debug(argv)
    arguments, overrides = _parse(args)
    start_logging()
    try:
        return run_with_error_line("mmpkd study", is_debug, lambda: _run(arguments, overrides))
    except KeyboardInterrupt:
        jobs = " Its jobs stay in the queue; `scancel` stops them." if arguments.slurm else ""
        sys.stderr.write(f"\nmmpkd study: interrupted.{jobs} The same command goes on where it stopped.\n")
        return 130


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        "mmpkd study",
        description="Train the teacher and the student arms of a study over seeds, test them, and write a report. "
        "Finished runs are kept, interrupted ones go on.",
        allow_abbrev=False,
        epilog="Lightning overrides for every run follow after --, for example: -- --trainer.max_epochs=2",
    )
    parser.add_argument("study", type=Path, help="study file, for example experiments/cxr/study.yaml")
    parser.add_argument("--out", type=new_folder, help="folder of the study (default: runs/<name>)")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds of the student arms (default: those of the file)")
    parser.add_argument(
        "--jobs",
        type=int,
        help="runs at a time, in processes of their own (default: one, in this process; with --slurm: no limit)",
    )
    parser.add_argument(
        "--slurm",
        type=Path,
        help="make the runs as jobs of a SLURM cluster; a YAML file with options of sbatch, for example experiments/slurm.yaml",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would run, and what it will take")
    parser.add_argument("--report-only", action="store_true", help="write the report of the finished runs")
    args = list(argv)
    split = args.index("--") if "--" in args else len(args)
    return parser.parse_args(args[:split]), args[split + 1 :]


def _run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    if sys.platform == "win32":
        raise StudyError(
            "Expected Linux or macOS, whose file locks keep two studies out of one folder. On Windows, run it in WSL."
        )
    from mmpkd.study.declaration import declare
    from mmpkd.study.processes import locked
    from mmpkd.study.run import check_unchanged, is_finished
    from mmpkd.study.runner import plan_runs
    from mmpkd.user_code import find_user_code

    find_user_code()
    if arguments.jobs is not None and arguments.jobs < 1:
        raise StudyError(f"Expected --jobs to be at least 1 but got {arguments.jobs}.")
    plan = load_plan(arguments.study)
    seeds = check_seeds(arguments.seeds) if arguments.seeds else plan.seeds
    out = arguments.out or Path("runs") / plan.name
    runs = plan_runs(plan, out, seeds, check_overrides(overrides))
    if arguments.dry_run:
        for run in runs:
            check_unchanged(run)
        _show_plan(runs, arguments.jobs)
        return 0
    failed: Sequence[tuple[object, str]] = ()
    finished = [run for run in runs if is_finished(run)]
    if arguments.report_only:
        for run in finished:
            check_unchanged(run)
    else:

        def begin() -> None:
            from mmpkd.study.data_check import check_data_of

            check_data_of([run for run in runs if not is_finished(run)])
            declare(plan, out, seeds)

        with locked(out) as lock:
            outcome = _make(runs, arguments, plan, out, lock, begin)
        finished, failed = list(outcome.finished), outcome.failed
    return _report(plan, out, seeds, finished, failed)


def _make(
    runs: "Sequence[Run]",
    arguments: argparse.Namespace,
    plan: "StudyPlan",
    out: Path,
    lock: int,
    begin: Callable[[], None],
) -> "Outcome":
    """Make the runs in this process, in others (if asked for, and on several GPUs), or on a cluster.

    `begin` is called when nothing but the data can be wrong any more.
    """
    import torch

    from mmpkd.study.engines import InThisProcess, InThreads
    from mmpkd.study.processes import LocalProcesses
    from mmpkd.study.runner import run_all
    from mmpkd.study.slurm import Slurm, check_not_queued
    from mmpkd.study.slurm_queue import load_parameters

    num_jobs = arguments.jobs
    if arguments.slurm is not None:
        cluster = Slurm(out / "slurm", load_parameters(arguments.slurm), plan.name, num_jobs)
        begin()
        return run_all(runs, cluster)
    check_not_queued(runs)
    begin()
    num_gpus = torch.cuda.device_count()
    if num_jobs is None and num_gpus < 2:
        from mmpkd.quick_cli import main as lightning

        return run_all(runs, InThisProcess(lightning))
    jobs = num_jobs or 1
    processes = LocalProcesses(jobs, num_gpus, lock)
    with InThreads(processes, jobs) as engine:
        try:
            return run_all(runs, engine)
        except KeyboardInterrupt:
            processes.stop()
            raise


def _show_plan(runs: "Sequence[Run]", num_jobs: int | None) -> None:
    """Print the runs, and how long those that are left will take if finished runs of their arms are a guide."""
    from mmpkd.study.run import is_finished, seconds_taken

    taken: dict[str, list[float]] = {}
    for run in runs:
        if is_finished(run) and not run.test_set and (seconds := seconds_taken(run)) is not None:
            taken.setdefault(run.arm.role, []).append(seconds)
    left = [run for run in runs if not is_finished(run)]
    for run in runs:
        state = "finished" if is_finished(run) else "to do"
        sys.stdout.write(f"{state:9} {run.name:24} mmpkd {'test' if run.test_set else 'fit'} {' '.join(run.flags)}\n")
    known = [run for run in left if run.arm.role in taken and not run.test_set]
    cost = sum(sum(taken[run.arm.role]) / len(taken[run.arm.role]) for run in known) / (num_jobs or 1)
    how = f"{num_jobs} at a time" if num_jobs else "in all"
    guide = (
        f", about {cost / 60:.0f} min for {len(known)} of them, {how}"
        if known
        else "; what they take is known once runs are finished"
    )
    sys.stdout.write(f"{len(runs) - len(left)} finished, {len(left)} to do{guide}\n")


def _report(plan: object, out: Path, seeds: Sequence[int], finished: object, failed: object) -> int:
    from mmpkd.study.report import write_report

    sentence, path = write_report(plan, out, seeds, finished, failed)  # type: ignore[arg-type]
    sys.stdout.write(f"\n{sentence}\n\nReport: {path}\n")
    return 1 if failed else 0
