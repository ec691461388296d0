"""
Your own loss and your own teacher
==================================

A loss is a class of a few lines. A teacher is either an encoder, also a class, or any program at all that writes a
folder with four files. This tutorial adds a loss, and lets scikit-learn be the teacher.
"""

import os
import shutil
from pathlib import Path

import torch
from torch import Tensor

from data_modules.phantoms import BreastPhantomDataModule
from mmpkd.losses import PerSampleLoss
from mmpkd.students.output import ModelOutput

os.environ.setdefault("WANDB_MODE", "disabled")
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


logits = torch.tensor([[0.0], [5.0]])
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

sizes = {"num_train": 400, "num_val": 100, "num_test": 200}
data = BreastPhantomDataModule(folder / "phantoms", image_size=64, **sizes)
train = data.splits["train"]
print(len(train.sample_id), "samples; columns:", ", ".join(data.splits["train"].privileged))
