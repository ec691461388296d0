"""The headline of a study: the answer to its comparison or its contrast, or why there is none."""

from collections.abc import Mapping, Sequence

from mmpkd.statistics.hypotheses import Verdict
from mmpkd.study.analysis.answers import Conclusions, Unanswered
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.contrast import Contrasted
from mmpkd.study.plan.questions import Contrast, Factorial
from mmpkd.study.report.answer import answer_lines, estimate_of, not_above_baseline, unlike_arms
from mmpkd.study.report.caveats import NOT_ABSENT, few_differing, few_seeds, no_verdict, planned_seeds
from mmpkd.study.report.names import AVERAGE_NAMES, SCORED, score_name


def headline(conclusions: Conclusions) -> tuple[str, ...]:
    """Return the answer to the question of the study, or why there is none, in several lines."""
    endpoint = conclusions.endpoint
    if isinstance(endpoint, Unanswered):
        behind = conclusions.exploratory
        lines = (no_answer(endpoint), not_above_baseline(behind), unlike_arms(behind))
        return tuple(line for line in lines if line)
    if isinstance(endpoint, Contrasted):
        return contrast_lines(endpoint, conclusions.exploratory)
    return answer_lines(endpoint)


def no_answer(found: Unanswered) -> str:
    """Return why a question has no answer."""
    if found.why == "unfinished":
        return f"No answer yet: no finished run of {' and '.join(found.arms)}."
    reasons = {
        "no_rois": "the test split has no regions of interest.",
        "one_seed": "a contrast between domains needs at least two seeds; the report shows the difference in each domain.",
        "not_comparable": found.detail,
    }
    return f"No answer: {reasons[found.why]}"


def contrast_lines(found: Contrasted, behind: Sequence[Compared]) -> tuple[str, ...]:
    """Return the answer to a contrast of a factorial design, with its interval, in several lines.

    Args:
        found: The contrast.
        behind: The comparisons that it is computed from.
    """
    declared = found.declared
    estimate = estimate_of(found)
    if found.limit is None:
        claim = f"{_contrast_claims(declared)[declared.contrast][found.verdict]}."
    else:
        claim = no_verdict(found.limit, found.count)
    estimand = f"{AVERAGE_NAMES[declared.average]}, {SCORED[declared.unit]}"
    seeds = "1 seed is" if found.num_collapsed == 1 else f"{found.num_collapsed} seeds are"
    left_out = f"{seeds} left out, because a run does not localize." if found.num_collapsed else ""
    said = [
        claim,
        f"Contrast of {declared.contrast} in {score_name(declared.measure)}: {estimate}. This is the {estimand}, from "
        f"{planned_seeds(found.count)} and {found.num_patients} patients.",
        not_above_baseline(behind),
        unlike_arms(behind),
        left_out,
        NOT_ABSENT if found.verdict == "not shown" else "",
        few_differing(found.verdict, behind),
        few_seeds(found.num_seeds) if found.limit is None else "",
    ]
    return tuple(line for line in said if line)


def _contrast_claims(declared: Factorial) -> Mapping[Contrast, Mapping[Verdict, str]]:
    first, second = declared.domains
    form, other = declared.forms
    margin = declared.margin
    return {
        "domain": {
            "higher": f"The effect of distillation on localization is higher in {first} than in {second}",
            "lower": f"The effect of distillation on localization is lower in {first} than in {second}",
            "equivalent": f"The effect of distillation on localization is the same in {first} and {second} within ± {margin}",
            "not shown": f"No difference in the effect of distillation between {first} and {second} is shown",
        },
        "form": {
            "higher": f"A student localizes better when distilled from {form} than from {other}",
            "lower": f"A student localizes worse when distilled from {form} than from {other}",
            "equivalent": f"Students distilled from {form} and {other} localize equally well within ± {margin}",
            "not shown": f"No difference between distilling from {form} and from {other} is shown",
        },
        "interaction": {
            "higher": f"The effect of {form} minus that of {other} is higher in {first} than in {second}",
            "lower": f"The effect of {form} minus that of {other} is lower in {first} than in {second}",
            "equivalent": f"The effect of {form} minus that of {other} is the same in {first} and {second} within ± {margin}",
            "not shown": f"No interaction of domain ({first}, {second}) and form ({form}, {other}) is shown",
        },
    }
