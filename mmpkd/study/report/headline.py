"""The answer of a study: to its comparison or its contrast, or why there is none."""

from collections.abc import Mapping, Sequence

from mmpkd.statistics.hypotheses import Verdict
from mmpkd.study.analysis.answers import Conclusions, Unanswered
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.contrast import Contrasted
from mmpkd.study.plan.questions import Contrast, Factorial
from mmpkd.study.report.answer import answer, estimate_of, not_above_chance
from mmpkd.study.report.caveats import NOT_ABSENT, few_seeds, no_verdict, planned_seeds
from mmpkd.study.report.names import AVERAGE_NAMES, measure_name


def headline(conclusions: Conclusions) -> str:
    """Return the answer to the question that the study asks, or why there is none."""
    endpoint = conclusions.endpoint
    if isinstance(endpoint, Unanswered):
        return f"{no_answer(endpoint)}{not_above_chance(conclusions.exploratory)}"
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


def contrast_answer(found: Contrasted, behind: Sequence[Compared]) -> str:
    """Return the answer to a contrast of a factorial design, with its interval.

    Args:
        found: The contrast.
        behind: The differences behind it.
    """
    declared = found.declared
    estimate = estimate_of(found)
    if found.limit is None:
        claim = f"{_contrast_claims(declared)[declared.contrast][found.verdict]}."
    else:
        claim = no_verdict(found.limit, found.count)
    what = f"{measure_name(declared.measure)}, {AVERAGE_NAMES[declared.average]}"
    seeds = "1 seed is" if found.num_collapsed == 1 else f"{found.num_collapsed} seeds are"
    left_out = f"{seeds} left out: a run does not localize." if found.num_collapsed else ""
    said = [
        f"{claim} Contrast of {declared.contrast} in {what}: {estimate}, {planned_seeds(found.count)}.",
        left_out,
        NOT_ABSENT if found.verdict == "not shown" else "",
        few_seeds(found.num_seeds) if found.limit is None else "",
        not_above_chance(behind).strip(),
    ]
    return " ".join(part for part in said if part)


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
