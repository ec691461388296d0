"""Arguments of commands that would do harm are refused before anything is read."""

from pathlib import Path

import pytest

from mmpkd.commands.main import main


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("study s.yaml --out=", "--out: expected a folder but got an empty path"),
        ("prepare d.yaml --out=", "--out: expected a folder but got an empty path"),
        ("attribute c.ckpt i.png --out=", "--out: expected a folder but got an empty path"),
        ("infer run i.png --out=", "--out: expected a folder but got an empty path"),
        ("infer run i.png --out o --batch_size 0", "--batch_size: expected a number of at least 1 but got 0"),
        ("infer run i.png --out o --num_workers -1", "--num_workers: expected a number of at least 0 but got -1"),
        ("export run --out=", "--out: expected a folder but got an empty path"),
        ("targets build d.yaml t.ckpt --out=", "--out: expected a folder but got an empty path"),
        ("prepare d.yaml --num_workers -1", "--num_workers: expected a number of at least 0 but got -1"),
        ("check-data d.yaml --num_workers -1", "--num_workers: expected a number of at least 0 but got -1"),
        ("targets boost d.yaml --out o --seed -1", "--seed: expected a number of at least 0 but got -1"),
        ("targets boost d.yaml --out o --folds 1", "--folds: expected a number of at least 2 but got 1"),
        ("targets cross-fit d.yaml --out o --folds 0", "--folds: expected a number of at least 2 but got 0"),
        ("targets cross-fit d.yaml --out o --folds -1", "--folds: expected a number of at least 2 but got -1"),
    ],
)
def test_arguments_out_of_range_are_refused(command: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(command.split())
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{words}. See `mmpkd {command.split()[0]}" in line


@pytest.mark.parametrize(
    "command",
    [
        "study s.yaml",
        "prepare d.yaml",
        "attribute c.ckpt i.png",
        "infer run i.png",
        "export run",
        "targets build d.yaml t",
    ],
)
@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("loop", "got '{}': Too many levels of symbolic links"),
        ("loop/below", "got '{}': Too many levels of symbolic links"),
        ("file", "'{}' is a file"),
        ("file/below", "got '{}': Not a directory"),
    ],
)
def test_a_path_that_cannot_be_a_folder_is_refused(
    command: str, place: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(SystemExit) as error:
        main([*command.split(), "--out", str(tmp_path / "link" / place)])
    assert error.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"--out: expected a folder but {reason.format(tmp_path / 'link' / place)}" in said


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("study s.yaml --seed 0", "--seeds"),
        ("study s.yaml --report", "--report-only"),
        ("attribute c.ckpt i.png --out o --find Edema", "--finding"),
        ("infer run i.png --out o --batch 4", "--batch_size"),
        ("export run --out o --onn", "--onnx"),
        ("init p --dat table", "--data"),
        ("plan s.yaml --pilot o --differ 3", "--difference"),
        ("check-data d.yaml --js r.json", "--json"),
        ("check-data d.yaml --data.root=/data --js r.json", "--json"),
        ("prepare d.yaml --num_work=2", "--num_workers"),
        ("targets build d.yaml t.ckpt --out o --trust", "--trust-remote-code"),
        ("teacher-card d.yaml t.ckpt --stud run", "--student"),
    ],
)
def test_a_shortened_option_is_refused_in_one_line_with_the_whole_name(
    command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(command.split())
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mmpkd {command.split()[0]}: unrecognized arguments: --")
    assert f"Did you mean '{name}'" in line
