"""Classes of the user's own are found in the working directory, however a command is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import data_modules
from mmpkd.cli.user_code import find_user_code

FIND = """\
from mmpkd.cli.user_code import find_user_code
find_user_code()
import data_modules.files.json_file
from data_modules.mine import NAME
from my_data import PLACE
print(NAME, PLACE)
"""
MY_DATA = """\
from data_modules.phantoms import ChestPhantomDataModule


class MyData(ChestPhantomDataModule):
    def __init__(self, root: str) -> None:
        super().__init__(root=root, num_train=24, num_val=8, num_test=10)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; what is found there is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(data_modules, "__path__", list(data_modules.__path__))
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def write_own_package(folder: Path, with_init: bool) -> Path:
    package = folder / "data_modules"
    package.mkdir()
    if with_init:
        (package / "__init__.py").touch()
    (package / "mine.py").write_text("NAME = 'mine'\n")
    (folder / "my_data.py").write_text("PLACE = 'here'\n")
    return package


@pytest.mark.parametrize("with_init", [True, False])
@pytest.mark.parametrize("style", ["module", "script"])
def test_modules_of_ones_own_are_found_beside_ours(tmp_path: Path, with_init: bool, style: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write_own_package(project, with_init)
    # like the script `mmpkd`, it has its own folder on the path, not the working directory
    script = tmp_path / "script.py"
    script.write_text(FIND)
    result = run(project, *(["-c", FIND] if style == "module" else [str(script)]))
    assert result.stdout == "mine here\n", result.stderr


def test_python_m_mmpkd_finds_a_class_in_a_package_that_is_called_like_ours(tmp_path: Path) -> None:
    package = write_own_package(tmp_path, with_init=True)
    (package / "mine.py").write_text(MY_DATA)
    config = {"class_path": "data_modules.mine.MyData", "init_args": {"root": str(tmp_path / "chest")}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    result = run(tmp_path, "-m", "mmpkd", "check-data", "my.yaml")
    assert "writing chest phantoms: 42" in result.stderr


def test_a_module_with_the_name_of_one_of_ours_is_refused(here: Path) -> None:
    package = write_own_package(here, with_init=False)
    (package / "base.py").touch()
    (package / "table").mkdir()
    with pytest.raises(SystemExit, match=r"Expected names in .* but got: base, table\. Rename them\."):
        find_user_code()


def test_the_path_is_extended_once(here: Path) -> None:
    package = write_own_package(here, with_init=False)
    find_user_code()
    find_user_code()
    assert sys.path.count(str(here)) == 1
    assert data_modules.__path__[-1] == str(package)
    assert len(data_modules.__path__) == 2


def test_the_packages_of_a_checkout_are_left_alone(here: Path) -> None:
    package = write_own_package(here, with_init=True)
    (package / "base.py").touch()
    (here / "mmpkd").mkdir()
    (here / "mmpkd" / "__init__.py").touch()
    find_user_code()
    assert len(data_modules.__path__) == 1
