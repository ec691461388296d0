"""The report finds the words; statistics and analysis only say what is the case."""

from typing import get_args

from mmpkd import attribution
from mmpkd.statistics.effects import IntervalMethod
from mmpkd.statistics.estimands import AVERAGES
from mmpkd.statistics.recognition import Beyond
from mmpkd.study.plan.references import FINDING_MAPS
from mmpkd.study.report.names import AVERAGE_NAMES, BEYOND_NAMES, INTERVAL_NAMES


def test_every_method_has_a_name_of_its_own() -> None:
    named = ((INTERVAL_NAMES, get_args(IntervalMethod)), (AVERAGE_NAMES, AVERAGES), (BEYOND_NAMES, get_args(Beyond)))
    for names, kinds in named:
        assert set(names) == set(kinds)
        assert len(set(names.values())) == len(kinds)


def test_the_maps_of_a_finding_are_known_by_name() -> None:
    exported = [getattr(attribution, name) for name in attribution.__all__]
    kinds = [own for own in exported if isinstance(own, type) and issubclass(own, attribution.AttributionMethod)]
    named = [kind for kind in kinds if kind.is_of_finding and hasattr(kind, "name")]
    assert {kind.name for kind in named} == set(FINDING_MAPS)
