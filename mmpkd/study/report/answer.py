"""The answer of a comparison in a few sentences, plain about one seed, about nothing shown, and about looking nowhere."""

import math
from collections.abc import Mapping, Sequence

from mmpkd.statistics.collapse import may_collapse
from mmpkd.statistics.estimands import MIN_FINDING_PATIENTS
from mmpkd.statistics.hypotheses import Verdict
from mmpkd.study.analysis.by_finding import ByFinding
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.contrast import Contrasted
from mmpkd.study.analysis.progress import ALPHA
from mmpkd.study.report.caveats import NOT_ABSENT, few_seeds, no_verdict, planned_seeds
from mmpkd.study.report.names import AVERAGE_NAMES, BASELINE_TITLES, measure_name


def answer(found: Compared) -> str:
    """Return the answer to a comparison of two arms, with its interval."""
    declared = found.declared
    what = f"{measure_name(declared.measure)}, {AVERAGE_NAMES[declared.average]}, {declared.arm} minus {declared.reference}"
    estimate = estimate_of(found)
    seeds = planned_seeds(found.count) if found.limit != "interim" else f"{found.num_seeds} seeds"
    has_estimate = not math.isnan(found.effect.estimate)
    said = [
        _claim(found),
        _unlike(found),
        f"{capital(what)}: {estimate}, {seeds}, {_counts(found)}." if has_estimate else "",
        _by_finding(found.findings),
        _other_averages(found),
        NOT_ABSENT if found.verdict == "not shown" else "",
        few_seeds(found.effect.num_seeds) if found.limit is None else "",
        _may_collapse(found),
        against_chance(found),
    ]
    return " ".join(part for part in said if part)


def _claim(found: Compared) -> str:
    """Return the verdict as a sentence: of runs that localize, if some do not."""
    declared = found.declared
    arms = f"{declared.arm} and {declared.reference}"
    claims: Mapping[Verdict, str] = {
        "higher": f"{declared.arm} localizes better than {declared.reference}",
        "lower": f"{declared.arm} localizes worse than {declared.reference}",
        "equivalent": f"{arms} localize equally well within ± {declared.margin}",
        "not shown": f"no difference in localization between {arms} is shown",
    }
    claim = claims[found.verdict] if found.limit is None else ""
    if not found.collapse.happened:
        return f"{capital(claim)}." if found.limit is None else no_verdict(found.limit, found.count)
    among = f"Of the {sum(found.collapse.localizing)} seeds whose runs both localize, {claim}."
    return f"{_collapsed(found)} {among if found.limit is None else no_verdict(found.limit, found.count)}"


def _unlike(found: Compared) -> str:
    """Say what else the arms differ in: the difference may come from that."""
    if not found.unlike:
        return ""
    return f"The arms also differ in {listed(found.unlike)}."


def _collapsed(found: Compared) -> str:
    """Return how many runs of each arm do not localize, and whether the arms differ in that."""
    declared, collapse = found.declared, found.collapse
    floor = found.levels.baseline
    assert floor is not None
    arms = (declared.arm, collapse.arm), (declared.reference, collapse.reference)
    counts = " and ".join(f"{sum(own)} of {len(own)} runs of {name}" for name, own in arms)
    title = BASELINE_TITLES[floor.name]
    best = f"{title[:1].lower()}{title[1:]} ({floor.value:.3f})"
    test = f"Fisher's exact test of a difference between the arms: p = {collapse.p_value:.3f}"
    return f"{capital(counts)} do not localize better than the {best} ({test})."


def _counts(found: Compared) -> str:
    overall = found.overall
    what = "images" if found.declared.unit == "image" else "ROIs"
    counts = f"{overall.num_rois} {what} of {overall.num_patients} patients"
    if round(overall.num_effective) < overall.num_patients:
        counts += f" (which count as {overall.num_effective:.0f} of equal weight)"
    if overall.num_undefined:
        counts += f" ({overall.num_undefined} differences are undefined and left out)"
    if overall.left_out:
        counts += f", without {' and '.join(overall.left_out)}, which fewer than {MIN_FINDING_PATIENTS} patients have"
    return counts


def _by_finding(findings: ByFinding) -> str:
    """Say whether the difference differs between findings."""
    if not findings.differing:
        return ""
    parts = []
    for word, is_higher in (("higher", True), ("lower", False)):
        names = [own.finding for own in findings.differing if own.is_higher == is_higher]
        if names:
            parts.append(f"{word} for {', '.join(names)}")
    return f"It differs between findings: {'; '.join(parts)}."


def _other_averages(found: Compared) -> str:
    """Say which average has the other sign."""
    own = found.effect.estimate
    others = [other for other in found.described if other.effect.estimate * own < 0]
    said = [f"the {AVERAGE_NAMES[other.average]} ({other.effect.estimate:+.3f})" for other in others]
    have = "has" if len(said) == 1 else "have"
    return f"{capital(' and '.join(said))} {have} the other sign." if said else ""


def _may_collapse(found: Compared) -> str:
    """Say how many runs may still not localize where all of a few did."""
    if (
        found.verdict not in ("higher", "lower", "equivalent")
        or found.collapse.happened
        or found.levels.baseline is None
    ):
        return ""
    return f"All runs localize; up to {100 * may_collapse(found.num_seeds):.0f} % of further ones may not."


def estimate_of(found: Compared | Contrasted) -> str:
    """Return an estimate with the interval that its verdict rests on.

    Two one-sided tests at 5 % rest on the interval of 90 %, a planned look on a wider one.
    """
    alpha = found.count.level or ALPHA
    is_equivalence = found.verdict == "equivalent"
    level = 1 - 2 * alpha if is_equivalence else 1 - alpha
    effect = found.effect
    interval = effect.interval(level, is_equivalence)
    if math.isnan(interval.low):
        return f"{effect.estimate:+.3f} (no interval: too few patients, or no spread)"
    percent = f"{100 * level:.1f}".removesuffix(".0")
    return f"{effect.estimate:+.3f} ({percent} % interval {interval.low:+.3f} to {interval.high:+.3f})"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in words."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def capital(name: str) -> str:
    """Return a text with a capital letter at its beginning."""
    return name[:1].upper() + name[1:]


def against_chance(found: Compared) -> str:
    """Say how both arms do against a map that knows nothing of the image: a difference below it means little."""
    declared = found.declared
    levels = found.levels
    own = f"{declared.arm} {levels.arm:.3f}, {declared.reference} {levels.reference:.3f}"
    if levels.baseline is None:
        return f"Levels: {own}; no trivial map was scored."
    name = BASELINE_TITLES[levels.baseline.name]
    best = f"{name[:1].lower()}{name[1:]}"
    what = "Levels of all runs" if found.collapse.happened else "Levels"
    return f"{what}: {own}, best trivial map ({best}) {levels.baseline.value:.3f}.{not_above_chance([found])}"


def not_above_chance(comparisons: Sequence[Compared]) -> str:
    """Name the arms that are not better than the best baseline map."""
    below: list[str] = []
    for found in comparisons:
        below += _arms_below(found)
    if not below:
        return ""
    return f" {capital(listed(tuple(dict.fromkeys(below))))} did not beat a map that sees no student."


def _arms_below(found: Compared) -> list[str]:
    levels = found.levels
    if levels.baseline is None:
        return []
    pairs = ((found.declared.arm, levels.arm), (found.declared.reference, levels.reference))
    return [name for name, level in pairs if level <= levels.baseline.value]
