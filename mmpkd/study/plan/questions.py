"""The questions that a study declares: a comparison of two arms, or a contrast of a factorial design."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from mmpkd.records.unit import Unit
from mmpkd.study.plan.errors import StudyError

Contrast = Literal["domain", "form", "interaction"]
Average = Literal["patients", "findings"]
REFERENCE = "reference"


@dataclass(frozen=True)
class Measure:
    """An attribution, and the score by which its maps are compared.

    Attributes:
        attribution: Attribution in the localization table.
        score: Column of the localization table; higher must be better.
        unit: Target that a map is scored against: the region of one `finding`, or all regions of an `image` together.
    """

    attribution: str
    score: str
    unit: Unit = "finding"


@dataclass(frozen=True)
class Comparison:
    """A difference between two student arms, declared before anything runs.

    Attributes:
        arm: Student arm that the question is about.
        reference: Student arm that it is compared with.
        attribution: Attribution in the localization table.
        score: Column of the localization table; higher must be better.
        margin: Smallest difference that matters, in units of the score; enables a test of equivalence.
        unit: Target that a map is scored against, see `Measure`.
        average: Mean over `patients`, or over `findings` of their means over patients; see `run_means`.

    Raises:
        StudyError: If the margin is not positive, an arm is compared with itself, or the average is over findings although the
            unit is an image.
    """

    arm: str
    reference: str
    attribution: str
    score: str
    margin: float | None = None
    unit: Unit = "finding"
    average: Average = "patients"

    def __post_init__(self) -> None:
        _check_margin(self.margin)
        _check_average(self.unit, self.average)
        if self.arm == self.reference:
            raise StudyError(f"Expected two different arms to compare but got {self.arm!r} twice.")

    @property
    def measure(self) -> Measure:
        """Attribution and score that are compared."""
        return Measure(self.attribution, self.score, self.unit)


@dataclass(frozen=True)
class Factorial:
    """A design of two domains x two forms of privileged information, each compared with the reference of its domain.

    Attributes:
        contrast: The declared endpoint: the effect of the `domain`, of the `form`, or their `interaction`.
        attribution: Attribution in the localization table.
        score: Column of the localization table; higher must be better.
        domains: Two domains; each maps `reference` and the two forms to student arms.
        margin: Smallest contrast that matters, in units of the score; enables a test of equivalence.
        unit: Target that a map is scored against, see `Measure`.
        average: Mean over `patients`, or over `findings` of their means over patients; see `run_means`.

    Raises:
        StudyError: If the margin is not positive, the design is not two by two, or the average is over findings although the
            unit is an image.
    """

    contrast: Contrast
    attribution: str
    score: str
    domains: Mapping[str, Mapping[str, str]]
    margin: float | None = None
    unit: Unit = "finding"
    average: Average = "patients"

    def __post_init__(self) -> None:
        _check_margin(self.margin)
        _check_average(self.unit, self.average)
        forms = [_forms(arms) for arms in self.domains.values()]
        has_references = all(REFERENCE in arms for arms in self.domains.values())
        # the order of the forms sets the sign of a contrast, so it must not depend on the domain
        if len(forms) != 2 or not has_references or len(forms[0]) != 2 or forms[0] != forms[1]:
            raise StudyError(
                f"Expected two domains, each with a `{REFERENCE}` and the same two forms in the same order, but got "
                f"{self.domains}."
            )

    @property
    def forms(self) -> tuple[str, str]:
        """Names of the two forms."""
        first, second = _forms(next(iter(self.domains.values())))
        return first, second

    @property
    def measure(self) -> Measure:
        """Attribution and score that are compared."""
        return Measure(self.attribution, self.score, self.unit)

    @property
    def arms(self) -> list[str]:
        """The arms of all domains."""
        names: list[str] = []
        for arms in self.domains.values():
            names += arms.values()
        return names

    @property
    def comparisons(self) -> list[Comparison]:
        """The comparisons that the contrast is computed from, domain by domain."""
        return [self.comparison(domain, form) for domain, form in product(self.domains, self.forms)]

    def comparison(self, domain: str, form: str) -> Comparison:
        """Return the difference of one form from the reference of its domain."""
        arms = self.domains[domain]
        # without the margin, which is about the contrast and not about its parts
        return Comparison(
            arms[form], arms[REFERENCE], self.attribution, self.score, unit=self.unit, average=self.average
        )


def check_endpoint(primary: Comparison | None, factorial: Factorial | None) -> None:
    """Check that exactly one endpoint is declared.

    Raises:
        StudyError: If none or both are declared.
    """
    if (primary is None) == (factorial is None):
        raise StudyError(
            "Expected one declared endpoint, `primary` (a comparison) or `factorial` (a contrast), but got "
            f"{'none' if primary is None else 'both'}."
        )


def _check_margin(margin: float | None) -> None:
    # `not margin > 0` also refuses NaN
    if margin is not None and not margin > 0:
        raise StudyError(f"Expected `margin` to be a number > 0 but got {margin}.")


def _check_average(unit: Unit, average: Average) -> None:
    if unit == "image" and average == "findings":
        raise StudyError(
            "Expected `average: patients` with `unit: image` but got `findings`: all regions of an image are scored together, "
            "so there are no scores by finding."
        )


def _forms(arms: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in arms if name != REFERENCE)
