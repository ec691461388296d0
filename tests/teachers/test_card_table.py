"""Cards of several teachers side by side."""

from pathlib import Path
from typing import Any

import pytest

from data_modules.files.json_file import read_json, write_json
from mmpkd.teachers.card import TeacherCard
from mmpkd.teachers.card_scores import Estimate
from mmpkd.teachers.card_table import main


def write_card(folder: Path, auroc: Estimate) -> str:
    scores = {"malignant [mass]": {"auroc": auroc, "auprc": auroc, "ece": auroc, "brier": Estimate(0.125, 0.1, 0.15)}}
    card = TeacherCard("test", False, "TabularEncoder", 1378, 201, scores, auroc, "", None, [], [], None)
    write_json(folder / "test_card.json", card.to_json())
    return str(folder / "test_card.json")


def test_each_teacher_has_a_row_with_its_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nan = float("nan")
    teachers = {
        "mass-nuisance": (Estimate(0.5625, 0.5, 0.625), "0.562 [0.500, 0.625]"),
        "mass-all": (Estimate(1.0, nan, nan), "1.000 (no interval)"),
        "calc-all": (Estimate(nan, nan, nan), "not defined"),
    }
    main([write_card(tmp_path / name, estimate) for name, (estimate, _) in teachers.items()])
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    rows = {cells[0]: cells[1:] for cells in filter(None, lines)}
    for name, (_, auroc) in teachers.items():
        assert rows[name] == ["test", "1,378", "201", "malignant [mass]", auroc, auroc, auroc, "0.125 [0.100, 0.150]"]


def test_another_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "run.json", {"split": "test"})
    for path, message in (
        (tmp_path / "run.json", "it has no num_samples, num_patients, scores"),
        (tmp_path / "none", "none"),
    ):
        with pytest.raises(SystemExit):
            main([str(path)])
        assert message in capsys.readouterr().err


def test_an_older_card_and_a_folder_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = Path(write_card(tmp_path / "teacher", Estimate(0.5, 0.4, 0.6)))
    content = read_json(card)
    score = content["scores"]["malignant [mass]"]
    changes: list[dict[str, Any]] = [{"auroc": 0.5}, {"auroc": {**score["auroc"], "se": 0.1}}, {"ece": None}]
    for change in changes:
        write_json(card, {**content, "scores": {"malignant": {**score, **change}}})
        with pytest.raises(SystemExit):
            main([str(card)])
        assert "Expected auroc, auprc, ece, brier with intervals for each label" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "directory" in capsys.readouterr().err


def test_a_card_in_the_working_directory_is_called_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_card(tmp_path / "mass-all", Estimate(0.5, 0.4, 0.6))
    monkeypatch.chdir(tmp_path / "mass-all")
    main(["test_card.json"])
    assert "mass-all" in capsys.readouterr().out
