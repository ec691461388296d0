"""Weights in the format of Hugging Face transformers as a timm model of the same shape."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from data_modules.files.json_file import read_json
from mmpkd.students.transformers_names import NamedTensors, fused_attention, timm_names

# the 1e-12 of many files and timm's 1e-6 differ by less, and both are far below the usual variance of a token
_LARGEST_EPS_DIFFERENCE = 1e-6


@dataclass(frozen=True)
class _Kind:
    """How a model of transformers is built by timm.

    Attributes:
        plain: Name of timm's model.
        gated: Name of timm's model with a gated MLP, or None if there is none.
        num_prefix: Tokens before the patches that have position embeddings.
        antialias: Whether transformers interpolates position embeddings with antialiasing.
    """

    plain: str
    gated: str | None
    num_prefix: int
    antialias: bool = False


_KINDS = {
    "vit": _Kind("vit_base_patch16_224", None, 1),
    "deit": _Kind("deit_base_distilled_patch16_224", None, 2),
    "dinov2": _Kind("vit_base_patch14_dinov2", "vit_giant_patch14_dinov2", 1),
    "dinov2_with_registers": _Kind("vit_base_patch14_reg4_dinov2", "vit_giant_patch14_reg4_dinov2", 1, antialias=True),
    "dinov3_vit": _Kind("vit_base_patch16_dinov3_qkvb", "vit_huge_plus_patch16_dinov3_qkvb", 0),
}


def transformers_folder(model_name: str) -> Path | None:
    """Return the folder of weights in the format of transformers, or None if a name is one of timm's.

    Args:
        model_name: `local-dir:FOLDER`, `hf-hub:user/name` or `hf-hub:user/name@revision`, or a name of timm's.

    Raises:
        ValueError: If the folder is in the format of transformers but of a model that timm does not have.
    """
    source, _, place = model_name.partition(":")
    if source == "local-dir":
        folder = Path(place)
        is_theirs = (folder / "config.json").is_file() and _is_of_transformers(folder / "config.json", model_name)
        return folder if is_theirs else None
    if source != "hf-hub":
        return None
    from huggingface_hub import hf_hub_download, snapshot_download

    name, _, revision = place.partition("@")
    config = Path(hf_hub_download(name, "config.json", revision=revision or None))
    if not _is_of_transformers(config, model_name):
        return None
    wanted = ["config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json"]
    return Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))


def _is_of_transformers(config: Path, model_name: str) -> bool:
    content = read_json(config)
    kind = content.get("model_type")
    if "architecture" in content or kind is None:
        return False
    if kind not in _KINDS:
        raise ValueError(f"Expected a model of transformers of {sorted(_KINDS)} but '{model_name}' is '{kind}'.")
    return True


def transformers_model(folder: Path, sizes: Mapping[str, int], options: Mapping[str, Any]) -> Any:
    """Return a timm model with the weights of transformers; its classifier is random.

    Position embeddings of another image size are interpolated as transformers does it.

    Args:
        folder: Folder with `config.json`, safetensors and, for one channel, `preprocessor_config.json`.
        sizes: `num_classes`, `img_size` and `in_chans` of the model; 3 channels, or those of the weights.
        options: Further arguments of `timm.create_model`.

    Raises:
        FileNotFoundError: If there are no safetensors.
        ValueError: If settings or tensors do not fit timm's model; they are named.
    """
    config = read_json(folder / "config.json")
    kind = _KINDS[config["model_type"]]
    named = timm_names(_read(folder))
    arguments = {**_arguments(config, named), **options}
    is_gated = bool(config.get("use_swiglu_ffn") or config.get("use_gated_mlp"))
    name = kind.gated if is_gated else kind.plain
    if name is None:
        raise ValueError(f"Expected an MLP without gates but '{folder}' has one, which timm's {kind.plain} has not.")
    overlay = {"license": None, "tag": "transformers", **_normalisation(folder)}
    model = timm.create_model(name, pretrained_cfg_overlay=overlay, **sizes, **arguments)
    _check_settings(config, model, is_gated)
    _load(model, _placed(named, model, kind, is_gated), folder)
    return model


def _arguments(config: Mapping[str, Any], named: NamedTensors) -> dict[str, Any]:
    """Return the shape of a model as arguments of timm."""
    width = int(config["hidden_size"])
    first = next((named.blocks[0][key] for key in ("mlp.fc1.weight", "mlp.up.weight") if key in named.blocks[0]), None)
    if first is None:
        raise ValueError(f"Expected an MLP in every block but the first has {sorted(named.blocks[0])}.")
    arguments: dict[str, Any] = {
        "embed_dim": width,
        "depth": len(named.blocks),
        "num_heads": int(config["num_attention_heads"]),
        "patch_size": int(config["patch_size"]),
        # timm rounds the product down
        "mlp_ratio": (len(first) + 0.5) / width
        if int(len(first) / width * width) != len(first)
        else len(first) / width,
    }
    registers = named.outside.get("reg_token")
    if registers is not None:
        prefix = "num_reg_tokens" if config["model_type"] == "dinov3_vit" else "reg_tokens"
        arguments[prefix] = registers.shape[1]
    return arguments


def _check_settings(config: Mapping[str, Any], model: Any, is_gated: bool) -> None:
    """Check what no tensor shows."""
    own = model.norm.eps
    eps = float(config.get("layer_norm_eps", own))
    if abs(eps - own) > _LARGEST_EPS_DIFFERENCE:
        raise ValueError(f"Expected layer_norm_eps of {own}, timm's, but the weights were trained with {eps}.")
    for key, expected in {"hidden_act": ("gelu", "silu") if is_gated else ("gelu",), "rope_theta": (100.0,)}.items():
        if key in config and config[key] not in expected:
            raise ValueError(
                f"Expected {key} to be {' or '.join(map(str, expected))}, as timm's, but got {config[key]}."
            )


def _placed(named: NamedTensors, model: Any, kind: _Kind, is_gated: bool) -> dict[str, Tensor]:
    """Return the tensors by the names of timm's model."""
    outside = dict(named.outside)
    if "pos_embed" in outside:
        grid = model.patch_embed.grid_size
        outside["pos_embed"] = _interpolated(outside["pos_embed"], kind, grid)
        if getattr(model, "no_embed_class", False):  # with registers, timm adds the position of the class to its token
            outside["cls_token"] = outside["cls_token"] + outside["pos_embed"][:, :1]
            outside["pos_embed"] = outside["pos_embed"][:, 1:]
    is_eva = hasattr(model.blocks[0], "gamma_1")
    scales = {"scale1": "gamma_1", "scale2": "gamma_2"} if is_eva else {"scale1": "ls1.gamma", "scale2": "ls2.gamma"}
    up = "mlp.fc1_x" if is_gated else "mlp.fc1"
    placed = dict(outside)
    for index, block in enumerate(named.blocks):
        for name, value in fused_attention(block, is_eva).items():
            own = scales.get(name, name.replace("mlp.up", up))
            placed[f"blocks.{index}.{own}"] = value
    return placed


def _interpolated(position: Tensor, kind: _Kind, grid: tuple[int, int]) -> Tensor:
    """Return position embeddings (1, prefix + h w, D) of another grid, as transformers interpolates them."""
    prefix = position[:, : kind.num_prefix]
    patches = position[:, kind.num_prefix :]
    side = round(patches.shape[1] ** 0.5)
    if (side, side) == tuple(grid):
        return position
    square = patches.float().reshape(1, side, side, -1).permute(0, 3, 1, 2)  # (1, D, side, side)
    resized = F.interpolate(square, size=tuple(grid), mode="bicubic", align_corners=False, antialias=kind.antialias)
    return torch.cat([prefix, resized.flatten(2).transpose(1, 2).to(prefix.dtype)], dim=1)


def _load(model: Any, placed: Mapping[str, Tensor], folder: Path) -> None:
    own = model.state_dict()
    missing = [name for name in own if name not in placed and not name.startswith(("head.", "head_dist."))]
    without_place = [name for name in placed if name not in own]
    shapes = {name: f"{tuple(placed[name].shape)} for {tuple(own[name].shape)}" for name in placed.keys() & own.keys()}
    different = [f"{name}: {text}" for name, text in sorted(shapes.items()) if placed[name].shape != own[name].shape]
    found = {"missing": sorted(missing), "without a place": sorted(without_place), "of another shape": different}
    wrong = "; ".join(f"{what}: {', '.join(names)}" for what, names in found.items() if names)
    if wrong:
        raise ValueError(f"Expected the weights in '{folder}' to fit timm's model but there are tensors {wrong}.")
    model.load_state_dict({name: value.float() for name, value in placed.items()}, strict=False)


def _read(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        files = [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    elif (folder / "model.safetensors").is_file():
        files = [folder / "model.safetensors"]
    if not files:
        raise FileNotFoundError(
            f"Expected safetensors in '{folder}' but there are none. Pickled weights are not read; save the model again with "
            "save_pretrained."
        )
    weights: dict[str, Tensor] = {}
    for file in files:
        weights |= load_file(file)
    return weights


def _normalisation(folder: Path) -> dict[str, Any]:
    """Return mean and standard deviation that the weights expect; empty if the folder does not say."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return {}
    settings = read_json(path)
    return {"mean": tuple(settings["image_mean"]), "std": tuple(settings["image_std"])}


def check_normalisation_is_known(folder: Path) -> None:
    """Check that it is known what is to be folded into the patch embedding.

    Raises:
        FileNotFoundError: If the folder does not say which normalisation its weights expect.
    """
    if not _normalisation(folder):
        raise FileNotFoundError(
            f"Expected preprocessor_config.json in '{folder}', with the normalisation that the weights expect, but there is "
            "none. Copy it from where the weights come from."
        )
