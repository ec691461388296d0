"""The answer of a study in one sentence or a few, plain about one seed, about nothing shown, and about looking nowhere."""

import math
from collections.abc import Mapping, Sequence

from mmpkd.statistics.effects import Effect
from mmpkd.statistics.hypotheses import Verdict
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.conclusions import Conclusions, Unanswered
from mmpkd.study.analysis.contrast import Contrasted
from mmpkd.study.analysis.difference import Difference
from mmpkd.study.plan.study_plan import Comparison, Contrast, Factorial
from mmpkd.study.report.caveats import NOT_ABSENT, SINGLE_SEED, few_seeds
from mmpkd.study.report.names import BASELINE_TITLES, measure_name


def headline(conclusions: Conclusions) -> str:
    """Return the answer to the question that the study asks, or why there is none."""
    endpoint = conclusions.endpoint
    if isinstance(endpoint, Unanswered):
        return no_answer(endpoint)
    if isinstance(endpoint, Contrasted):
        return contrast_answer(endpoint, conclusions.exploratory)
    return answer(endpoint)


def no_answer(found: Unanswered) -> str:
    """Return why a question has no answer."""
    if found.why == "unfinished":
        return f"No answer yet: no finished run of {' and '.join(found.arms)}."
    reasons = {
        "no_rois": "the test split has no regions of interest.",
        "one_seed": "a contrast between domains needs two seeds or more; see the differences below.",
        "not_comparable": found.detail,
    }
    return f"No answer: {reasons[found.why]}"


def answer(found: Compared) -> str:
    """Return the answer to a comparison of two arms, with its interval."""
    declared = found.declared
    what = f"{measure_name(declared.measure)}, {declared.arm} minus {declared.reference}"
    counts = _counts(found.overall)
    if found.num_seeds == 1:
        estimate = with_interval(found.effect)
        return f"{what}: {estimate} on {counts}, for one seed; {SINGLE_SEED}. {_against_chance(found)}"
    estimate = with_interval(found.effect, _level(found.verdict))
    scope = f"over {found.num_seeds} seeds and {counts}"
    absence = NOT_ABSENT if found.verdict == "not shown" else ""
    return (
        f"{_claim(declared, found.verdict)}: {what}, {estimate}, {scope}.{absence}{few_seeds(found.num_seeds)} "
        f"{_against_chance(found)}"
    )


def _claim(declared: Comparison, verdict: Verdict) -> str:
    arm = _capital(declared.arm)
    claims: Mapping[Verdict, str] = {
        "higher": f"{arm} localizes better than {declared.reference}",
        "lower": f"{arm} localizes worse than {declared.reference}",
        "equivalent": f"{arm} and {declared.reference} localize equally well within ± {declared.margin}",
        "not shown": f"No difference in localization between {declared.arm} and {declared.reference} is shown",
    }
    return claims[verdict]


def _counts(overall: Difference) -> str:
    counts = f"{overall.num_rois} ROIs of {overall.num_patients} patients"
    if overall.num_undefined:
        counts += f" ({overall.num_undefined} differences are undefined and left out)"
    return counts


def contrast_answer(found: Contrasted, behind: Sequence[Compared]) -> str:
    """Return the answer to a contrast of a factorial design, with its interval.

    Args:
        found: The contrast.
        behind: The differences behind it.
    """
    declared = found.declared
    claim = _contrast_claims(declared)[declared.contrast][found.verdict]
    absence = NOT_ABSENT if found.verdict == "not shown" else ""
    estimate = with_interval(found.effect, _level(found.verdict))
    return (
        f"{claim}: contrast of {declared.contrast} in {measure_name(declared.measure)}, {estimate}, over "
        f"{found.num_seeds} seeds.{absence}{few_seeds(found.num_seeds)}{_not_above_chance(behind)}"
    )


def _contrast_claims(declared: Factorial) -> Mapping[Contrast, Mapping[Verdict, str]]:
    first, second = declared.domains
    form, other = declared.forms
    margin = declared.margin
    return {
        "domain": {
            "higher": f"The effect of distillation on localization is higher in {first} than in {second}",
            "lower": f"The effect of distillation on localization is lower in {first} than in {second}",
            "equivalent": f"The effect of distillation on localization is equal in {first} and {second} within ± {margin}",
            "not shown": f"No difference in the effect of distillation between {first} and {second} is shown",
        },
        "form": {
            "higher": f"A student localizes better when distilled from {form} than from {other}",
            "lower": f"A student localizes worse when distilled from {form} than from {other}",
            "equivalent": f"Students distilled from {form} and {other} localize equally well within ± {margin}",
            "not shown": f"No difference between distilling from {form} and from {other} is shown",
        },
        "interaction": {
            "higher": f"The difference of {form} from {other} is higher in {first} than in {second}",
            "lower": f"The difference of {form} from {other} is lower in {first} than in {second}",
            "equivalent": f"The difference of {form} from {other} is equal in {first} and {second} within ± {margin}",
            "not shown": f"No interaction of domain ({first}, {second}) and form ({form}, {other}) is shown",
        },
    }


def _level(verdict: Verdict) -> float:
    """Return the level of the interval that a verdict rests on: two one-sided tests at 5 % rest on the one of 90 %."""
    return 0.9 if verdict == "equivalent" else 0.95


def with_interval(effect: Effect, level: float = 0.95) -> str:
    """Return an estimate with its interval."""
    interval = effect.interval(level)
    if math.isnan(interval.low):
        return f"{effect.estimate:+.3f} (no interval: too few patients, or no spread)"
    return f"{effect.estimate:+.3f} ({100 * level:.0f} % interval {interval.low:+.3f} to {interval.high:+.3f})"


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _against_chance(found: Compared) -> str:
    """Say how both arms do against a map that knows nothing of the image: a difference below it means little."""
    declared = found.declared
    levels = found.levels
    own = f"{declared.arm} {levels.arm:.3f}, {declared.reference} {levels.reference:.3f}"
    if levels.baseline is None:
        return f"Levels: {own}; no trivial map was scored."
    name = BASELINE_TITLES[levels.baseline.name]
    best = f"{name[:1].lower()}{name[1:]}"
    return f"Levels: {own}, best trivial map ({best}) {levels.baseline.value:.3f}.{_not_above_chance([found])}"


def _not_above_chance(comparisons: Sequence[Compared]) -> str:
    """Name the arms that are not better than the best baseline map."""
    below: list[str] = []
    for found in comparisons:
        below += _arms_below(found)
    if not below:
        return ""
    *names, last = dict.fromkeys(below)
    listed = f"{', '.join(names)} and {last}" if names else last
    return f" {_capital(listed)} did not beat a map that sees no student."


def _arms_below(found: Compared) -> list[str]:
    levels = found.levels
    if levels.baseline is None:
        return []
    pairs = ((found.declared.arm, levels.arm), (found.declared.reference, levels.reference))
    return [name for name, level in pairs if level <= levels.baseline.value]
