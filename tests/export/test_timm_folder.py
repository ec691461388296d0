"""timm loads an exported folder in a process that knows nothing of mmpkd, and gives the student's logits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import resolve_model_data_config

from mmpkd.export.timm_folder import reason_against_timm, write_timm_folder
from mmpkd.students import VisionTransformerStudent

SMALL = {"embed_dim": 24, "depth": 2, "num_heads": 2}
PAD = {"dynamic_img_size": True, "dynamic_img_pad": True}
MODELS: list[tuple[str, int, int, dict[str, Any]]] = [
    ("vit_tiny_patch16_224", 1, 64, SMALL),
    ("vit_tiny_patch16_224", 3, 40, {**SMALL, **PAD}),
    ("vit_tiny_patch16_224", 1, 32, {**SMALL, "global_pool": "avg", "class_token": False}),
    ("deit_tiny_distilled_patch16_224", 1, 48, SMALL),
    ("vit_small_patch14_reg4_dinov2", 1, 56, SMALL),
    ("vit_small_patch16_dinov3", 1, 48, SMALL),
    ("vit_base_patch16_siglip_224", 1, 48, SMALL),
    ("eva02_tiny_patch14_224", 1, 42, SMALL),
]
LOAD = """
import sys, timm, torch
from safetensors.torch import load_file
for folder in sys.argv[1:]:
    case = load_file(folder + "/case")
    model = timm.create_model("local-dir:" + folder, pretrained=True).eval()
    with torch.no_grad():
        print(float((model(case["image"]) - case["logits"]).abs().max()))
assert not {"mmpkd", "data_modules"} & set(sys.modules)
"""


def make(name: str, channels: int, size: int, options: dict[str, Any]) -> VisionTransformerStudent:
    torch.manual_seed(0)
    student = VisionTransformerStudent(name, 3, size, channels, options=options, mean=0.41, std=0.18).eval()
    for parameter in student.parameters():  # a head that has not learned hides what lies before it
        parameter.data += 0.1 * torch.randn_like(parameter)
    return student


@pytest.mark.slow
def test_timm_alone_gives_the_students_logits(tmp_path: Path) -> None:
    folders = []
    for number, case in enumerate(MODELS):
        student = make(*case)
        folder = tmp_path / str(number)
        assert reason_against_timm(student) is None
        write_timm_folder(
            student, folder, "mit", "border", {"label_names": ["a", "b", "c"], "thresholds": [0.1, 0.2, 0.3]}
        )
        image = torch.randn(2, case[1], case[2], case[2])
        with torch.no_grad():
            logits = student(image).logits
        assert logits.std() > 0.01
        save_file({"image": image, "logits": logits}, folder / "case")
        folders.append(str(folder))
    result = subprocess.run([sys.executable, "-c", LOAD, *folders], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    differences = [float(line) for line in result.stdout.split()]
    assert len(differences) == len(MODELS)
    assert max(differences) < 1e-6


def test_the_folder_says_what_the_student_sees_and_nothing_of_the_weights_it_began_from(tmp_path: Path) -> None:
    student = make(
        "vit_small_patch14_reg4_dinov2", 1, 56, SMALL
    )  # timm's own has another tag, licence and normalisation
    write_timm_folder(
        student, tmp_path, "mit", "border", {"label_names": ["a", "b", "c"], "thresholds": [0.1, 0.2, 0.3]}
    )
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["label_names"] == ["a", "b", "c"]
    assert config["thresholds"] == [0.1, 0.2, 0.3]
    stated = config["pretrained_cfg"]
    assert (stated["tag"], stated["license"]) == ("mmpkd", "mit")
    assert not any(stated.get(key) for key in ("paper_ids", "origin_url", "hf_hub_id", "url"))
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    seen = resolve_model_data_config(loaded)
    assert seen["input_size"] == (1, 56, 56)
    assert (tuple(seen["mean"]), tuple(seen["std"])) == ((0.41,), (0.18,))
    assert (seen["crop_pct"], seen["crop_mode"]) == (1.0, "border")
    assert loaded.pretrained_cfg["label_names"] == ["a", "b", "c"]


def test_transformers_gives_probabilities_of_their_own_to_the_findings(tmp_path: Path) -> None:
    from transformers import AutoModelForImageClassification

    student = make("vit_tiny_patch16_224", 1, 32, SMALL)
    write_timm_folder(student, tmp_path, "mit", "squash", {"label_names": ["a", "b", "c"]})
    model = AutoModelForImageClassification.from_pretrained(tmp_path)
    image = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(model(image).logits, student(image).logits, atol=1e-6, rtol=0)
    assert model.config.problem_type == "multi_label_classification"
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}


def test_what_timm_cannot_build_is_named(tmp_path: Path) -> None:
    nano = VisionTransformerStudent("vit_nano_patch8_64", 2, 32, options={"depth": 1})
    assert "'vit_nano_patch8_64' is a model of mmpkd" in str(reason_against_timm(nano))
    source = timm.create_model("vit_base_patch32_clip_224", img_size=64, **SMALL)  # its patch embedding has no bias
    timm.models.save_for_hf(source, str(tmp_path), {"model_args": {**SMALL, "img_size": 64}})
    folded = VisionTransformerStudent(f"local-dir:{tmp_path}", 2, 64, pretrained=True)
    assert "timm's 'vit_base_patch32_clip_224' has no patch_embed.proj.bias" in str(reason_against_timm(folded))
    assert reason_against_timm(VisionTransformerStudent(f"local-dir:{tmp_path}", 2, 64)) is None


def test_a_student_that_timm_builds_differently_is_refused(tmp_path: Path) -> None:
    student = make("vit_tiny_patch16_224", 1, 32, SMALL)
    student.model.norm.eps = 0.5  # what no argument of timm's says
    with pytest.raises(ValueError, match="Expected timm to rebuild the student but the logits differ by"):
        write_timm_folder(student, tmp_path, "mit", "squash", {})
