from pathlib import Path

from mmpkd.tracking.best_values import BestValues

NAN = float("nan")


def test_nan_is_no_value(tmp_path: Path) -> None:
    best = BestValues(tmp_path / "metrics.csv")
    assert best.update({"val/auroc/a": NAN, "train/loss": NAN}) == {}
    assert best.update({"val/auroc/a": 0.5, "train/loss": 2.0}) == {"val/auroc/a": 0.5, "train/loss": 2.0}
    assert best.update({"val/auroc/a": NAN, "train/loss": NAN}) == {"val/auroc/a": 0.5, "train/loss": 2.0}
    assert best.update({"val/auroc/a": 0.4, "train/loss": 3.0}) == {"val/auroc/a": 0.5, "train/loss": 2.0}


def test_nan_before_an_interruption_is_no_value(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,epoch,name,value\n1,0,val/ece_macro,nan\n2,1,val/ece_macro,0.2\n3,2,val/ece_macro,nan\n")
    assert BestValues(path).update({"val/ece_macro": 0.3}) == {"val/ece_macro": 0.2}
