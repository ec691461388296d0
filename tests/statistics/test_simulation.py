"""Known answers: on tables whose truth is known, the procedure is right as often as it says, within Monte Carlo error."""

from collections.abc import Sequence

import numpy as np
import pytest

from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.hypotheses import holm, minimum_detectable_effect
from mmpkd.statistics.resampling import cluster_sums, patient_bootstrap
from mmpkd.statistics.simulation import SETTINGS, Setting, main, simulate, table

TABLES = 250
FIVE_SEEDS = [Setting(5, 200, 0.03, 0.2, 0.2), Setting(5, 200, 0.1, 0.1, 0.2), Setting(5, 200, 0.03, 0.2, 0.2, "hits")]


@pytest.mark.slow
@pytest.mark.parametrize("setting", FIVE_SEEDS, ids=str)
def test_rates_are_nominal_within_monte_carlo_error(setting: Setting) -> None:
    rates = simulate(setting, TABLES, num_replicates=300)
    error = np.sqrt(0.05 * 0.95 / TABLES)
    assert rates.false_positive <= 0.05 + 3 * error
    assert 0.93 - 3 * error <= rates.coverage <= 0.97 + 3 * error
    assert rates.false_equivalence <= 0.05 + 3 * error
    assert rates.power == pytest.approx(0.8, abs=3 * np.sqrt(0.16 / TABLES))


def _share_shown(effects: Sequence[Effect], difference: float) -> float:
    """Return how often a true difference is shown."""
    return float(np.mean([effect.p_value(-difference) < 0.05 for effect in effects]))


def test_half_of_all_studies_state_a_larger_and_half_a_smaller_detectable_effect_than_the_true_one() -> None:
    rng = np.random.default_rng(2)
    setting = Setting(5, 60, 0.05, 0.2, 0.2)
    effects = [effect_of(patient_bootstrap(cluster_sums(*table(setting, rng)), 200)) for _ in range(400)]
    stated = np.array([minimum_detectable_effect(effect) for effect in effects])
    grid = np.linspace(0.5, 2, 31) * np.median(stated)
    powers = [_share_shown(effects, value) for value in grid]
    truth = np.interp(0.8, powers, grid)
    assert np.mean(stated > truth) == pytest.approx(0.5, abs=0.12)


@pytest.mark.slow
def test_a_family_without_any_difference_is_rarely_rejected() -> None:
    rng = np.random.default_rng(1)
    setting = Setting(5, 100, 0.03, 0.2, 0.2)
    rejected = []
    for _ in range(150):
        family = [effect_of(patient_bootstrap(cluster_sums(*table(setting, rng)), 200)) for _ in range(4)]
        rejected.append((holm([effect.p_value() for effect in family]) < 0.05).any())
    assert np.mean(rejected) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


@pytest.mark.parametrize("shape", ["normal", "skewed", "hits"])
def test_simulated_tables_have_no_true_difference(shape: str) -> None:
    setting = Setting(4, 2000, 0.05, 0.2, 0.2, shape)  # type: ignore[arg-type]
    means = [table(setting, np.random.default_rng(seed))[0].mean() for seed in range(20)]
    assert np.mean(means) == pytest.approx(0, abs=4 * np.std(means, ddof=1) / np.sqrt(20))


def test_the_command_prints_a_row_for_each_setting(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--tables", "2"])
    out = capsys.readouterr().out
    assert out.count("\n| 5 |") == sum(setting.seeds == 5 for setting in SETTINGS)
    assert "Monte Carlo standard error" in out
