"""Training and scoring with two processes is training and scoring with one."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mmpkd.cli.lightning_cli import main
from tests.forked import finish, start
from tests.runs import config, data, student, text_teacher

# no batch norm: its statistics belong to the batch of a process. No bias of keys: softmax cancels it, so its gradient is rounding
# error, from which AdamW makes steps of full size
STUDENT = {
    "model_name": "vit_tiny_patch16_224",
    "options": {"depth": 1, "embed_dim": 32, "num_heads": 2, "patch_size": 8, "qkv_bias": False},
}


def targets_of(stored: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the one folder of targets that a teacher's run has."""
    (folder,) = stored.iterdir()
    return {path.name: np.load(path) for path in folder.glob("*.npy")}


@pytest.mark.slow
def test_two_processes_train_and_score_as_one(tmp_path: Path) -> None:
    content = data(tmp_path / "data", batch_size=8, num_eval=15)
    main(["fit", *config(tmp_path, "teacher", tmp_path, text_teacher(), data=content)])
    teacher = str(tmp_path / "teacher" / "checkpoints" / "best.ckpt")
    extra = {
        "sp": {"loss": {"class_path": "mmpkd.losses.SimilarityPreserving"}, "weight": 1.0},
        "nce": {"loss": {"class_path": "mmpkd.losses.InfoNCE"}, "weight": 0.1},
        "hint": {"loss": {"class_path": "mmpkd.losses.HintMSE"}, "weight": 0.1},
    }
    model = student(
        student=STUDENT,
        teacher={"path": teacher},
        objective={"extra_losses": extra},
        optimizer={"weight_decay": 0.0},
    )
    callbacks = [
        {"class_path": "mmpkd.callbacks.localization.LocalizationMonitor"},
        {"class_path": "mmpkd.callbacks.localization.AttributionMapLogger", "init_args": {"num_images": 3}},
    ]
    runs = {}
    for processes in (1, 2):
        name = f"with{processes}"
        strategy = "auto" if processes == 1 else "ddp"
        trainer = {
            "max_epochs": 1,
            "devices": processes,
            "strategy": strategy,
            "callbacks": callbacks,
            "log_every_n_steps": 1,
        }
        arguments = config(tmp_path, name, tmp_path, model, data=content, trainer=trainer)
        if processes == 1:
            main(["fit", *arguments])
        else:
            stored = tmp_path / "teacher" / "targets"
            first_targets = targets_of(stored)
            shutil.rmtree(stored)
            log = tmp_path / "log.txt"
            assert finish(start(["fit", *arguments], log)) == 0, log.read_text()
        runs[processes] = tmp_path / name
    second_targets = targets_of(stored)
    for name, values in first_targets.items():
        np.testing.assert_array_equal(second_targets[name], values, name)  # bit by bit
    first, second = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for folder in runs.values()
    )
    assert set(first) == set(second)
    # a threshold is one of the scores; another one is as good if scores differ in their last digits
    for name in set(first) - {"scores.thresholds"}:
        torch.testing.assert_close(second[name], first[name], rtol=1e-3, atol=2e-5, msg=name)
    logged = [pd.read_csv(folder / "metrics.csv") for folder in runs.values()]
    # every term of the loss in every step, also those that compare all samples of a batch
    training = [frame[frame["name"].str.startswith("train/")] for frame in logged]
    terms = [frame.pivot_table("value", "step", "name") for frame in training]
    assert terms[0].shape == (8, 8)
    pd.testing.assert_frame_equal(terms[0], terms[1], rtol=1e-3, atol=1e-5)
    scores = [frame.groupby("name")["value"].last() for frame in logged]
    for measure in ("auroc", "auprc", "ece"):
        name = f"val/{measure}_macro"
        assert scores[1][name] == pytest.approx(scores[0][name], abs=1e-3), name
    tables = [pd.read_parquet(folder / "roi_val.parquet") for folder in runs.values()]
    key = ["sample_id", "finding", "attribution"]
    assert not tables[1].duplicated(key).any()
    assert tables[0][key].equals(tables[1][key])
    for column in ("iou_otsu", "relevance_mass", "pixel_auroc", "num_regions", "iou_ceiling"):
        torch.testing.assert_close(*(torch.tensor(table[column]) for table in tables), rtol=1e-2, atol=1e-2)
    states = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"] for folder in runs.values()
    ]
    learned = [next(value for name, value in state.items() if "LocalizationMonitor" in name) for state in states]
    # the ROIs of both processes: those of the data, whatever the student
    torch.testing.assert_close(learned[0]["mean_roi"], learned[1]["mean_roi"])
    assert set(learned[0]["thresholds"]) == set(learned[1]["thresholds"])
    maps = [sorted(path.name for path in (folder / "maps" / "val").glob("*.png")) for folder in runs.values()]
    assert maps[0] == maps[1]
    assert len(maps[0]) == 3
    predictions = [pd.read_parquet(folder / "predictions_val.parquet") for folder in runs.values()]
    for frame in predictions:
        assert sorted(frame["sample_id"]) == sorted(f"val{i}" for i in range(15))
