"""No loss asks the device for a number: on a GPU, each such question stops the queue of work."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from mmpkd.losses import LossTerm, Objective
from mmpkd.students.output import ModelOutput
from tests.losses.test_all import LOSSES

B, K, D, E = 8, 3, 6, 4


def test_the_objective_with_every_loss_runs_on_tensors_without_values() -> None:
    with FakeTensorMode():
        extra = {name: LossTerm(LOSSES[name](), 0.5) for name in LOSSES if name != "softmax_kl"}
        objective = Objective(extra_losses=extra, label_smoothing=0.1, temperature=2.0)
        objective.build(D, E)
        logits, features = torch.randn(B, K, requires_grad=True), torch.randn(B, D, requires_grad=True)
        student = ModelOutput(logits, features)
        teacher = ModelOutput(torch.randn(2, B, K), torch.randn(B, E))
        available = torch.ones(B, dtype=torch.bool)
        objective(student, student, torch.ones(B, K), teacher, available, 0.3)["loss"].backward()


def test_the_check_sees_a_question() -> None:
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        torch.ones(2).sum().item()
