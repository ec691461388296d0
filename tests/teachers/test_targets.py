import copy
import os
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from data_modules.split import Split
from mmpkd.cli.lightning_cli import main
from mmpkd.commands.main import main as mmpkd
from mmpkd.metrics.classification import best_f1_threshold
from mmpkd.teachers.lookup import OnlineTeacher, StoredTeacher, open_teacher
from mmpkd.teachers.source import TargetsMode, TeacherSource
from mmpkd.teachers.target_files import load_targets
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets
from mmpkd.teachers.teacher import TeacherIdentity, load_teacher
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
        rng.normal(size=(1, n, 2)).astype(np.float32),
        rng.normal(size=(n, 3)).astype(np.float16),
        np.arange(n) != 1,
        np.array([f"s{i}" for i in range(n)]),
        TargetsMeta(list(NAMES), "b" * 64, [TeacherIdentity("a" * 64, "c" * 64, "d" * 64)]),
    )


def outside_targets() -> TeacherTargets:
    return replace(some_targets(), meta=TargetsMeta(["a", "b"]))


def some_split(names: list[str], seed: int = 0) -> Split:
    label = np.random.default_rng(seed).integers(0, 2, (len(names), 2)).astype(np.float32)
    ids = np.array(names)
    return Split(ids, ids, [Path()] * len(ids), label, np.ones(len(ids), np.bool_), report=["text"] * len(ids))


def test_rows_are_what_the_teacher_says_about_each_sample(teacher: Path, tiny_root: Path) -> None:
    data = TinyDataModule(str(tiny_root))
    lookup = open_teacher(TeacherSource(str(teacher)), data, CPU)
    reports = data.splits["train"].report
    assert reports is not None
    index = torch.tensor([5, 0, 63])
    output, available = lookup({"index": index})
    expected = load_teacher(teacher)({"report": [reports[i] for i in index.tolist()]})
    torch.testing.assert_close(output.logits[0], expected.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.features, expected.features, rtol=1e-2, atol=1e-2)
    assert available.tolist() == [True, True, False]


def test_targets_are_made_once_without_opening_an_image(
    teacher: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_teacher(TeacherSource(str(teacher)), TinyDataModule(str(tiny_root)), CPU)
    before = stored_folder(teacher).stat().st_mtime_ns

    def refuse(*_: object) -> None:
        raise AssertionError("an image was opened, or a target computed again")

    monkeypatch.setattr("data_modules.images.preparation.read_image", refuse)
    monkeypatch.setattr("mmpkd.teachers.run_teachers.build_targets", refuse)
    open_teacher(TeacherSource(str(teacher)), TinyDataModule(str(tiny_root)), CPU)
    assert stored_folder(teacher).stat().st_mtime_ns == before


def test_other_training_data_get_targets_of_their_own(teacher: Path, tiny_root: Path, tmp_path: Path) -> None:
    first = open_teacher(TeacherSource(str(teacher)), TinyDataModule(str(tiny_root)), CPU)
    second = open_teacher(TeacherSource(str(teacher)), TinyDataModule(str(tmp_path), data_seed=1), CPU)
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
    open_teacher(TeacherSource(str(teacher)), data, CPU)
    meta = stored_folder(teacher) / "meta.json"
    original = meta.read_text()
    meta.write_text(original.replace(load_teacher(teacher).identity.checkpoint_sha256, "0" * 64))
    with pytest.raises(ValueError, match="Delete the folder"):
        open_teacher(TeacherSource(str(teacher)), data, CPU)
    meta.write_text(original)


def test_targets_are_joined_by_identifier_not_by_order(tmp_path: Path) -> None:
    targets = some_targets()
    targets.save(tmp_path / "targets")
    loaded = load_targets(tmp_path / "targets")
    aligned = loaded.align(some_split(["s3", "unknown", "s1", "s0"]))
    np.testing.assert_array_equal(aligned.logits[:, [0, 2, 3]], targets.logits[:, [3, 1, 0]])
    assert aligned.available.tolist() == [True, False, False, True]


def test_targets_of_an_outside_model_are_accepted_from_a_folder(tiny_root: Path, tmp_path: Path) -> None:
    data = TinyDataModule(str(tiny_root))
    n = len(data.splits["train"])
    order = np.random.default_rng(0).permutation(n)
    logits = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    ids = data.splits["train"].sample_id
    meta = TargetsMeta(list(NAMES), source="outside")
    TeacherTargets(logits[None, order], np.zeros((n, 1), np.float16), np.ones(n, np.bool_), ids[order], meta).save(
        tmp_path / "t"
    )
    output, available = open_teacher(TeacherSource(str(tmp_path / "t")), data, CPU)({"index": torch.arange(n)})
    np.testing.assert_array_equal(output.logits[0].numpy(), logits)
    assert available.all()
    with pytest.raises(ValueError, match="folder of targets"):
        open_teacher(TeacherSource(str(tmp_path / "t"), "online"), data, CPU)


def test_foreign_or_broken_targets_are_refused(tmp_path: Path) -> None:
    targets = some_targets()
    with pytest.raises(ValueError, match="none has a teacher: 0 identifiers match"):
        targets.align(some_split(["x", "y"]))
    with pytest.raises(ValueError, match="none has a teacher: 1 identifiers match"):
        targets.align(some_split(["s1"]))  # known, and marked as one without a teacher
    targets.save(tmp_path / "t")
    np.save(tmp_path / "t" / "logits.npy", targets.logits[:, :, :1])
    with pytest.raises(ValueError, match=r"logits of shape \(4, 2\)"):
        load_targets(tmp_path / "t")
    (tmp_path / "t" / "available.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"available\.npy"):
        load_targets(tmp_path / "t")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("sample_id.txt", "s0\n\ns2\ns3\n", r"blank \(line 2\)"),
        ("sample_id.txt", "s0\ns1\nNA\ns3\n", r"NA or the like \(line 3\)"),
        ("sample_id.txt", "s0\ns1 \ns1\ns3\n", "unique identifiers"),
        ("sample_id.txt", "s0\ns1\ns2\nä\n".encode("latin-1"), r"text in UTF-8 in '.*sample_id\.txt' but got: .* 0xe4"),
        ("logits.npy", np.full((4, 2), "0.5"), "real numbers in '.*' but got <U3"),
        ("logits.npy", np.zeros((4, 2), complex), "real numbers in '.*' but got complex"),
        ("logits.npy", np.zeros((0, 4, 2)), "logits of shape"),
        ("features.npy", np.zeros(4), "one row per sample"),
        ("available.npy", np.array(["True", "False", "True", "True"]), "True or False for each sample"),
        ("available.npy", np.array([0, 2, 3, 1]), "True or False for each sample"),
        ("available.npy", np.array([1, np.nan, 1, 1]), "True or False for each sample"),
        ("meta.json", '{"label_names": "ab"}', "a list of names as `label_names` in '.*' but got 'ab'"),
        ("meta.json", '{"label_names": ["a", "b"], "thresholds": [0.5]}', "2 probabilities as `thresholds`"),
        (
            "meta.json",
            '{"label_names": ["a", "b"], "teachers": [{"name": "x"}]}',
            "`teachers` in '.*' as mmpkd writes them",
        ),
    ],
)
def test_a_folder_of_an_outside_model_that_could_be_misread_is_refused(
    tmp_path: Path, file: str, content: str | bytes | NDArray[Any], words: str
) -> None:
    outside_targets().save(tmp_path / "t")
    path = tmp_path / "t" / file
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"^Expected .*{words}"):
        load_targets(tmp_path / "t")


def test_names_and_labels_of_an_outside_model_may_come_from_windows(tmp_path: Path) -> None:
    """A byte order mark was part of the first name, whose sample then had no teacher, and blanks at the end of others."""
    outside_targets().save(tmp_path / "t")
    for name in ("sample_id.txt", "meta.json"):
        path = tmp_path / "t" / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b" \r\n"))
    np.save(tmp_path / "t" / "available.npy", outside_targets().available.astype(np.int64))
    found = load_targets(tmp_path / "t")
    assert found.sample_id.tolist() == ["s0", "s1", "s2", "s3"]
    assert found.available.tolist() == outside_targets().available.tolist()
    np.savez(tmp_path / "logits.npz", logits=outside_targets().logits)
    (tmp_path / "logits.npz").replace(tmp_path / "t" / "logits.npy")
    with pytest.raises(ValueError, match=r"one array in .* but it is an archive"):
        load_targets(tmp_path / "t")


def test_loading_a_teacher_draws_nothing_from_the_training(teacher: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_teacher(teacher)
    assert torch.equal(torch.rand(3), expected)


def test_targets_of_samples_that_have_changed_since_are_refused(tmp_path: Path) -> None:
    names = ["s0", "s1", "s2", "s3"]
    split = some_split(names)
    targets = replace(some_targets(), row_hash=split.row_hashes)
    targets.save(tmp_path / "t")
    stored = load_targets(tmp_path / "t")
    stored.align(split)
    stored.align(split.take(np.array([3, 0])))  # fewer samples, in another order, are the same samples
    with pytest.raises(ValueError, match="of 1 of 4 have changed"):
        stored.align(replace(split, report=["text", "text", "other", "text"]))
    label = split.label.copy()
    label[1] = 1 - label[1]
    with pytest.raises(ValueError, match="of 1 of 4 have changed"):
        stored.align(replace(split, label=label))
    missing = np.array([True, True, True, False])
    with pytest.raises(ValueError, match="of 1 of 4 have changed"):
        stored.align(replace(split, has_privileged=missing))


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    targets = some_targets()
    targets.features[1] = np.nan  # no teacher there
    targets.save(tmp_path / "fine")
    load_targets(tmp_path / "fine")
    targets.features[2, 0] = np.inf
    with pytest.raises(ValueError, match="finite logits and features"):
        targets.save(tmp_path / "broken")
    assert not (tmp_path / "broken").exists()


def test_targets_of_any_precision_are_read_as_far_as_they_fit(tmp_path: Path) -> None:
    targets, folder = some_targets(), tmp_path / "t"
    targets.save(folder)
    # rounded to half precision they are numbers like any others
    half = targets.logits.astype(np.float16)
    np.save(folder / "logits.npy", half)
    np.save(folder / "features.npy", targets.features.astype(np.float64))
    loaded = load_targets(folder)
    assert loaded.logits.dtype == np.float32
    assert loaded.features.dtype == np.float16
    np.testing.assert_array_equal(loaded.logits, half)
    # finite in the file, and infinite in the type that is used
    for name, values in (("logits", targets.logits.astype(np.float64)), ("features", np.float32(targets.features))):
        broken = tmp_path / name
        targets.save(broken)
        values.reshape(-1, values.shape[-1])[0, 0] = 1e300 if name == "logits" else 70_000
        np.save(broken / f"{name}.npy", values)
        with pytest.raises(ValueError, match=f"finite logits and features for '{broken}' .* 65504"):
            load_targets(broken)


def test_a_teachers_checkpoint_in_half_precision_is_a_teacher_in_float32(teacher: Path, tmp_path: Path) -> None:
    saved = torch.load(teacher, weights_only=True)
    saved["state_dict"] = {name: value.bfloat16() for name, value in saved["state_dict"].items()}
    torch.save(saved, tmp_path / "half.ckpt")
    half, whole = load_teacher(tmp_path / "half.ckpt"), load_teacher(teacher)
    for (name, value), other in zip(half.teacher.named_parameters(), whole.teacher.parameters(), strict=True):
        assert value.dtype == torch.float32, name
        assert torch.equal(value, other.bfloat16().float()), name
    assert half({"report": ["bright left"]}).logits.dtype == torch.float32


def test_a_folder_is_readable_for_others(tmp_path: Path) -> None:
    some_targets().save(tmp_path / "t")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "t").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_all_files_are_on_disk_before_the_folder_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power failure leaves a folder of zeros, which a student would be distilled from."""
    flushed: list[int] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        assert not (tmp_path / "t").exists()
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    replace(some_targets(), row_hash=np.arange(4, dtype=np.uint64)).save(tmp_path / "t")
    files = list((tmp_path / "t").iterdir())
    assert len(files) == 6
    assert {path.stat().st_ino for path in files} <= set(flushed)


def test_targets_that_do_not_fit_on_the_disk_leave_nothing(tmp_path: Path) -> None:
    n = 100_000
    large = replace(
        some_targets(),
        logits=np.zeros((1, n, 1), np.float32),
        features=np.zeros((n, 0), np.float16),
        available=np.ones(n, np.bool_),
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match=r"^Expected room for '.*logits\.npy' but: File too large\. Free some"):
            large.save(tmp_path / "t")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_targets_of_nobody_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace(some_targets(), available=np.zeros(4, np.bool_)).save(tmp_path / "t")
    assert mmpkd(["targets", "show", str(tmp_path / "t")]) == 0
    assert "4 samples, 0 with a teacher" in capsys.readouterr().out


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, tiny_root: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    modes: tuple[TargetsMode, ...] = ("stored", "image")
    for mode in modes:
        with pytest.raises(ValueError, match="is damaged, or not a checkpoint"):
            open_teacher(TeacherSource(str(tmp_path / "notes.txt"), mode), TinyDataModule(str(tiny_root)), CPU)


def test_calibration_divides_logits_and_keeps_decisions(teacher: Path, tiny_root: Path) -> None:
    data = TinyDataModule(str(tiny_root))
    plain = open_teacher(TeacherSource(str(teacher)), data, CPU)
    calibrated = open_teacher(TeacherSource(str(teacher), calibrate=True), data, CPU)
    online = open_teacher(TeacherSource(str(teacher), "online", calibrate=True), data, CPU)
    assert isinstance(plain, StoredTeacher)
    assert isinstance(calibrated, StoredTeacher)
    assert isinstance(online, OnlineTeacher)
    ratio = plain.logits / calibrated.logits
    torch.testing.assert_close(ratio, torch.full_like(ratio, online.temperature), rtol=1e-4, atol=0)
    assert abs(online.temperature - 1) > 0.05
    assert plain.thresholds is not None
    assert calibrated.thresholds is not None
    decisions = [
        plain.logits[0].sigmoid() >= plain.thresholds,
        calibrated.logits[0].sigmoid() >= calibrated.thresholds,
    ]
    assert (decisions[0] == decisions[1]).float().mean() > 0.98


def test_stored_thresholds_are_those_of_the_validation_split(teacher: Path, tiny_root: Path) -> None:
    data = TinyDataModule(str(tiny_root))
    lookup = open_teacher(TeacherSource(str(teacher)), data, CPU)
    assert lookup.thresholds is not None
    val = data.splits["val"]
    assert val.report is not None
    rows = np.flatnonzero(val.has_privileged)
    output = load_teacher(teacher)({"report": [val.report[i] for i in rows.tolist()]})
    expected = best_f1_threshold(output.logits.sigmoid(), torch.from_numpy(val.label[rows]))
    torch.testing.assert_close(lookup.thresholds, expected, rtol=1e-4, atol=1e-5)


def test_a_teacher_answers_in_float32_under_autocast(teacher: Path) -> None:
    frozen = load_teacher(teacher)
    expected = frozen({"report": ["bright left dark right"]})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = frozen({"report": ["bright left dark right"]})
    torch.testing.assert_close(output.logits, expected.logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(output.features, expected.features, rtol=0, atol=1e-6)


def test_outputs_of_a_teacher_may_enter_a_graph(teacher: Path) -> None:
    output = load_teacher(teacher)({"report": ["bright left dark right"]})
    assert not output.features.is_inference()
    weight = torch.ones(output.features.shape[1], requires_grad=True)
    (output.features * weight).square().sum().backward()  # an inference tensor could not be saved for this
    assert weight.grad is not None


def test_a_lookup_moves_with_its_teacher(teacher: Path, tiny_root: Path) -> None:
    data, meta = TinyDataModule(str(tiny_root)), torch.device("meta")
    online = open_teacher(TeacherSource(str(teacher), "online"), data, CPU).to(meta)
    assert isinstance(online, OnlineTeacher)
    assert all(p.device == meta for p in online.teacher.teacher.parameters())
    stored = open_teacher(TeacherSource(str(teacher)), data, CPU).to(meta)
    assert isinstance(stored, StoredTeacher)
    assert stored.logits.device == stored.features.device == stored.available.device == meta
    assert copy.deepcopy(stored) is stored  # an average of the student's weights has the same teacher
