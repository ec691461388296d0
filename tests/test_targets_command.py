"""`mmpkd targets` and `mmpkd teacher-card` on a tiny data set."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console
from sklearn.metrics import average_precision_score, roc_auc_score

from data_modules.forms import TextFromTable
from data_modules.split import Split, Table, patient_folds
from mmpkd.cli.lightning_cli import main
from mmpkd.commands.main import main as mmpkd
from mmpkd.losses.ensemble import ensemble_logits
from mmpkd.metrics.classification import auroc, expected_calibration_error
from mmpkd.records import RunFolder, TestRecord, TrainingRecord
from mmpkd.students.output import ModelOutput
from mmpkd.teachers import FrozenTeacher, TabularEncoder, Teacher, load_teacher
from mmpkd.teachers.boosting import boosted_targets
from mmpkd.teachers.card import TeacherCard, _warnings, show, student_auroc, targets_card, teacher_card
from mmpkd.teachers.card_scores import Estimate, macro_auroc, scores_by_label
from mmpkd.teachers.lookup import open_teacher
from mmpkd.teachers.source import TeacherSource
from mmpkd.teachers.target_files import load_targets
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets
from mmpkd.teachers.teacher import TeacherIdentity
from tests.runs import config, data, student, text_teacher
from tests.tiny import NAMES, TinyDataModule


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> list[Path]:
    folder = tmp_path_factory.mktemp("teachers")
    for seed in (0, 1):
        main(["fit", *config(folder, f"t{seed}", tiny_root, text_teacher(), seed_everything=seed)])
    return [folder / f"t{seed}" / "checkpoints" / "best.ckpt" for seed in (0, 1)]


@pytest.fixture
def data_file(tmp_path: Path, tiny_root: Path) -> str:
    path = tmp_path / "data.yaml"
    path.write_text(yaml.safe_dump(data(tiny_root)))
    return str(path)


def test_an_ensemble_is_built_verified_shown_and_distilled(
    teachers: list[Path], data_file: str, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, paths = tmp_path / "targets", [str(path) for path in teachers]
    assert mmpkd(["targets", "build", data_file, *paths, "--out", str(out)]) == 0
    assert mmpkd(["targets", "verify", str(out), data_file, *paths]) == 0
    assert "verified" in capsys.readouterr().out
    assert mmpkd(["targets", "show", str(out)]) == 0
    assert "2 member(s)" in capsys.readouterr().out
    targets = load_targets(out)
    assert targets.logits.shape == (2, 64, 2)
    assert targets.features.shape == (64, 32)
    tiny = TinyDataModule(str(tiny_root))
    reports = tiny.splits["train"].report
    assert reports is not None
    output, _ = open_teacher(TeacherSource(str(out)), tiny, torch.device("cpu"))({"index": torch.tensor([3])})
    members = torch.stack([load_teacher(path)({"report": [reports[3]]}).logits for path in teachers])
    torch.testing.assert_close(ensemble_logits(output.logits, 2.0), ensemble_logits(members, 2.0), rtol=1e-4, atol=1e-4)
    assert isinstance(output, ModelOutput)
    main(["fit", *config(tmp_path, "student", tiny_root, student(teacher={"path": str(out)}))])


def test_stale_targets_say_what_changed(
    teachers: list[Path], data_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, first, second = tmp_path / "targets", str(teachers[0]), str(teachers[1])
    mmpkd(["targets", "build", data_file, first, "--out", str(out)])
    assert mmpkd(["targets", "verify", str(out), data_file, second]) == 1
    assert "the checkpoint of teacher 0" in capsys.readouterr().out
    assert mmpkd(["targets", "verify", str(out), data_file, first, "--data.data_seed=1"]) == 1
    assert "their split is" in capsys.readouterr().out
    logits = np.load(out / "logits.npy")
    np.save(out / "logits.npy", logits + 0.01)
    assert mmpkd(["targets", "verify", str(out), data_file, first]) == 1
    assert "computed again, logits differ by up to 0.01" in capsys.readouterr().out
    assert mmpkd(["targets", "build", data_file, first, "--out", str(out)]) == 1
    assert "exists" in capsys.readouterr().err


def test_out_of_fold_targets_come_from_teachers_that_never_saw_the_patient(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = config(tmp_path, "teacher", tiny_root, text_teacher())[1:]
    out = tmp_path / "oof"
    arguments = ["targets", "cross-fit", path, "--folds", "2", "--out", str(out)]
    assert mmpkd(arguments) == 0, capsys.readouterr().err
    targets, split = load_targets(out), TinyDataModule(str(tiny_root)).splits["train"]
    assert targets.meta.num_folds == 2
    folds = patient_folds(split.patient_id, 2)
    checkpoints = [tmp_path / "oof_runs" / f"fold{fold}" / "checkpoints" / "best.ckpt" for fold in (0, 1)]
    for fold, checkpoint in enumerate(checkpoints):
        saved = json.loads((checkpoint.parents[1] / "run.json").read_text())["made_from"]
        tiny = TinyDataModule(str(tiny_root))
        tiny.hold_out(fold, 2)
        assert saved["splits"]["train"] == tiny.splits["train"].fingerprint()
        rows = np.flatnonzero(folds == fold)[:5]
        assert split.report is not None
        expected = load_teacher(checkpoint)({"report": [split.report[row] for row in rows]}).logits.numpy()
        np.testing.assert_allclose(targets.logits[0, rows], expected, rtol=1e-4, atol=1e-4)
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(data(tiny_root)))
    verify = ["targets", "verify", str(out), str(tmp_path / "data.yaml"), *map(str, checkpoints)]
    assert mmpkd(verify) == 0
    assert mmpkd([*verify[:-2], *reversed(verify[-2:])]) == 1


@pytest.mark.parametrize(
    ("model", "folds", "words"),
    [
        (student(), "2", "Expected the experiment of a teacher (mmpkd.modules.TeacherModule) but its model is "),
        (text_teacher(), "40", "Expected 2 to 32 folds, the number of patients, but got 40."),
    ],
)
def test_what_cannot_be_trained_by_fold_is_refused_before_any_training(
    model: dict[str, Any],
    folds: str,
    words: str,
    tiny_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (path,) = config(tmp_path, "run", tiny_root, model)[1:]
    assert mmpkd(["targets", "cross-fit", path, "--folds", folds, "--out", str(tmp_path / "oof")]) == 1
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("oof*"))


def test_boosted_targets_know_what_the_table_says(tmp_path: Path) -> None:
    out, content = tmp_path / "boosted", data(tmp_path, num_train=256)
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(content))
    assert mmpkd(["targets", "boost", str(tmp_path / "data.yaml"), "--folds", "2", "--out", str(out)]) == 0
    targets = load_targets(out)
    label = TinyDataModule(str(tmp_path), num_train=256).splits["train"].label
    assert ((targets.logits[0] > 0) == (label == 1))[targets.available].all()
    main(["fit", *config(tmp_path, "student", tmp_path, student(teacher={"path": str(out)}), data=content)])


def test_a_card_warns_of_a_copy_of_the_label_and_of_a_teacher_below_the_student(
    teachers: list[Path], data_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    RunFolder(run).update(training=TrainingRecord(2, 16, 1.0, "val/auroc_macro", 1.01))
    arguments = [
        "teacher-card",
        data_file,
        str(teachers[0]),
        "--json",
        str(tmp_path / "card.json"),
        "--student",
        str(run),
    ]
    assert mmpkd(arguments) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "is worse than the image-only student" in printed
    assert "the teacher on the 15 of 16 samples with privileged input" in printed
    assert "the word 'bright' alone" not in printed  # in both, of one or the other side
    assert "a alone predicts" not in printed  # a column of the table, which this teacher does not read
    card = json.loads((tmp_path / "card.json").read_text())
    assert set(card["scores"]["Left Finding"]) == {"auroc", "auprc", "ece", "brier"}
    assert card["num_samples"] == 15


def test_a_card_is_written_before_distilling(teachers: list[Path], tiny_root: Path, tmp_path: Path) -> None:
    main(["fit", *config(tmp_path, "student", tiny_root, student(teacher={"path": str(teachers[0])}))])
    card = json.loads((tmp_path / "student" / "teacher_card.json").read_text())
    assert card["input_mode"] == "TextEncoder on text"


def test_fold_runs_of_other_settings_are_refused(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = config(tmp_path, "teacher", tiny_root, text_teacher())[1:]
    out = tmp_path / "oof"
    arguments = ["targets", "cross-fit", path, "--folds", "2", "--out", str(out)]
    assert mmpkd(arguments) == 0, capsys.readouterr().err
    shutil.rmtree(out)
    assert mmpkd([*arguments, "--model.optimizer.lr=0.1"]) == 1
    assert "they changed since" in capsys.readouterr().err
    arguments[arguments.index("2")] = "3"
    assert mmpkd(arguments) == 1
    assert "they changed since" in capsys.readouterr().err
    arguments[arguments.index("3")] = "2"
    assert mmpkd(arguments) == 0  # the same settings: finished folds are kept


def test_folds_are_predicted_from_the_input_that_they_were_trained_on(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = config(tmp_path, "teacher", tiny_root, text_teacher())[1:]
    arguments = ["targets", "cross-fit", path, "--folds", "2", "--out", str(tmp_path / "oof")]
    form = "--privileged_form=data_modules.forms.TextFromTable"
    assert mmpkd([*arguments, form, "--data.num_train", "48"]) == 0, capsys.readouterr().err
    targets = load_targets(tmp_path / "oof")
    assert targets.logits.shape[1] == 48
    data_module = TinyDataModule(str(tiny_root), num_train=48)
    data_module.use_form(TextFromTable())
    split = data_module.splits["train"]
    assert split.report is not None
    fold = patient_folds(split.patient_id, 2)
    rows = np.flatnonzero(fold == 0)[:4]
    teacher = load_teacher(tmp_path / "oof_runs" / "fold0" / "checkpoints" / "best.ckpt")
    expected = teacher({"report": [split.report[row] for row in rows]}).logits.numpy()
    np.testing.assert_allclose(targets.logits[0, rows], expected, rtol=1e-4, atol=1e-4)
    assert targets.features.shape[1] == 0  # each teacher has a feature space of its own
    targets.align(split)


def test_verify_looks_at_everything(
    teachers: list[Path], data_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, first = tmp_path / "targets", str(teachers[0])
    mmpkd(["targets", "build", data_file, first, "--out", str(out)])
    available, features = np.load(out / "available.npy"), np.load(out / "features.npy")
    np.save(out / "features.npy", features + np.float16(1))
    assert mmpkd(["targets", "verify", str(out), data_file, first]) == 1
    assert "features differ by up to 1" in capsys.readouterr().out
    np.save(out / "features.npy", features)
    np.save(out / "available.npy", np.zeros_like(available))
    assert mmpkd(["targets", "verify", str(out), data_file, first]) == 1
    assert "the samples with a teacher differ" in capsys.readouterr().out


def test_boosted_targets_never_come_from_trees_that_saw_the_patient(tmp_path: Path) -> None:
    data_module = TinyDataModule(str(tmp_path), num_train=256)
    # a column that names the patient, and neighbours with opposite labels: only who saw a patient knows its label
    patient = np.arange(256) // 32
    label = np.stack([patient % 2, 1 - patient % 2], axis=1).astype(np.float32)
    table = Table(patient[:, None].astype(np.float32), np.zeros((256, 0), np.float32), ("patient",), ())
    memorised = replace(
        data_module.splits["train"],
        patient_id=patient.astype(np.str_),
        label=label,
        table=table,
        has_privileged=np.ones(256, np.bool_),
    )
    data_module._splits = {**data_module.splits, "train": memorised, "val": memorised}
    boosted = boosted_targets(data_module, 4)
    assert (auroc(torch.from_numpy(boosted.targets.logits[0]), torch.from_numpy(label)) < 0.6).all()
    assert (auroc(torch.from_numpy(boosted.validation), torch.from_numpy(label)) > 0.99).all()


def test_stored_targets_have_a_card_of_their_own(
    teachers: list[Path], data_file: str, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "targets"
    mmpkd(["targets", "build", data_file, *map(str, teachers), "--out", str(out)])
    main(["fit", *config(tmp_path, "student", tiny_root, student(teacher={"path": str(out)}))])
    card = json.loads((tmp_path / "student" / "teacher_card.json").read_text())
    assert card["split"] == "train"
    assert card["in_sample"] is True
    assert card["input_mode"] == "stored targets of 2 teachers (mmpkd) on text"
    assert "Scores and targets are then too good" in " ".join(capsys.readouterr().out.split())


def test_a_card_knows_the_reference_before_distilling(teachers: list[Path], tiny_root: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    reference.mkdir()
    RunFolder(reference).update(training=TrainingRecord(2, 16, 1.0, "val/auroc_macro", 1.01))
    run = {"reference": str(reference)}
    main(["fit", *config(tmp_path, "student", tiny_root, student(teacher={"path": str(teachers[1])}), run=run)])
    card = json.loads((tmp_path / "student" / "teacher_card.json").read_text())
    assert card["student_auroc"] == 1.01
    assert any("is worse than the image-only student" in text for text in card["warnings"])
    run["reference"] = str(tmp_path / "unfinished")  # is no reason not to train
    main(["fit", *config(tmp_path, "other", tiny_root, student(teacher={"path": str(teachers[1])}), run=run)])
    assert json.loads((tmp_path / "other" / "teacher_card.json").read_text())["student_auroc"] is None


@pytest.mark.parametrize(("student", "is_told"), [(0.99, True), (0.87, False)])
def test_a_student_above_its_teacher_is_told_beyond_the_interval_only(student: float, is_told: bool) -> None:
    """A student that is better by less than chance explains says nothing against its teacher."""
    auroc = Estimate(0.85, 0.8, 0.9)
    card = TeacherCard("val", False, "", 1, 1, {}, auroc, "", 1.0, [], [], student_auroc=student)
    assert any("is worse than the image-only student" in text for text in _warnings(card, 1)) is is_told


def twice(split: Split) -> Split:
    return replace(split, label=np.repeat(split.label, 2, axis=1))


def test_a_card_has_intervals_over_patients_and_names_its_scores_right() -> None:
    rng = np.random.default_rng(0)
    patients, images = 40, 25
    patient = np.repeat(np.arange(patients), images)
    truth = rng.integers(0, 2, patients)
    noise = rng.normal(size=patients)  # of the patient, not of the image: 1,000 images are worth 40
    z = (truth + noise)[patient] * 3
    label = truth[patient].astype(np.float32)
    names = np.arange(len(z)).astype(str)
    split = Split(names, patient.astype(str), [Path()] * len(z), label[:, None], np.ones(len(z), np.bool_))
    estimates = scores_by_label(1 / (1 + np.exp(-z[:, None])), split, ("a",))["a"]
    probability = 1 / (1 + np.exp(-z))
    assert estimates["brier"].value == pytest.approx(np.mean((probability - label) ** 2))
    ece = expected_calibration_error(torch.from_numpy(probability)[:, None], torch.from_numpy(label)[:, None])
    assert estimates["ece"].value == pytest.approx(ece.item(), abs=1e-6)
    assert estimates["auroc"].value == pytest.approx(roc_auc_score(label, z))
    assert estimates["auprc"].value == pytest.approx(average_precision_score(label, z))
    by_image = scores_by_label(probability[:, None], replace(split, patient_id=names), ("a",))["a"]
    width, narrow = (e["auroc"].high - e["auroc"].low for e in (estimates, by_image))
    assert width > 3 * narrow
    one, two = estimates["auroc"], macro_auroc(np.stack([probability, probability], axis=1), twice(split))
    assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high))


def of_one_finding(label: list[float], logits: list[float], patient: list[str]) -> TeacherCard:
    """Return the card of stored targets."""
    names = np.arange(len(label)).astype(str)
    known = np.ones(len(label), np.bool_)
    texts = [f"word{number % 7}" for number in range(len(label))]
    split = Split(names, np.array(patient), [Path()] * len(label), np.array(label, np.float32)[:, None], known, texts)
    data = SimpleNamespace(splits={"train": split, "val": split}, label_names=("a",), label_note=lambda _: "")
    z = np.array(logits, np.float32)[None, :, None]
    targets = TeacherTargets(z, np.zeros((len(label), 0), np.float16), known, names, TargetsMeta(["a"]))
    return targets_card(targets, data)  # type: ignore[arg-type]


def test_a_card_gives_no_interval_that_looks_certain() -> None:
    rng = np.random.default_rng(0)
    label = (rng.random(60) < 0.4).astype(float).tolist()
    names = [f"p{number // 2}" for number in range(60)]
    noise = rng.normal(size=60).tolist()
    alone = [1.0, 1.0, *[0.0] * 58]  # two images of one patient
    for labels, logits in ((alone, noise), ([1 - one for one in alone], noise), (label, label)):
        auroc = (card := of_one_finding(labels, logits, names)).scores["a"]["auroc"]
        assert np.isnan([auroc.low, auroc.high]).all()
        assert str(auroc) == f"{auroc.value:.3f} (no interval)"
        assert any("No interval of the AUROC of a" in text for text in card.warnings)
    known = of_one_finding(label, noise, names)
    assert known.scores["a"]["auroc"].low < known.scores["a"]["auroc"].value < known.scores["a"]["auroc"].high
    assert not any("No interval" in text for text in known.warnings)


def test_one_patient_gives_no_interval(capsys: pytest.CaptureFixture[str]) -> None:
    label = [0.0, 1.0] * 20
    card = of_one_finding(label, np.random.default_rng(0).normal(size=40).tolist(), ["p"] * 40)
    assert all(np.isfinite(score.value) and not score.has_interval for score in card.scores["a"].values())
    assert not card.auroc_macro.has_interval
    assert not any("too narrow" in text for text in card.warnings)  # there is no interval of the mean that could be
    show(replace(card, scores={"mass [left]": card.scores["a"]}), Console(width=200))
    assert "mass [left]" in capsys.readouterr().out


def test_a_temperature_at_the_limit_of_its_search_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    sign = np.array([1.0, -1.0] * 20)
    names = [f"p{number}" for number in range(40)]
    for logits in (3 * sign, -3 * sign):
        card = of_one_finding((sign > 0).astype(float).tolist(), logits.tolist(), names)
        assert card.calibration_temperature is None
        assert any("No temperature between 0.01 and 100" in text for text in card.warnings)
        show(card, Console(file=sys.stdout))
        assert "Calibration temperature not found" in capsys.readouterr().out
    sound = np.where(
        np.arange(40) < 10, -sign, sign
    )  # right for three quarters: log(3) / 3 says so, where the logits say 3
    card = of_one_finding((sign > 0).astype(float).tolist(), (3 * sound).tolist(), names)
    assert card.calibration_temperature == pytest.approx(3 / np.log(3), rel=1e-3)


def test_a_card_warns_if_something_missing_tells_the_label(tiny_root: Path, tmp_path: Path) -> None:
    data_module = TinyDataModule(str(tmp_path), num_train=128, num_eval=64)
    splits = {
        name: replace(
            split, table=replace(split.table, numeric=np.where(split.label[:, :1] == 1, np.nan, 0.0).astype(np.float32))
        )
        for name, split in data_module.splits.items()
        if split.table is not None
    }
    data_module._splits = splits
    encoder = TabularEncoder(8, 1)
    encoder.build(encoder.learn(splits["train"]))
    teacher = FrozenTeacher(Teacher(encoder, 2), NAMES, TeacherIdentity("a", "b", "c"))
    card = teacher_card(teacher, data_module, torch.device("cpu"))
    assert any("Whether a is missing predicts 'Left Finding'" in text for text in card.warnings)
    assert card.input_mode == "TabularEncoder on a table of 3 columns"


@pytest.mark.parametrize(
    ("split_name", "monitor", "metrics", "expected"),
    [
        ("val", "val/auroc_macro", None, 0.7),
        ("test", "val/auroc_macro", {"test/auroc_macro": 0.6}, 0.6),
        ("val", "val/ece_macro", None, None),
        ("test", "val/auroc_macro", None, None),
        ("test", "val/auroc_macro", {}, None),
    ],
)
def test_only_an_auroc_of_the_same_split_is_compared(
    split_name: str, monitor: str, metrics: dict[str, float | None] | None, expected: float | None, tmp_path: Path
) -> None:
    test = None if metrics is None else TestRecord(None, metrics, {}, "synthetic", (), None, "1")
    RunFolder(tmp_path).update(training=TrainingRecord(2, 16, 1.0, monitor, 0.7), test=test)
    if expected is None:
        with pytest.raises(ValueError, match=f"AUROC of the split '{split_name}'"):
            student_auroc(tmp_path, split_name)
    else:
        assert student_auroc(tmp_path, split_name) == expected
