"""Classes are named without their modules, and only the modules of those that are named are imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch import Callback

from data_modules.base import PrivilegedDataModule
from data_modules.evaluation import EvaluationReader
from data_modules.forms import PrivilegedForm
from mmpkd.attribution import AttributionMethod
from mmpkd.cli import class_names, lightning_cli, run_parts
from mmpkd.cli.class_names import class_modules, import_named
from mmpkd.cli.data_config import load_data_module
from mmpkd.losses import DistillationLoss
from mmpkd.metrics import RoiMetric
from mmpkd.modules import ClassificationModule
from mmpkd.teachers import PrivilegedEncoder, TargetsControl
from tests.classes import concrete
from tests.parsers import command_line

BASES = (
    AttributionMethod,
    Callback,
    ClassificationModule,
    DistillationLoss,
    EvaluationReader,
    PrivilegedDataModule,
    PrivilegedEncoder,
    PrivilegedForm,
    RoiMetric,
    TargetsControl,
)


@pytest.mark.parametrize("base", BASES)
def test_every_class_that_a_configuration_can_name_has_a_short_name(base: type) -> None:
    of_every_run = vars(lightning_cli).keys() | vars(run_parts).keys()  # no configuration names these
    offered = {kind.__name__: kind.__module__ for kind in concrete(base) if kind.__name__ not in of_every_run}
    assert offered
    assert {name: class_modules().get(name) for name in offered} == offered


def test_the_index_is_read_without_importing_a_package() -> None:
    program = """
import sys
from mmpkd.cli.class_names import class_modules
assert "TextEncoder" in class_modules()
imported = {name for name in sys.modules if name.split(".")[0] in ("torch", "pandas", "lightning", "data_modules")}
assert imported == {"data_modules"}, imported
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_only_the_modules_of_named_classes_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(class_names, "import_module", imported.append)
    callbacks = [{"class_path": "EMA", "init_args": {"decay": 0.9}}, {"class_path": "my_callbacks.TextEncoder"}]
    import_named({"data": {"class_path": "TableDataModule", "init_args": {"path": "EMA.csv"}}, "callbacks": callbacks})
    assert imported == ["data_modules.table.datamodule", "mmpkd.callbacks.ema"]


SHORT = """\
data: data.yaml
model:
  class_path: TeacherModule
  init_args: {encoder: {class_path: TextEncoder, init_args: {width: 8}}}
trainer: {callbacks: [{class_path: LocalizationMonitor, init_args: {top_area: 0.03}}]}
"""
FULL = """\
data: {class_path: data_modules.phantoms.ChestPhantomDataModule, init_args: {image_size: 32}}
model: {init_args: {encoder: {class_path: mmpkd.teachers.TextEncoder, init_args: {depth: 1}}}}
"""


def test_short_names_are_full_ones_in_files_and_flags_and_what_comes_later_is_merged(tmp_path: Path) -> None:
    (tmp_path / "short.yaml").write_text(SHORT)
    (tmp_path / "full.yaml").write_text(FULL)
    (tmp_path / "data.yaml").write_text(
        "class_path: TableDataModule\ninit_args: {root: x, path: t.csv, batch_size: 7}\n"
    )
    files = [f"--config={tmp_path / name}.yaml" for name in ("short", "full")]
    flags = ["--trainer.callbacks+=EMA", "--privileged_form", "TableFromText"]
    parsed = command_line("fit").parser.parse_args(["fit", *files, *flags]).fit
    assert parsed.data.class_path == "data_modules.phantoms.ChestPhantomDataModule"
    assert (parsed.data.init_args.batch_size, parsed.data.init_args.image_size) == (7, 32)
    encoder = parsed.model.init_args.encoder
    assert encoder.class_path == "mmpkd.teachers.TextEncoder"
    assert (encoder.init_args.width, encoder.init_args.depth) == (8, 1)
    monitor, ema = parsed.trainer.callbacks
    assert monitor.class_path == "mmpkd.callbacks.localization.LocalizationMonitor"
    assert (monitor.init_args.top_area, ema.class_path) == (0.03, "mmpkd.callbacks.EMA")
    assert parsed.privileged_form.class_path == "data_modules.mimic_cxr.TableFromText"


def test_a_file_of_data_takes_a_short_name(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("class_path: ChestPhantomDataModule\ninit_args: {root: x}\n")
    data = load_data_module(tmp_path / "data.yaml", ["--data.batch_size=3"])
    assert (type(data).__name__, data.batch_size) == ("ChestPhantomDataModule", 3)


@pytest.mark.parametrize("flag", ["--data.help EvaluationDataModule", "--data.help=EvaluationDataModule"])
def test_the_help_of_a_class_takes_its_short_name(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        command_line("fit").parser.parse_args(["fit", *flag.split()])
    assert error.value.code == 0
    assert "Help for --data.help=data_modules.EvaluationDataModule" in capsys.readouterr().out


def test_the_help_lists_short_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line("fit").parser.parse_args(["fit", "--help"])
    listed = " ".join(capsys.readouterr().out.split())
    data = listed.partition("--data CONFIG | CLASS_PATH_OR_NAME | .INIT_ARG_NAME VALUE One")[2].partition(")")[0]
    assert {"MIMICCXRDataModule", "TableDataModule", "EvaluationDataModule"} <= set(data.replace(",", "").split())
    assert "data_modules." not in data


def test_an_unknown_class_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        command_line("fit").parser.parse_args(["fit", "--data", "TableDataModul"])
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Expected the name of a class, or its import path, but got 'TableDataModul'." in line
    assert "Did you mean 'TableDataModule'?" in line
