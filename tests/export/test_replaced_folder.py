"""An earlier export is replaced as a whole, whenever the process is killed."""

import json
import os
import sys
from pathlib import Path

import pytest

from mmpkd.export.replaced_folder import recover, replacing_folder

NAMES = ("README.md", "config.json", "model.safetensors")
# operations that change a folder; `open` is not among them, because files are written before anything is replaced
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
KILLED = 9


def write(file: Path, content: str) -> None:
    file.write_text(json.dumps({"mmpkd": content}))  # the key that makes a folder an export


def export(out: Path, content: str) -> None:
    with replacing_folder(out) as folder:
        for name in NAMES:
            write(folder / name, content)


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
    (content,) = {json.loads((folder / name).read_text())["mmpkd"] for name in NAMES}
    return str(content)


def test_a_kill_at_any_step_leaves_the_old_export_or_the_new_one(tmp_path: Path) -> None:
    step, states = 0, []
    while True:
        out = tmp_path / str(step) / "student"
        export(out, "old")
        (out / "notes.txt").write_text("mine")
        (out / "figures").mkdir()
        is_killed = killed_before(step, out)
        assert content_of(out if out.exists() else out.with_name(".student.mmpkd-old")) in ("old", "new")
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
        if path.name.endswith(".mmpkd-new"):
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


def test_folders_of_others_beside_it_are_left_alone(tmp_path: Path) -> None:
    theirs = [tmp_path / f".student.{name}" / "config.json" for name in ("old", "new", "tmp")]
    for file in theirs:
        file.parent.mkdir()
        file.write_text("theirs")
    for content in ("first", "second"):
        export(tmp_path / "student", content)
        assert content_of(tmp_path / "student") == content
    assert {file.read_text() for file in theirs} == {"theirs"}


def test_a_second_export_at_the_same_time_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    out = tmp_path / "student"
    export(out, "old")
    with replacing_folder(out) as folder:
        for name in NAMES:
            write(folder / name, "first")
        with pytest.raises(RuntimeError, match="Expected no other export to"):
            export(out, "second")
        assert content_of(out) == "old"
    assert content_of(out) == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_a_folder_that_cannot_be_replaced_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "student"
    export(out, "old")
    (out / "figures").mkdir()
    (tmp_path / "empty").mkdir()
    for place, target in ((out / "figures", out), (tmp_path / "empty", Path())):
        monkeypatch.chdir(place)
        with pytest.raises(ValueError, match="is the working directory, or holds it"):
            export(target, "new")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "is_mount", lambda path: path == out)
    with pytest.raises(ValueError, match="is mounted by itself"):
        export(out, "new")
    assert content_of(out) == "old"


@pytest.mark.parametrize("name", ["file", "link", "full"])
def test_what_is_no_export_is_refused_and_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "config.json").write_text("{}")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(FileExistsError, match="holds something else"):
        export(tmp_path / name, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_text() == "mine"


def test_the_mode_of_a_folder_stays(tmp_path: Path) -> None:
    export(tmp_path / "student", "old")
    (tmp_path / "student").chmod(0o700)
    export(tmp_path / "student", "new")
    assert (tmp_path / "student").stat().st_mode & 0o777 == 0o700
