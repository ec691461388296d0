"""Options of data modules: few of their own, all others of the base class, and flat on the command line."""

import inspect
import re
from pathlib import Path

import pytest
import yaml

from data_modules.base import PrivilegedDataModule
from data_modules.cbis_ddsm import CBISDDSMDataModule
from data_modules.embed import EMBEDDataModule
from data_modules.evaluation import EvaluationDataModule
from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.open_i import OpenIDataModule
from data_modules.phantoms import BreastPhantomDataModule, ChestPhantomDataModule
from data_modules.splits import SplitDataModule
from data_modules.table import TableDataModule
from mmpkd.cli.data_config import load_data_module
from mmpkd.records.renamed_settings import check_names

OF_DATA_SETS = (
    MIMICCXRDataModule,
    CBISDDSMDataModule,
    EMBEDDataModule,
    OpenIDataModule,
    TableDataModule,
    ChestPhantomDataModule,
    BreastPhantomDataModule,
)
NEEDED: dict[str, object] = {
    "path": "table.csv",
    "image_column": "file",
    "label_columns": ["ill"],
    "sample_column": "id",
    "patient_column": "patient",
}


def options_of(kind: type[PrivilegedDataModule]) -> dict[str, object]:
    return {"root": "nowhere", **(NEEDED if kind is TableDataModule else {})}


def load(folder: Path, kind: type[PrivilegedDataModule], *flags: str) -> PrivilegedDataModule:
    config = folder / "data.yaml"
    config.write_text(yaml.dump({"class_path": kind.__name__, "init_args": options_of(kind)}))
    return load_data_module(config, flags)


@pytest.mark.parametrize("kind", [SplitDataModule, PrivilegedDataModule, EvaluationDataModule, *OF_DATA_SETS])
def test_a_data_module_states_at_most_twelve_arguments_of_its_own(kind: type[SplitDataModule]) -> None:
    own = inspect.signature(kind).parameters.values()
    assert sum(parameter.kind is not parameter.VAR_KEYWORD for parameter in own) <= 12


@pytest.mark.parametrize("kind", OF_DATA_SETS)
def test_options_of_images_and_loaders_are_flat_in_every_data_module(
    tmp_path: Path, kind: type[PrivilegedDataModule]
) -> None:
    data = load(tmp_path, kind, "--data.batch_size=7", "--data.image_size=48", "--data.max_train_samples=5")
    assert (data.batch_size, data.image_size, data.max_train_samples) == (7, 48, 5)
    assert data.num_workers == 0


@pytest.mark.parametrize("kind", OF_DATA_SETS)
def test_a_misspelt_option_of_the_base_class_is_refused(
    tmp_path: Path, kind: type[PrivilegedDataModule], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        load(tmp_path, kind, "--data.batchsize=7")
    assert "Did you mean 'batch_size'" in capsys.readouterr().err


def test_a_misspelt_argument_is_refused_in_python() -> None:
    with pytest.raises(TypeError, match="batchsize"):
        MIMICCXRDataModule(Path("nowhere"), batchsize=7)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (TableDataModule, "train_value=1", "--data.split.train"),
        (TableDataModule, "text_column=note", "--data.privileged.text"),
        (TableDataModule, "box_columns=[x,y,w,h]", "--data.rois.box_columns"),
        (MIMICCXRDataModule, "roi_source=reflacx", "--data.rois.source"),
        (CBISDDSMDataModule, "crop_breast=false", "--data.breast.crop"),
    ],
)
def test_an_option_that_moved_into_a_group_is_named(
    tmp_path: Path, kind: type[PrivilegedDataModule], old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        load(tmp_path, kind, f"--data.{old}")
    assert f"Did you mean {new}?" in capsys.readouterr().err
    name, _, value = old.partition("=")
    settings = {"data": {"class_path": kind.__name__, "init_args": {name: value}}}
    with pytest.raises(
        ValueError, match=rf"older one: data\.{name} is now {re.escape(new[2:])}\. .* at commit 15853fb"
    ):
        check_names(settings, "config.yaml")


def test_groups_of_options_are_read_from_flags(tmp_path: Path) -> None:
    table = load(tmp_path, TableDataModule, "--data.rois.label=ill", "--data.rois.box_columns=[x,y,w,h]")
    assert isinstance(table, TableDataModule)
    assert table.reader.rois.box_columns == ("x", "y", "w", "h")
    films = load(tmp_path, CBISDDSMDataModule, "--data.breast.crop=false")
    assert films.preprocess() is None
