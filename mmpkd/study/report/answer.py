"""The answer of a study in one sentence or a few, plain about one seed, about nothing shown, and about looking nowhere."""

import math
from collections.abc import Mapping, Sequence

from mmpkd.statistics.effects import MIN_SEEDS, SINGLE_SEED, Effect
from mmpkd.statistics.hypotheses import Verdict
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.conclusions import Conclusions, Unanswered
from mmpkd.study.analysis.contrast import Contrasted
from mmpkd.study.report.names import BASELINE_TITLES, measure_name

NOT_ABSENT = " Not shown is not the same as absent."


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
    declared, overall = found.declared, found.overall
    counts = f"{overall.num_rois} ROIs of {overall.num_patients} patients"
    if overall.num_undefined:
        counts += f" ({overall.num_undefined} differences are undefined and left out)"
    what = f"{measure_name(declared.score, declared.attribution)}, {declared.arm} minus {declared.reference}"
    if found.num_seeds == 1:
        return f"{what}: {with_interval(overall.effect)} on {counts}, for one seed; {SINGLE_SEED}. {_against_chance(found)}"
    claim = {
        "higher": f"{_capital(declared.arm)} localizes better than {declared.reference}",
        "lower": f"{_capital(declared.arm)} localizes worse than {declared.reference}",
        "equivalent": f"{_capital(declared.arm)} and {declared.reference} localize equally well within ± {declared.margin}",
        "not shown": f"No difference in localization between {declared.arm} and {declared.reference} is shown",
    }[found.verdict]
    absence = NOT_ABSENT if found.verdict == "not shown" else ""
    scope = f"over {found.num_seeds} seeds and {counts}"
    few = _few(found.num_seeds)
    estimate = with_interval(overall.effect, _level(found.verdict))
    return f"{claim}: {what}, {estimate}, {scope}.{absence}{few} {_against_chance(found)}"


def contrast_answer(found: Contrasted, behind: Sequence[Compared]) -> str:
    """Return the answer to a contrast of a factorial design, with its interval.

    Args:
        found: The contrast.
        behind: The differences behind it.
    """
    declared, (first, second), (form, other) = found.declared, found.domains, found.declared.forms
    margin = declared.margin
    claims: Mapping[str, Mapping[str, str]] = {
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
    claim = claims[declared.contrast][found.verdict]
    absence = NOT_ABSENT if found.verdict == "not shown" else ""
    measure = measure_name(declared.score, declared.attribution)
    return (
        f"{claim}: contrast of {declared.contrast} in {measure}, {with_interval(found.effect, _level(found.verdict))}, over "
        f"{found.num_seeds} seeds.{absence}{_few(found.num_seeds)}{_not_above_chance(behind)}"
    )


def _level(verdict: Verdict) -> float:
    """Return the level of the interval that a verdict rests on: two one-sided tests at 5 % rest on the one of 90 %."""
    return 0.9 if verdict == "equivalent" else 0.95


def with_interval(effect: Effect, level: float = 0.95) -> str:
    """Return an estimate with its interval."""
    interval = effect.interval(level)
    if math.isnan(interval.low):
        return f"{effect.estimate:+.3f} (no interval: too few patients, or no spread)"
    return f"{effect.estimate:+.3f} ({100 * level:.0f} % interval {interval.low:+.3f} to {interval.high:+.3f})"


def _few(num_seeds: int) -> str:
    return f" Fewer than {MIN_SEEDS} seeds: read it as a hint." if num_seeds < MIN_SEEDS else ""


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _against_chance(found: Compared) -> str:
    """Say how both arms do against a map that knows nothing of the image: a difference below it means little."""
    declared, (arm, reference) = found.declared, found.levels
    levels = f"{declared.arm} {arm:.3f}, {declared.reference} {reference:.3f}"
    if found.trivial is None:
        return f"Levels: {levels}; no trivial map was scored."
    name, value = BASELINE_TITLES[found.trivial[0]], found.trivial[1]
    return f"Levels: {levels}, best trivial map ({name[:1].lower()}{name[1:]}) {value:.3f}.{_not_above_chance([found])}"


def _not_above_chance(comparisons: Sequence[Compared]) -> str:
    below = [
        who
        for found in comparisons
        for who, own in zip((found.declared.arm, found.declared.reference), found.levels, strict=True)
        if found.trivial is not None and own <= found.trivial[1]
    ]
    if not below:
        return ""
    *names, last = dict.fromkeys(below)
    listed = f"{', '.join(names)} and {last}" if names else last
    return f" {_capital(listed)} did not beat a map that sees no student."
