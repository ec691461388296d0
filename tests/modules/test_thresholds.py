"""F1 on the test split is taken at the threshold of the validation split."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from mmpkd.cli.lightning_cli import main
from mmpkd.metrics import best_f1_threshold, f1_score
from tests.runs import config, student
from tests.tiny import NAMES, TinyDataModule


def table(path: Path, ids: list[str]) -> torch.Tensor:
    frame = pd.read_parquet(path).set_index("sample_id").loc[ids]
    columns = [name for name in frame.columns if name.startswith("prob")]
    return torch.from_numpy(frame[columns].to_numpy(dtype="float32", copy=True))


def test_test_scores_use_the_thresholds_of_the_best_epoch(tiny_root: Path, tmp_path: Path) -> None:
    arguments = config(tmp_path, "student", tiny_root, student(), trainer={"max_epochs": 3})
    main(["fit", *arguments])
    best = tmp_path / "student" / "checkpoints" / "best.ckpt"
    main(["validate", *arguments, "--ckpt_path", str(best)])
    main(["test", *arguments, "--ckpt_path", str(best)])
    splits = TinyDataModule(str(tiny_root)).splits
    saved = torch.load(best, weights_only=True)["state_dict"]["scores.thresholds"]
    val, test = (splits[name] for name in ("val", "test"))
    preds = table(tmp_path / "student" / "predictions_val.parquet", val.sample_id.tolist())
    torch.testing.assert_close(saved, best_f1_threshold(preds, torch.from_numpy(val.label)))
    preds = table(tmp_path / "student" / "predictions_test.parquet", test.sample_id.tolist())
    expected = f1_score(preds, torch.from_numpy(test.label), saved)
    logged = pd.read_csv(tmp_path / "student" / "metrics.csv").groupby("name")["value"].last()
    for name, value in zip(NAMES, expected.tolist(), strict=True):
        assert logged[f"test/f1/{name.lower().replace(' ', '_')}"] == pytest.approx(value, abs=1e-5)
    assert 0 <= logged["test/ece_macro"] <= 1
