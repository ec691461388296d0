"""An earlier export is replaced as a whole, whenever the process is killed."""

import os
import sys
from pathlib import Path

import pytest

from mmpkd.export.replaced_folder import recover, replacing_folder

NAMES = ("README.md", "config.json", "model.safetensors")
# operations that change a folder; `open` is not among them, because files are written before anything is replaced
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
KILLED = 9


def export(out: Path, content: str) -> None:
    with replacing_folder(out) as folder:
        for name in NAMES:
            (folder / name).write_text(content)


def killed_before(step: int, out: Path) -> bool:
    """Export "new" in a process of its own that dies before a change of the disk; return whether it got so far."""
    child = os.fork()
    if child == 0:
        changes = iter(range(step))

        def die_in_time(event: str, _: object) -> None:
            if event in CHANGES and next(changes, None) is None:
                os._exit(KILLED)

        sys.addaudithook(die_in_time)
        export(out, "new")
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


def content_of(folder: Path) -> str:
    """Return the content of a complete export."""
    (content,) = {(folder / name).read_text() for name in NAMES}
    return content


def test_a_kill_at_any_step_leaves_the_old_export_or_the_new_one(tmp_path: Path) -> None:
    step, states = 0, []
    while True:
        out = tmp_path / str(step) / "student"
        export(out, "old")
        (out / "notes.txt").write_text("mine")
        (out / "figures").mkdir()
        is_killed = killed_before(step, out)
        assert content_of(out if out.exists() else out.with_name(".student.old")) in ("old", "new")
        recover(out)
        states.append(content_of(out))
        assert (out / "notes.txt").read_text() == "mine"
        export(out, "next")
        assert content_of(out) == "next"
        assert sorted(path.name for path in out.iterdir()) == sorted([*NAMES, "figures", "notes.txt"])
        assert [path.name for path in out.parent.iterdir()] == ["student"]
        if not is_killed:
            break
        step += 1
    assert states == sorted(states, reverse=True)  # once the new one is there, it stays
    assert set(states) == {"old", "new"}


def test_an_error_keeps_the_old_export(tmp_path: Path) -> None:
    export(tmp_path / "student", "old")
    with pytest.raises(FileNotFoundError), replacing_folder(tmp_path / "student") as folder:
        (folder / "missing" / NAMES[0]).write_text("half")
    assert content_of(tmp_path / "student") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_an_error_between_the_renames_brings_the_old_export_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tmp_path / "student", "old")
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.name.endswith(".tmp"):
            raise OSError("no room")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="no room"):
        export(tmp_path / "student", "new")
    assert content_of(tmp_path / "student") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    export(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    export(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert content_of(tmp_path / "real") == "new"


def test_a_new_and_an_empty_folder_are_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new"):
        export(tmp_path / name, "first")
        assert content_of(tmp_path / name) == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]
