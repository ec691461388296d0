"""The student that is written as ONNX has the logits and the rollout of the student itself."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mmpkd.attribution import AttentionRollout, pad_to_patches
from mmpkd.commands.main import main as mmpkd
from mmpkd.export.traceable import GreyToLogitsAndRollout, about_rollout
from mmpkd.students import VisionTransformerStudent
from tests.export.test_timm_folder import MODELS, make


@pytest.mark.parametrize("case", MODELS, ids=[f"{case[0]}-{case[1]}-{case[2]}" for case in MODELS])
def test_the_rollout_is_that_of_the_attribution(case: tuple[str, int, int, dict[str, object]]) -> None:
    student = make(*case)
    grey = torch.rand(3, case[1], case[2], case[2])
    normalised = (grey - 0.41) / 0.18
    with torch.no_grad():
        logits, rollout = GreyToLogitsAndRollout(student)(grey)
        torch.testing.assert_close(logits, student(normalised).logits)
    expected = AttentionRollout()(student, pad_to_patches(student, normalised))
    torch.testing.assert_close(rollout, expected)
    assert expected.std() > 1e-4


@pytest.mark.parametrize(
    ("side", "words"), [(32, "covers the image."), (30, "padded at the bottom and on the right to 32 x 32")]
)
def test_it_is_said_what_the_rollout_covers(side: int, words: str) -> None:
    options: dict[str, Any] = {"depth": 1, "dynamic_img_size": True, "dynamic_img_pad": True}
    assert words in about_rollout(VisionTransformerStudent("vit_nano_patch8_64", 2, side, options=options))


def test_attention_over_a_part_of_the_tokens_is_refused() -> None:
    student = make("cait_xxs24_224", 1, 32, {"embed_dim": 24, "depth": 1, "num_heads": 2})
    with torch.no_grad(), pytest.raises(ValueError, match="for a rollout in ONNX but got"):
        GreyToLogitsAndRollout(student)(torch.rand(1, 1, 32, 32))


def test_missing_packages_are_named_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mmpkd.export.onnx_model.PACKAGES", ("torch", "no_such_package"))
    assert mmpkd(["export", str(tmp_path / "x.ckpt"), "--out", str(tmp_path / "out"), "--onnx"]) == 1
    assert (
        "Expected the packages torch, no_such_package for --onnx but no_such_package is not" in capsys.readouterr().err
    )
