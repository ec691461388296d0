"""How many of the planned seeds an answer is made of, and whether it may be given yet."""

from collections.abc import Iterable
from dataclasses import dataclass

from mmpkd.statistics.looks import level_at

ALPHA = 0.05


@dataclass(frozen=True)
class SeedCount:
    """The runs of a comparison.

    Attributes:
        planned: Planned seeds.
        finished: Planned seeds whose runs are finished in all arms that are compared.
        num_failed: Runs of these arms that failed.
        num_missing: Runs of these arms that are neither finished nor failed.
        level: Level at which a difference may be claimed now, or None if the study does not answer yet.
    """

    planned: int
    finished: int
    num_failed: int
    num_missing: int
    level: float | None


@dataclass(frozen=True)
class Progress:
    """How far the runs of a study are.

    Attributes:
        planned: Seeds that were declared.
        looks: Numbers of seeds at which it may answer; none: only when all are finished.
        failed: Arm and seed of each run that failed.
    """

    planned: tuple[int, ...]
    looks: tuple[int, ...] = ()
    failed: frozenset[tuple[str, int]] = frozenset()

    def count(self, seeds_by_arm: "dict[str, set[int]]") -> SeedCount:
        """Count the runs of some arms.

        Args:
            seeds_by_arm: Finished seeds of each arm.
        """
        wanted = set(self.planned)
        finished = wanted.intersection(*seeds_by_arm.values())
        unfinished: list[tuple[str, int]] = []
        for arm, seeds in seeds_by_arm.items():
            unfinished += ((arm, seed) for seed in wanted - seeds)
        num_failed = sum(run in self.failed for run in unfinished)
        return SeedCount(len(wanted), len(finished), num_failed, len(unfinished) - num_failed, self._level(finished))

    def _level(self, finished: Iterable[int]) -> float | None:
        """Return the level of a claim from so many seeds: they have to be the first of those that were declared."""
        seeds = sorted(finished)
        num = len(seeds)
        if set(seeds) != set(self.planned[:num]):
            return None
        if self.looks:
            return level_at(self.looks, num, ALPHA)
        return ALPHA if num == len(self.planned) else None
