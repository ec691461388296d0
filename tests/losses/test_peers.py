"""Agreement with the losses of other packages, where they coincide: problems of one label per sample.

torchdistill is an optional extra (`peers`).
"""

import pytest
import timm
import torch
from timm.task import LogitDistillationTask
from torch.nn import functional as F

from mmpkd.losses import HintMSE, RelationalDistance, SoftmaxKLDivergence
from mmpkd.students.output import ModelOutput

B, K, D = 8, 5, 6
everyone = torch.ones(B, dtype=torch.bool)


def outputs(seed: int) -> ModelOutput:
    g = torch.Generator().manual_seed(seed)
    return ModelOutput(torch.randn(B, K, generator=g) * 2, torch.randn(B, D, generator=g))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_softmax_kl_is_torchdistills(temperature: float) -> None:
    peer = pytest.importorskip("torchdistill.losses.mid_level", reason="the extra `peers` is not installed")
    student, teacher = outputs(0), outputs(1)
    loss = peer.KDLoss("s", "out", "t", "out", temperature=temperature, alpha=0.0, reduction="batchmean")
    expected = (
        loss({"s": {"out": student.logits}}, {"t": {"out": teacher.logits}}) * temperature**2
    )  # it leaves T^2 out
    torch.testing.assert_close(SoftmaxKLDivergence(temperature)(student, teacher, everyone), expected)


def test_relational_distance_is_torchdistills() -> None:
    peer = pytest.importorskip("torchdistill.losses.mid_level", reason="the extra `peers` is not installed")
    student, teacher = outputs(0), outputs(1)
    loss = peer.RKDLoss("s", "t", dist_factor=1.0, angle_factor=0.0, reduction="sum")
    total = loss({"s": {"output": student.features}}, {"t": {"output": teacher.features}})
    pairs = B * (B - 1)
    torch.testing.assert_close(RelationalDistance()(student, teacher, everyone), total / pairs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_softmax_kl_is_timms(temperature: float) -> None:
    torch.manual_seed(0)
    small = {"img_size": 16, "patch_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2, "num_classes": K}
    student, teacher = (timm.create_model("vit_tiny_patch16_224", **small) for _ in range(2))
    for model in (student, teacher):
        torch.nn.init.normal_(model.head.weight)
    task = LogitDistillationTask(
        student, teacher, torch.nn.CrossEntropyLoss(), distill_loss_weight=1.0, temperature=temperature, verbose=False
    ).eval()
    image = torch.randn(B, 3, 16, 16)
    terms = task(image, torch.zeros(B, dtype=torch.long))
    ours = SoftmaxKLDivergence(temperature)(
        ModelOutput(student(image), image.flatten(1)), ModelOutput(teacher(image), image.flatten(1)), everyone
    )
    torch.testing.assert_close(ours, terms["kd_loss"])


def test_hint_with_statistics_of_a_standard_normal_is_the_mean_squared_error() -> None:
    student, teacher = outputs(0), outputs(1)
    loss = HintMSE()
    loss.build(D, D)
    expected = F.mse_loss(loss.projection(student.features), teacher.features)
    torch.testing.assert_close(loss(student, teacher, everyone), expected)
