import numpy as np
import pytest

from mmpkd.teachers.calibration import calibration_temperature


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
