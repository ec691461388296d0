"""A configuration file adds to its base: it says what it changes, and nothing else."""

from pathlib import Path

import pytest
import yaml

from mmpkd.cli.data_config import load_data_module
from mmpkd.cli.lightning_cli import main
from mmpkd.cli.yaml_file import with_bases, without_base
from mmpkd.commands.main import main as entry
from mmpkd.study.execution.fingerprint import configuration_files
from tests.runs import data, student
from tests.tiny import TinyDataModule


@pytest.fixture
def files(tmp_path: Path, tiny_root: Path) -> Path:
    """Return a file that adds to one that adds to one in another folder."""
    common = {"run": {"wandb": "disabled"}, "trainer": {"max_epochs": 9, "gradient_clip_val": 0.5}}
    second = {
        "base": "common/first.yaml",
        "data": "own/data.yaml",
        "model": student(optimizer={"lr": 0.01, "weight_decay": 0.2}),
        "trainer": {"max_epochs": 4},
    }
    third = {
        "base": "second.yaml",
        "model": {"init_args": {"optimizer": {"lr": 0.02}, "teacher": {"path": "a.ckpt"}}},
        "data": {"init_args": {"image_size": 64}},
    }
    contents = {"common/first": common, "own/data": data(tiny_root, batch_size=4), "second": second, "third": third}
    for name, content in contents.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    return tmp_path / "third.yaml"


def test_a_file_changes_what_its_bases_say(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["fit", f"--config={files}", "--trainer.max_epochs=3", "--print_config"])
    found = yaml.safe_load(capsys.readouterr().out)
    assert "base" not in found
    model = found["model"]["init_args"]
    assert (model["optimizer"]["lr"], model["optimizer"]["weight_decay"]) == (0.02, 0.2)
    assert model["teacher"]["path"] == "a.ckpt"
    assert model["student"]["init_args"]["options"] == {"depth": 1}
    arguments = found["data"]["init_args"]
    assert (arguments["batch_size"], arguments["image_size"]) == (4, 64)
    assert (found["trainer"]["max_epochs"], found["trainer"]["gradient_clip_val"]) == (3, 0.5)


def test_the_data_module_of_a_file_is_that_of_its_bases(files: Path) -> None:
    found = load_data_module(files, ["--data.batch_size=5"])
    assert isinstance(found, TinyDataModule)
    assert (found.batch_size, found.image_size) == (5, 64)


def test_the_settings_of_a_run_are_those_of_all_its_files(files: Path) -> None:
    folder = files.parent
    names = ["common/first.yaml", "second.yaml", "third.yaml"]
    assert with_bases(files) == [folder / name for name in names]
    assert configuration_files(files) == [*(folder / name for name in names), folder / "own" / "data.yaml"]


def test_without_its_base_a_text_keeps_its_lines() -> None:
    assert without_base("# one\nbase: x.yaml\nrun:\n  base: y\n") == "# one\n\nrun:\n  base: y\n"


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("nowhere.yaml", "Expected the base of 'THIRD' at 'FOLDER/nowhere.yaml' but there is no such file."),
        ("third.yaml", "'FOLDER/third.yaml' is its own base."),
        ("[a, b]", "Expected the path of a file as `base` of 'THIRD' but got ['a', 'b']."),
    ],
)
def test_a_base_that_cannot_be_read_is_named(
    base: str, words: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write_text(f"base: {base}\n")
    assert entry(["fit", "--config", str(files)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(words.replace("THIRD", str(files)).replace("FOLDER", str(files.parent)))
