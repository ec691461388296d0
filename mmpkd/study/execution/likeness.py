"""Arms that are compared are made alike: from the same training data, by the same code, on the same budget.

Otherwise a difference between them could come from that. A study declares the differences that are meant (`may_differ_in` of an
arm); all others are refused as soon as they are known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from mmpkd.records import RunState
from mmpkd.records.code_hash import code_hash
from mmpkd.study.execution.concurrency import num_devices
from mmpkd.study.execution.run import Run, is_finished
from mmpkd.study.execution.settings import stated
from mmpkd.study.plan.domains import domains
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.study_plan import Arm, Aspect, StudyPlan

# settings of the length of a training, and their defaults; None where the data module has its own
_BUDGET: Mapping[str, object] = {
    "trainer.max_epochs": "Lightning's default",
    "trainer.max_steps": -1,
    "trainer.max_time": "no limit",
    "trainer.limit_train_batches": 1.0,
    "trainer.overfit_batches": 0.0,
    "trainer.accumulate_grad_batches": 1,
    "data.batch_size": None,
}
# digits of the shortest hash, that of a commit, and of those that are shown
_HASH = 40
_DIGITS = 12
# between the codes of a training that was resumed with another one
_THEN = " then "
_NOTHING: Mapping[Path, str] = MappingProxyType({})


@dataclass(frozen=True)
class Trait:
    """A property of a training that runs of compared arms have in common.

    Attributes:
        aspect: What it belongs to.
        value: The value, as text; None if it is unknown, and so no reason to refuse anything.
    """

    aspect: Aspect
    value: str | None


Traits = Mapping[str, Trait]


def budget_of(run: Run) -> Traits:
    """Return the settings of the length of a training; they are the same for all runs of an arm."""
    found = stated(run, list(_BUDGET))
    values = {name: default if found[name] is None else found[name] for name, default in _BUDGET.items()}
    # each device has a batch of its own; where Lightning chooses them, the number of steps will tell
    values["trainer.devices"] = num_devices(run)
    return {name: Trait("budget", None if value is None else _text(value)) for name, value in values.items()}


def _text(value: object) -> str:
    # 0 batches are 0.0 of them; 1 batch and 1.0, all of them, differ
    return "0" if value == 0 else str(value)


def recorded(state: RunState | None) -> Traits:
    """Return what a training recorded about itself."""
    made_from = None if state is None else state.made_from
    training = None if state is None else state.training
    code = None
    if made_from is not None and made_from.code is not None:
        code = _in_words((*made_from.earlier_code, made_from.code))
    # only of older records, which have no hash of the code: a commit misses uncommitted changes
    commit = None if made_from is None or code is not None else made_from.git_commit
    return {
        "training split": Trait("data", None if made_from is None else made_from.splits.get("train")),
        "code": Trait("code", code),
        "commit": Trait("code", commit),
        "steps": Trait("budget", None if training is None else str(training.steps)),
    }


def _in_words(codes: Sequence[str]) -> str:
    """Return the code that made a training; several if it was resumed with another one."""
    return _THEN.join(code for code, _ in groupby(codes))


def tested_by(code: str | None) -> Traits:
    """Return the code that scored a run."""
    return {"code of the test": Trait("code", code)}


def different(one: Traits, other: Traits) -> list[str]:
    """Return the names of the traits that are known of both and differ."""
    return [
        name
        for name in one
        if name in other and None not in (one[name].value, other[name].value) and one[name] != other[name]
    ]


class Likeness:
    """Checks that the arms of a study are alike, as far as is known.

    Args:
        plan: The study.
        runs: Its runs, finished or about to be made.
        to_be_read: Fingerprint of the training split that a run is going to read, by the folder of the run.
    """

    def __init__(self, plan: StudyPlan, runs: Sequence[Run], to_be_read: Mapping[Path, str] = _NOTHING) -> None:
        self._plan = plan
        self._runs = {(run.arm.name, run.seed, run.test_set): run for run in runs}
        self._budgets = {run.arm.name: budget_of(run) for run in runs if run.external is None}
        self._to_be_read = to_be_read

    def check(self) -> None:
        """Check the arms of every comparison, seed by seed, and their tests on other data sets.

        Raises:
            StudyError: If they differ in something that the study does not allow.
        """
        for arm, reference in compared_arms(self._plan):
            for (name, seed, test_set), run in self._runs.items():
                other = self._runs.get((reference.name, seed, test_set))
                if name == arm.name and other is not None:
                    self._check(arm, reference, (run, other))

    def _check(self, arm: Arm, reference: Arm, runs: tuple[Run, Run]) -> None:
        traits = self._traits(runs[0]), self._traits(runs[1])
        allowed = (*arm.may_differ_in, *reference.may_differ_in)
        names = [name for name in different(*traits) if traits[0][name].aspect not in allowed]
        if not names:
            return
        aspects = sorted({traits[0][name].aspect for name in names})
        found = ", ".join(f"{name} {_short(traits[0][name])} and {_short(traits[1][name])}" for name in names)
        place = f"seed {runs[0].seed}" + (f" on {runs[0].test_set}" if runs[0].test_set else "")
        # the whole list, since it replaces what the arm may differ in already
        needed = sorted({*arm.may_differ_in, *aspects})
        raise StudyError(
            f"Expected {arm.name} and {reference.name} to have the same {' and '.join(aspects)} but got, for {place}, {found}. "
            f"Make them alike or, if the difference is meant, write `may_differ_in: [{', '.join(needed)}]` in arms.{arm.name} of "
            "the study file: the answer then names it. Finished runs are kept."
        )

    def _traits(self, run: Run) -> Traits:
        state = run.record.state
        test = None if state is None else state.test
        tested = tested_by(test.code if test is not None and is_finished(run) else code_hash())
        if run.external is not None:
            return tested
        # compared with that of another run to be made, since the recorded one may be of hashed identifiers
        read = Trait("data", self._to_be_read.get(run.folder))
        return {**_made(run), **tested, "training split to be read": read, **self._budgets[run.arm.name]}


def _made(run: Run) -> Traits:
    """Return what a training records, or is going to record: what is not trained yet is made with the present code."""
    state = run.record.state
    known = recorded(state)
    if state is not None and state.training is not None:
        return known
    made_from = None if state is None or not run.record.can_resume else state.made_from
    before = () if made_from is None or made_from.code is None else (*made_from.earlier_code, made_from.code)
    code = Trait("code", _in_words((*before, code_hash())))
    return {**known, "code": code, "commit": Trait("code", None)}


def _short(trait: Trait) -> str:
    """Return a value of which hashes are shortened."""
    parts = str(trait.value).split(_THEN)
    return _THEN.join(part[:_DIGITS] if len(part) >= _HASH else part for part in parts)


def compared_arms(plan: StudyPlan) -> Iterator[tuple[Arm, Arm]]:
    """Yield each student arm with the reference of its domain, then the other pairs of the family."""
    pairs: dict[tuple[str, str], None] = {}
    for domain in domains(plan):
        pairs |= {(arm.name, domain.reference): None for arm in domain.students if arm.name != domain.reference}
    pairs |= {(own.arm, own.reference): None for own in plan.family}
    for arm, reference in pairs:
        yield plan.arm(arm), plan.arm(reference)
