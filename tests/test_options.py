"""What no experiment uses has a small file to put on top of one, and each of these files trains for a step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

from data_modules.images.device_images import DeviceImages
from data_modules.images.prepare import prepare_images
from mmpkd import losses
from mmpkd.cli.lightning_cli import main
from tests.tiny import TinyDataModule, write_targets, write_text_encoder

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
OPTIONS = {path.stem: yaml.safe_load(path.read_text()) for path in (EXPERIMENTS / "options").glob("*.yaml")}
STEP = [
    "--trainer.max_epochs=1",
    "--trainer.max_steps=1",
    "--trainer.log_every_n_steps=1",
    "--trainer.accelerator=cpu",
    "--run.wandb=disabled",
    "--data.num_train=64",
    "--data.image_size=32",
    "--data.batch_size=8",
]


def fit(experiment: str, options: Sequence[str], root: Path, out: Path, *more: str) -> dict[str, Any]:
    """Train an experiment with options on tiny data and return its best checkpoint."""
    files = [EXPERIMENTS / experiment, *(EXPERIMENTS / "options" / option for option in options)]
    data = ["--data=tests.tiny.TinyDataModule", f"--data.root={root}"]
    main(["fit", *(f"--config={file}" for file in files), f"--run.dir={out}", *data, *STEP, *more])
    saved: dict[str, Any] = torch.load(out / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["global_step"] == 1
    return saved


def extra_losses() -> dict[str, Any]:
    """Return the losses of all options together."""
    found: dict[str, Any] = {}
    for option in OPTIONS.values():
        objective = option.get("model", {}).get("init_args", {}).get("objective", {})
        found |= objective.get("extra_losses", {})
    return found


def test_every_loss_between_teacher_and_student_has_an_option() -> None:
    kinds = {name for name in losses.__all__ if isinstance(getattr(losses, name), type)}
    no_terms = {"DistillationLoss", "LossTerm", "Objective", "PerSampleLoss"}
    # the first is the main loss of all experiments, the other one is refused
    no_options = {"SigmoidKLDivergence", "SoftmaxKLDivergence"}
    assert sorted(term["loss"] for term in extra_losses().values()) == sorted(kinds - no_terms - no_options)


def test_a_student_trains_with_all_losses_a_moving_average_and_images_on_the_device(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = write_targets(tmp_path / "targets", tiny_root)
    data = TinyDataModule(str(tiny_root))
    names = np.concatenate([split.sample_id for split in data.splits.values()])
    files = [path for split in data.splits.values() for path in split.image]
    prepare_images(tmp_path / "prepared", data.preparation, names, files, num_workers=0)
    # maps are tested elsewhere
    overlay = {"model": {"init_args": {"objective": {"extra_losses": extra_losses()}}}, "trainer": {"callbacks": []}}
    (tmp_path / "losses.yaml").write_text(yaml.safe_dump(overlay))
    batch = DeviceImages.batch
    served: list[Tensor] = []

    def serve(self: DeviceImages, index: Tensor, epoch: int) -> Tensor:
        served.append(index)
        return batch(self, index, epoch)

    monkeypatch.setattr(DeviceImages, "batch", serve)
    given = [f"--data.prepared={tmp_path / 'prepared'}", f"--model.teacher={targets}"]
    options = [str(tmp_path / "losses.yaml"), "ema.yaml", "images_on_device.yaml"]
    saved = fit("cxr/distill.yaml", options, tiny_root, tmp_path / "run", *given)
    assert len(served) == 1
    assert "EMA" in saved["callbacks"]
    logged = pd.read_csv(tmp_path / "run" / "metrics.csv").set_index("name")["value"]
    assert np.isfinite([logged[f"train/{name}"] for name in extra_losses()]).all()


@pytest.mark.parametrize(
    ("experiment", "option", "layers"),
    [
        ("mammo/teacher.yaml", "ft_transformer", "cls_embedding"),
        ("mammo/teacher.yaml", "fusion", "encoder.table"),
        ("cxr/teacher.yaml", "lora", "lora_A"),
    ],
)
def test_a_teacher_trains_with_another_encoder(
    experiment: str, option: str, layers: str, tiny_root: Path, tmp_path: Path
) -> None:
    more = []
    if option == "lora":
        more = [f"--model.encoder.pretrained.name={write_text_encoder(tmp_path / 'encoder')}"]
    saved = fit(experiment, [f"{option}.yaml"], tiny_root, tmp_path / "run", *more)
    assert [name for name in saved["state_dict"] if layers in name]
