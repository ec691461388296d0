"""Benchmarks import what there is, and the one of a GPU runs: its code is tried on the CPU, on a tiny model."""

import ast
import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
HELPERS = {
    BENCHMARKS / name
    for name in ("synthetic.py", "timing.py", "many_images.py", "gpu_fits.py", "gpu_loops.py", "costs.py")
}


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_what_a_benchmark_imports_of_ours_is_there(path: Path) -> None:
    """Types of benchmarks are not checked."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("mmpkd", "data_modules")):
            module = importlib.import_module(str(node.module))
            assert not [alias.name for alias in node.names if not hasattr(module, alias.name)], node.module


@pytest.mark.parametrize("path", sorted({*BENCHMARKS.glob("*.py")} - HELPERS), ids=lambda path: path.stem)
def test_every_benchmark_names_its_bars(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "show_bars"]


def test_a_bar_is_met_missed_or_not_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    timing = importlib.import_module("timing")
    cases = {
        timing.Bar("most", 1.0, 1.0): "met",
        timing.Bar("more than most", 1.01, 1.0): "not met",
        timing.Bar("least", 0.97, 0.97, is_least=True): "met",
        timing.Bar("less than least", 0.96, 0.97, is_least=True): "not met",
        timing.Bar("unknown", None, 1.0): "not measured",
    }
    timing.show_bars(list(cases))
    lines = capsys.readouterr().out.splitlines()[2:]
    for line, (bar, verdict) in zip(lines, cases.items(), strict=True):
        assert line.startswith(bar.name)
        assert line.endswith(f"  {verdict}")


def test_a_test_whose_time_and_memory_are_measured_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    importlib.import_module("processes").run("test", 1, 20, 32, str(tmp_path))
    seconds, end, memory, of_end = np.load(tmp_path / "rank0.npy")
    assert seconds > 0
    assert end > 0
    assert memory >= of_end >= 0
    assert len(pd.read_parquet(tmp_path / "roi_test.parquet")) == 10 * 2 * 2  # images, regions, attributions
    assert len(pd.read_parquet(tmp_path / "predictions_test.parquet")) == 20


def test_every_variant_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    gpu = importlib.import_module("gpu")
    gpu.run_all(gpu.Board(gpu.tiny(), torch.device("cpu"), float("inf")), with_settings=True)
    lines = capsys.readouterr().out.splitlines()
    speeds = {line[:32].strip(): float(line[32:].split()[0]) for line in lines if "no GPU" in line}
    names = {name for name in speeds if not name.startswith("loop, ")}
    assert names == {
        "bare loop",
        "fit",
        "fit, loader processes",
        "fit, 8 bits from loaders",
        "fit, stored targets",
        "fit, live BERT, 8 tokens",
        "validation",
        "validation, rollout and scores",
    }
    assert len(speeds) - len(names) == 1 + len(importlib.import_module("gpu_loops").VARIANTS)
    assert min(speeds.values()) > 0
    bars = lines[lines.index("") + 2 :]
    assert len(bars) == 6
    assert [line for line in bars if line.endswith("not measured")] == bars[4:]  # the host waits for no CPU


def test_nothing_starts_when_the_time_is_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    gpu = importlib.import_module("gpu")
    board = gpu.Board(gpu.Sizes("vit_small_patch16_224", 224, 256), torch.device("cpu"), 0.0)
    gpu.run_all(board, with_settings=True)
    assert not board.seconds
    assert [bar.verdict for bar in board.bars()] == ["not measured"] * 8
    assert "images/s on an H100" in capsys.readouterr().out


def test_a_missing_gpu_is_said_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu = importlib.import_module("gpu")
    with pytest.raises(SystemExit):
        gpu.main()
    assert "--device cpu --tiny" in capsys.readouterr().err


def test_the_costs_of_a_study_are_those_of_the_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    costs = importlib.import_module("costs")
    page = (BENCHMARKS.parent / "docs" / "costs.md").read_text()
    assert "\n".join(costs.table()) in page
    # timm counts 4.61 billion multiplications and additions for ViT-S/16 at 224 pixels
    assert costs.forward_flop(costs.VIT_S, 197) == pytest.approx(2 * 4.61e9, rel=0.03)
    for study in costs.STUDIES:
        alone = costs.SEEDS * (study.teacher_hours + 2 * study.student_hours)
        assert study.hours(1) == pytest.approx(alone)
        assert study.hours(15) == pytest.approx(study.teacher_hours + study.student_hours)
