import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss

from mmpkd.metrics.classification import expected_calibration_error
from mmpkd.statistics.weighted_scores import weighted_average_precision, weighted_brier, weighted_calibration_error


@given(seed=st.integers(0, 10_000), levels=st.sampled_from([3, 1000]))
def test_weights_are_repetitions(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.integers(0, levels + 1, 20) / levels
    y = rng.integers(0, 2, 20).astype(bool)
    y[:2] = [True, False]
    weights = rng.integers(0, 3, (4, 20)).astype(float)
    weights[:, :2] = 1
    for row, found in enumerate(
        zip(
            weighted_average_precision(p, y, weights),
            weighted_calibration_error(p, y, weights),
            weighted_brier(p, y, weights),
            strict=True,
        )
    ):
        repeated = np.repeat(np.arange(20), weights[row].astype(int))
        expected = (
            average_precision_score(y[repeated], p[repeated]),
            expected_calibration_error(
                torch.from_numpy(p[repeated, None]), torch.from_numpy(y[repeated, None] * 1.0)
            ).item(),
            brier_score_loss(y[repeated], p[repeated]),
        )
        assert found == pytest.approx(expected)
