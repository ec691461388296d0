"""Weights of transformers in timm's models give the features that transformers gives."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from mmpkd.students import VisionTransformerStudent, load_student

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
MEAN, STD = (0.48, 0.45, 0.41), (0.27, 0.26, 0.22)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViT", {"layer_norm_eps": 1e-6}),
    "deit": ("DeiT", {"layer_norm_eps": 1e-6}),
    "vit 1e-12": ("ViT", {}),  # the default of transformers, where timm has 1e-6
    "dinov2": ("Dinov2", {}),
    "dinov2 swiglu": ("Dinov2", {"use_swiglu_ffn": True}),
    "dinov2 registers": ("Dinov2WithRegisters", {}),
    "dinov3": ("DINOv3ViT", {"num_register_tokens": 4}),
    "dinov3 gated": ("DINOv3ViT", {"num_register_tokens": 4, "use_gated_mlp": True, "hidden_act": "silu"}),
}


def write(kind: str, folder: Path) -> Any:
    """Write a tiny model of transformers with random weights of ordinary size, and return it."""
    import transformers

    name, options = KINDS[kind]
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**SMALL, **options)).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    return model


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_transformers(kind: str, size: int, tmp_path: Path) -> None:
    theirs = write(kind, tmp_path)
    student = VisionTransformerStudent(f"local-dir:{tmp_path}", 2, size, in_chans=3, pretrained=True).eval()
    image = torch.randn(2, 3, size, size)
    more = {"interpolate_pos_encoding": True} if kind.startswith(("vit", "deit")) else {}
    with torch.no_grad():
        expected = theirs(image, **more).last_hidden_state
        found = student.model.forward_features(image)
    assert expected.std() > 0.1
    assert float((found - expected).abs().max()) < (1e-4 if kind == "vit 1e-12" else 1e-5)


def test_names_in_memory_are_read_as_well_as_those_in_files(tmp_path: Path) -> None:
    for kind, prefix in (("vit", "vit"), ("dinov2", "dinov2"), ("dinov3", "dinov3_vit")):
        folder = tmp_path / kind
        theirs = write(kind, folder)
        before = VisionTransformerStudent(f"local-dir:{folder}", 2, 32, in_chans=3, pretrained=True)
        on_disk = load_file(folder / "model.safetensors")
        in_memory = {f"{prefix}.{name}": value for name, value in theirs.state_dict().items()}
        save_file(in_memory, folder / "model.safetensors")
        after = VisionTransformerStudent(f"local-dir:{folder}", 2, 32, in_chans=3, pretrained=True)
        image = torch.randn(1, 3, 32, 32)
        assert torch.equal(before.model.forward_features(image), after.model.forward_features(image))
        assert on_disk


def test_old_names_of_files_are_read(tmp_path: Path) -> None:
    """Files on the hub were written by releases before 5."""
    write("vit", tmp_path)
    image = torch.randn(1, 3, 32, 32)
    before = VisionTransformerStudent(
        f"local-dir:{tmp_path}", 2, 32, in_chans=3, pretrained=True
    ).model.forward_features(image)
    old = {
        "attention.q_proj": "attention.attention.query",
        "attention.k_proj": "attention.attention.key",
        "attention.v_proj": "attention.attention.value",
        "attention.o_proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    renamed = {}
    for name, value in load_file(tmp_path / "model.safetensors").items():
        for new, former in old.items():
            name = name.replace(new, former)
        former_place = name if "encoder.layer." in name else name.replace("layers.", "encoder.layer.")
        renamed[f"vit.{former_place}"] = value
    assert "vit.encoder.layer.1.output.dense.bias" in renamed
    save_file(renamed, tmp_path / "model.safetensors")
    after = VisionTransformerStudent(
        f"local-dir:{tmp_path}", 2, 32, in_chans=3, pretrained=True
    ).model.forward_features(image)
    assert torch.equal(before, after)


def test_shards_are_read_together(tmp_path: Path) -> None:
    write("dinov2", tmp_path)
    image = torch.randn(1, 3, 32, 32)
    before = VisionTransformerStudent(
        f"local-dir:{tmp_path}", 2, 32, in_chans=3, pretrained=True
    ).model.forward_features(image)
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    names = sorted(weights)
    index = {name: f"part{number % 2}.safetensors" for number, name in enumerate(names)}
    for part in set(index.values()):
        save_file({name: weights[name] for name in names if index[name] == part}, tmp_path / part)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    after = VisionTransformerStudent(
        f"local-dir:{tmp_path}", 2, 32, in_chans=3, pretrained=True
    ).model.forward_features(image)
    assert torch.equal(before, after)


def test_grey_images_have_the_features_of_three_channels_and_the_checkpoint_needs_no_folder(tmp_path: Path) -> None:
    theirs = write("dinov2 registers", tmp_path / "hub")
    student = VisionTransformerStudent(
        f"local-dir:{tmp_path / 'hub'}", 2, 32, pretrained=True, mean=0.4, std=0.2
    ).eval()
    grey = torch.rand(2, 1, 32, 32)
    channels = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        expected = theirs((grey - channels[0]) / channels[1]).last_hidden_state
        found = student.model.forward_features((grey - 0.4) / 0.2)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    weights = {f"student.{name}": value for name, value in student.state_dict().items()}
    seen = {"mean": 0.4, "std": 0.2}
    torch.save({"student": student.settings, "input": seen, "state_dict": weights}, tmp_path / "x.ckpt")
    (tmp_path / "hub").rename(tmp_path / "away")
    assert torch.equal(load_student(tmp_path / "x.ckpt")(grey).logits, student(grey).logits)


def change(folder: Path, kind: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    if kind == "more":
        weights["adapter.weight"] = torch.zeros(2)
    elif kind == "fewer":
        del weights["layernorm.bias"]
    elif kind == "shape":
        weights["layernorm.bias"] = torch.zeros(5)
    elif kind == "eps":
        config["layer_norm_eps"] = 1e-3
    elif kind == "act":
        config["hidden_act"] = "relu"
    elif kind == "model":
        config["model_type"] = "swin"
    elif kind == "normalisation":
        (folder / "preprocessor_config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    if kind == "pickle":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("more", "no place for .'adapter.weight'"),
        ("fewer", "missing: norm.bias"),
        ("shape", r"of another shape: norm.bias: \(5,\) for \(32,\)"),
        ("eps", "Expected layer_norm_eps of 1e-06, timm's, but the weights were trained with 0.001"),
        ("act", "Expected hidden_act to be gelu, as timm's, but got relu"),
        ("model", "Expected a model of transformers of .* is 'swin'"),
        ("normalisation", "Expected preprocessor_config.json"),
        ("pickle", "Expected safetensors in"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(kind: str, message: str, tmp_path: Path) -> None:
    write("dinov2", tmp_path)
    change(tmp_path, kind)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        VisionTransformerStudent(f"local-dir:{tmp_path}", 2, 32, pretrained=True)


def test_random_weights_are_not_asked_of_a_folder_of_transformers(tmp_path: Path) -> None:
    write("vit", tmp_path)
    with pytest.raises(ValueError, match="Expected pretrained: true with"):
        VisionTransformerStudent(f"local-dir:{tmp_path}", 2, 32)


def test_weights_of_the_hub_go_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("vit", tmp_path)
    asked: list[tuple[str, str | None]] = []

    def file(name: str, file_name: str, revision: str | None) -> str:
        asked.append((name, revision))
        return str(tmp_path / file_name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", file)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(tmp_path))
    found = VisionTransformerStudent("hf-hub:user/name@v2", 2, 32, in_chans=3, pretrained=True)
    local = VisionTransformerStudent(f"local-dir:{tmp_path}", 2, 32, in_chans=3, pretrained=True)
    assert asked == [("user/name", "v2")]
    assert torch.equal(found.model.blocks[1].attn.qkv.weight, local.model.blocks[1].attn.qkv.weight)
    assert found.settings == local.settings


TINY: dict[str, Any] = {"embed_dim": 32, "depth": 1, "num_heads": 2}


@pytest.mark.parametrize(("name", "size"), [("vit_base_patch14_dinov2", 28), ("vit_base_patch16_224", 32)])
def test_a_file_with_other_names_is_read_by_timm(name: str, size: int, tmp_path: Path) -> None:
    """RAD-DINO's backbone_compatible.safetensors has the names of DINOv2, BiomedCLIP's trunk those of OpenCLIP."""
    torch.manual_seed(1)
    origin = timm.create_model(name, img_size=size, num_classes=0, **TINY).eval()
    if name.endswith("dinov2"):
        weights = {**origin.state_dict(), "mask_token": torch.zeros(1, 32)}
    else:
        weights = {f"visual.trunk.{key}": value for key, value in origin.state_dict().items()}
        weights |= {"visual.head.proj.weight": torch.randn(8, 32), "text.weight": torch.randn(3)}
    save_file(weights, tmp_path / "weights.safetensors")
    overlay = {"file": str(tmp_path / "weights.safetensors"), "input_size": (3, size, size)}
    options = {**TINY, "pretrained_cfg_overlay": overlay}
    student = VisionTransformerStudent(name, 2, size, in_chans=3, pretrained=True, options=options).eval()
    image = torch.randn(1, 3, size, size)
    torch.testing.assert_close(student.model.forward_features(image), origin.forward_features(image))
    assert student.settings["options"] == TINY
