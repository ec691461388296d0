import pytest
import torch

from mmpkd.attribution import AllOnes, AttributionMethod, CenterGaussian, ImageIntensity, RandomMap
from mmpkd.students import VisionTransformerStudent

METHODS: list[AttributionMethod] = [AllOnes(), RandomMap(), CenterGaussian(), ImageIntensity()]


@pytest.fixture(scope="module")
def student() -> VisionTransformerStudent:
    return VisionTransformerStudent("vit_nano_patch8_64", 2, 64)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(5, 1, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_maps_are_non_negative_on_the_patch_grid(
    method: AttributionMethod, student: VisionTransformerStudent, image: torch.Tensor
) -> None:
    heatmap = method(student, image)
    assert heatmap.shape == (5, 8, 8)
    assert heatmap.dtype == torch.float32
    assert (heatmap >= 0).all()


def test_random_map_depends_on_the_image_only(student: VisionTransformerStudent, image: torch.Tensor) -> None:
    heatmap = RandomMap()(student, image)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.equal(RandomMap()(student, image[order]), heatmap[order])
    assert torch.equal(RandomMap()(student, image[2:3]), heatmap[2:3])
    assert not torch.equal(RandomMap(1)(student, image), heatmap)
    changed = image.clone()
    changed[0, 0, 10, 10] += 1e-3
    assert (RandomMap()(student, changed) != heatmap).flatten(1).any(1).tolist() == [True] + [False] * 4


def test_random_values_are_uniform_and_independent(student: VisionTransformerStudent) -> None:
    image = torch.randn(400, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    values = RandomMap()(student, image).flatten(1)
    assert values.min() >= 0
    assert values.max() < 1
    expected = values.numel() / 64
    chi_square = ((torch.histc(values, 64, 0, 1) - expected).square() / expected).sum()
    assert chi_square < 120  # 63 degrees of freedom: p = 2e-5
    correlation = torch.corrcoef(values.T)
    assert (correlation - torch.eye(64)).abs().max() < 0.25
    assert torch.corrcoef(torch.stack((values[:, :-1].flatten(), values[:, 1:].flatten())))[0, 1].abs() < 0.03
    # every patch wins about as often as any other: 400 / 64 expected
    assert torch.bincount(values.argmax(1), minlength=64).max() < 22


def test_gaussian_is_centred_and_symmetric(student: VisionTransformerStudent, image: torch.Tensor) -> None:
    heatmap = CenterGaussian(0.25)(student, image)[0]
    assert torch.equal(heatmap, heatmap.flip(0))
    assert torch.equal(heatmap, heatmap.T)
    assert int(heatmap.argmax()) in {27, 28, 35, 36}
    # patch (0, 0) is 7/16 of the side from the centre in both directions
    assert heatmap[0, 0] == pytest.approx(float(torch.tensor(-2 * (7 / 16) ** 2 / (2 * 0.25**2)).exp()), rel=1e-5)


def test_intensity_follows_the_image(student: VisionTransformerStudent) -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[0, 0, 8:16, 24:32] = 2
    heatmap = ImageIntensity()(student, image)
    assert heatmap[0, 1, 3] == 2
    assert heatmap.sum() == 2


def test_sigma_must_be_positive() -> None:
    with pytest.raises(ValueError, match="sigma"):
        CenterGaussian(0)
