"""Scores of tensors on an accelerator are those of tensors on the CPU, without float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmpkd.callbacks.localization.mean_roi import MeanRoiSums
from mmpkd.callbacks.localization.tuning import ThresholdTuning
from mmpkd.metrics import (
    ContrastToNoise,
    HeatmapPairs,
    MultilabelScores,
    PointingGame,
    RoiMetric,
    Rois,
    default_scores,
    patch_ceiling,
)
from mmpkd.metrics.iou import iou_above_bytes
from tests.classes import concrete
from tests.pretended_device import DEVICE, MixedDevicesError, PretendedDevice

G = torch.Generator().manual_seed(0)
HEATMAP = torch.rand(3, 7, 7, generator=G)
MASK = torch.rand(5, 56, 42, generator=G) < torch.tensor([0.01, 0.1, 0.5, 0.0, 1.1])[:, None, None]
IMAGE = torch.tensor([0, 0, 1, 2, 2])
SCORES: list[RoiMetric] = [*default_scores(0.1), ContrastToNoise(absolute=True), PointingGame(5.0)]


def pairs(move: Callable[[Tensor], Tensor] = lambda x: x) -> HeatmapPairs:
    return HeatmapPairs(move(HEATMAP), Rois(move(MASK), move(IMAGE)))


def there(value: Tensor) -> Tensor:
    return value.to(DEVICE)


def test_every_score_is_tried() -> None:
    assert {type(score) for score in SCORES} == {*concrete(RoiMetric)}


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.name)
def test_scores_are_equal_on_both(score: RoiMetric) -> None:
    expected = score.score(pairs())
    with PretendedDevice():
        found = score.score(pairs(there))
        assert found.device == DEVICE
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_means_over_batches_are_equal_on_both() -> None:
    metrics = [ContrastToNoise(), ContrastToNoise()]
    with PretendedDevice():
        metrics[1].to(DEVICE)
        for _ in range(3):
            metrics[0].update(HEATMAP, MASK[:3])
            metrics[1].update(there(HEATMAP), there(MASK[:3]))
        torch.testing.assert_close(metrics[1].compute().cpu(), metrics[0].compute(), rtol=1e-6, atol=0)


def test_what_rounding_takes_from_a_sum_is_not_lost() -> None:
    class Given(RoiMetric):
        name = "given"

        def score(self, pairs: HeatmapPairs) -> Tensor:
            return pairs.heatmap[:, 0, 0]

    metric, mask = Given(), torch.ones(1, 2, 2, dtype=torch.bool)
    values = [2.0**24, *[1.0] * 100]
    for value in values:
        metric.update(torch.full((1, 2, 2), value), mask)
    assert metric.total == 2.0**24  # float32 has no odd numbers there
    assert metric.compute() == torch.tensor(sum(values) / len(values))


def test_classification_scores_are_equal_on_both() -> None:
    preds, target = torch.rand(40, 3, generator=G), torch.randint(0, 2, (40, 3), generator=G).float()
    target[:5, 1] = torch.nan
    scores = [MultilabelScores(3), MultilabelScores(3)]
    with PretendedDevice():
        scores[1].to(DEVICE)
        scores[0].update(preds, target)
        scores[1].update(there(preds), there(target))
        expected, found = (score.compute() for score in scores)
        assert {value.device for value in found.values()} == {DEVICE}
        for name, value in expected.items():
            assert torch.equal(found[name].cpu(), value), name


def test_what_validation_learns_is_equal_on_both() -> None:
    learned = []
    with PretendedDevice():
        for move in (torch.clone, there):
            tuning, sums = ThresholdTuning(), MeanRoiSums()
            tuning.add("rollout", ["a", "b", "a", "b", "b"], iou_above_bytes(pairs(move)))
            tuning.finish()
            sums.add(move(MASK), move(torch.tensor([0, 1, 0, 1, 1])), (7, 7), 2)
            ceiling = patch_ceiling(move(MASK), (7, 7)).cpu()
            learned.append((tuning.thresholds, sums._total, ceiling))
    assert learned[0][0] == learned[1][0]
    torch.testing.assert_close(learned[0][1:], learned[1][1:], equal_nan=True)


def test_the_double_refuses_what_devices_refuse() -> None:
    with PretendedDevice() as device:
        value = there(torch.arange(3.0))
        with pytest.raises(TypeError, match="float64"):
            value.double()
        with pytest.raises(MixedDevicesError):
            value + torch.ones(3)
        with pytest.raises(MixedDevicesError):
            torch.ones(3)[value.long()]
        device.reads.clear()
        assert there(torch.ones(1)).device == torch.ones(1).to(DEVICE, non_blocking=True).device
        value.clone()[torch.tensor([0])] = value[:1]
        assert [read.split(": ")[1] for read in device.reads] == ["_to_copy", "index_put_"]
        device.reads.clear()
        assert float(value[1]) == 1
        assert value[value > 0].shape == (2,)
        assert torch.equal(value.cpu(), torch.arange(3.0))
        assert [read.split(": ")[1] for read in device.reads] == ["_local_scalar_dense", "index", "_to_copy"]
