"""Plan the runs of a study, and make those that are not finished."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmpkd.records import RunFolder
from mmpkd.study.execution.engines import Engine
from mmpkd.study.execution.run import Run, check_unchanged, is_finished
from mmpkd.study.plan.study_plan import External, StudyPlan

logger = logging.getLogger("mmpkd")


@dataclass(frozen=True)
class Outcome:
    """How a study ended.

    Attributes:
        finished: Runs that can be reported.
        failed: Runs that failed or could not start, with the reason.
    """

    finished: tuple[Run, ...]
    failed: tuple[tuple[Run, str], ...]


def plan_runs(plan: StudyPlan, out: Path, seeds: Sequence[int], overrides: Sequence[str]) -> list[Run]:
    """Return the runs of a study in the order in which they are made: teachers first, then seed by seed.

    Args:
        plan: The study.
        out: Folder of the study.
        seeds: Seeds of the student arms.
        overrides: Flags added to every run, after those of the study and the arm.
    """
    pairs = [(arm, plan.teacher_seed) for arm in plan.teachers]
    pairs += [(arm, seed) for seed in seeds for arm in plan.students]
    runs = []
    for arm, seed in pairs:
        folder = out / arm.name / f"seed{seed}"
        teacher = reference = None
        if arm.teacher is not None:
            of_teacher = plan.teacher_seed if plan.arm(arm.teacher).role == "teacher" else seed
            teacher = out / arm.teacher / f"seed{of_teacher}"
        flags = [flag for config in arm.config for flag in ("--config", str(config))]
        flags += ["--run.dir", str(folder), "--run.group", plan.name]
        flags += ["--run.job_type", arm.name, "--seed_everything", str(seed + arm.seed_offset)]
        if teacher is not None:
            flags += ["--model.teacher", str(RunFolder(teacher).best)]
            name = plan.domain_of(arm.name).reference
            if _precedes(plan, name, arm.name):
                reference = out / name / f"seed{seed}"
                flags += ["--run.reference", str(reference)]
        flags += [*plan.overrides, *arm.overrides, *overrides]
        run = Run(arm, seed, folder, tuple(flags), teacher, reference=reference)
        runs += [run, *(external_run(run, own) for own in plan.external if arm.name in own.arms)]
    return runs


def _precedes(plan: StudyPlan, reference: str, arm: str) -> bool:
    """Return whether the reference is a student without a teacher that is trained before an arm."""
    names = [student.name for student in plan.students]
    return arm in names and plan.arm(reference).teacher is None and names.index(reference) < names.index(arm)


def run_all(runs: Sequence[Run], engine: Engine) -> Outcome:
    """Make all runs that are not finished; one that fails does not stop the others.

    Args:
        runs: Runs in order.
        engine: Where they are made.

    Raises:
        StudyError: Before anything starts, if a folder holds a run that was made with other settings or by hand; later, if
            the engine cannot go on.
    """
    for run in runs:
        check_unchanged(run)
    ledger = _Ledger(len(runs))
    waiting, running = list(runs), list[Run]()
    while waiting or running:
        open_folders = {run.folder for run in (*waiting, *running)}
        ready = [run for run in waiting if not open_folders & {run.teacher, run.trained, run.reference}]
        starting: list[Run] = []
        for run in ready:
            if len(running) + len(starting) == engine.num_jobs:
                break
            waiting.remove(run)
            if not ledger.settles(run):
                starting.append(run)
        if starting:
            engine.start(starting)
            running += starting
        for run, reason in engine.wait() if running else ():
            running.remove(run)
            ledger.close(run, reason)
    order = {run.folder: position for position, run in enumerate(runs)}
    return Outcome(
        tuple(sorted(ledger.finished, key=lambda run: order[run.folder])),
        tuple(sorted(ledger.failed.values(), key=lambda entry: order[entry[0].folder])),
    )


class _Ledger:
    """What became of the runs so far."""

    def __init__(self, num_runs: int) -> None:
        self._num_runs, self._position = num_runs, 0
        self.finished: list[Run] = []
        self.failed: dict[Path, tuple[Run, str]] = {}

    def settles(self, run: Run) -> bool:
        """Return whether a run needs not be made: it is finished, or what it builds on failed. Otherwise it is announced."""
        self._position += 1
        cause = next((self.failed[f] for f in (run.trained, run.teacher) if f is not None and f in self.failed), None)
        if cause is not None:
            self.failed[run.folder] = (run, f"{cause[0].name} failed: {cause[1]}")
            return True
        if is_finished(run):
            self._log(run, "finished before, kept")
            self.finished.append(run)
            return True
        self._log(run, "testing" if run.test_set else "training")
        return False

    def close(self, run: Run, reason: str | None) -> None:
        """Take down how a run ended: why it failed, or None."""
        if reason is None:
            self.finished.append(run)
        else:
            self.failed[run.folder] = (run, reason)

    def _log(self, run: Run, what: str) -> None:
        logger.info("[%d/%d] %s: %s", self._position, self._num_runs, run.name, what)


def external_run(run: Run, external: External) -> Run:
    """Return the test of a trained student on another data set; it lies in the folder of its training."""
    folder = run.folder / "external" / external.name
    flags = _without_data(run.flags)
    flags[flags.index("--run.dir") + 1] = str(folder)
    flags += ["--data", str(external.data), *external.overrides]
    return replace(run, folder=folder, flags=tuple(flags), test_set=external.name, trained=run.folder)


def _without_data(flags: Sequence[str]) -> list[str]:
    """Return flags without those of the data module, which come as `--data.x=1` or `--data.x 1`."""
    kept, is_value = [], False
    for flag in flags:
        is_own = flag.startswith("--data.")
        if not is_own and not (is_value and not flag.startswith("--")):
            kept.append(flag)
        is_value = is_own and "=" not in flag
    return kept
