"""Teachers and students in plain Python, with data modules of our own, of a user's, and with loaders."""

import ast
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from PIL import Image
from torch.utils.data import DataLoader

import mmpkd
from mmpkd import DistillationModule, Objective, TeacherModule, TeacherSource, TextEncoder
from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.callbacks.localization import AttributionMapLogger, FaithfulnessMonitor, LocalizationMonitor
from mmpkd.callbacks.predictions import PredictionWriter
from mmpkd.losses import HintMSE, LossTerm
from mmpkd.students import load_trained_student
from mmpkd.teachers.lookup import open_running_teacher
from tests.quiet_trainer import quiet_trainer
from tests.tiny import TinyDataModule, tiny_student

REPOSITORY = Path(__file__).parents[1]


class OwnData(LightningDataModule):
    """A data module of a user's, which serves our batches and says nothing else."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.data = TinyDataModule(str(root))

    def train_dataloader(self) -> DataLoader[Any]:
        return self.data.train_dataloader()

    def val_dataloader(self) -> DataLoader[Any]:
        return self.data.val_dataloader()


def trainer(folder: Path) -> Trainer:
    return quiet_trainer(folder, limit_train_batches=2, limit_val_batches=1, callbacks=[PredictionWriter()])


def student(source: TeacherSource | None = None, objective: Objective | None = None) -> DistillationModule:
    torch.manual_seed(0)
    return DistillationModule(tiny_student(), source, objective)


def saved(module: DistillationModule | TeacherModule, folder: Path, *data: Any) -> Path:
    """Train a module and return its checkpoint."""
    fit = trainer(folder)
    fit.fit(module, *data)
    path = folder / "saved.ckpt"
    fit.save_checkpoint(path, weights_only=True)
    return path


@pytest.fixture(scope="module")
def teacher(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = TextEncoder(width=16, depth=1, num_heads=2, max_length=16)
    return saved(TeacherModule(encoder, 2), tmp_path_factory.mktemp("teacher"), TinyDataModule(str(tiny_root)))


@pytest.fixture(scope="module")
def baseline(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(student(), tmp_path_factory.mktemp("baseline"), TinyDataModule(str(tiny_root)))


@pytest.mark.parametrize("kind", ["baseline", "online", "image"])
def test_other_data_modules_and_loaders_train_the_same_student(
    kind: str, teacher: Path, baseline: Path, tiny_root: Path, tmp_path: Path
) -> None:
    sources = {"online": TeacherSource(str(teacher), "online"), "image": TeacherSource(str(baseline), "image")}
    ours, own = TinyDataModule(str(tiny_root)), OwnData(tiny_root)
    found = []
    for number, data in enumerate([(ours,), (own,), (own.train_dataloader(), own.val_dataloader())]):
        (tmp_path / str(number)).mkdir()
        path = saved(student(sources.get(kind)), tmp_path / str(number), *data)
        found.append(torch.load(path, weights_only=True))
    table = pd.read_parquet(tmp_path / "2" / "predictions_val.parquet")
    assert {"target/0", "probability/1"} < set(table.columns)
    for other in found[1:]:
        assert other["label_names"] == ["0", "1"]
        assert other["state_dict"].keys() == found[0]["state_dict"].keys()
        assert all(torch.equal(value, other["state_dict"][name]) for name, value in found[0]["state_dict"].items())


@pytest.mark.parametrize(
    "callbacks", [[FaithfulnessMonitor()], [LocalizationMonitor(), AttributionMapLogger()], [ImagesOnDevice()]]
)
def test_callbacks_that_need_a_data_module_of_ours_say_so_before_any_work(
    callbacks: list[Callback], tiny_root: Path, tmp_path: Path
) -> None:
    own = OwnData(tiny_root)
    for data in ((own,), (own.train_dataloader(), own.val_dataloader())):
        fit = quiet_trainer(tmp_path, callbacks=callbacks)
        with pytest.raises(
            TypeError, match=f"subclass of PrivilegedDataModule, for {type(callbacks[-1]).__name__}: .* Leave it out"
        ):
            fit.fit(student(), *data)
        assert fit.global_step == 0


def test_regions_are_scored_without_a_data_module_of_ours(tiny_root: Path, tmp_path: Path) -> None:
    own = OwnData(tiny_root)
    fit = quiet_trainer(tmp_path, limit_train_batches=1, callbacks=[LocalizationMonitor()])
    fit.fit(student(), own.train_dataloader(), own.val_dataloader())
    assert fit.callback_metrics["val/rollout/num_roi"] > 0


def test_a_teacher_of_images_teaches_everyone_if_nothing_else_is_said(baseline: Path) -> None:
    lookup = open_running_teacher(TeacherSource(str(baseline), "image"), 2)
    images = torch.randn(3, 1, 32, 32)
    assert lookup({"image": images})[1].tolist() == [True, True, True]
    assert lookup({"image": images, "has_privileged": torch.tensor([True, False, True])})[1].tolist() == [
        True,
        False,
        True,
    ]
    with pytest.raises(ValueError, match="Expected a teacher with 3 labels"):
        open_running_teacher(TeacherSource(str(baseline), "image"), 3)


@pytest.mark.parametrize(
    ("source", "objective", "words"),
    [
        ({}, None, "for stored targets, controls and calibration"),
        ({"targets": "online", "calibrate": True}, None, "for stored targets, controls and calibration"),
        ({"targets": "online"}, "hint", "for statistics of the teacher's features"),
    ],
)
def test_what_needs_the_samples_by_name_is_refused_where_only_batches_are_known(
    source: dict[str, Any], objective: str | None, words: str, teacher: Path, tiny_root: Path, tmp_path: Path
) -> None:
    extra = None if objective is None else {"hint": LossTerm(HintMSE())}
    module = student(TeacherSource(str(teacher), **source), Objective(extra_losses=extra))
    with pytest.raises(ValueError, match=f"Expected a data module of data_modules.*{words}"):
        trainer(tmp_path).fit(module, OwnData(tiny_root))


def test_a_teacher_needs_the_training_split(tiny_root: Path, tmp_path: Path) -> None:
    module = TeacherModule(TextEncoder(width=16, depth=1, num_heads=2, max_length=16), 2)
    with pytest.raises(ValueError, match="Expected a data module with `splits`"):
        trainer(tmp_path).fit(module, OwnData(tiny_root))


def test_a_student_is_rebuilt_from_its_checkpoint(baseline: Path) -> None:
    images = torch.randn(3, 1, 32, 32)
    loaded = DistillationModule.load_from_checkpoint(baseline).eval()
    expected = mmpkd.load_student(str(baseline))(images)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), expected)
        torch.testing.assert_close(loaded.student(images), expected)
    assert (loaded.student.mean, loaded.student.std) == (0.5, 0.25)


def test_a_teacher_is_rebuilt_from_its_checkpoint(teacher: Path) -> None:
    texts = ["bright left dark right", ""]
    loaded = TeacherModule.load_from_checkpoint(teacher).eval()
    expected = mmpkd.load_teacher(str(teacher))({"report": texts})
    with torch.no_grad():
        torch.testing.assert_close(loaded({"report": texts}), expected)
    with pytest.raises(ValueError, match="checkpoint of a student"):
        DistillationModule.load_from_checkpoint(teacher)


def test_predictions_of_files_are_those_of_the_data_module(
    baseline: Path, tiny_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = TinyDataModule(str(tiny_root))
    module = DistillationModule.load_from_checkpoint(baseline)
    batches: Any = trainer(tmp_path).predict(module, data)
    expected = torch.cat([batch["probability"] for batch in batches]).numpy()
    files = list(data.splits["test"].image)
    (tmp_path / "broken.png").write_bytes(b"no image")
    found = mmpkd.infer(baseline, [*files, str(tmp_path / "broken.png")], batch_size=5)
    assert list(found.columns) == ["file", *data.label_names]
    assert found["file"].tolist() == [*map(str, files), str(tmp_path / "broken.png")]
    np.testing.assert_allclose(found[list(data.label_names)][:-1].to_numpy(), expected, atol=1e-6)
    assert found.iloc[-1, 1:].isna().all()
    assert "broken.png" in caplog.text
    one = mmpkd.infer(load_trained_student(baseline), files[3])
    np.testing.assert_allclose(one[list(data.label_names)].to_numpy()[0], expected[3], atol=1e-6)


def test_files_are_not_read_for_a_student_of_other_images(tiny_root: Path, tmp_path: Path) -> None:
    path = saved(student(), tmp_path, OwnData(tiny_root))
    Image.new("L", (40, 40)).save(tmp_path / "image.png")
    with pytest.raises(ValueError, match="Expected a student trained with a data module of `data_modules`"):
        mmpkd.infer(path, tmp_path / "image.png")


def test_what_the_package_offers_is_imported_when_it_is_used() -> None:
    tree = ast.parse(Path(mmpkd.__file__).read_text())
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {
        alias.name: node.module for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert declared == mmpkd._PLACES
    assert sorted(mmpkd._PLACES) == sorted(mmpkd.__all__)
    for name in mmpkd.__all__:
        assert getattr(mmpkd, name).__name__ == name
        assert name in dir(mmpkd)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mmpkd.nothing


def test_the_tutorial_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = REPOSITORY / "docs" / "tutorials" / "distil.py"
    runpy.run_path(str(script))["distil"](tmp_path, num_train=16, epochs=1)
    printed = capsys.readouterr().out
    assert "test/auroc_macro" in printed
    assert [line.split()[0] for line in printed.splitlines()[-5:]] == list("01234")
    lines = [line for line in script.read_text().splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) <= 40
