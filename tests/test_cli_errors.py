"""What a user can get wrong on the Lightning command line ends it with one line."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.base import PrivilegedDataModule
from data_modules.split import Split
from mmpkd.cli.suggestions import condensed, suggestion
from mmpkd.commands.main import main
from mmpkd.modules.optimizer import OptimizerSettings
from tests.runs import config, student, text_teacher

ONE_EPOCH = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1}
Places = dict[str, str]


class Bug(Callback):
    """A callback with a programming error."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        del trainer, pl_module
        {}["x"]  # type: ignore[index]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Places:
    """Checkpoints of a teacher and a student, and files that are none, by name."""
    folder = tmp_path_factory.mktemp("trained")
    for name, model in (("teacher", text_teacher()), ("student", student())):
        assert main(["fit", *config(folder, name, tiny_root, model, trainer=ONE_EPOCH)]) == 0
    (folder / "text").write_text("no checkpoint")
    found = {name.upper(): str(folder / name / "checkpoints" / "best.ckpt") for name in ("teacher", "student")}
    return {**found, "TEXT": str(folder / "text")}


@pytest.mark.parametrize(
    ("command", "flags", "words"),
    [
        ("fit", "--model.student.model_name=vit_tiny_patch16_22", "Did you mean 'vit_tiny_patch16_224'"),
        (
            "fit",
            "--model.student.model_name=resnet18",
            "Expected a timm vision transformer and options that it takes",
        ),
        ("fit", "--model.teacher=STUDENT", "Expected the checkpoint of a teacher but"),
        ("fit", "--ckpt_path=TEXT", "is damaged, or not a checkpoint."),
        ("test", "--ckpt_path=TEACHER", "Expected the checkpoint of a student"),
        ("test", "--ckpt_path=STUDENT --data.label_names=[A,B]", "['Left Finding', 'Right Finding']"),
        ("test", "--ckpt_path=STUDENT --model.student.options.depth=2", "student.model.blocks.1"),
        ("fit", "--run.dir=TEXT/run", "Expected "),
        ("fit", "--run.wandb=online", "wandb login"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(
    command: str,
    flags: str,
    words: str,
    places: Places,
    tiny_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "NETRC"):
        monkeypatch.delenv(variable, raising=False)
    arguments = config(tmp_path, "run", tiny_root, student(), trainer=ONE_EPOCH)
    for name, place in places.items():
        flags = flags.replace(name, place)
    assert main([command, *arguments, *flags.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mmpkd {command}: ")
    assert words in line
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--trainer.max_epoch=4", "'max_epochs'"),
        ("--model.objective.temp=4", "'temperature'"),
        ("--optimizer=Adam", "--model.optimizer.lr"),
        ("--trainer.max_epochs=many", "trainer.max_epochs: Expected"),
    ],
)
def test_an_unknown_or_shortened_option_is_refused_in_one_line_with_the_whole_name(
    flag: str, named: str, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["fit", *config(tmp_path, "run", tiny_root, student(), trainer=ONE_EPOCH), flag])
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mmpkd fit: ")
    assert named in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("unrecognized arguments: --trainer.call=[]", "'callbacks'"),
        ("unrecognized arguments: --seed=4", "'seed_everything'"),
        ("Option 'batch' is not accepted", "'batch_size'"),
        ("unrecognized arguments: --lr_scheduler.gamma=1", "--model.optimizer.warmup_fraction"),
        ("Subcommand 'fit' does not accept option 'modle.class_path'", "'model'"),
        ("Subcommand 'fit' does not accept option 'modle.init_args.batch_size'", "'model'"),
        ("Subcommand 'fit' does not accept option 'optimizer.class_path'", "--model.optimizer.weight_decay"),
        ("data: Expected a dot import path string: TableDataModul", "'TableDataModule'"),
        ("callbacks: Expected a dot import path string: EarlyStoping", "'EarlyStopping'"),
        ("data: module 'data_modules.table' has no attribute 'TableDataModul'", "'TableDataModule'"),
        (
            "data: Expected a dot import path string: TextEncoder",
            "mmpkd.teachers.encoders.text.TextEncoder is not allowed here",
        ),
    ],
)
def test_the_name_that_was_meant_is_suggested(message: str, named: str) -> None:
    names = {
        "model",
        "trainer",
        "class_path",
        "init_args",
        "batch_size",
        "callbacks",
        "callbacks+",
        "seed",
        "seed_everything",
        "max_epochs",
    }
    assert named in suggestion(message, names)


def test_what_jsonargparse_says_is_one_line() -> None:
    message = """Parser key "data":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'data_modules.base.PrivilegedDataModule'>, <class 'NoneType'>]
  Errors:
    - Problem with given class_path 'data.X':
        Parser key "size":
          Expected a <class 'int'>
    - Expected a <class 'NoneType'>
  Given value type: <class 'jsonargparse._util.NestedArg'>
  Given value: NestedArg(key='size', val='many')"""
    assert condensed(message) == "data: Problem with given class_path 'data.X': size: Expected a int."


def test_an_unknown_class_is_no_path() -> None:
    message = """Parser key "data":

  - Expected a path but Tabel either not accessible or invalid
  - Does not validate against any of the Union subtypes
  Subtypes: [<class 'data_modules.base.PrivilegedDataModule'>, <class 'NoneType'>]
  Errors:
    - Expected a dot import path string: Tabel
    - Expected a <class 'NoneType'>
  Given value type: <class 'str'>
  Given value: Tabel"""
    assert condensed(message) == "data: Expected the name of a class, or its import path, but got 'Tabel'."


@pytest.mark.parametrize("command", ["fit --config PATH", "check-data PATH"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Expected settings in 'PATH', such as `model:`, but it contains nothing."),
        ("- 1", "Expected settings in 'PATH', such as `model:`, but it contains [1]."),
        ("a: [1\nb: }", "Expected YAML in 'PATH' but got: while parsing a flow sequence line 1, column 4"),
    ],
)
def test_a_file_without_settings_is_named(
    command: str, content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    assert main(command.replace("PATH", str(path)).split()) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert words.replace("PATH", str(path)) in line


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"lr": -1.0}, "Expected a learning rate above 0 but got -1.0"),
        ({"lr": float("inf")}, "Expected a learning rate above 0"),
        ({"weight_decay": -1.0}, "Expected a weight decay of 0 or more but got -1.0"),
        ({"betas": (2.0, 0.9)}, r"Expected betas in \[0, 1\) but got"),
    ],
)
def test_settings_of_the_optimizer_are_checked_at_once(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OptimizerSettings(**setting)


@pytest.mark.parametrize(
    ("setting", "least"), [("image_size", 1), ("batch_size", 1), ("num_workers", 0), ("max_train_samples", 1)]
)
def test_settings_of_the_data_are_checked_at_once(setting: str, least: int) -> None:
    class Data(PrivilegedDataModule):
        def read_splits(self) -> Mapping[str, Split]:
            raise NotImplementedError

    options: dict[str, Any] = {setting: least - 1}
    with pytest.raises(ValueError, match=rf"Expected data\.{setting} of at least {least} but got {least - 1}\."):
        Data(("A",), **options)


@pytest.mark.parametrize("place", [lambda args: ["--debug", *args], lambda args: [*args, "--debug"]])
def test_debug_shows_where_an_error_comes_from(
    place: Callable[[list[str]], list[str]], tiny_root: Path, tmp_path: Path
) -> None:
    arguments = config(tmp_path, "run", tiny_root, student())
    with pytest.raises(ValueError, match="Expected a learning rate"):
        main(place(["fit", *arguments, "--model.optimizer.lr=-1"]))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        main(place(["check-data", "nowhere.yaml"]))


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        ("\n{}['x']\n", "KeyError: 'x' (PLACE, line 2)", KeyError),
        ("import no_such_thing\n", "No module named 'no_such_thing' (PLACE, line 1)", ModuleNotFoundError),
        ("x = 1\ndef f(:\n", "line 2) (PLACE, line 2)", SyntaxError),
    ],
)
@pytest.mark.parametrize("option", ["--model=NAME.Net", "--trainer.callbacks=NAME.Own"])
def test_a_bug_in_a_module_of_the_users_own_is_shown_with_its_place(
    code: str,
    words: str,
    kind: type[Exception],
    option: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / f"broken_{kind.__name__.lower()}.py"
    path.write_text(code)
    arguments = ["fit", *config(tmp_path, "run", tmp_path, student()), option.replace("NAME", path.stem)]
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words.replace("PLACE", str(path)) in line
    with pytest.raises(kind):
        main([*arguments, "--debug"])


def test_a_programming_error_keeps_its_traceback(tiny_root: Path, tmp_path: Path) -> None:
    trainer = {**ONE_EPOCH, "callbacks": [{"class_path": "tests.test_cli_errors.Bug"}]}
    with pytest.raises(KeyError):
        main(["fit", *config(tmp_path, "run", tiny_root, student(), trainer=trainer)])


def test_the_recorded_configuration_has_no_setting_without_effect(places: Places) -> None:
    saved = yaml.safe_load((Path(places["STUDENT"]).parents[1] / "config.yaml").read_text())
    assert saved["trainer"]["use_distributed_sampler"] is False
    assert saved["trainer"]["default_root_dir"] is None
    assert not {"optimizer", "lr_scheduler"} & saved.keys()
