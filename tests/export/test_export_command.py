"""`mmpkd export`: the folder, its card, and what reads it."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import roc_auc_score

from mmpkd.cli.lightning_cli import main as lightning
from mmpkd.commands.main import main as mmpkd
from mmpkd.export import open_source
from mmpkd.export.license import training_license
from mmpkd.export.push import check_push
from mmpkd.export.scores import auroc_by_label, localization, temperature
from mmpkd.records import RunFolder
from mmpkd.records.checkpoint import sha256_of
from mmpkd.records.tables import read_table
from mmpkd.students import load_trained_student
from tests.runs import config, student
from tests.tiny import NAMES, tiny_student

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "student"
    assert mmpkd(["export", str(run), "--out", str(folder), "--license", "mit"]) == 0
    return folder


def test_everything_that_a_stranger_needs_stands_in_the_folder(run: Path, exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    content = json.loads((exported / "config.json").read_text())
    trained = load_trained_student(run / "checkpoints" / "best.ckpt")
    assert content["label_names"] == list(NAMES)
    np.testing.assert_allclose(content["thresholds"], trained.thresholds.numpy())
    assert trained.preparation is not None
    assert content["preparation"] == trained.preparation.describe()
    assert content["mmpkd"]["checkpoint_sha256"] == sha256_of(run / "checkpoints" / "best.ckpt")
    assert content["mmpkd"]["data_license"] == "synthetic"
    assert content["calibration_temperature"] is None  # an epoch has taught it nothing: see below


def test_the_temperature_is_the_best_one_or_none_at_the_limit_of_the_search(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = np.array([1.0, 0.0] * 20)
    sign = 2 * label - 1
    right = np.where(np.arange(40) < 10, -sign, sign)  # for three quarters, whose odds are 3
    for logits, expected in ((4 * right, 4 / np.log(3)), (4 * sign, None), (-4 * sign, None)):
        columns = {f"probability/{name}": 1 / (1 + np.exp(-logits)) for name in NAMES}
        frame = pd.DataFrame({**columns, **{f"target/{name}": label for name in NAMES}})
        monkeypatch.setattr("mmpkd.export.scores._table", lambda *_, frame=frame: frame)
        found = temperature(open_source(run))
        assert found == (None if expected is None else pytest.approx(expected, rel=1e-3))


def test_an_exported_student_is_the_student(run: Path, exported: Path) -> None:
    before, after = load_trained_student(run / "checkpoints" / "best.ckpt"), load_trained_student(exported)
    image = torch.randn(2, 1, 32, 32)
    assert torch.equal(before.student(image).logits, after.student(image).logits)
    assert torch.equal(before.thresholds, after.thresholds)
    assert (before.label_names, before.preparation) == (after.label_names, after.preparation)
    assert before.student.settings == after.student.settings


def test_test_and_attribute_read_the_folder(run: Path, exported: Path, tiny_root: Path, tmp_path: Path) -> None:
    model = student(
        student={"model_name": "vit_tiny_patch16_224", "options": {"embed_dim": 24, "depth": 1, "num_heads": 2}}
    )
    lightning(["test", *config(tmp_path, "again", tiny_root, model), f"--ckpt_path={exported}"])
    again, first = RunFolder(tmp_path / "again"), RunFolder(run)
    columns = [f"probability/{name}" for name in NAMES]
    found = read_table(again.predictions("test"))
    expected = read_table(first.predictions("test"))
    np.testing.assert_array_equal(found.frame[columns].to_numpy(), expected.frame[columns].to_numpy())
    assert found.checkpoint == sha256_of(exported / "model.safetensors")
    assert again.state is not None
    assert again.state.test is not None
    assert first.state is not None
    assert first.state.test is not None
    assert again.state.test.metrics["test/f1_macro"] == first.state.test.metrics["test/f1_macro"]
    image = tiny_root / "test" / "0.png"
    maps = tmp_path / "maps"
    assert mmpkd(["attribute", str(exported), str(image), "--out", str(maps), "--attribution", "rollout"]) == 0
    row = pd.read_csv(maps / "predictions.csv")
    probability = expected.frame.set_index("sample_id").loc["test0", columns].to_numpy(float)
    np.testing.assert_allclose(row[list(NAMES)].to_numpy()[0], probability, atol=1e-6)


def test_the_card_says_what_the_run_has_found(run: Path, exported: Path) -> None:
    text = (exported / "README.md").read_text()
    _, metadata, body = text.split("---\n", 2)
    stated = yaml.safe_load(metadata)
    assert (stated["library_name"], stated["license"]) == ("timm", "mit")
    frame = pd.read_parquet(run / "predictions_test.parquet")
    aurocs = [roc_auc_score(frame[f"target/{name}"], frame[f"probability/{name}"]) for name in NAMES]
    metric = stated["model-index"][0]["results"][0]["metrics"][0]
    assert metric["value"] == pytest.approx(np.mean(aurocs), abs=1e-4)
    for name, value in zip(NAMES, aurocs, strict=True):
        assert f"| {name} | {value:.3f} [" in body
    rois = pd.read_parquet(run / "roi_test.parquet")
    own = rois[rois["attribution"] == "rollout"]
    assert f"| rollout |  | {len(own)} | {own['pointing_game'].mean():.3f}" in body
    assert f"| All-ones map | yes | {len(own)} |" in body
    assert body.index("| rollout |") < body.index("| All-ones map |")
    for words in ("Arm: baseline; seed: 0; epochs: 1", "trained from scratch", "not for clinical use", "@article"):
        assert words in body
    assert str(run.parent) not in text


def test_scores_have_intervals_around_them(run: Path) -> None:
    source = open_source(run)
    for estimate in auroc_by_label(source).values():
        assert estimate.low <= estimate.value <= estimate.high
    maps = localization(source)
    assert {one.name for one in maps} > {"rollout", "All-ones map"}
    assert [one.name for one in maps if one.is_baseline] == [maps[-1].name] == ["All-ones map"]
    pointing = next(one for one in maps if one.name == "rollout").scores["pointing_game"]
    assert not pointing.low > pointing.value
    assert not pointing.high < pointing.value


def test_records_of_another_checkpoint_are_not_said_of_this_one(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    content = torch.load(best, weights_only=True)
    torch.save({**content, "epoch": 99}, best)
    source = open_source(tmp_path / "run")
    assert (source.state, source.data_license, source.config) == (None, "credentialed", {})
    assert (auroc_by_label(source), localization(source), temperature(source)) == ({}, [], None)
    assert mmpkd(["export", str(best), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert "no test with this checkpoint" in text
    assert "model-index" not in text
    assert "Data: not recorded (credentialed)" in text


def nano(folder: Path) -> Path:
    """Write a checkpoint of a student that timm cannot build."""
    net = tiny_student()
    weights = {f"student.{name}": value for name, value in net.state_dict().items()}
    path = folder / "nano.ckpt"
    state = {**weights, "scores.thresholds": torch.full((2,), 0.5)}
    seen = {"mean": 0.5, "std": 0.25, "preparation": None}
    torch.save({"student": net.settings, "input": seen, "label_names": list(NAMES), "state_dict": state}, path)
    return path


@pytest.mark.parametrize(
    ("student", "more", "message"),
    [
        ("nothing.ckpt", [], "Expected the checkpoint of a student at 'nothing.ckpt'"),
        ("EMPTY", [], "Expected the folder of a trained run, or a checkpoint"),
        ("NANO", [], "Expected a student that timm can build by itself but 'vit_nano_patch8_64'"),
        ("RUN", ["--rollout"], "Expected --onnx with --rollout"),
        ("RUN", ["--push", "name"], "Expected user/name"),
        ("NANO", ["--push", "user/name"], "Expected open or synthetic training data for --push"),
        ("RUN", ["--out", "TAKEN"], "Expected a new folder, or one from an earlier export"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    student: str, more: list[str], message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"EMPTY": tmp_path / "empty", "RUN": run, "TAKEN": tmp_path / "taken", "NANO": tmp_path / "nano.ckpt"}
    places["EMPTY"].mkdir()
    places["TAKEN"].mkdir()
    (places["TAKEN"] / "mine").touch()
    nano(tmp_path)
    words = [str(places.get(word, word)) for word in [student, "--out", str(tmp_path / "out"), *more]]
    assert mmpkd(["export", *words]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert (places["TAKEN"] / "mine").exists()


def test_an_export_takes_the_place_of_an_earlier_one(run: Path, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(exported, folder)
    (folder / "model.onnx").touch()
    (folder / "README.md").write_text("old")
    assert mmpkd(["export", str(run), "--out", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert (folder / "README.md").read_text() != "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("damage", ["weights", "half", "onnx only", "other timm model", "no config"])
def test_a_damaged_folder_is_named(damage: str, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    shutil.copytree(exported, folder)
    content = json.loads((folder / "config.json").read_text())
    weights = folder / "model.safetensors"
    messages = {
        "weights": "as it was exported but it was changed or is damaged",
        "half": "as it was exported but it was changed or is damaged",
        "onnx only": "holds model.onnx only",
        "other timm model": "has no 'mmpkd' that this version reads",
        "no config": "has no config.json",
    }
    if damage == "weights":
        raw = bytearray(weights.read_bytes())
        raw[-1] ^= 1
        weights.write_bytes(bytes(raw))
    elif damage == "half":
        weights.write_bytes(weights.read_bytes()[:100])
    elif damage == "onnx only":
        content["mmpkd"]["weights_sha256"] = None
    elif damage == "other timm model":
        del content["mmpkd"]
    (folder / "config.json").write_text(json.dumps(content))
    if damage == "no config":
        (folder / "config.json").unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=messages[damage]):
        load_trained_student(folder)


def test_a_hub_that_is_not_reached_is_said_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # no test has a network: HF_HUB_OFFLINE is set
    assert mmpkd(["export", str(run), "--out", str(tmp_path / "out"), "--push", "user/name"]) == 1
    assert "the folder is complete and can be uploaded later" in capsys.readouterr().err
    assert (tmp_path / "out" / "README.md").is_file()


def test_credentialed_data_are_pushed_only_if_the_user_says_that_it_is_allowed() -> None:
    with pytest.raises(ValueError, match="--agreement-allows-push"):
        check_push("user/name", "credentialed", agreement_allows_it=False)
    check_push("user/name", "credentialed", agreement_allows_it=True)
    check_push("user/name", "open", agreement_allows_it=False)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"class_path": "data_modules.phantoms.ChestPhantomDataModule"}, "synthetic"),
        ({"class_path": "data_modules.mimic_cxr.MIMICCXRDataModule", "init_args": {}}, "credentialed"),
        ({"class_path": "data_modules.table.TableDataModule", "init_args": {"data_license": "open"}}, "open"),
        ({"class_path": "my_data.Mine"}, None),
        ("my_data.yaml", None),
    ],
)
def test_the_licence_is_that_of_the_training(data: object, expected: str | None) -> None:
    assert training_license({"data": data}) == expected


def test_a_test_on_open_data_does_not_open_a_student_of_credentialed_data(
    monkeypatch: pytest.MonkeyPatch, run: Path
) -> None:
    source = open_source(run)
    assert source.data_license == "synthetic"
    monkeypatch.setattr("mmpkd.export.license.training_license", lambda _: "credentialed")
    assert source.data_license == "credentialed"


def test_a_student_of_a_teacher_of_credentialed_data_is_not_pushed_and_its_card_says_why(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mmpkd.export.license.teacher_license", lambda *_: "credentialed")
    assert mmpkd(["export", str(run), "--out", str(tmp_path / "out"), "--push", "user/name"]) == 1
    assert "those of the student or of its teacher are credentialed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert mmpkd(["export", str(run), "--out", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "- Data: TinyDataModule (synthetic)." in card
    assert "Training data: synthetic. Data of the teacher, or of the weights before the training: credentialed" in card
    assert "Check whether the agreement" in card
    assert json.loads((tmp_path / "out" / "config.json").read_text())["mmpkd"]["data_license"] == "credentialed"


def test_card_and_documentation_cite_alike(exported: Path) -> None:
    entry = re.search(r"@article\{.*?^\}", (exported / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert entry is not None
    assert entry.group() in (DOCS / "cite.md").read_text()


def test_tables_of_the_card_are_whole_and_an_export_can_be_read_by_others(exported: Path) -> None:
    card = (exported / "README.md").read_text()
    assert re.findall(r"^\|.*\|\n\n(?=\|)", card, re.MULTILINE) == []
    assert exported.joinpath("model.safetensors").stat().st_mode == exported.joinpath("config.json").stat().st_mode


def test_a_path_through_a_missing_folder_is_written_and_reported(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mmpkd(["export", str(run), "--out", str(tmp_path / "missing" / ".." / "student")]) == 0
    assert "student: README.md, config.json, model.safetensors" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
