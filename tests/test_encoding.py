"""Text files are UTF-8, whatever the locale of the machine."""

import ast
import io
import locale
from dataclasses import replace
from pathlib import Path

import pytest

from data_modules.files.atomic import write_text
from mmpkd.cli.yaml_file import read_settings
from mmpkd.teachers.target_files import load_targets
from tests.tiny import write_targets

REPOSITORY = Path(__file__).parents[1]
# position of the mode among the arguments of a function, and of a method
MODE = {ast.Name: 1, ast.Attribute: 0}
OTHER_MODULES = {"os", "gzip", "tarfile", "zipfile", "Image"}


def opens_text_without_encoding(call: ast.Call) -> bool:
    """Return whether a call is `read_text`, `write_text` or `open` of text, in the encoding of the locale."""
    function = call.func
    if not isinstance(function, ast.Name | ast.Attribute) or any(own.arg == "encoding" for own in call.keywords):
        return False
    name = function.id if isinstance(function, ast.Name) else function.attr
    if name in ("read_text", "write_text"):
        # `write_text(path, text)` is our own function
        return isinstance(function, ast.Attribute) and len(call.args) == (name == "write_text")
    if name != "open" or (isinstance(function, ast.Attribute) and ast.unparse(function.value) in OTHER_MODULES):
        return False
    given = [own.value for own in call.keywords if own.arg == "mode"] + call.args[MODE[type(function)] :]
    return not given or not (isinstance(given[0], ast.Constant) and "b" in str(given[0].value))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("path.read_text()", True),
        ("path.read_text(errors='replace')", True),
        ("path.write_text(text)", True),
        ("open(path)", True),
        ("open(path, mode='w')", True),
        ("path.open('a', newline='')", True),
        ("path.read_text(encoding='utf-8')", False),
        ("write_text(path, text)", False),
        ("open(path, 'rb')", False),
        ("path.open('r+b')", False),
        ("Image.open(path)", False),
        ("print(text)", False),
    ],
)
def test_a_call_in_the_encoding_of_the_locale_is_found(source: str, expected: bool) -> None:
    (call,) = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    assert opens_text_without_encoding(call) == expected


def test_every_text_file_states_its_encoding() -> None:
    """The rule of ruff (PLW1514) misses paths in variables."""
    files = [
        file
        # not all of docs, where a build of the site leaves copies of earlier tutorials
        for folder in ("mmpkd", "data_modules", "benchmarks", "docs/directives", "docs/tutorials")
        for file in (REPOSITORY / folder).rglob("*.py")
    ] + [REPOSITORY / "docs" / "conf.py"]
    assert len(files) > 400
    found = []
    for file in files:
        calls = [node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.Call)]
        found += [f"{file}:{call.lineno}" for call in calls if opens_text_without_encoding(call)]
    assert not found


@pytest.fixture
def ascii_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend a locale of ASCII, which refuses other characters."""
    monkeypatch.setattr(io, "text_encoding", lambda encoding, stacklevel=2: encoding or "ascii")
    monkeypatch.setattr(locale, "getpreferredencoding", lambda do_setlocale=True: "ANSI_X3.4-1968")


@pytest.mark.usefixtures("ascii_locale")
def test_characters_beyond_ascii_survive_any_locale(tiny_root: Path, tmp_path: Path) -> None:
    write_text(tmp_path / "text.txt", "Erguß")
    assert (tmp_path / "text.txt").read_bytes() == "Erguß".encode()
    targets = load_targets(write_targets(tmp_path / "targets", tiny_root))
    named = replace(
        targets, sample_id=targets.sample_id.astype("U9"), meta=replace(targets.meta, label_names=["Erguß", "b"])
    )
    named.sample_id[0] = "Müller"
    named.save(tmp_path / "named")
    found = load_targets(tmp_path / "named")
    assert found.sample_id[0] == "Müller"
    assert found.meta.label_names == ["Erguß", "b"]
    with pytest.raises(UnicodeEncodeError):
        (tmp_path / "text.txt").write_text("Erguß")


@pytest.mark.usefixtures("ascii_locale")
def test_settings_that_the_locale_would_change_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"data: {label_names: [mass]}\n")
    assert read_settings(path) == {"data": {"label_names": ["mass"]}}
    for text in ("# Größe\ndata: {label_names: [mass]}\n", "data: {label_names: [Erguß]}\n"):
        path.write_bytes(text.encode())
        with pytest.raises(
            ValueError, match=r"Expected a locale of UTF-8.* but its encoding is ANSI_X3.4-1968. Set PYTHONUTF8=1"
        ):
            read_settings(path)
    monkeypatch.setattr(locale, "getpreferredencoding", lambda do_setlocale=True: "UTF-8")
    assert read_settings(path) == {"data": {"label_names": ["Erguß"]}}
