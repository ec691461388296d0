"""
Bring your own table
====================

Any data set can be a table: one row an image, with its labels, what only the teacher sees, and where the finding is. No
Python has to be written for that. To have something to fill the table with, this tutorial draws images; yours exist
already.
"""

import os
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from PIL import Image

from mmpkd.commands.main import main as mmpkd

os.environ.setdefault("WANDB_MODE", "disabled")
folder = Path("runs/own_table")
shutil.rmtree(folder, ignore_errors=True)
(folder / "images").mkdir(parents=True)

# %%
# The table
# ---------
# Images are noise, and half of them have a bright disc: the finding. ``crp`` is a laboratory value that only the
# teacher sees, higher where there is a disc. The box around the disc is what maps are scored against.

rng = np.random.default_rng(0)
row, column = np.ogrid[:64, :64]


def draw(number: int) -> dict[str, object]:
    """Write an image, and return its row of the table."""
    x, y, radius = (int(value) for value in rng.integers([14, 14, 5], [50, 50, 10]))
    has_disc = number % 2 == 0
    grey = rng.normal(90, 25, (64, 64))
    if has_disc:
        grey[np.hypot(column - x, row - y) < radius] += 60
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"img{number:03}.png")
    box = {"x": x - radius, "y": y - radius, "w": 2 * radius, "h": 2 * radius} if has_disc else {}
    split = ("train", "train", "train", "val", "test")[number // 2 % 5]
    crp = round(float(rng.normal(60 if has_disc else 20, 15)), 1)
    return {
        "image_id": f"img{number:03}",
        "patient": f"p{number:03}",
        "split": split,
        "disc": int(has_disc),
        "crp": crp,
        **box,
    }


table = pd.DataFrame([draw(number) for number in range(400)])
table["file"] = "images/" + table.image_id + ".png"
# a region is only for testing: rows of the training split keep none
table.loc[table.split == "train", ["x", "y", "w", "h"]] = None
table.to_csv(folder / "table.csv", index=False)
print(table.head().to_string(index=False))

# %%
# The configuration
# -----------------
# ``mmpkd init my_project --data table`` writes a commented one, with a teacher, a baseline, a distilled student and a
# study that use it. Here we fill in the columns from Python, which is the same as editing
# ``experiments/data/table.yaml``.

mmpkd(["init", str(folder), "--data", "table"])
data = {
    "class_path": "data_modules.table.TableDataModule",
    "init_args": {
        "root": str(folder.resolve()),
        "path": "table.csv",
        "image_column": "file",
        "label_columns": ["disc"],
        "sample_column": "image_id",
        "patient_column": "patient",
        "split": {"column": "split", "train": "train", "val": "val", "test": "test"},
        "privileged": {"numeric": ["crp"]},
        "rois": {"label": "disc", "box_columns": ["x", "y", "w", "h"], "box_format": "xywh", "area": 0.05},
        "data_license": "open",
        "image_size": 64,
        "batch_size": 32,
        "mean": 0.37,
        "std": 0.12,
    },
}
config = folder / "experiments/data/table.yaml"
config.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")

# %%
# Check it
# --------
# Before anything is trained, ``mmpkd check-data`` counts what is there, and finds what would break training or scores.
# It returns 1 if there is an error.

print("status", mmpkd(["check-data", str(config)]))

# %%
# What does a mistake look like? Here a patient is in two splits.

wrong = table.copy()
wrong.loc[1, "patient"] = wrong.loc[(wrong.split == "test") & (wrong.disc == 0), "patient"].iloc[0]
wrong.to_csv(folder / "wrong.csv", index=False)
print("status", mmpkd(["check-data", str(config), "--data.path=wrong.csv"]))

# %%
# A study on it
# -------------
# The teacher that ``mmpkd init`` wrote reads text. For a column of numbers it takes another encoder.

file = folder / "experiments/table/teacher.yaml"
teacher = yaml.safe_load(file.read_text(encoding="utf-8"))
teacher["model"]["init_args"]["encoder"] = {
    "class_path": "mmpkd.teachers.TabularEncoder",
    "init_args": {"width": 32, "depth": 1},
}
file.write_text(yaml.safe_dump(teacher, sort_keys=False), encoding="utf-8")

# %%
# Then ``mmpkd study`` trains teacher, baseline and distilled student, here one seed of a small network. Flags of the
# student go to students only.

flags = [
    "--trainer.precision=32-true",
    "--trainer.max_epochs=12",
    "--trainer.log_every_n_steps=5",
    "--model.optimizer.lr=0.001",
    "--model.student.model_name=vit_nano_patch8_64",
    "--model.student.pretrained=false",
    "--model.student.options={}",
]
study = ["study", str(folder / "experiments/table/study.yaml"), "--out", str(folder / "study"), "--seeds", "0"]
print("status", mmpkd([*study, "--", *flags]))

# %%
# Where does it look? The table of regions has a row for each region and map, baseline maps, which see no student, among
# them. Read those first: image intensity alone finds the disc, as well as the student's rollout or better. On this data
# set a good score shows nothing about the student. Such a line is the first thing to look for on data of your own.

run = folder / "study/distilled/seed0"
scores = pd.read_parquet(run / "roi_test.parquet").groupby("attribution")[
    ["pointing_game", "iou_top_area", "pixel_auroc"]
]
print(scores.mean().round(2).sort_values("iou_top_area", ascending=False))

picture = Image.open(sorted((run / "figures/test").glob("*.png"))[0])
figure, axis = plt.subplots(figsize=(8, 8 * picture.height / picture.width))
axis.imshow(picture)
axis.axis("off")
figure.tight_layout()

# %%
# :doc:`/bring_your_own` describes every column: text, categories, ellipses, masks, strata, and what to do when patients
# with a region are in the training split.
