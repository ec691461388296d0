"""A student as a single ONNX file, which runs without Python."""

import importlib.util
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mmpkd.export.traceable import GreyToLogits, GreyToLogitsAndRollout
from mmpkd.students import VisionTransformerStudent

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# of the largest value: both compute in float32, but add in another order
TOLERANCE = 1e-4


def check_onnx_packages() -> None:
    """Check that ONNX files can be written and run.

    Raises:
        ValueError: If a package is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"Expected the packages {', '.join(PACKAGES)} for --onnx but {', '.join(missing)} is not installed. Install them: "
            "pip install 'mmpkd[onnx]'."
        )


def write_onnx(
    student: VisionTransformerStudent, path: Path, with_rollout: bool = False, about: Mapping[str, Any] | None = None
) -> None:
    """Write a student as ONNX, and check in onnxruntime that it gives the same results as PyTorch.

    The input `image` is float32 (batch, C, H, W) with grey values in [0, 1]; the normalisation is part of the model. The outputs
    are `logits`, float32 (batch, K), and optionally `rollout`, float32 (batch, h, w) on the patch grid, which is the map of
    `AttentionRollout` with its default settings.

    Args:
        student: The student, on the CPU, in eval mode.
        path: File to write; it includes the weights.
        with_rollout: Whether the rollout is an output.
        about: Metadata of the file; values are stored as text or JSON.

    Raises:
        ValueError: If a package is missing, or if onnxruntime and PyTorch disagree.
    """
    check_onnx_packages()
    model = GreyToLogitsAndRollout(student) if with_rollout else GreyToLogits(student)
    outputs = ["logits", "rollout"] if with_rollout else ["logits"]
    side = int(student.settings["image_size"])
    # two images, since `torch.export` treats a batch size of 1 as a constant
    image = torch.rand(2, int(student.settings["in_chans"]), side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            model.eval(),
            (image,),
            dynamo=True,
            input_names=["image"],
            output_names=outputs,
            dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
            external_data=False,
            verbose=False,
        )
    assert program is not None  # only the older exporter returns nothing
    for node in program.model.graph.all_nodes():
        # the exporter adds the lines of Python that a node comes from, with paths of this machine
        node.metadata_props.clear()
    program.model.metadata_props.update(
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in (about or {}).items()}
    )
    program.save(str(path), external_data=False)
    _check(model, path, torch.cat([image, image.flip(-1)[:1]]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress messages of the packages about their own optimisations."""
    logs = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)


def _check(model: torch.nn.Module, path: Path, image: torch.Tensor) -> None:
    """Check the file with a batch size other than the one it was traced with."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        result = model(image)
    expected = result if isinstance(result, tuple) else (result,)
    # not strict: without the rollout, there is only one output
    for name, ours, theirs in zip(("logits", "rollout"), expected, found, strict=False):
        difference = float((ours - torch.from_numpy(theirs)).abs().max())
        # not `>`, which would let NaN pass
        if not difference <= TOLERANCE * max(1.0, float(ours.abs().max())):
            raise ValueError(
                f"Expected the same {name} from onnxruntime and PyTorch but they differ by {difference:.2g}. Report the model's "
                "name and options, and the versions of torch and onnxruntime."
            )
