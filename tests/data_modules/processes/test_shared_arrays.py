"""Processes that are started with a data set find its arrays in one memory."""

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_modules.dataset import PrivilegedDataset
from data_modules.processes.shared_arrays import _State
from data_modules.processes.texts import Texts
from tests.data_modules.shared_process import Held, describe_held
from tests.tiny import TinyDataModule

NUM = 6_000_000


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_process_has_no_arrays_of_its_own(method: str, tmp_path: Path, small_server: None) -> None:
    held = Held(np.arange(NUM), Texts(["x" * 20_000_000, "last"]))
    context = multiprocessing.get_context(method)
    for name in ("first", "second"):
        child = context.Process(target=describe_held, args=(held, tmp_path / name))  # type: ignore[attr-defined]
        child.start()
        child.join()
        total, last, writeable, megabytes = (tmp_path / name).read_text().split()
        assert (int(total), last, writeable) == (NUM * (NUM - 1) // 2, "last", "False")
        assert float(megabytes) < 50  # of 68 MB in arrays; about 20 MB are Python and NumPy


def test_any_other_copy_has_arrays_of_its_own() -> None:
    held = Held(np.arange(5), Texts(["a", "b"]))
    copy = pickle.loads(pickle.dumps(held))
    copy.numbers[0] = 7
    assert held.numbers[0] == 0
    assert copy.inside["texts"] == ["a", "b"]


def started(dataset: PrivilegedDataset) -> tuple[_State, PrivilegedDataset]:
    """Return what a new process gets, and the data set that it makes of it."""
    state = dataset.__getstate__()
    assert isinstance(state, _State)
    copy = PrivilegedDataset.__new__(PrivilegedDataset)
    copy.__setstate__(state)
    return state, copy


def test_a_data_set_is_the_same_in_a_process_that_is_started_with_it(
    tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_modules.processes.shared_arrays.get_spawning_popen", object)
    dataset = TinyDataModule(str(tiny_root)).dataset("test", True, True)
    _, copy = started(dataset)
    for index in (0, 5, 15):
        for name, expected in vars(dataset[0, index]).items():
            np.testing.assert_array_equal(getattr(copy[0, index], name), expected, err_msg=name)
    arrays: list[Any] = [copy.split.label, copy.split.sample_id, copy.split.has_privileged]
    assert not any(array.flags.writeable for array in arrays)


def test_the_rest_of_a_data_set_does_not_grow_with_its_rows(tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_modules.processes.shared_arrays.get_spawning_popen", object)
    data = TinyDataModule(str(tiny_root))
    few = data.dataset("train", False, True)
    many = data.dataset("train", False, True)
    many.split = few.split.take(np.arange(20))
    few.split = few.split.take(np.arange(10))
    assert abs(len(started(many)[0].rest) - len(started(few)[0].rest)) < 20


def test_all_processes_share_one_memory_as_long_as_the_arrays_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_modules.processes.shared_arrays.get_spawning_popen", object)
    held = Held(np.arange(5), Texts(["a"]))
    states = [held.__getstate__(), held.__getstate__()]
    held.numbers = np.arange(5, 10)
    states.append(held.__getstate__())
    first, second, other = [state for state in states if isinstance(state, _State)]
    assert first.memory is second.memory
    assert first.memory is not other.memory
    assert first.restored()["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert other.restored()["numbers"].tolist() == [5, 6, 7, 8, 9]
