import torch
from hypothesis import given
from hypothesis import strategies as st

from data_modules.images.hashing import scramble, to_uniform


def lowbias32(x: int) -> int:
    """The hash in Python's own integers, step by step as its author gives it in C."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_the_hash_is_that_of_its_author(values: list[int]) -> None:
    assert scramble(torch.tensor(values)).tolist() == [lowbias32(value) for value in values]


def test_neighbours_are_spread_evenly_below_one() -> None:
    drawn = to_uniform(scramble(torch.arange(1, 4097)))
    assert drawn.dtype == torch.float32
    assert torch.histc(drawn, 8, 0, 1).sub(512).abs().max() < 100
    assert to_uniform(torch.tensor([0, 2**32 - 1])).tolist() == [0, 1 - 2**-24]
