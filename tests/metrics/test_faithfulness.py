import pytest
import torch
from torch import Tensor, nn

from mmpkd.metrics.faithfulness import area_under_curve, perturbation_curves


class SumOfPatches(nn.Module):
    """Logit 0 is a weighted sum of patch means of an image of 2 x 2 patches of 4 x 4 pixels; logit 1 ignores the image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.0, 1.0], [3.0, 2.0]]))

    def forward(self, image: Tensor) -> Tensor:
        patches = image[:, 0].reshape(-1, 2, 4, 2, 4).mean((2, 4))
        logit = (patches * self.weight).sum((1, 2))
        return torch.stack((logit, torch.full_like(logit, 0.7)), dim=1)


IMAGE = torch.zeros(1, 1, 8, 8)
IMAGE[0, 0, :4, :4], IMAGE[0, 0, :4, 4:], IMAGE[0, 0, 4:, :4], IMAGE[0, 0, 4:, 4:] = 1.0, 2.0, 3.0, 4.0
LABEL = torch.tensor([0])


def test_deletion_has_its_closed_form() -> None:
    heatmap = torch.tensor([[[0.0, 1.0], [3.0, 2.0]]])  # the order of the weights
    curve = perturbation_curves(SumOfPatches(), IMAGE, heatmap, LABEL, 4, "mean", "mean").deletion
    mean = 2.5
    logits = [0 + 2 + 9 + 8, 2 + 3 * mean + 8, 2 + 3 * mean + 2 * mean, 6 * mean, 6 * mean]
    torch.testing.assert_close(curve[0], torch.tensor(logits).float().sigmoid())


def test_insertion_is_deletion_from_the_other_end() -> None:
    heatmap = torch.rand(1, 2, 2, generator=torch.Generator().manual_seed(0))
    forward = perturbation_curves(SumOfPatches(), IMAGE, heatmap, LABEL, 4, "mean", "mean")
    backward = perturbation_curves(SumOfPatches(), IMAGE, -heatmap, LABEL, 4, "mean", "mean")
    torch.testing.assert_close(forward.insertion, backward.deletion.flip(1))


def test_ends_are_the_image_and_the_baseline_whatever_the_map() -> None:
    student = SumOfPatches()
    ends = []
    for seed in (0, 1):
        heatmap = torch.rand(1, 2, 2, generator=torch.Generator().manual_seed(seed))
        curves = perturbation_curves(student, IMAGE, heatmap, LABEL, 2)
        assert curves.deletion[0, 0] == curves.insertion[0, -1] == student(IMAGE)[0, 0].sigmoid()
        ends.append(torch.stack((curves.deletion[0, -1], curves.insertion[0, 0])))
    torch.testing.assert_close(ends[0], ends[1])
    assert ends[0][0] != ends[0][1]  # a mean and a blur


def test_a_faithful_map_falls_faster_than_its_reverse() -> None:
    heatmap = torch.tensor([[[0.0, 1.0], [3.0, 2.0]]])
    image = IMAGE - 2.5
    image[0, 0, 4:, :4] = 3
    areas = [
        area_under_curve(perturbation_curves(SumOfPatches(), image, h, LABEL, 4).deletion).item()
        for h in (heatmap, -heatmap)
    ]
    assert areas[0] < areas[1]


def test_a_finding_that_no_patch_matters_to_has_flat_curves() -> None:
    curves = perturbation_curves(SumOfPatches(), IMAGE, torch.rand(1, 2, 2), torch.tensor([1]), 4)
    torch.testing.assert_close(curves.deletion, torch.full((1, 5), 0.7).sigmoid())
    torch.testing.assert_close(area_under_curve(curves.insertion), torch.tensor([0.7]).sigmoid())


def test_ties_are_taken_in_the_same_order_every_time() -> None:
    first, second = (perturbation_curves(SumOfPatches(), IMAGE, torch.ones(1, 2, 2), LABEL, 4) for _ in range(2))
    assert torch.equal(first.deletion, second.deletion)


def test_area_is_the_trapezoidal_rule() -> None:
    curve = torch.rand(3, 11, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(area_under_curve(curve), torch.trapezoid(curve, dx=0.1))


@pytest.mark.parametrize(
    ("heatmap", "label", "steps"),
    [
        (torch.ones(2, 2, 2), LABEL, 2),
        (torch.ones(1, 2, 2), torch.tensor([0, 1]), 2),
        (torch.ones(1, 2, 2), LABEL, 0),
        (torch.ones(1, 2, 2), LABEL, 5),
        (torch.ones(1, 4), LABEL, 1),
    ],
)
def test_impossible_input_is_refused(heatmap: Tensor, label: Tensor, steps: int) -> None:
    with pytest.raises(ValueError, match="Expected one heatmap"):
        perturbation_curves(SumOfPatches(), IMAGE, heatmap, label, steps)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_map_that_is_not_finite_has_no_curves_and_leaves_its_batch_alone(value: float) -> None:
    heatmap = torch.tensor([[[0.0, 1.0], [3.0, 2.0]]]).repeat(3, 1, 1)
    expected = perturbation_curves(SumOfPatches(), IMAGE, heatmap[:1], LABEL, 4)
    heatmap[1, 0, 1] = value
    curves = perturbation_curves(SumOfPatches(), IMAGE.repeat(3, 1, 1, 1), heatmap, LABEL.repeat(3), 4)
    for found, right in zip(curves, expected, strict=True):
        assert found[1].isnan().all()
        torch.testing.assert_close(found[[0, 2]], right.repeat(2, 1))
