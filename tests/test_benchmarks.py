"""Benchmarks import what there is, and the one of a GPU runs: its code is tried on the CPU, on a tiny model."""

import ast
import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_what_a_benchmark_imports_of_ours_is_there(path: Path) -> None:
    """Types of benchmarks are not checked."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("mmpkd", "data_modules")):
            module = importlib.import_module(str(node.module))
            assert not [alias.name for alias in node.names if not hasattr(module, alias.name)], node.module


def test_every_variant_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    gpu = importlib.import_module("gpu")
    gpu.run_all(gpu.tiny(), torch.device("cpu"))
    lines = capsys.readouterr().out.splitlines()
    speeds = {line[:32].strip(): float(line[32:].split()[0]) for line in lines if "images/s" in line}
    assert set(speeds) == {
        "bare loop",
        "fit",
        "fit, stored targets",
        "fit, live BERT, 8 tokens",
        "validation",
        "validation, rollout and scores",
    }
    assert min(speeds.values()) > 0
    assert sum("waits for in a step" in line for line in lines) == 2


def test_a_missing_gpu_is_said_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu = importlib.import_module("gpu")
    with pytest.raises(SystemExit):
        gpu.main()
    assert "--device cpu --tiny" in capsys.readouterr().err
