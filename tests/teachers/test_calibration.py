import numpy as np
import pytest

from mmpkd.statistics.weighted_scores import weighted_calibration_error
from mmpkd.teachers.calibration import calibration_error_interval, calibration_temperature


def test_the_temperature_that_made_the_logits_is_found() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(20_000, 3)) * 2
    label = (rng.random(true.shape) < 1 / (1 + np.exp(-true))).astype(np.float32)
    label[::5, 0] = np.nan
    for temperature in (0.5, 1.0, 4.0):
        found = calibration_temperature((true * temperature).astype(np.float32), label)
        assert found == pytest.approx(temperature, rel=0.03)
    with pytest.raises(ValueError, match="known labels"):
        calibration_temperature(np.zeros((2, 1), np.float32), np.full((2, 1), np.nan, np.float32))


@pytest.mark.parametrize("slope", [1.0, 0.4])
def test_the_interval_of_the_calibration_error_covers_the_true_one(slope: float) -> None:
    """Of probabilities whose frequencies are known: calibrated ones, and overconfident ones."""
    rng = np.random.default_rng(0)
    grid = (np.arange(3000) + 0.5) / 3000
    frequency = 0.5 + slope * (grid - 0.5)
    truth = np.abs((grid - frequency).reshape(15, 200).mean(axis=1)).mean()  # 15 bins of equal width
    num_covered = 0
    num_percentile = 0
    for _ in range(50):
        chosen = rng.integers(0, len(grid), 400)
        positive = rng.random(400) < frequency[chosen]
        weights = np.concatenate([np.ones((1, 400)), rng.multinomial(400, np.full(400, 1 / 400), 200)]).astype(float)
        low, high = calibration_error_interval(grid[chosen], positive, weights)
        errors = weighted_calibration_error(grid[chosen], positive, weights)
        assert low <= errors[0] <= high
        num_covered += low <= truth <= high
        num_percentile += np.quantile(errors[1:], 0.025) <= truth <= np.quantile(errors[1:], 0.975)
    assert num_covered >= 45  # of 50: at 95 %, fewer come up once in 100 times
    assert num_percentile < num_covered  # what it replaces
