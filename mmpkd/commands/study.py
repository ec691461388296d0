"""`mmpkd study`: train teacher, arms and seeds, then write a report."""

import argparse
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmpkd.cli.error_lines import run_with_error_line, take_debug
from mmpkd.cli.terminal import start_logging
from mmpkd.commands.command import CommandParser, new_folder
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.study_plan import check_seeds

if TYPE_CHECKING:
    from mmpkd.study.execution.likeness import Likeness
    from mmpkd.study.execution.run import Run
    from mmpkd.study.execution.runner import Outcome
    from mmpkd.study.plan.study_plan import StudyPlan


def main(argv: Sequence[str]) -> int:
    """Run a study.

    Args:
        argv: Arguments after `study`; with `--debug`, every error shows its traceback.

    Returns:
        Exit status: 0, 1 if a run failed, 2 if the study cannot run, 130 if it was interrupted.
    """
    args, is_debug = take_debug(argv)
    end = args.index("--") if "--" in args else len(args)
    arguments = _parser().parse_args(args[:end])
    start_logging()
    try:
        return run_with_error_line("mmpkd study", is_debug, lambda: _run(arguments, args[end + 1 :]))
    except KeyboardInterrupt:
        jobs = " Its jobs stay in the queue; `scancel` stops them." if arguments.slurm else ""
        sys.stderr.write(f"\nmmpkd study: interrupted.{jobs} The same command resumes where it stopped.\n")
        return 130


def _parser() -> CommandParser:
    parser = CommandParser(
        "mmpkd study",
        description="Train the teacher and the student arms of a study over seeds, test them, and write a report. "
        "Finished runs are kept, interrupted ones are resumed.",
        epilog="Lightning flags for every run go after --, for example: -- --trainer.max_epochs=2",
    )
    parser.add_argument("study", type=Path, help="study file, for example experiments/cxr/study.yaml")
    parser.add_argument("--out", type=new_folder, help="folder of the study (default: runs/<name>)")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds of the student arms (default: those of the file)")
    parser.add_argument(
        "--jobs",
        type=int,
        help="runs at a time, in processes of their own (default: one per GPU or, without GPUs, one per processor; with --slurm: "
        "no limit)",
    )
    parser.add_argument(
        "--slurm",
        type=Path,
        help="make the runs as SLURM jobs, with the sbatch options in this YAML file, for example experiments/slurm.yaml",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would run, and how long it will take")
    parser.add_argument("--report-only", action="store_true", help="write the report of the finished runs")
    return parser


def _run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    _check_machine()
    from mmpkd.cli.user_code import find_user_code
    from mmpkd.study.execution.likeness import Likeness
    from mmpkd.study.execution.planned_runs import plan_runs
    from mmpkd.study.plan.plan_file import load_plan

    find_user_code()
    if arguments.jobs is not None and arguments.jobs < 1:
        raise StudyError(f"Expected --jobs to be at least 1 but got {arguments.jobs}.")
    plan = load_plan(arguments.study)
    seeds = check_seeds(arguments.seeds) if arguments.seeds else plan.seeds
    out = arguments.out or Path("runs") / plan.name
    runs = plan_runs(plan, out, seeds, overrides)
    if arguments.dry_run:
        Likeness(plan, runs).check()
        return _show(runs, arguments.jobs)
    outcome = _finished(runs) if arguments.report_only else _make(runs, arguments, plan, out, seeds)
    return _report(plan, out, seeds, outcome)


def _check_machine() -> None:
    if sys.platform == "win32":
        raise StudyError(
            "Expected Linux or macOS, because file locks keep two studies out of the same folder. On Windows, run it in WSL."
        )


def _finished(runs: "Sequence[Run]") -> "Outcome":
    """Return the finished and the failed runs, after checking that they have the settings of the study."""
    from mmpkd.study.execution.attempt import failure
    from mmpkd.study.execution.fingerprint import check_unchanged
    from mmpkd.study.execution.run import FailedRun, is_finished
    from mmpkd.study.execution.runner import Outcome

    finished = tuple(run for run in runs if is_finished(run))
    for run in finished:
        check_unchanged(run)
    reasons = {run.folder: failure(run) for run in runs}
    failed = [FailedRun(run, reason) for run in runs if (reason := reasons[run.folder]) is not None]
    return Outcome(finished, tuple(failed))


def _make(
    runs: "Sequence[Run]", arguments: argparse.Namespace, plan: "StudyPlan", out: Path, seeds: Sequence[int]
) -> "Outcome":
    """Make the unfinished runs."""
    from mmpkd.study.execution.data_check import check_data_of
    from mmpkd.study.execution.likeness import Likeness
    from mmpkd.study.execution.processes import locked
    from mmpkd.study.execution.run import is_finished
    from mmpkd.study.plan.declaration import declare

    def begin() -> Likeness:
        """Check the data and the arms and declare the study, last, when nothing else can go wrong any more."""
        Likeness(plan, runs).check()  # what settings and finished runs say takes no time
        likeness = Likeness(plan, runs, check_data_of([run for run in runs if not is_finished(run)]))
        likeness.check()
        # a declaration that follows the runs of these students is exploratory
        students = [run.name for run in runs if run.arm.role == "student" and is_finished(run)]
        declare(plan, out, seeds, students)
        return likeness

    with locked(out) as lock:
        if arguments.slurm is not None:
            return _make_on_cluster(runs, arguments, plan, out, begin)
        return _make_here(runs, arguments.jobs, out, lock, begin)


def _make_on_cluster(
    runs: "Sequence[Run]", arguments: argparse.Namespace, plan: "StudyPlan", out: Path, begin: "Callable[[], Likeness]"
) -> "Outcome":
    from mmpkd.commands.processes.run import run_lightning
    from mmpkd.study.execution.display.shown import Shown, live
    from mmpkd.study.execution.runner import run_all
    from mmpkd.study.execution.slurm.engine import Slurm
    from mmpkd.study.execution.slurm.queue import load_parameters

    parameters = load_parameters(arguments.slurm)
    cluster = Slurm(run_lightning, out / "slurm", parameters, plan.name, arguments.jobs)
    likeness = begin()
    shown = Shown(cluster, runs)
    with live(shown.table):
        return run_all(runs, shown, likeness)


def _make_here(
    runs: "Sequence[Run]", num_jobs: int | None, out: Path, lock: int, begin: "Callable[[], Likeness]"
) -> "Outcome":
    """Make the runs on this machine, each in a process of its own."""
    import torch

    from data_modules.processes.processors import num_processors
    from mmpkd.commands.processes.run import PROGRAM
    from mmpkd.study.execution.concurrency import runs_at_a_time
    from mmpkd.study.execution.display.shown import Shown, live
    from mmpkd.study.execution.engines import InThreads
    from mmpkd.study.execution.processes import LocalProcesses, shared_images
    from mmpkd.study.execution.runner import run_all
    from mmpkd.study.execution.slurm.engine import check_not_queued

    check_not_queued(runs)
    # under the lock of the study, no process writes to its runs
    for run in runs:
        run.record.remove_unfinished()
    likeness = begin()
    # MPS is one GPU, which CUDA does not count
    num_gpus = 1 if torch.backends.mps.is_available() else torch.cuda.device_count()
    at_a_time = num_jobs or runs_at_a_time(runs, num_processors(), num_gpus)
    with shared_images(out) as images:
        processes = LocalProcesses(PROGRAM, at_a_time, num_gpus, lock, images)
        with InThreads(processes, at_a_time) as engine:
            shown = Shown(engine, runs)
            try:
                with live(shown.table):
                    return run_all(runs, shown, likeness)
            except KeyboardInterrupt:
                sys.stderr.write("Stopping: the runs save and end, which takes until the end of a test.\n")
                # leaving the engine waits for its runs, so those about to start must not
                processes.stop()
                raise


def _show(runs: "Sequence[Run]", num_jobs: int | None) -> int:
    """Print the runs as commands, and how long the remaining ones will take, judging by finished runs of their arms."""
    from mmpkd.study.execution.command import first_command
    from mmpkd.study.execution.fingerprint import check_unchanged
    from mmpkd.study.execution.run import is_finished

    for run in runs:
        check_unchanged(run)
    finished = [run for run in runs if is_finished(run)]
    left = [run for run in runs if run not in finished]
    for run in runs:
        state = "finished" if run in finished else "to do"
        sys.stdout.write(f"{state:9} {run.name:24} {first_command(run)}\n")
    sys.stdout.write(f"{len(finished)} finished, {len(left)} to do{_time_left(finished, left, num_jobs)}\n")
    return 0


def _time_left(finished: "Sequence[Run]", left: "Sequence[Run]", num_jobs: int | None) -> str:
    from mmpkd.study.execution.run import seconds_taken

    taken: dict[str, list[float]] = {}
    for run in finished:
        seconds = seconds_taken(run)
        if run.external is None and seconds is not None:
            taken.setdefault(run.arm.role, []).append(seconds)
    means = {role: sum(seconds) / len(seconds) for role, seconds in taken.items()}
    known = [means[run.arm.role] for run in left if run.external is None and run.arm.role in means]
    if not known:
        return "; their duration is known once runs are finished"
    how = f"{num_jobs} at a time" if num_jobs else "in all"
    return f", about {sum(known) / (num_jobs or 1) / 60:.0f} min for {len(known)} of them, {how}"


def _report(plan: "StudyPlan", out: Path, seeds: Sequence[int], outcome: "Outcome") -> int:
    from mmpkd.study.report.report import write_report

    sentence, path = write_report(plan, out, seeds, outcome.finished, outcome.failed)
    # terminals break lines inside words
    paragraph = textwrap.fill(sentence, 100, break_long_words=False, break_on_hyphens=False)
    sys.stdout.write(
        f"\n{paragraph}\n\nReport: {path}\nTo view it, run make report OUT={out} or open the file in a browser.\n"
    )
    return 1 if outcome.failed else 0
