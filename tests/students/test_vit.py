import shutil
from pathlib import Path

import pytest
import timm
import torch

from mmpkd.students import VisionTransformerStudent, load_student

INPUT = {"mean": 0.5, "std": 0.25}
SMALL = {"embed_dim": 48, "depth": 2, "num_heads": 3}


@pytest.mark.parametrize(
    ("name", "options", "prefix"),
    [
        ("vit_tiny_patch16_224", SMALL, 1),
        ("vit_tiny_patch16_224", {**SMALL, "global_pool": "avg", "class_token": False, "no_embed_class": True}, 0),
        ("deit_tiny_distilled_patch16_224", SMALL, 2),
        ("vit_small_patch14_reg4_dinov2", {**SMALL, "img_size": 56}, 5),
        ("vit_base_patch16_siglip_224", SMALL, 0),
    ],
)
def test_logits_are_timms_own_and_features_feed_the_classifier(
    name: str, options: dict[str, int | str], prefix: int
) -> None:
    size = int(options.pop("img_size", 64)) if "img_size" in options else 64
    student = VisionTransformerStudent(name, 3, size, options=options).eval()
    image = torch.randn(2, 1, size, size)
    output = student(image)
    torch.testing.assert_close(output.logits, student.model(image))
    assert output.features.shape == (2, student.num_features)
    assert student.num_prefix_tokens == prefix


def test_unknown_models_are_refused_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"Did you mean .*vit_small_patch16_224"):
        VisionTransformerStudent("vit_smal_patch16_224", 2, 224)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_base_patch32_clip_224", "beit_base_patch16_224"])
def test_pretrained_weights_give_one_grey_channel_the_features_of_three(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = timm.create_model(name, num_classes=7, img_size=64, **SMALL).eval()
    mean, std = (0.48, 0.45, 0.41), (0.27, 0.26, 0.22)
    config = {"mean": mean, "std": std, "input_size": (3, 64, 64)}
    timm.models.save_for_hf(source, str(tmp_path), {"pretrained_cfg": config, "model_args": SMALL})
    student = VisionTransformerStudent(f"local-dir:{tmp_path}", 2, 64, pretrained=True, mean=0.41, std=0.18).eval()
    grey = torch.rand(2, 1, 64, 64)
    channels = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
    expected = source.forward_features((grey - channels[0]) / channels[1])
    found = student.model.forward_features((grey - 0.41) / 0.18)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    # adding the channels up alone is far off
    summed = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, in_chans=1, num_classes=2).eval()
    assert (summed.forward_features((grey - 0.41) / 0.18) - expected).abs().max() > 0.1


def test_a_checkpoint_of_a_folded_student_loads_without_the_pretrained_weights(tmp_path: Path) -> None:
    source = timm.create_model("vit_base_patch32_clip_224", img_size=64, **SMALL)  # its patch embedding has no bias
    timm.models.save_for_hf(source, str(tmp_path / "hub"), {"model_args": {**SMALL, "img_size": 64}})
    student = VisionTransformerStudent(f"local-dir:{tmp_path / 'hub'}", 2, 64, pretrained=True)
    weights = {f"student.{name}": value for name, value in student.state_dict().items()}
    torch.save({"student": student.settings, "input": INPUT, "state_dict": weights}, tmp_path / "x.ckpt")
    shutil.rmtree(tmp_path / "hub")
    loaded = load_student(tmp_path / "x.ckpt")
    image = torch.randn(1, 1, 64, 64)
    torch.testing.assert_close(loaded(image).logits, student.eval()(image).logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_make_a_student_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    source = timm.create_model("vit_tiny_patch16_224", img_size=64, **SMALL).to(dtype)
    timm.models.save_for_hf(source, str(tmp_path / "hub"), {"model_args": {**SMALL, "img_size": 64}})
    student = VisionTransformerStudent(f"local-dir:{tmp_path / 'hub'}", 2, 64, pretrained=True)
    assert {p.dtype for p in student.parameters()} == {torch.float32}
    assert torch.equal(student.model.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight.float())
    weights = {f"student.{name}": value.to(dtype) for name, value in student.state_dict().items()}
    torch.save({"student": student.settings, "input": INPUT, "state_dict": weights}, tmp_path / "x.ckpt")
    assert {p.dtype for p in load_student(tmp_path / "x.ckpt").parameters()} == {torch.float32}


def test_a_stem_that_cannot_be_folded_exactly_is_refused(tmp_path: Path) -> None:
    timm.models.save_for_hf(timm.create_model("vit_nano_patch8_64"), str(tmp_path))
    with pytest.raises(ValueError, match="without padding"):
        VisionTransformerStudent(f"local-dir:{tmp_path}", 2, 64, pretrained=True)


def test_a_teachers_checkpoint_is_no_student(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match="checkpoint of a student"):
        load_student(tmp_path / "x.ckpt")


def test_a_model_without_pretrained_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected a model with pretrained weights but timm has none for 'vit_nano"):
        VisionTransformerStudent("vit_nano_patch8_64", 2, 32, pretrained=True)
