from pathlib import Path

import numpy as np
import pytest
import torch

from mmpkd.cli import main
from mmpkd.teachers.lookup import StoredTeacher, open_teacher
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets, load_targets
from mmpkd.teachers.teacher import load_teacher
from tests.runs import config, text_teacher
from tests.tiny import NAMES, TinyDataModule

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    main(["fit", *config(folder, "teacher", tiny_root, text_teacher())])
    return folder / "teacher" / "checkpoints" / "best.ckpt"


def stored_folder(teacher: Path) -> Path:
    (folder,) = (teacher.parent.parent / "targets").iterdir()
    return folder


def some_targets(n: int = 4) -> TeacherTargets:
    rng = np.random.default_rng(0)
    return TeacherTargets(
        rng.normal(size=(n, 2)).astype(np.float32),
        rng.normal(size=(n, 3)).astype(np.float16),
        np.arange(n) != 1,
        np.array([f"s{i}" for i in range(n)]),
        TargetsMeta("a" * 64, "b" * 64, list(NAMES)),
    )


def test_rows_are_what_the_teacher_says_about_each_sample(teacher: Path, tiny_root: Path) -> None:
    data = TinyDataModule(str(tiny_root))
    lookup = open_teacher(teacher, False, data, CPU)
    reports = data.splits["train"].report
    assert reports is not None
    index = torch.tensor([5, 0, 63])
    output, available = lookup({"index": index})
    expected = load_teacher(teacher)({"report": [reports[i] for i in index.tolist()]})
    torch.testing.assert_close(output.logits, expected.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.features, expected.features, rtol=1e-2, atol=1e-2)
    assert available.tolist() == [True, True, False]


def test_targets_are_made_once_without_opening_an_image(
    teacher: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_teacher(teacher, False, TinyDataModule(str(tiny_root)), CPU)
    before = stored_folder(teacher).stat().st_mtime_ns

    def refuse(*_: object) -> None:
        raise AssertionError("an image was opened, or a target computed again")

    monkeypatch.setattr("data_modules.preparation.read_image", refuse)
    monkeypatch.setattr("mmpkd.teachers.targets.build_targets", refuse)
    open_teacher(teacher, False, TinyDataModule(str(tiny_root)), CPU)
    assert stored_folder(teacher).stat().st_mtime_ns == before


def test_other_training_data_get_targets_of_their_own(teacher: Path, tiny_root: Path, tmp_path: Path) -> None:
    first = open_teacher(teacher, False, TinyDataModule(str(tiny_root)), CPU)
    second = open_teacher(teacher, False, TinyDataModule(str(tmp_path), data_seed=1), CPU)
    assert isinstance(first, StoredTeacher)
    assert isinstance(second, StoredTeacher)
    assert not torch.equal(first.logits, second.logits)
    for folder in (teacher.parent.parent / "targets").iterdir():
        if folder.name.split("-")[1] not in TinyDataModule(str(tiny_root)).splits["train"].fingerprint():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()


def test_stale_targets_are_refused(teacher: Path, tiny_root: Path) -> None:
    data = TinyDataModule(str(tiny_root))
    open_teacher(teacher, False, data, CPU)
    meta = stored_folder(teacher) / "meta.json"
    original = meta.read_text()
    meta.write_text(original.replace(load_teacher(teacher).sha256, "0" * 64))
    with pytest.raises(ValueError, match="Delete the folder"):
        open_teacher(teacher, False, data, CPU)
    meta.write_text(original)


def test_targets_are_joined_by_identifier_not_by_order(tmp_path: Path) -> None:
    targets = some_targets()
    targets.save(tmp_path / "targets")
    loaded = load_targets(tmp_path / "targets")
    aligned = loaded.align(np.array(["s3", "unknown", "s1", "s0"]))
    np.testing.assert_array_equal(aligned.logits[[0, 2, 3]], targets.logits[[3, 1, 0]])
    assert aligned.available.tolist() == [True, False, False, True]


def test_targets_of_an_outside_model_are_accepted_from_a_folder(tiny_root: Path, tmp_path: Path) -> None:
    data = TinyDataModule(str(tiny_root))
    n = len(data.splits["train"])
    order = np.random.default_rng(0).permutation(n)
    logits = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    ids = data.splits["train"].sample_id
    meta = TargetsMeta("outside", "outside", list(NAMES))
    TeacherTargets(logits[order], np.zeros((n, 1), np.float16), np.ones(n, np.bool_), ids[order], meta).save(
        tmp_path / "t"
    )
    output, available = open_teacher(tmp_path / "t", False, data, CPU)({"index": torch.arange(n)})
    np.testing.assert_array_equal(output.logits.numpy(), logits)
    assert available.all()
    with pytest.raises(ValueError, match="folder of targets"):
        open_teacher(tmp_path / "t", True, data, CPU)


def test_foreign_or_broken_targets_are_refused(tmp_path: Path) -> None:
    targets = some_targets()
    with pytest.raises(ValueError, match="found none"):
        targets.align(np.array(["x", "y"]))
    targets.save(tmp_path / "t")
    np.save(tmp_path / "t" / "logits.npy", targets.logits[:, :1])
    with pytest.raises(ValueError, match=r"logits of shape \(4, 2\)"):
        load_targets(tmp_path / "t")
    (tmp_path / "t" / "features.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"features\.npy"):
        load_targets(tmp_path / "t")
