"""The tabular teacher on the real CBIS-DDSM descriptions, through the command line, as `make table-cbis` runs it."""

import json
from pathlib import Path

import pytest

from mmpkd.cli.lightning_cli import main
from tests.real import real_data

ROOT = Path(__file__).parents[1] / "experiments" / "mammo"


@pytest.mark.slow
@pytest.mark.parametrize(("abnormality", "published"), [("mass", 0.82), ("calc", 0.78)])
def test_the_teacher_reaches_the_published_auroc(abnormality: str, published: float, tmp_path: Path) -> None:
    flags = [f"--data.root={real_data('cbis_ddsm_csv')}", f"--run.dir={tmp_path}", "--run.wandb=disabled"]
    arguments = ["--config", str(ROOT / f"table_{abnormality}.yaml"), *flags, "--trainer.accelerator=cpu"]
    main(["fit", *arguments])
    main(["test", *arguments, "--ckpt_path", str(tmp_path / "checkpoints" / "best.ckpt")])
    state = json.loads((tmp_path / "run.json").read_text())
    assert state["test"]["metrics"]["test/auroc_macro"] == pytest.approx(published, abs=0.03)
