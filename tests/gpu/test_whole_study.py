"""Every arm of the chest phantoms' controls trains for a step and is tested on a GPU, in bfloat16."""

from pathlib import Path

import pandas as pd
import pytest

from tests.gpu.device import DEVICE, MARKS, ON_GPU

pytestmark = [*MARKS, ON_GPU]
REPOSITORY = Path(__file__).parents[2]


def test_every_arm_runs_in_bfloat16(tmp_path: Path) -> None:
    for package in ("albumentations", "jsonargparse", "pydicom", "rtdl_revisiting_models", "sklearn", "wandb"):
        pytest.importorskip(package)
    from mmpkd.commands.study import main as study
    from tests.test_experiments import STEP

    flags = [flag for flag in STEP if not flag.startswith(("--trainer.accelerator", "--trainer.precision"))]
    flags += ["--trainer.precision=bf16-mixed", f"--trainer.accelerator={'gpu' if DEVICE.type == 'cuda' else 'cpu'}"]
    flags += [f"--data.root={tmp_path / 'chest'}", "--data.num_train=24", "--data.num_val=12", "--data.num_test=8"]
    plan = str(REPOSITORY / "experiments" / "cxr" / "controls.yaml")
    assert study([plan, "--out", str(tmp_path / "out"), "--seeds", "0", "--", *flags]) == 0
    tables = sorted((tmp_path / "out").rglob("roi_test.parquet"))
    assert len(tables) > 10
    assert all(len(pd.read_parquet(table)) for table in tables)
