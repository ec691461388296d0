"""Progress of a study: how many of its planned seeds are finished, and whether it may give an answer yet."""

from collections.abc import Iterable
from dataclasses import dataclass

from mmpkd.statistics.looks import level_at

ALPHA = 0.05


@dataclass(frozen=True)
class SeedCount:
    """Counts of the seeds and runs of a comparison.

    Attributes:
        planned: Number of planned seeds.
        finished: Number of planned seeds whose runs are finished in all compared arms.
        num_failed: Number of planned runs of these arms that failed.
        num_missing: Number of planned runs of these arms that are neither finished nor failed.
        level: Level at which a difference may be claimed now, or None if the study does not answer yet.
    """

    planned: int
    finished: int
    num_failed: int
    num_missing: int
    level: float | None


@dataclass(frozen=True)
class Progress:
    """The planned seeds of a study, its planned looks, and its failed runs.

    Attributes:
        planned: Declared seeds.
        looks: Numbers of seeds at which the study may answer; if empty, it answers only when all seeds are finished.
        failed: Arm and seed of each run that failed.
    """

    planned: tuple[int, ...]
    looks: tuple[int, ...] = ()
    failed: frozenset[tuple[str, int]] = frozenset()

    def count(self, seeds_by_arm: "dict[str, set[int]]") -> SeedCount:
        """Count the seeds and runs of the given arms.

        Args:
            seeds_by_arm: Finished seeds of each arm.
        """
        wanted = set(self.planned)
        # arms are compared seed by seed, so a seed counts once all of them have it
        finished = wanted.intersection(*seeds_by_arm.values())
        unfinished: list[tuple[str, int]] = []
        for arm, seeds in seeds_by_arm.items():
            unfinished += ((arm, seed) for seed in wanted - seeds)
        num_failed = sum(run in self.failed for run in unfinished)
        return SeedCount(len(wanted), len(finished), num_failed, len(unfinished) - num_failed, self._level(finished))

    def _level(self, finished: Iterable[int]) -> float | None:
        """Return the level of a claim from these seeds, or None if no claim may be made.

        They have to be the first of the declared seeds, so that nobody can choose seeds by their results.
        """
        seeds = sorted(finished)
        num = len(seeds)
        if set(seeds) != set(self.planned[:num]):
            return None
        if self.looks:
            return level_at(self.looks, num, ALPHA)
        return ALPHA if num == len(self.planned) else None
