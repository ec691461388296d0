"""The answer of a comparison: the claim, the numbers, the levels beside the best baseline map, and then the caveats."""

import math
from collections.abc import Mapping, Sequence

from mmpkd.statistics.collapse import may_collapse
from mmpkd.statistics.effects import Effect
from mmpkd.statistics.estimands import MIN_FINDING_PATIENTS
from mmpkd.statistics.hypotheses import Verdict
from mmpkd.statistics.recognition import Beyond
from mmpkd.study.analysis.by_finding import ByFinding
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.contrast import Contrasted
from mmpkd.study.analysis.progress import ALPHA
from mmpkd.study.report.caveats import NOT_ABSENT, few_differing, few_seeds, no_verdict, planned_seeds
from mmpkd.study.report.names import ASPECT_NAMES, AVERAGE_NAMES, BASELINE_TITLES, SCORED, score_name


def answer(found: Compared) -> str:
    """Return the answer to a comparison of two arms, as one paragraph."""
    return " ".join(answer_lines(found))


def answer_lines(found: Compared) -> tuple[str, ...]:
    """Return the answer to a comparison of two arms in several lines, the claim first.

    It can be read alone: what was found, how large and how sure, from how many of the planned runs, and where it does not hold.
    """
    lines = (
        [_claim(found)],
        [_numbers(found)],
        [_levels(found), _collapsed(found), not_above_baseline([found])],
        [unlike_arms([found]), _by_finding(found.findings), _other_averages(found)],
        [_at_equal_recognition(found)],
        [
            NOT_ABSENT if found.verdict == "not shown" else "",
            few_differing(found.verdict, [found]),
            few_seeds(found.effect.num_seeds) if found.limit is None else "",
            _may_collapse(found),
        ],
    )
    joined = [" ".join(filter(None, parts)) for parts in lines]
    return tuple(line for line in joined if line)


def _claim(found: Compared) -> str:
    """Return the verdict as a sentence, or why there is none."""
    if found.limit is not None:
        return no_verdict(found.limit, found.count)
    declared = found.declared
    arms = f"{declared.arm} and {declared.reference}"
    claims: Mapping[Verdict, str] = {
        "higher": f"{declared.arm} localizes better than {declared.reference}",
        "lower": f"{declared.arm} localizes worse than {declared.reference}",
        "equivalent": f"{arms} localize equally well within ± {declared.margin}",
        "not shown": f"no difference in localization between {arms} is shown",
    }
    claim = claims[found.verdict]
    # the claim is about seeds that localize: the others are counted, not averaged in
    among = f"Among the {sum(found.collapse.localizing)} seeds whose runs both localize, {claim}."
    return among if found.collapse.happened else f"{capital(claim)}."


def _numbers(found: Compared) -> str:
    """Return the difference with its interval, what it is a mean of, and what it was computed from."""
    declared = found.declared
    what = f"difference in {score_name(declared.measure)}, {declared.arm} minus {declared.reference}"
    planned = planned_seeds(found.count)
    # for example if too few seeds localize
    if math.isnan(found.effect.estimate):
        return f"Asked for: {what}. Finished: {planned}."
    estimand = f"{AVERAGE_NAMES[declared.average]}, {SCORED[declared.unit]}"
    based_on = f"{_seeds(found)} and {_counts(found)}"
    # where seeds were left out, the finished ones are more than those of the estimate
    rest = f"; {planned} are finished" if _has_left_out(found) and found.limit != "interim" else ""
    over = "over seeds and patients" if found.num_seeds > 1 else "over patients"
    return f"{capital(what)}: {estimate_of(found)}. This is the {estimand}, with an interval {over}, from {based_on}{rest}."


def _seeds(found: Compared) -> str:
    """Return the seeds behind an estimate."""
    if _has_left_out(found):
        return f"{sum(found.collapse.localizing)} seeds"
    # an interim claim has named the planned seeds already
    return f"{found.num_seeds} seeds" if found.limit == "interim" else planned_seeds(found.count)


def _has_left_out(found: Compared) -> bool:
    """Return whether seeds are left out because a run does not localize; a single pair of runs is kept."""
    return found.collapse.happened and found.num_seeds > 1


def _levels(found: Compared) -> str:
    """Return the mean scores of both arms beside that of the best baseline map: a difference below it means little."""
    declared = found.declared
    levels = found.levels
    own = f"{declared.arm} {levels.arm:.3f}, {declared.reference} {levels.reference:.3f}"
    if levels.baseline is None:
        return f"Mean scores: {own}; no baseline map was scored."
    what = "Mean scores of all runs" if found.collapse.happened else "Mean scores"
    title = BASELINE_TITLES[levels.baseline.name]
    best = f"{title[:1].lower()}{title[1:]}"
    return f"{what}: {own}; best baseline map, which needs no student ({best}), {levels.baseline.value:.3f}."


def _collapsed(found: Compared) -> str:
    """Return how many runs of each arm do not localize, and the test of whether the arms differ in that."""
    declared, collapse = found.declared, found.collapse
    # of one pair of runs, the sentence about the best baseline map says all
    if not collapse.happened or found.num_seeds == 1:
        return ""
    arms = (declared.arm, collapse.arm), (declared.reference, collapse.reference)
    counts = " and ".join(f"{sum(own)} of {len(own)} runs of {name}" for name, own in arms)
    test = f"Fisher's exact test of a difference in that: p = {collapse.p_value:.3f}"
    return f"{capital(counts)} do not localize better than the best baseline map ({test})."


def _counts(found: Compared) -> str:
    """Return how many regions and patients an estimate was computed from, and what was left out."""
    overall = found.overall
    what = "test images" if found.declared.unit == "image" else "regions"
    counts = f"{overall.num_rois} {what} of {overall.num_patients} patients"
    # some averages give patients unequal weights, so that they are worth fewer
    if round(overall.num_effective) < overall.num_patients:
        counts += f" (as precise as {overall.num_effective:.0f} patients of equal weight)"
    if overall.num_undefined:
        differences = "difference" if overall.num_undefined == 1 else "differences"
        counts += f" ({overall.num_undefined} undefined {differences} left out)"
    if overall.left_out:
        counts += f", without {' and '.join(overall.left_out)} (fewer than {MIN_FINDING_PATIENTS} patients)"
    return counts


def _by_finding(findings: ByFinding) -> str:
    """Say whether the difference varies between findings."""
    if not findings.differing:
        return ""
    parts = []
    for word, is_higher in (("higher", True), ("lower", False)):
        names = [own.finding for own in findings.differing if own.is_higher == is_higher]
        if names:
            parts.append(f"{word} for {', '.join(names)}")
    return f"The difference varies between findings; compared with their mean, it is {'; '.join(parts)}."


def _other_averages(found: Compared) -> str:
    """Say which other averages have the opposite sign."""
    own = round(found.effect.estimate, 3)
    # of the digits that are shown: two zeros do not disagree
    others = [other for other in found.described if round(other.effect.estimate, 3) * own < 0]
    said = [f"the {AVERAGE_NAMES[other.average]} ({other.effect.estimate:+.3f})" for other in others]
    have = "has" if len(said) == 1 else "have"
    return f"{capital(' and '.join(said))} {have} the opposite sign." if said else ""


def _at_equal_recognition(found: Compared) -> str:
    """Say what is left of a difference at equal recognition, because a student tends to look at what it recognises."""
    matched = found.matched
    if found.verdict not in ("higher", "lower") or matched is None:
        return ""
    left = _with_interval(matched.effect, 1 - ALPHA)
    interval = matched.effect.interval(1 - ALPHA)
    # the verdict allows for what the adjustment leaves, the interval does not
    is_clear = interval.low > 0 or interval.high < 0
    rest = ", which an imperfect adjustment may leave" if is_clear else ""
    said: Mapping[Beyond, str] = {
        "beyond": f"Adjusted for how well each recognises the findings (exploratory), the difference is {left}.",
        "not shown": f"Adjusted for how well each recognises the findings (exploratory), no difference is shown: {left}{rest}.",
    }
    return said.get(matched.verdict, "")


def _may_collapse(found: Compared) -> str:
    """Say how many further runs may fail to localize although none of these did."""
    if (
        found.verdict not in ("higher", "lower", "equivalent")
        or found.collapse.happened
        or found.levels.baseline is None
    ):
        return ""
    share = 100 * may_collapse(found.num_seeds)
    return (
        f"All {2 * found.num_seeds} runs beat the best baseline map. Judging by {found.num_seeds} seeds, up to "
        f"{share:.0f} % of further runs may not (95 % upper limit)."
    )


def estimate_of(found: Compared | Contrasted) -> str:
    """Return an estimate with the interval that its verdict rests on.

    Two one-sided tests at 5 % rest on the 90 % interval, and a planned look on a wider one than 95 %.
    """
    alpha = found.count.level or ALPHA
    level = 1 - 2 * alpha if found.verdict == "equivalent" else 1 - alpha
    return _with_interval(found.effect, level)


def _with_interval(effect: Effect, level: float) -> str:
    interval = effect.interval(level)
    if math.isnan(interval.low):
        return f"{effect.estimate:+.3f} (no interval: too few patients, or no spread)"
    # 95 % as a rule, but a planned look may have 98.4 %
    percent = f"{100 * level:.1f}".removesuffix(".0")
    return f"{effect.estimate:+.3f} ({percent} % interval {interval.low:+.3f} to {interval.high:+.3f})"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in words."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def capital(name: str) -> str:
    """Return a text with its first letter in upper case."""
    return name[:1].upper() + name[1:]


def unlike_arms(comparisons: Sequence[Compared]) -> str:
    """Say what else compared arms differ in, since a difference may come from that; an empty text if it is nothing."""
    said = []
    for found in comparisons:
        if found.unlike:
            arms = f"{found.declared.arm} and {found.declared.reference}"
            said.append(f"{capital(arms)} also differ in {listed([ASPECT_NAMES[own] for own in found.unlike])}.")
    return " ".join(said)


def not_above_baseline(comparisons: Sequence[Compared]) -> str:
    """Name the arms that did not beat the best baseline map; an empty text if all did."""
    below: list[str] = []
    for found in comparisons:
        below += _arms_below(found)
    if not below:
        return ""
    # an arm can be part of several comparisons
    return f"{capital(listed(tuple(dict.fromkeys(below))))} did not beat the best baseline map."


def _arms_below(found: Compared) -> list[str]:
    levels = found.levels
    if levels.baseline is None:
        return []
    pairs = ((found.declared.arm, levels.arm), (found.declared.reference, levels.reference))
    return [name for name, level in pairs if level <= levels.baseline.value]
