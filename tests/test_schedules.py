import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpkd.losses.schedules import Schedule, constant

share = st.floats(0, 1)


def test_linear_and_cosine_meet_at_the_ends_and_in_the_middle() -> None:
    linear, cosine = Schedule(1.0, 3.0), Schedule(1.0, 3.0, "cosine")
    assert [linear(p) for p in (0, 0.25, 0.5, 1)] == [1.0, 1.5, 2.0, 3.0]
    assert cosine(0) == 1.0
    assert cosine(0.5) == pytest.approx(2.0)
    assert cosine(1) == pytest.approx(3.0)
    assert cosine(0.25) == pytest.approx(1 + 2 * (1 - 2**-0.5) / 2)


def test_the_warm_up_rises_from_zero_to_the_start() -> None:
    schedule = Schedule(0.8, 0.4, warmup=0.2)
    assert schedule(0) == 0
    assert schedule(0.1) == pytest.approx(0.4)
    assert schedule(0.2) == pytest.approx(0.8)
    assert schedule(0.6) == pytest.approx(0.6)


@given(start=share, end=share, progress=st.floats(-1, 2), warmup=st.floats(0, 0.99))
def test_values_stay_between_the_smallest_and_the_largest(
    start: float, end: float, progress: float, warmup: float
) -> None:
    schedule = Schedule(start, end, "cosine", warmup)
    assert schedule.smallest - 1e-9 <= schedule(progress) <= schedule.largest + 1e-9
    assert constant(start)(progress) == start


def test_a_warm_up_of_the_whole_training_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup"):
        Schedule(1.0, 1.0, warmup=1.0)


def test_a_message_shows_a_number_or_what_it_becomes() -> None:
    assert str(constant(-1.0)) == "-1.0"
    assert str(Schedule(0.8, 0.4, warmup=0.2)) == "0.8 to 0.4 (linear) after a warm-up of 0.2"
