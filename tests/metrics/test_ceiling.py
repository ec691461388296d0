from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpkd.metrics import patch_ceiling


@given(seed=st.integers(0, 2**31), size=st.tuples(st.integers(3, 9), st.integers(3, 9)), share=st.floats(0.05, 1))
@settings(max_examples=25, deadline=None)
def test_no_set_of_patches_is_better(seed: int, size: tuple[int, int], share: float) -> None:
    mask = torch.rand(1, *size, generator=torch.Generator().manual_seed(seed)) < share
    mask[0, 0, 0] = True
    row, column = (torch.arange(n) * 3 // n for n in size)
    patch = row[:, None] * 3 + column
    best = 0.0
    for chosen in product([False, True], repeat=9):
        region = torch.tensor(chosen)[patch]
        best = max(best, float((region & mask[0]).sum() / (region | mask[0]).sum()))
    assert patch_ceiling(mask, (3, 3)).item() == pytest.approx(best, abs=1e-6)


def test_closed_forms() -> None:
    mask = torch.zeros(3, 16, 16, dtype=torch.bool)
    mask[0, 4:8, 8:16] = True  # two whole patches
    mask[1, 5, 5] = True  # one pixel of one patch of 16
    assert patch_ceiling(mask, (4, 4)).tolist()[:2] == [1.0, 1 / 16]
    assert patch_ceiling(mask, (4, 4))[2].isnan()
