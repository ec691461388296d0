"""The part of a study on a page: everything, or as much as a browser can open."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mmpkd.callbacks.localization.map_samples import rank
from mmpkd.study.report.explorer.contract import Declared
from mmpkd.study.report.explorer.maps import RunMaps

MAX_BYTES = 60_000_000
# images compress differently, so take fewer than the average size suggests
_MARGIN = 0.95


@dataclass(frozen=True)
class Scope:
    """The part of a study on a page.

    Attributes:
        runs: Runs on the page.
        attributions: Attributions besides baseline maps, or None for all of them.
        samples: Identifiers of the images on the page.
        left_out: Parts that are not on the page, one sentence each.
    """

    runs: Sequence[RunMaps]
    attributions: frozenset[str] | None
    samples: frozenset[str]
    left_out: tuple[str, ...] = ()


def largest_page(
    write: Callable[[Scope], str], runs: Sequence[RunMaps], declared: Declared, left_out: Sequence[str], max_bytes: int
) -> str:
    """Return the page with the largest part of a study that fits.

    The choice never depends on a result. It tries everything first, then the declared comparison only, then fewer of its images,
    chosen by a hash of their identifiers.

    Args:
        write: Function that returns the page of a scope.
        runs: All runs.
        declared: The declared comparison.
        left_out: Parts that are left out in any case, one sentence each.
        max_bytes: Maximum size of a page in bytes.
    """
    scope = Scope(runs, None, frozenset(runs[0].maps.sample_id), tuple(left_out))
    page = write(scope)
    if len(page) > max_bytes:
        scope = _of_comparison(scope, declared)
        page = write(scope)
    whole = scope
    while len(page) > max_bytes and len(scope.samples) > 1:
        # always fewer than before, since the page was too large
        num_kept = max(1, int(_MARGIN * max_bytes / len(page) * len(scope.samples)))
        scope = _with_fewer_images(whole, num_kept)
        page = write(scope)
    return page


def _of_comparison(scope: Scope, declared: Declared) -> Scope:
    why = (
        f"The page would be too large for a browser. It holds the declared comparison, {declared.arm} and {declared.reference} "
        f"by {declared.attribution.replace('_', ' ')}; other arms and attributions are left out."
    )
    runs = [run for run in scope.runs if run.tables.run.arm.name in (declared.arm, declared.reference)]
    return Scope(runs, frozenset([declared.attribution]), scope.samples, (*scope.left_out, why))


def _with_fewer_images(scope: Scope, num_kept: int) -> Scope:
    why = (
        f"Of {len(scope.samples)} images that have regions it holds {num_kept}, chosen by a hash of their identifiers and not "
        "by a result."
    )
    kept = sorted(scope.samples, key=rank)[:num_kept]
    return replace(scope, samples=frozenset(kept), left_out=(*scope.left_out, why))
