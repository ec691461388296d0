"""A student as a folder that timm loads without mmpkd."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import save_for_hf

from data_modules.files.json_file import read_json, write_json
from mmpkd.records.exported import CONFIG, WEIGHTS
from mmpkd.students import VisionTransformerStudent

TAG = "mmpkd"
# of the largest logit: both run the same layers of timm in float32
TOLERANCE = 1e-6
# keys that describe the pretrained weights, not the student
_OF_THE_SOURCE = ("paper_ids", "paper_name", "origin_url", "description", "notes")


def write_timm_folder(
    student: VisionTransformerStudent, folder: Path, license_name: str, crop_mode: str, extra: Mapping[str, Any]
) -> None:
    """Write `config.json` and `model.safetensors` of a student that timm can build, see `reason_against_timm`.

    Args:
        student: The student, on the CPU, in eval mode.
        folder: Folder to write.
        license_name: Licence of the weights, as Hugging Face names licences.
        crop_mode: How timm's own transform fits an image into the frame: `squash` or `border`.
        extra: Further top-level keys of `config.json`.

    Raises:
        ValueError: If the model that timm builds gives other logits.
    """
    channels = int(student.settings["in_chans"])
    size = int(student.settings["image_size"])
    seen = {
        "input_size": (channels, size, size),
        "mean": (student.mean,) * channels,
        "std": (student.std,) * channels,
        "interpolation": "bilinear",
        # the whole frame: timm's default would enlarge the image and cut off its border
        "crop_pct": 1.0,
        "crop_mode": crop_mode,
    }
    # None replaces what timm copies from the description of the pretrained weights
    source = dict.fromkeys(_OF_THE_SOURCE)
    described = {"problem_type": "multi_label_classification", **extra}
    described["pretrained_cfg"] = {**source, "tag": TAG, "license": license_name}
    save_for_hf(student.model, str(folder), described, safe_serialization=True, data_config=seen)
    # safetensors writes for its owner only, but an export is for others
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)
    config = read_json(folder / CONFIG)
    # transformers passes its own number of classes to timm, and fails if timm gets it twice
    del config["model_args"]["num_classes"]
    write_json(folder / CONFIG, config)
    _check(student, folder)


def reason_against_timm(student: VisionTransformerStudent) -> str | None:
    """Return why timm cannot build a student without mmpkd, or None if it can."""
    name = student.model.pretrained_cfg["architecture"]
    place = timm.models.model_entrypoint(name).__module__
    if place.split(".")[0] != "timm":
        return f"'{name}' is a model of {place}, which timm does not know"
    plain = timm.create_model(name, **timm.models.get_model_args(student.model))
    added = sorted(student.model.state_dict().keys() - plain.state_dict().keys())
    if added:
        return (
            f"timm's '{name}' has no {added[0]}; folding the normalisation of pretrained weights into a patch embedding for "
            "grey images adds a bias to models without one"
        )
    return None


def _check(student: VisionTransformerStudent, folder: Path) -> None:
    """Check that the folder gives the student's logits: timm may have dropped an argument of the model."""
    logging.getLogger("timm").setLevel(logging.WARNING)  # it logs the path of a folder that is about to be renamed
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    generator = torch.Generator().manual_seed(0)
    side = int(student.settings["image_size"])
    image = torch.randn(2, int(student.settings["in_chans"]), side, side, generator=generator)
    with torch.no_grad():
        expected = student(image).logits
        difference = float((loaded(image).float() - expected).abs().max())
    # not `>`, which would let NaN pass
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ValueError(
            f"Expected timm to rebuild the student but the logits differ by {difference:.2g}. Report the model's name and "
            "options."
        )
