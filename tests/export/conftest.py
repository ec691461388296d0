from pathlib import Path

import pytest

from mmpkd.cli.lightning_cli import main
from tests.runs import config, student

SMALL = {"embed_dim": 24, "depth": 1, "num_heads": 2}
MONITOR = {
    "class_path": "mmpkd.callbacks.localization.LocalizationMonitor",
    "init_args": {
        "attributions": [{"class_path": f"mmpkd.attribution.{name}"} for name in ("AttentionRollout", "AllOnes")]
    },
}


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    """A student that timm can build, trained, validated and tested."""
    folder = tmp_path_factory.mktemp("run")
    model = student(student={"model_name": "vit_tiny_patch16_224", "options": SMALL})
    arguments = config(
        folder,
        "student",
        tiny_root,
        model,
        trainer={"max_epochs": 1, "callbacks": [MONITOR]},
        run={"job_type": "baseline"},
    )
    for command in ("fit", "validate", "test"):
        main([command, *arguments])
    return folder / "student"
