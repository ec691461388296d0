"""
Your own loss and your own teacher
==================================

A loss is a class of a few lines. A teacher is either an encoder, also a class, or any program at all that writes a
folder with four files. This tutorial adds a loss, and lets scikit-learn be the teacher.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from torch import Tensor, nn

import mmpkd
from data_modules.batch import Privileged
from data_modules.phantoms import BreastPhantomDataModule
from data_modules.split import Split
from mmpkd.cli.terminal import quieten
from mmpkd.losses import PerSampleLoss
from mmpkd.students.output import ModelOutput
from mmpkd.teachers import PrivilegedEncoder

os.environ.setdefault("WANDB_MODE", "disabled")
quieten()  # Lightning's hints
folder = Path("runs/own_loss_and_teacher")
shutil.rmtree(folder, ignore_errors=True)

# %%
# A loss
# ------
# It compares student and teacher sample by sample. Samples without a teacher are masked before it is called and left
# out afterwards, so that it needs no line about them.


class BrierDistance(PerSampleLoss):
    """Squared difference of probabilities, mean over the labels."""

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the distance of each sample, (B,)."""
        return (student.logits.sigmoid() - teacher.logits.sigmoid()).square().mean(1)


logits = torch.tensor([[2.0], [5.0]])
student = ModelOutput(logits, torch.zeros(2, 3))
teacher = ModelOutput(torch.tensor([[0.0], [float("nan")]]), torch.zeros(2, 3))
print(BrierDistance()(student, teacher, available=torch.tensor([True, False])))  # the second sample has no teacher

# %%
# In a YAML file it is ``loss: {class_path: my_losses.BrierDistance}``, if ``my_losses.py`` is in the folder where you
# type the command.
#
# A teacher
# ---------
# The data are synthetic mammograms with a radiologist's descriptors. The teacher is a logistic regression on these
# descriptors. Every sample is predicted by a model that did not see its patient: a teacher that has learned the labels
# by heart would tell the student nothing else.

data = BreastPhantomDataModule(folder / "phantoms", num_train=700, num_test=200)
train = data.splits["train"]
columns = np.hstack([np.nan_to_num(train.table.numeric), train.table.categorical])
target = train.label[:, 0] == 1
# fewer than 700: some patients are kept for validation
print(f"{len(train)} training images, {columns.shape[1]} columns, label: {data.label_names[0]}")

folds = GroupKFold(5).split(columns, target, train.patient_id)
model = LogisticRegression(max_iter=1000)
logit = cross_val_predict(model, columns, target, cv=list(folds), method="decision_function")
print(f"AUROC of the teacher, out of fold: {roc_auc_score(target, logit):.3f}")

# %%
# Its outputs become a folder of targets: logits, which samples have a teacher, how the samples are called, and what the
# labels are. Any program in any language can write this. The order of samples does not matter.

targets = folder / "targets"
targets.mkdir()
np.save(targets / "logits.npy", logit[:, None].astype(np.float32))
np.save(targets / "available.npy", np.ones(len(train), bool))
(targets / "sample_id.txt").write_text("".join(f"{name}\n" for name in train.sample_id), encoding="utf-8")
meta = {"label_names": list(data.label_names), "source": "logistic regression on descriptors, out of fold"}
(targets / "meta.json").write_text(json.dumps(meta), encoding="utf-8")

# %%
# A student of both
# -----------------
# The student sees images only. With ``weight=0.7``, the labels count 0.3 and the teacher 0.7.


quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "enable_progress_bar": False}


def trained(source: mmpkd.TeacherSource | None) -> dict[str, float]:
    """Train a student with a teacher, or without one, and return its scores on the test split."""
    seed_everything(0, verbose=False)
    student = mmpkd.VisionTransformerStudent("vit_nano_patch8_64", data.num_classes, 64, mean=data.mean, std=data.std)
    objective = mmpkd.Objective(weight=0.7, loss=BrierDistance())
    module = mmpkd.DistillationModule(student, source, objective)
    trainer = Trainer(max_epochs=8, **quiet)
    trainer.fit(module, data)
    return dict(trainer.test(module, data, verbose=False)[0])


scores = {
    "baseline": trained(None),
    "distilled": trained(mmpkd.TeacherSource(str(targets))),
}
for name, values in scores.items():
    print(f"{name:10} AUROC {values['test/auroc_macro']:.3f}")

# %%
# Eight epochs on 617 images teach neither student much, and one seed says nothing about which is better: to know that,
# make it a study. In an arm of a
# study, the folder of targets is ``--model.teacher=runs/own_loss_and_teacher/targets`` among its ``overrides``.
#
# An encoder
# ----------
# If the teacher should be trained by mmpkd and have features, write an encoder: ``learn`` takes from the training split
# what it needs, ``build`` makes the layers, ``forward`` returns features. Here, one linear layer over the columns.


class LinearEncoder(PrivilegedEncoder):
    """One linear layer over categories.

    Args:
        width: Width of the features.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.settings = {"width": width}  # all arguments: a checkpoint holds them

    @property
    def num_features(self) -> int:
        """Width of the features."""
        return int(self.settings["width"])

    def learn(self, train: Split) -> dict[str, Any]:
        """Return the names of the columns."""
        return {"names": list(train.table.categorical_names)}

    def build(self, inputs: dict[str, Any]) -> None:
        """Create the layer."""
        self.inputs = inputs
        self.layer = nn.Linear(len(inputs["names"]), self.num_features)

    def forward(self, privileged: Privileged) -> Tensor:
        """Encode categories (B, M) to features (B, D)."""
        return self.layer(privileged["categorical"])


seed_everything(0, verbose=False)
module = mmpkd.TeacherModule(LinearEncoder(), data.num_classes, mmpkd.TeacherOptimizerSettings(lr=0.02))
trainer = Trainer(max_epochs=10, **quiet)
trainer.fit(module, data)
print(f"AUROC of the teacher on the test split: {trainer.test(module, data, verbose=False)[0]['test/auroc_macro']:.3f}")

# %%
# In a file, ``my_encoders.py``, it is named as ``class_path: my_encoders.LinearEncoder``, and everything works with it:
# stored targets, the teacher card, cross-fitting, controls. :doc:`/distillation` describes these.
