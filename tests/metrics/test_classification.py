import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import f1_score as sklearn_f1

from mmpkd.metrics import (
    MultilabelScores,
    auroc,
    average_precision,
    best_f1_threshold,
    expected_calibration_error,
    f1_score,
)

Case = tuple[NDArray[np.float32], NDArray[np.float32]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Scores with many ties and labels of which some are not stated."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    samples, classes = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    levels = draw(st.sampled_from([2, 5, 10_000]))
    preds = rng.integers(0, levels, (samples, classes)) / (levels - 1)
    target = rng.choice([0, 1, np.nan], (samples, classes), p=[0.5, 0.3, 0.2])
    return preds.astype(np.float32), target.astype(np.float32)


def _pair_count(preds: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    positive, negative = preds[target == 1], preds[target == 0]
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
    return float(np.mean(wins)) if wins else np.nan


@given(case=cases())
@settings(max_examples=150)
def test_scores_equal_brute_force_and_scikit_learn(case: Case) -> None:
    preds, target = case
    areas, precisions = (f(torch.tensor(preds), torch.tensor(target)).numpy() for f in (auroc, average_precision))
    for k in range(preds.shape[1]):
        stated = ~np.isnan(target[:, k])
        p, y = preds[stated, k], target[stated, k]
        np.testing.assert_allclose(areas[k], _pair_count(p, y), atol=1e-12)
        if len(np.unique(y)) < 2:
            assert np.isnan(areas[k])
            assert np.isnan(precisions[k])
        else:
            np.testing.assert_allclose(areas[k], roc_auc_score(y, p), atol=1e-12)
            np.testing.assert_allclose(precisions[k], average_precision_score(y, p), atol=1e-12)


def test_constant_scores_have_chance_level() -> None:
    preds, target = torch.full((10, 1), 0.3), torch.tensor([[1.0]] * 3 + [[0.0]] * 7)
    assert auroc(preds, target).item() == 0.5
    assert average_precision(preds, target).item() == pytest.approx(0.3)


@pytest.mark.parametrize("score", [auroc, average_precision])
def test_impossible_input_is_refused(score: object) -> None:
    assert callable(score)
    with pytest.raises(ValueError, match="one shape"):
        score(torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="1 are NaN"):
        score(torch.tensor([[0.1], [float("nan")]]), torch.zeros(2, 1))


def test_metric_joins_batches_and_leaves_out_undefined_classes() -> None:
    rng = np.random.default_rng(0)
    preds = torch.tensor(rng.random((60, 4)), dtype=torch.float32)
    target = torch.tensor(rng.integers(0, 2, (60, 4)), dtype=torch.float32)
    target[::3, 0] = torch.nan
    target[:, 2] = 1  # no negative
    target[:, 3] = torch.nan
    metric = MultilabelScores(4)
    for start, stop in ((0, 7), (7, 8), (8, 60)):
        metric.update(preds[start:stop], target[start:stop])
    scores = metric.compute()
    torch.testing.assert_close(scores["auroc"], auroc(preds, target).float(), equal_nan=True)
    torch.testing.assert_close(scores["auprc"], average_precision(preds, target).float(), equal_nan=True)
    assert scores["auroc"].isnan().tolist() == [False, False, True, True]
    assert scores["auroc_macro"] == scores["auroc"][:2].mean()
    assert scores["auprc_macro"] == scores["auprc"][:2].mean()
    assert scores["num_classes_evaluated"] == 2


def test_metric_states_are_joined_over_processes_by_concatenation() -> None:
    metric = MultilabelScores(1)
    assert metric._reductions["preds"].__name__ == "dim_zero_cat"
    assert metric._reductions["target"].__name__ == "dim_zero_cat"


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_metric_without_samples_is_nan() -> None:
    scores = MultilabelScores(2).compute()
    assert scores["auroc_macro"].isnan()
    assert scores["num_classes_evaluated"] == 0


def test_metric_refuses_another_number_of_classes() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3\)"):
        MultilabelScores(3).update(torch.zeros(2, 2), torch.zeros(2, 2))


@given(seed=st.integers(0, 10_000), levels=st.sampled_from([3, 50]))
def test_f1_is_scikit_learns_and_no_threshold_beats_the_best_one(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    preds = torch.from_numpy(rng.integers(0, levels + 1, (30, 2)) / levels)
    target = torch.from_numpy(rng.integers(0, 2, (30, 2)).astype(float))
    target[:2] = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    target[5:9, 1] = torch.nan
    best = best_f1_threshold(preds, target)
    found = f1_score(preds, target, best)
    for k in range(2):
        stated = ~target[:, k].isnan()
        scores = {
            float(t): sklearn_f1(target[stated, k], preds[stated, k] >= t, zero_division=0)
            for t in preds[stated, k].unique()
        }
        assert found[k].item() == pytest.approx(max(scores.values()))
        assert best[k].item() == pytest.approx(max(t for t, f in scores.items() if f == pytest.approx(found[k].item())))
        middle = f1_score(preds, target, torch.tensor([0.5, 0.5]))[k].item()
        expected = sklearn_f1(target[stated, k], preds[stated, k] >= 0.5, zero_division=0)
        assert middle == pytest.approx(expected)


def test_calibration_error_of_known_cases() -> None:
    seven = torch.tensor([[1.0]] * 7 + [[0.0]] * 3)
    assert expected_calibration_error(torch.full((10, 1), 0.7), seven).item() == pytest.approx(0, abs=1e-6)
    assert expected_calibration_error(torch.full((10, 1), 0.9), seven).item() == pytest.approx(0.2, abs=1e-6)
    assert expected_calibration_error(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [0.0]])).item() == 1
    preds, target = torch.tensor([[0.1], [0.1], [0.9], [0.3]]), torch.tensor([[0.0], [1.0], [1.0], [torch.nan]])
    assert expected_calibration_error(preds, target).item() == pytest.approx((0.8 + 0.1) / 3)
    assert expected_calibration_error(preds, torch.full((4, 1), torch.nan)).isnan().all()
