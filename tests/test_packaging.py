"""The wheel holds all it needs: installed on its own, it writes experiments, makes a study and reports it."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SMALL = [
    "--data.num_train=24",
    "--data.num_val=12",
    "--data.num_test=8",
    "--data.batch_size=8",
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--run.wandb=disabled",
]
MY_DATA = """\
from data_modules.phantoms import ChestPhantomDataModule


class MyData(ChestPhantomDataModule):
    pass
"""


def run(folder: Path, *command: str | Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OMP_NUM_THREADS"] = "1"
    result = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("dist")
    run(REPOSITORY, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment that has the wheel, and borrows all other packages from the running one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=True)
    programs = folder / "bin"
    run(folder, programs / "python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    (site,) = folder.glob("lib/python*/site-packages")
    # files of this kind are not read in a folder that such a file names: the checkout stays out
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def test_the_wheel_holds_the_packages_and_the_experiments_and_nothing_else(wheel: Path) -> None:
    expected = {
        str(path.relative_to(REPOSITORY))
        for package in ("mmpkd", "data_modules")
        for pattern in ("*.py", "*.jinja", "*.js", "py.typed")
        for path in (REPOSITORY / package).rglob(pattern)
    }
    expected |= {f"mmpkd/{path.relative_to(REPOSITORY)}" for path in (REPOSITORY / "experiments").rglob("*.yaml")}
    web = REPOSITORY / "mmpkd" / "study" / "report" / "explorer" / "web"
    expected |= {str(path.relative_to(REPOSITORY)) for path in web.rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name for name in names if not name.startswith("mmpkd-")} == expected
    assert {
        "mmpkd/study/report/templates/page.html.jinja",
        "mmpkd/study/report/templates/script.js",
        "mmpkd/py.typed",
        "data_modules/py.typed",
    } < expected


@pytest.mark.slow
def test_an_installed_wheel_makes_a_study_with_a_class_of_the_users(programs: Path, tmp_path: Path) -> None:
    run(tmp_path, programs / "mmpkd", "init", ".")
    (tmp_path / "my_data.py").write_text(MY_DATA)
    data = tmp_path / "experiments" / "data" / "chest_phantom.yaml"
    data.write_text(data.read_text().replace("data_modules.phantoms.ChestPhantomDataModule", "my_data.MyData"))
    printed = run(tmp_path, programs / "mmpkd", "study", "experiments/cxr/study.yaml", "--seeds", "0", "--", *SMALL)
    assert "Report: runs/cxr/report/index.html" in printed
    assert "<html" in (tmp_path / "runs" / "cxr" / "report" / "index.html").read_text()
    assert (tmp_path / "runs" / "cxr" / "report" / "explore.html").is_file()
    assert "my_data.MyData" in (tmp_path / "runs" / "cxr" / "baseline" / "seed0" / "config.yaml").read_text()
    assert {path.name for path in tmp_path.iterdir()} <= {"__pycache__", "data", "experiments", "my_data.py", "runs"}


def test_the_installed_packages_are_used_and_not_those_of_the_checkout(programs: Path, tmp_path: Path) -> None:
    printed = run(
        tmp_path, programs / "python", "-c", "import mmpkd, data_modules; print(mmpkd.__file__, data_modules.__file__)"
    )
    assert all(path.startswith(str(programs.parent)) for path in printed.split())
