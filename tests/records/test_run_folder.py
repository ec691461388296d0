from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.files.array_file import read_array, read_arrays
from data_modules.files.json_file import read_json, write_json
from mmpkd.records import Lineage, RunFolder, RunState, StudyRecord, TestRecord, TrainingRecord
from mmpkd.records.tables import read_table, write_table

STATE = RunState(
    "tested",
    None,
    3,
    "baseline",
    StudyRecord("f" * 64, ("--config", "x.yaml"), 1.5),
    Lineage("abc", "1", None, None, {"train": "0"}, "b" * 64, "open", ("a" * 64,)),
    TrainingRecord(2, 16, 0.5, "val/auroc_macro", 0.75, "a" * 64),
    TestRecord("a" * 64, {"test/auroc_macro": 0.5}, {"test": {"samples": 3}}, "open", ("Mass",), None, "1"),
)


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.state is None
    assert not folder.is_trained
    write_json(tmp_path / "run.json", STATE.to_json())
    assert folder.state == STATE
    assert folder.is_trained
    assert folder.update(status="failed", reason="no memory").reason == "no memory"
    state = folder.state
    assert state is not None
    assert (state.status, state.test) == ("failed", STATE.test)


@given(st.integers(0, 400))
def test_half_of_a_state_is_named(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    write_json(folder.path / "run.json", STATE.to_json())
    path = folder.path / "run.json"
    path.write_text(path.read_text()[:length])
    with pytest.raises(ValueError, match=r"Expected JSON in '.*run.json' but it is damaged: .* Restore or delete it\."):
        _ = folder.state


@pytest.mark.parametrize("content", [b"", b"run: [", b"run: \xe9", b"run\0\0", b"- a"])
def test_damaged_settings_are_named(tmp_path: Path, content: bytes) -> None:
    folder = RunFolder(tmp_path)
    assert folder.settings == {}
    folder.config.write_text("run: {dir: ä}\n", encoding="utf-8")
    assert folder.settings == {"run": {"dir": "ä"}}
    folder.config.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"Expected (YAML|the settings of a run) in '.*config.yaml' but .* (R|r)estore"
    ) as error:
        _ = folder.settings
    assert "\n" not in str(error.value)


def test_what_is_no_state_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"colour": "red"})
    with pytest.raises(ValueError, match=r"Expected the state of a run in '.*run.json' but"):
        _ = RunFolder(tmp_path).state
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"Expected an object of JSON in '.*list.json' but got list"):
        read_json(tmp_path / "list.json")


def test_a_table_knows_the_checkpoint_that_made_it(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    for checkpoint in ("a" * 64, None):
        write_table(frame, tmp_path / "t.parquet", checkpoint)
        table = read_table(tmp_path / "t.parquet")
        assert table.checkpoint == checkpoint
        pd.testing.assert_frame_equal(table.frame, frame)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame)  # it is a common table, too


@pytest.mark.parametrize("length", [0, 3, 700, -1])
def test_half_of_a_table_is_named(tmp_path: Path, length: int) -> None:
    path = tmp_path / "t.parquet"
    write_table(pd.DataFrame({"a": range(100)}), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"Expected a table in '.*t.parquet' but it is damaged: .*test the run again"):
        read_table(path)
    with pytest.raises(FileNotFoundError, match="Expected a table at"):
        read_table(tmp_path / "none.parquet")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("length", [0, 60, 300])
def test_half_of_an_array_is_named(tmp_path: Path, name: str, length: int) -> None:
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, np.arange(100))
    else:
        np.savez(path, a=np.arange(100))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=rf"Expected arrays in '.*{name}' but it is damaged"):
        read_array(path) if name == "a.npy" else read_arrays(path)
