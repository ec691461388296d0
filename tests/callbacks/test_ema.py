"""The average of weights is that of its formula, and numbers that it cannot have are refused."""

from typing import Any

import pytest
import torch
from torch import nn

from mmpkd.callbacks.ema import EMA, MovingAverage


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
