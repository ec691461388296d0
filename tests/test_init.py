"""`mmpkd init` writes experiments whose commands and paths are right where they are written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mmpkd.commands import init
from mmpkd.commands.main import main
from mmpkd.study.plan.plan_file import load_plan

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
# examples to read rather than to start from, and a data set that has no study yet
NOT_OFFERED = {"covid_cxr", "open_i", "data/covid_cxr.yaml", "data/embed.yaml"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    assert main(["init", str(tmp_path / "all"), *(f"--data={name}" for name in init.STARTS)]) == 0
    return tmp_path / "all"


def named_files(text: str) -> list[str]:
    return re.findall(r"experiments/\S+\.yaml", text)


@pytest.mark.parametrize("name", init.STARTS)
def test_every_start_is_whole(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "not" / "there"
    assert main(["init", str(project), "--data", name]) == 0
    assert f"See {project}/experiments/README.md for what to run next" in capsys.readouterr().out
    files = sorted(project.rglob("*.yaml"))
    for path in files:
        content = yaml.safe_load(path.read_text())
        references = [content[key] for key in ("base", "data") if isinstance(content.get(key), str)]
        assert all((path.parent / reference).is_file() for reference in references), path
        assert all((project / file).is_file() for file in named_files(path.read_text())), path
        if "arms" in content:
            assert load_plan(path).question
    commands = named_files((project / "experiments" / "README.md").read_text())
    assert commands
    assert all((project / file).is_file() for file in commands)


def test_phantoms_are_what_one_gets_without_asking(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    assert {path.stem for path in (tmp_path / "experiments" / "data").iterdir()} == {"chest_phantom", "breast_phantom"}


def test_every_experiment_is_offered_unless_it_is_an_example(project: Path) -> None:
    files, offered = (
        {str(path.relative_to(folder)) for path in folder.rglob("*.yaml")}
        for folder in (EXPERIMENTS, project / "experiments")
    )
    assert {file for file in files - offered if not NOT_OFFERED & {file, file.split("/")[0]}} == set()


def test_nothing_is_overwritten_and_nothing_is_written_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "experiments" / "cxr" / "study.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert main(["init", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{path} exists. Nothing is overwritten" in error
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
    assert path.read_text() == "mine"


def test_an_installation_without_experiments_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(init, "__file__", str(tmp_path / "mmpkd" / "commands" / "init.py"))
    assert main(["init", str(tmp_path / "project")]) == 1
    assert "Install mmpkd again" in capsys.readouterr().err


def test_it_is_quick(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "mmpkd", "init", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "mmpkd" in imported
    assert imported.isdisjoint({"torch", "lightning", "numpy"})
