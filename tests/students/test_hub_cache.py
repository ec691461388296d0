"""Pretrained students on a machine without internet: weights in a copied cache of the Hugging Face hub."""

from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from mmpkd.students import VisionTransformerStudent

MODEL = "vit_tiny_patch16_224"


def write_cache(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write weights in the layout of the hub's cache."""
    repository = timm.create_model(MODEL).pretrained_cfg["hf_hub_id"]
    place = folder / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    snapshot = place / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    save_file(weights, snapshot / "model.safetensors")


def test_a_copied_cache_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = timm.create_model(MODEL).state_dict()
    write_cache(tmp_path, weights)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    student = VisionTransformerStudent(MODEL, 2, 32, pretrained=True)
    name = "blocks.3.mlp.fc1.weight"
    torch.testing.assert_close(student.model.state_dict()[name], weights[name], rtol=0, atol=0)


@pytest.mark.parametrize("name", [MODEL, "hf-hub:nobody/nothing"])
def test_weights_that_are_nowhere_are_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=rf"^Expected '{name}' on the hub of Hugging Face.*local-dir:FOLDER"
    ) as error:
        VisionTransformerStudent(name, 2, 32, pretrained=True)
    assert "\n" not in str(error.value)
