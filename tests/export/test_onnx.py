"""ONNX gives PyTorch's logits and rollout in onnxruntime, for any number of images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmpkd.attribution import AttentionRollout
from mmpkd.commands.main import main as mmpkd
from mmpkd.export import onnx_model
from mmpkd.export.traceable import GreyToLogits
from mmpkd.students import load_trained_student
from tests.export.test_export_command import nano
from tests.export.test_timm_folder import MODELS, make
from tests.tiny import NAMES

onnxruntime = pytest.importorskip("onnxruntime", reason="needs mmpkd[onnx]")


@pytest.mark.slow
def test_a_student_that_timm_cannot_build_is_onnx_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "out"
    assert mmpkd(["export", str(nano(tmp_path)), "--out", str(out), "--onnx", "--rollout"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.onnx"]
    assert "ONNX only, no timm folder: 'vit_nano_patch8_64'" in caplog.text
    config = json.loads((out / "config.json").read_text())
    assert (config["label_names"], config["thresholds"]) == (list(NAMES), [0.5, 0.5])
    session = onnxruntime.InferenceSession(out / "model.onnx")
    stated = session.get_modelmeta().custom_metadata_map
    assert json.loads(stated["label_names"]) == list(NAMES)
    student = load_trained_student(tmp_path / "nano.ckpt").student
    for count in (1, 3):
        grey = torch.rand(count, 1, 32, 32)
        logits, rollout = session.run(None, {"image": grey.numpy()})
        normalised = (grey - 0.5) / 0.25
        with torch.no_grad():
            np.testing.assert_allclose(logits, student(normalised).logits.numpy(), atol=1e-4)
        np.testing.assert_allclose(rollout, AttentionRollout()(student, normalised).numpy(), atol=1e-4)
    text = (out / "README.md").read_text()
    assert "onnxruntime.InferenceSession" in text
    assert "timm.create_model" not in text
    # nor is there a path of this machine, which the exporter of PyTorch notes for every node
    private = (tmp_path, Path.home(), Path(onnx_model.__file__).parents[2], Path(torch.__file__).parents[1])
    for path in out.iterdir():
        content = path.read_bytes()
        assert not [place for place in private if str(place).encode() in content], path.name


def test_a_file_that_differs_from_pytorch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def run(self, _: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.full((len(feed["image"]), 3), 9.0, np.float32)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    with pytest.raises(ValueError, match="Expected the same logits from onnxruntime and PyTorch but they differ by"):
        onnx_model._check(GreyToLogits(make(*MODELS[0])), tmp_path, torch.zeros(1, 1, 64, 64))
