"""
Your first study
================

A study trains a teacher, a baseline and a distilled student, tests both students, and writes a report with an answer.
Here it is a very small one, on synthetic chest radiographs: two seeds, a few hundred images, three epochs. It shows how
a study is made, and nothing else.
"""

import os
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image

from mmpkd.commands.main import main as mmpkd

os.environ.setdefault("WANDB_MODE", "disabled")  # W&B needs no account, and here it is not needed at all
folder = Path("runs/first_study")
shutil.rmtree(folder, ignore_errors=True)

# %%
# Experiments to start from
# -------------------------
# ``mmpkd init`` copies experiments into a folder of your own. In a terminal it is ``mmpkd init runs/first_study``; a
# tutorial calls the same command from Python. It returns 0 if all went well.

mmpkd(["init", str(folder)])

# %%
# A study is a YAML file. It names the **arms** (ways of training), the **seeds**, and one declared **endpoint**: which
# arm is compared with which reference, by which maps and which score.

print((folder / "experiments/cxr/study.yaml").read_text(encoding="utf-8"))

# %%
# An arm is a file as well. That of the distilled student only adds a teacher to that of the baseline.

print((folder / "experiments/cxr/distill.yaml").read_text(encoding="utf-8"))

# %%
# Run it
# ------
# What follows ``--`` changes any key of these files, here to make everything small. Without it, and without
# ``--seeds``, you get the study as it was declared, with five seeds. With two, the report gives an interval and
# refuses to claim anything.

small = ["--data.num_train=500", "--data.num_val=150", "--data.num_test=150", "--trainer.max_epochs=3"]
small.append(f"--data.root={folder}/phantoms")
study = ["study", f"{folder}/experiments/cxr/study.yaml", "--out", f"{folder}/study", "--seeds", "0", "1"]
print("status", mmpkd([*study, "--", *small]))

# %%
# What came out
# -------------
# ``study/report/index.html`` is the report: open it in a browser. ``explore.html`` beside it holds every scored image
# with the maps of all arms. The same scores are in a table. These are means over images and over the two seeds; those
# of the answer are means over patients, who have different numbers of images.

report = folder / "study" / "report"
print(sorted(path.name for path in report.iterdir()))

scores = pd.read_csv(report / "results.csv")
rollout = scores[(scores.attribution == "rollout") & (scores.unit == "image") & (scores.finding == "all")]
print(rollout.pivot_table(index="measure", columns="arm", values="value").round(3))

# %%
# Each run has a folder of its own, with its configuration, its scores and pictures. This one shows a test image with
# its regions, and where the distilled student looks.

run = folder / "study" / "distilled" / "seed0"
print(sorted(path.name for path in run.iterdir()))

picture = Image.open(sorted((run / "figures" / "test").glob("*.png"))[0])
figure, axis = plt.subplots(figsize=(8, 8 * picture.height / picture.width))
axis.imshow(picture)
axis.axis("off")
figure.tight_layout()

# %%
# What next
# ---------
# The same command goes on with a study that was stopped, and does nothing if it is finished. :doc:`/studies` says how
# many runs are made at a time and how a cluster is used, :doc:`/report` how the report is read, and
# :ref:`sphx_glr_gallery_read_a_report.py` what to doubt in it.
