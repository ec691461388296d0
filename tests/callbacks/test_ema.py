"""The average of weights is that of its formula, and numbers that it cannot have are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from mmpkd.callbacks.ema import EMA, MovingAverage
from tests.quiet_trainer import quiet_trainer


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decay": 2.0}, r"Expected a decay of EMA in \[0, 1\) but got 2\.0"),
        ({"decay": 1.0}, r"Expected a decay of EMA in \[0, 1\) but got 1\.0"),
        ({"decay": -0.1}, r"Expected a decay of EMA in \[0, 1\) but got -0\.1"),
        ({"update_every_n_steps": 0}, "of at least 1 but got 0"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EMA(**options)


def test_an_average_is_that_of_its_formula() -> None:
    """Its weights after n updates: decay^(n-1) of the first model, and (1 - decay) decay^(n-1-i) of the i-th one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1).half())
    average = MovingAverage(model, decay=0.75)
    seen: list[dict[str, torch.Tensor]] = []
    for step in range(5):
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                value = torch.randn(tensor.shape) if tensor.is_floating_point() else torch.tensor(step)
                tensor.copy_(value)
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        average.update_parameters(model)
    shares = [0.75**4, *(0.25 * 0.75 ** (4 - i) for i in range(1, 5))]
    for name, found in average.module.state_dict().items():
        expected = sum(share * values[name].double() for share, values in zip(shares, seen, strict=True))
        if not found.is_floating_point():
            expected = seen[-1][name]  # a count has no average
        precision = 1e-2 if found.dtype == torch.float16 else 1e-6
        torch.testing.assert_close(found, torch.as_tensor(expected).to(found.dtype), rtol=precision, atol=precision)
    assert average.n_averaged == 5


@pytest.mark.parametrize("decay", [0.0, 0.75])
def test_what_is_infinite_by_design_stays_so(decay: float) -> None:
    model = nn.Linear(1, 1)
    mask = torch.tensor([0.0, -torch.inf])
    model.register_buffer("mask", mask.clone())
    average = MovingAverage(model, decay)
    for _ in range(3):
        average.update_parameters(model)
    torch.testing.assert_close(average.module.get_buffer("mask"), mask, rtol=0, atol=0)


class OneWeight(LightningModule):
    """A weight that grows by one in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.validated: list[float] = []

    def training_step(self, batch: list[Tensor]) -> Tensor:
        """Return a loss with the gradient -1."""
        return -self.weight + 0 * batch[0].sum()

    def validation_step(self, batch: list[Tensor]) -> None:
        """Remember the weight."""
        del batch
        self.validated.append(self.weight.item())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return an optimizer whose steps are the gradients."""
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize(
    ("start", "expected"),
    # the average is updated after the steps 5, 6, 7, 8, and is a copy at first
    [(4, [2.0, 4.0, 5.5, 7.125]), (100, [2.0, 4.0, 6.0, 8.0])],
)
def test_until_the_average_starts_it_is_the_weights(
    start: int, expected: list[float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = OneWeight()
    trainer = quiet_trainer(
        tmp_path, max_epochs=4, callbacks=[EMA(decay=0.5, update_starting_at_step=start)], num_sanity_val_steps=0
    )
    batches = DataLoader(TensorDataset(torch.zeros(2, 1)))
    trainer.fit(module, batches, batches)
    assert module.validated[::2] == expected
    assert module.weight.item() == expected[-1]
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["state_dict"]["weight"].item() == expected[-1]
    assert saved["current_model_state"]["weight"].item() == expected[-1]
    assert ("below 8, the number of steps, but got 100" in caplog.text) == (start == 100)
