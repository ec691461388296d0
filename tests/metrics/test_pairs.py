"""What all scores share: several ROIs an image, maps that all images share, and input that is not finite."""

import pytest
import torch

from mmpkd.metrics import (
    ContrastToNoise,
    HeatmapPairs,
    IoU,
    MeanIoU,
    PixelAUROC,
    PixelAveragePrecision,
    PointingGame,
    RelevanceMass,
    RelevanceRank,
    RoiMetric,
    Rois,
)
from mmpkd.metrics.pairs import one_to_one

SCORES: list[RoiMetric] = [
    PointingGame(),
    PointingGame(3),
    IoU("otsu"),
    IoU("top_area", 0.2),
    IoU(0.5),
    MeanIoU(),
    RelevanceMass(),
    RelevanceRank(),
    PixelAUROC(),
    PixelAveragePrecision(),
    ContrastToNoise(),
]
IMAGE = torch.tensor([2, 0, 0, 2, 1])


@pytest.fixture
def heatmap() -> torch.Tensor:
    return torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.rand(5, 16, 20, generator=torch.Generator().manual_seed(1)) < 0.2


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.name)
def test_several_rois_of_an_image_are_scored_as_each_alone(
    score: RoiMetric, heatmap: torch.Tensor, mask: torch.Tensor
) -> None:
    together = score.score(HeatmapPairs(heatmap, Rois(mask, IMAGE)))
    alone = torch.cat([score.score(one_to_one(heatmap[i][None], m[None])) for i, m in zip(IMAGE, mask, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.name)
def test_a_map_that_all_images_share_is_scored_as_its_copies(
    score: RoiMetric, heatmap: torch.Tensor, mask: torch.Tensor
) -> None:
    shared = heatmap[:1].expand(3, -1, -1)
    rois = Rois(mask, IMAGE)
    assert HeatmapPairs(shared, rois).pixels.shape[0] == 1
    torch.testing.assert_close(
        score.score(HeatmapPairs(shared, rois)), score.score(HeatmapPairs(shared.clone(), rois)), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.name)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_heatmap_that_is_not_finite_is_undefined(
    score: RoiMetric, bad: float, heatmap: torch.Tensor, mask: torch.Tensor
) -> None:
    heatmap[0, 1, 1] = bad
    values = score.score(HeatmapPairs(heatmap, Rois(mask, IMAGE)))
    assert values.isnan().tolist() == [False, True, True, False, False]


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.name)
def test_no_roi_gives_no_score(score: RoiMetric, heatmap: torch.Tensor) -> None:
    none = Rois(torch.zeros(0, 16, 20, dtype=torch.bool), torch.zeros(0, dtype=torch.int64))
    assert score.score(HeatmapPairs(heatmap, none)).shape == (0,)


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.name)
def test_precision_of_the_run_changes_nothing(score: RoiMetric, heatmap: torch.Tensor, mask: torch.Tensor) -> None:
    expected = score.score(HeatmapPairs(heatmap, Rois(mask, IMAGE)))
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        torch.testing.assert_close(score.score(HeatmapPairs(heatmap, Rois(mask, IMAGE))), expected)


def test_impossible_input_is_refused(heatmap: torch.Tensor, mask: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="Expected `mask` to be bool"):
        Rois(mask.float())
    with pytest.raises(ValueError, match="Expected `image`"):
        Rois(mask, IMAGE[:3])
    with pytest.raises(ValueError, match="Expected `heatmap`"):
        HeatmapPairs(heatmap[0], Rois(mask, IMAGE))
