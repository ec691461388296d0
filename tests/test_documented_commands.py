"""Commands that the documentation shows are parsed by the parsers that a user meets: a flag that is gone is found out."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from mmpkd.cli.class_names import import_all
from mmpkd.cli.suggestions import known_names
from mmpkd.commands.main import USAGE
from tests.documented import PAGES, REPOSITORY, documented_commands, yaml_blocks
from tests.parsers import check_command, command_line

COMMANDS = documented_commands()
OF_OURS = [words for words in COMMANDS if words[0] == "mmpkd"]
OF_MAKE = [words for words in COMMANDS if words[0] == "make"]
# prints its name and its arguments as a shell would take them
ECHO = """#!/bin/sh
printf mmpkd
printf " '%s'" "$@"
echo
"""


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def _id(words: tuple[str, ...]) -> str:
    return f"{COMMANDS[words]}: {' '.join(words)}"


def test_commands_are_found_wherever_they_are_told() -> None:
    assert {"README.md", "data_sets.md", "mmpkd init", "mmpkd --help", "experiments/slurm.yaml"} <= set(
        COMMANDS.values()
    )
    assert ("make", "train-cxr", "OUT=runs/short", "ARGS=--trainer.max_epochs=2 --data.batch_size=64") in COMMANDS
    assert [words for words in OF_OURS if "--data.reader.root=/data/vindr-cxr" in words and "--ckpt_path" in words]


@pytest.mark.parametrize("words", OF_OURS, ids=_id)
def test_a_command_is_parsed(words: tuple[str, ...]) -> None:
    _check(list(words[1:]))


@pytest.mark.parametrize("words", OF_MAKE, ids=_id)
def test_a_target_is_made_of_commands_that_are_parsed(words: tuple[str, ...], tmp_path: Path) -> None:
    variables = re.findall(r"^(\w+) \?=", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert {word.partition("=")[0] for word in words if "=" in word} <= set(variables)
    dry = _make("-n", *words[1:])
    if dry.returncode:
        assert "*** Expected " in dry.stderr  # a variable that the prose leaves out
    if "bin/mmpkd " not in dry.stdout:
        return
    (tmp_path / "mmpkd").write_text(ECHO)
    (tmp_path / "python").write_text("#!/bin/sh\n")
    for program in tmp_path.iterdir():
        program.chmod(0o755)
    # with programs that do nothing, and without installing anything
    made = _make("--silent", "--assume-old=.venv/.installed", f"BIN={tmp_path}", *words[1:])
    assert made.returncode == 0, made.stderr
    commands = [shlex.split(line)[1:] for line in made.stdout.splitlines() if line.startswith("mmpkd ")]
    assert commands
    for command in commands:
        _check(command)


def _check(words: list[str]) -> None:
    files = [word for word in words if word.startswith("experiments/")]
    assert [file for file in files if not (REPOSITORY / file).is_file()] == []
    words = [word for word in words if word != "--debug"]
    if all(re.fullmatch(r"[a-z]+(-[a-z]+)*", word) for word in words):
        words.append("--help")  # the name of a command, without its arguments
    if any(word.endswith("help") for word in words):
        with pytest.raises(SystemExit, match=r"^0$"):
            check_command(tuple(words))
    else:
        check_command(tuple(words))


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_option_that_a_page_names_is_known(page: Path) -> None:
    _check_options(page.read_text())


def test_an_option_that_the_usage_names_is_known() -> None:
    _check_options(USAGE)


def _check_options(text: str) -> None:
    import_all()
    names = known_names(command_line("fit")._parser("fit")) | {"class_path", "init_args"}
    options = re.findall(r"(?:--|`)((?:data|model|run|trainer)\.\w[\w.]*\w)", text)
    files = {"model.onnx", "model.safetensors", "run.json"}
    known = {*files, *(option for option in options if set(option.split(".")) <= names)}
    assert set(options) <= known


@pytest.mark.parametrize("block", yaml_blocks().values(), ids=yaml_blocks().keys())
def test_a_block_of_settings_is_parsed(block: str, tmp_path: Path) -> None:
    settings = yaml.safe_load(block)
    if not {"data", "model"} & set(settings):
        settings = {"model": {"init_args": settings}}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    check_command(("fit", "--config", "experiments/cxr/distill.yaml", "--config", str(tmp_path / "settings.yaml")))
