"""A student that fills up incomplete patches is explained and scored on the image that it sees, the padded one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from data_modules.batch import Sample
from data_modules.images.regions import Roi
from mmpkd.attribution import AllOnes, AttentionRollout, GradCAM, crop_to_image, pad_to_patches, patch_grid
from mmpkd.callbacks.localization import attribution_maps
from mmpkd.callbacks.localization.faithfulness import FaithfulnessMonitor
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.inference.maps import maps_of
from mmpkd.metrics import pointing_game
from mmpkd.students import TrainedStudent, VisionTransformerStudent
from tests.callbacks.localization_data import LABELS, MemoryData, StudentModule, make_samples, make_trainer

PADS = {"dynamic_img_size": True, "dynamic_img_pad": True}
SIDE = 28


def padding_student(name: str = "vit_nano_patch8_64", side: int = SIDE, **options: Any) -> VisionTransformerStudent:
    torch.manual_seed(0)
    return VisionTransformerStudent(name, len(LABELS), side, options={"depth": 2, **PADS, **options}).eval()


@pytest.mark.parametrize("side", [28, 29, 30, 31, 32])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_nano_patch8_64", {}),
        ("vit_tiny_patch16_224", {"embed_dim": 24, "num_heads": 2}),
        ("eva02_tiny_patch14_224", {"embed_dim": 24, "num_heads": 2}),
    ],
)
def test_each_patch_has_its_peak_where_it_sees_the_padded_image(name: str, options: dict[str, Any], side: int) -> None:
    student = padding_student(name, side, **options)
    image = torch.randn(1, 1, side, side)
    padded = pad_to_patches(student, image).requires_grad_()
    with torch.no_grad():
        torch.testing.assert_close(student(padded).logits, student(image).logits, rtol=0, atol=0)
    size = (int(padded.shape[-2]), int(padded.shape[-1]))
    rows, columns = patch_grid(student, size)
    embed: Any = student.model.patch_embed
    tokens = embed(padded).reshape(1, rows, columns, -1)
    for row, column in ((0, 0), (rows - 1, 0), (rows - 1, columns - 1)):
        (gradient,) = torch.autograd.grad(tokens[0, row, column].abs().sum(), padded, retain_graph=True)
        seen = gradient.abs().sum((0, 1)) > 0
        heatmap = torch.zeros(1, rows, columns)
        heatmap[0, row, column] = 1
        assert pointing_game(heatmap, seen[None]).item() == 1
        whole = F.interpolate(heatmap[None], size, mode="bilinear")[0]
        expected = heatmap if size == (side, side) else whole[:, :side, :side]
        torch.testing.assert_close(crop_to_image(student, heatmap, (side, side)), expected)


def test_an_image_that_is_not_padded_is_refused() -> None:
    student = padding_student()
    with pytest.raises(ValueError, match="Use a height of 24 or 32 and a width of 24 or 32"):
        AllOnes()(student, torch.zeros(1, 1, SIDE, SIDE))


def test_timm_cannot_pad_for_a_fixed_position_embedding() -> None:
    with pytest.raises(ValueError, match="Expected an image of whole patches"):
        VisionTransformerStudent("vit_nano_patch8_64", 2, SIDE, options={"depth": 1, "dynamic_img_pad": True})


def _smaller(sample: Sample) -> Sample:
    assert sample.image is not None
    assert sample.roi_mask is not None
    return replace(sample, image=sample.image[:, :SIDE, :SIDE], roi_mask=sample.roi_mask[:, :SIDE, :SIDE])


def _padded(sample: Sample) -> Sample:
    """Return a sample padded to 32 x 32 by hand."""
    image = F.pad(torch.tensor(sample.image), (0, 4, 0, 4)).numpy()
    mask = F.pad(torch.tensor(sample.roi_mask), (0, 4, 0, 4)).numpy()
    return replace(sample, image=image, roi_mask=np.asarray(mask, dtype=np.bool_))


def _scores(folder: Path, samples: list[Sample]) -> tuple[pd.DataFrame, pd.DataFrame]:
    data, module = MemoryData(samples), StudentModule()
    module.student = padding_student()
    data.splits["test"] = data.splits["val"]
    object.__setattr__(data.splits["test"], "rois", {row: (Roi(0),) for row in (0, 2, 5)})
    callbacks = [LocalizationMonitor(), FaithfulnessMonitor([AttentionRollout(), GradCAM()], num_steps=2)]
    make_trainer(folder, callbacks).test(module, datamodule=data, verbose=False)
    return pd.read_parquet(folder / "roi_test.parquet"), pd.read_parquet(folder / "faithfulness_test.parquet")


@pytest.mark.filterwarnings("ignore")
def test_maps_are_drawn_over_the_image_without_the_padding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, drawn = [_smaller(sample) for sample in make_samples()], []
    monkeypatch.setattr(attribution_maps, "_write_overlays", lambda chosen, maps, folder: drawn.extend(maps))
    monkeypatch.setattr(attribution_maps, "_write_figures", lambda *args: None)
    module = StudentModule()
    module.student = padding_student()
    callbacks = [LocalizationMonitor(), attribution_maps.AttributionMapLogger(num_images=1, num_examples=0)]
    make_trainer(tmp_path, callbacks).test(module, datamodule=MemoryData(samples), verbose=False)
    # the image with the smallest region
    image = torch.tensor(_padded(samples[2]).image)[None]
    heatmap = AttentionRollout()(module.student, image)
    expected = F.interpolate(heatmap[None], 32, mode="bilinear")[0, 0, :SIDE, :SIDE]
    assert len(drawn) == 1
    torch.testing.assert_close(torch.tensor(drawn[0]), expected)
    trained = TrainedStudent(module.student, LABELS, torch.zeros(3), None)
    (own,) = maps_of(trained, [AttentionRollout()], image[..., :SIDE, :SIDE], [])
    torch.testing.assert_close(torch.tensor(own.values), expected)


@pytest.mark.filterwarnings("ignore")
def test_scores_are_those_of_images_and_regions_that_were_padded_by_hand(tmp_path: Path) -> None:
    samples = [_smaller(sample) for sample in make_samples()]
    found = _scores(tmp_path / "own", samples)
    expected = _scores(tmp_path / "by_hand", [_padded(sample) for sample in samples])
    for own, by_hand in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(own, by_hand)
    area = found[0].loc[found[0]["sample_id"] == "study/0", "area"]
    assert (area == 16 * 16 / 32**2).all()
