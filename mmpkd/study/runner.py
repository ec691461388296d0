"""Run the arms of a study, one run after another, and keep what is finished."""

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from data_modules.json_file import write_json
from mmpkd.study.plan import External, StudyPlan
from mmpkd.study.run import DONE, STARTED, Run, check_unchanged, is_finished, run_fingerprint, status

logger = logging.getLogger("mmpkd")
Execute = Callable[[Sequence[str]], None]


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
        flags += ["--run.job_type", arm.name, "--seed_everything", str(seed)]
        if teacher is not None:
            flags += ["--model.teacher", str(teacher / "checkpoints" / "best.ckpt")]
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


def run_all(runs: Sequence[Run], execute: Execute, num_jobs: int | None = None) -> Outcome:
    """Make all runs that are not finished; one that fails does not stop the others.

    Args:
        runs: Runs in order.
        execute: The Lightning command line.
        num_jobs: Runs at a time, each in a thread of its own; None makes one after another in this thread.

    Raises:
        StudyError: Before anything starts, if a folder holds a run that was made with other settings or by hand.
    """
    for run in runs:
        check_unchanged(run)
    ledger = _Ledger(len(runs))
    if num_jobs is None:
        for run in runs:
            if not ledger.settles(run):
                ledger.close(run, _attempt(run, execute))
    else:
        _run_side_by_side(runs, execute, num_jobs, ledger)
    order = {run.folder: position for position, run in enumerate(runs)}
    return Outcome(
        tuple(sorted(ledger.finished, key=lambda run: order[run.folder])),
        tuple(sorted(ledger.failed.values(), key=lambda entry: order[entry[0].folder])),
    )


def _run_side_by_side(runs: Sequence[Run], execute: Execute, num_jobs: int, ledger: "_Ledger") -> None:
    waiting, running = list(runs), dict[Future[str | None], Run]()
    with ThreadPoolExecutor(num_jobs) as pool:
        while waiting or running:
            open_folders = {run.folder for run in (*waiting, *running.values())}
            ready = [run for run in waiting if not open_folders & {run.teacher, run.trained, run.reference}]
            for run in ready:
                if len(running) == num_jobs:
                    break
                waiting.remove(run)
                if not ledger.settles(run):
                    running[pool.submit(_attempt, run, execute)] = run
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                ledger.close(running.pop(future), future.result())


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


def _attempt(run: Run, execute: Execute) -> str | None:
    """Make one run; return why it failed, or None."""
    start = time.monotonic()
    try:
        if run.trained is None:
            continue_fit(run, execute)
        execute(["test", *run.flags, "--ckpt_path", str(run.checkpoint)])
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        if error.code in (130, 143):
            raise  # the user or the cluster stopped the study, not the run
        return _record_failure(run, f"the command line ended with {error.code}")
    except Exception as error:
        return _record_failure(run, f"{type(error).__name__}: {error}")
    content = {
        "fingerprint": run_fingerprint(run),
        "seconds": round(time.monotonic() - start, 1),
        "flags": list(run.flags),
    }
    write_json(run.folder / DONE, content)
    (run.folder / "error.log").unlink(missing_ok=True)
    return None


def _record_failure(run: Run, reason: str) -> str:
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "error.log").write_text(traceback.format_exc())
    logger.error("%s failed: %s (see %s)", run.name, reason, run.folder / "error.log")
    return reason


def continue_fit(run: Run, execute: Execute) -> None:
    """Train, from the last checkpoint if there is one; nothing if the training is complete. Settings are recorded first."""
    write_json(run.folder / STARTED, {"fingerprint": run_fingerprint(run)})
    last = run.folder / "checkpoints" / "last.ckpt"
    if status(run) not in ("fitted", "finished"):
        execute(["fit", *run.flags, *(("--ckpt_path", str(last)) if last.is_file() else ())])
