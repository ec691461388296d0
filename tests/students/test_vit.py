from pathlib import Path

import pytest
import timm
import torch

from mmpkd.students import VisionTransformerStudent, load_student

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


def test_weights_load_from_a_local_folder_and_adapt_to_one_channel(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = timm.create_model("vit_nano_patch8_64", num_classes=7)
    timm.models.save_for_hf(source, str(tmp_path), safe_serialization=True)
    student = VisionTransformerStudent(f"local-dir:{tmp_path}", 2, 64, pretrained=True)
    torch.testing.assert_close(student.model.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    first, original = student.model.patch_embed.proj[0].weight, source.patch_embed.proj[0].weight
    torch.testing.assert_close(first, original.sum(dim=1, keepdim=True))


def test_a_teachers_checkpoint_is_no_student(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match="checkpoint of a student"):
        load_student(tmp_path / "x.ckpt")
