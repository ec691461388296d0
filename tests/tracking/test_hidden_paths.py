import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpkd.tracking.hidden_paths import hide_paths, run_name


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in the home folder of a user named Grace, as the working directory."""
    project = tmp_path / "home" / "grace" / "project"
    project.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(project.parent))
    monkeypatch.chdir(project)
    return project


def test_only_paths_change_and_those_of_the_project_become_relative(here: Path) -> None:
    config = {
        "data": {"root": "/scratch/grace/mimic cxr", "prepared": Path("data/prepared"), "seed": 3},
        "trainer": [None, True, 0.5, "val/auroc_macro", "https://wandb.hospital.org/a/b", "1 / 2", "bright left/right"],
        "run": {"dir": str(here / "runs" / "cxr"), "tags": ["../project/x"]},
    }
    hidden = hide_paths(config)
    assert hidden["data"] == {"root": hidden["data"]["root"], "prepared": "data/prepared", "seed": 3}
    assert hidden["data"]["root"].startswith("path-")
    assert hidden["trainer"] == config["trainer"]
    assert hidden["run"] == {"dir": "runs/cxr", "tags": ["x"]}


@pytest.mark.parametrize(
    "text",
    [
        "/home/grace/data",
        "~/data",
        "~grace/data",
        "../../grace/data",
        "file:///home/grace/data",
        "--data.root=/home/grace/data",
        "roots: ['/home/grace/data', '/scratch/grace']",
        "ensemble:/home/grace/a.ckpt,/home/grace/b.ckpt",
        "cannot read '/home/grace/data'.",
        "//scratch/grace/data",
        "--data.root=//scratch/grace",
        "model=/home/with space/grace.csv",
        "runs/../../grace",
        "x=runs/a/../../../grace/data",
        "@/home/grace/data",
        "`/home/grace/data`",
        ">/home/grace/data",
        "sqlite:////home/grace/runs.db",
        "https://hospital.org/a,/home/grace/data",
    ],
)
def test_no_form_of_a_path_shows_the_user(text: str, here: Path) -> None:
    for hidden in (hide_paths(text), *hide_paths({text: [text]})):
        assert "grace" not in hidden
        assert "path-" in hidden


def test_a_path_after_one_of_the_project_is_hidden_too(here: Path) -> None:
    hidden = hide_paths(f"roots: ['{here}/runs', '/scratch/grace']")
    assert hidden.startswith("roots: ['runs', 'path-")
    assert "grace" not in hidden


@given(st.lists(st.sampled_from(["runs", "a b", ".", "..", "x.y"]), min_size=1, max_size=6))
def test_a_relative_path_is_kept_as_long_as_it_stays_in_the_project(parts: list[str]) -> None:
    text = "/".join(["runs", *parts])
    normal = os.path.normpath(text)
    hidden = hide_paths(text)
    if ".." not in parts:
        assert hidden == text
    elif " " not in text.partition("..")[0]:
        assert hidden.startswith("path-") if normal.startswith("..") else hidden == normal
    assert ".." not in hidden


def test_equal_paths_stay_equal_and_different_ones_different(here: Path) -> None:
    home = str(here.parent)
    assert (
        hide_paths(f"{home}/data") == hide_paths("~/data") == hide_paths("../data") == hide_paths(f"{home}/x/../data")
    )
    assert hide_paths("/data/a") != hide_paths("/data/b")


def test_a_working_directory_above_the_home_folder_hides_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here.parents[1])
    assert "grace" not in hide_paths(str(here / "data"))


def test_the_name_of_a_run_does_not_tell_the_user(here: Path) -> None:
    assert run_name(Path("runs/cxr/baseline/seed0")) == "baseline-seed0"
    assert run_name(Path("/scratch/grace/first")) == "scratch-first"
    assert run_name(here.parent / "first") == "first"
    assert run_name(here.parent) == "run"
