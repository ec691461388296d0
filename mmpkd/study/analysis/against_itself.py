"""Count how often a study would claim that a method differs from itself, on trained runs of that method.

Run: python -m mmpkd.study.analysis.against_itself STUDY [--out FOLDER] --arms baseline itself

The arms must differ only in their seeds. Their runs are split into two halves of equal size in every possible way, and each
split is analysed like a study of two arms. Every difference that it claims is false.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from mmpkd.statistics.arrays import Floats, as_codes
from mmpkd.statistics.effects import effect_of
from mmpkd.statistics.estimands import Average, Regions, run_means
from mmpkd.study.analysis.pairing import roi_values
from mmpkd.study.analysis.run_tables import read_run
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.run import is_finished
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.plan.study_plan import StudyPlan

# two in each half, since one pair of runs has no spread
MIN_RUNS = 4


@dataclass(frozen=True)
class Claims:
    """The claims of all splits.

    Attributes:
        num_runs: Number of runs.
        num_false: Number of splits whose 95 % interval excludes zero.
        estimates: (num_splits,) differences. Their mean is not zero, because the first run is always in the first half.
        errors: (num_splits,) standard errors of the differences.
    """

    num_runs: int
    num_false: int
    estimates: Floats
    errors: Floats

    @property
    def num_splits(self) -> int:
        """Number of splits into two halves."""
        return len(self.estimates)


def against_itself(scores: Floats, regions: Regions, average: Average = "patients", seed: int = 0) -> Claims:
    """Analyse every split of the runs of a method into two halves; the runs of the halves are paired at random.

    Args:
        scores: (R, N) scores of R >= 4 runs on N (image, finding) pairs; NaN where undefined.
        regions: Patient and finding of the pairs.
        average: What is averaged.
        seed: Seed of the pairing.

    Raises:
        ValueError: If there are fewer than four runs.
    """
    if len(scores) < MIN_RUNS:
        raise ValueError(f"Expected at least {MIN_RUNS} runs, two for each half, but got {len(scores)}.")
    rng = np.random.default_rng(seed)
    effects = []
    for first, second in _halves(len(scores)):
        # (R // 2, N); no run of one half belongs to a run of the other, so any pairing is as good
        differences = scores[rng.permutation(first)] - scores[rng.permutation(second)]
        effects.append(effect_of(run_means(differences, regions, average)))
    num_false = sum(effect.interval().excludes_zero for effect in effects)
    return Claims(
        num_runs=len(scores),
        num_false=num_false,
        estimates=np.array([effect.estimate for effect in effects]),
        errors=np.array([effect.error for effect in effects]),
    )


def _halves(num: int) -> Iterator[tuple[list[int], list[int]]]:
    """Yield every pair of disjoint sets of num // 2 runs, ignoring their order."""
    # with an odd number of runs, each is left out in turn, so that halves have equal size
    for left_out in range(num) if num % 2 else [None]:
        runs = [run for run in range(num) if run != left_out]
        # the first run stays in the first half: exchanging the halves only changes the sign
        for rest in combinations(runs[1:], len(runs) // 2 - 1):
            first = [runs[0], *rest]
            yield first, [run for run in runs if run not in first]


def main(argv: Sequence[str] | None = None) -> None:
    """Print how many splits of the finished runs claim a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="study file")
    parser.add_argument("--out", type=Path, help="folder of the study (default: runs/<name>)")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds of the study (default: those of the file)")
    parser.add_argument("--arms", nargs="+", required=True, help="arms that differ only in their seeds")
    arguments = parser.parse_args(argv)
    try:
        plan = load_plan(arguments.study)
        claims = _claims_of(plan, arguments)
    except (StudyError, ValueError) as error:
        sys.exit(f"against_itself: {error}")
    share = 100 * claims.num_false / claims.num_splits
    sys.stdout.write(
        f"{claims.num_false} of {claims.num_splits} splits of {claims.num_runs} runs claim a difference ({share:.1f} %) "
        f"in {plan.measure.score} of {plan.measure.attribution}. Root mean square of the differences: "
        f"{_root_mean_square(claims.estimates):.4f}; of their standard errors: {_root_mean_square(claims.errors):.4f}.\n"
        f"The splits share runs, so this share is one observation, not {claims.num_splits} independent ones.\n"
    )


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _claims_of(plan: StudyPlan, arguments: argparse.Namespace) -> Claims:
    arms = arguments.arms
    unknown = sorted(set(arms) - {arm.name for arm in plan.students})
    if unknown:
        raise StudyError(f"Expected arms among {[arm.name for arm in plan.students]} but got {unknown}.")
    planned = plan_runs(plan, arguments.out or Path("runs") / plan.name, arguments.seeds or plan.seeds, ())
    runs = [run for run in planned if run.arm.name in arms and not run.test_set and is_finished(run)]
    columns = [roi_values(read_run(run), plan.measure) for run in runs]
    if any(not column.index.equals(columns[0].index) for column in columns):
        raise StudyError("Expected runs that were tested on the same regions but they differ.")
    scores = np.array([column.to_numpy(dtype=np.float64) for column in columns])
    # without any run, `against_itself` says how many are needed
    index = columns[0].index if columns else pd.MultiIndex.from_tuples([], names=["patient_id", "finding"])
    patient, finding = (as_codes(index.get_level_values(name).tolist()) for name in ("patient_id", "finding"))
    return against_itself(scores, Regions(patient, finding), plan.endpoint.average)


if __name__ == "__main__":
    main()
