"""
Read a report critically
========================

A report has one sentence on top, and many tables below. This tutorial asks five questions of a finished study, with the
functions that reports are made with: does anything beat a baseline map, is the difference larger than luck, do
the controls behave, what could the study have shown, and what do single images look like?

The table is part of the documentation: 20 runs on phantoms, 1,000 training images and six epochs each. That is too
little to learn much, which makes it good for doubting.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mmpkd.statistics.arrays import as_codes
from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.estimands import Regions, run_means
from mmpkd.statistics.hypotheses import holm, verdict
from mmpkd.statistics.planning import detectable_difference, minimum_detectable_effect, planned_spread

# the working directory is that of the script while the site is built, and the checkout for everybody else
folder = next(path for path in (Path("results"), Path("docs/tutorials/results")) if path.is_dir())
table = pd.read_parquet(folder / "short_study.parquet")
print(table.sample(4, random_state=0).round(3).to_string(index=False))

# %%
# One row is a test image in a run: the union of its regions, scored against one map. The **endpoint** was declared
# before: distilled against baseline, attention rollout, IoU of the top area. The arm ``shuffled`` has the targets of
# other patients, and ``itself`` is the baseline again with other seeds.
#
# Does anything beat a baseline map, which sees no student?
# ---------------------------------------------------------

levels = table.groupby(["attribution", "arm", "seed"]).iou_top_area.mean()
rollout = levels["rollout"].reset_index()
without = {name: levels[name].mean() for name in ("mean_roi_all", "image_intensity", "center_gaussian")}
print({name: round(float(value), 3) for name, value in without.items()})

figure, axis = plt.subplots(figsize=(7, 3.6))
arms = ["baseline", "itself", "distilled", "shuffled"]
for place, arm in enumerate(arms):
    values = rollout[rollout.arm == arm].iou_top_area
    axis.plot(np.full(len(values), place), values, "o", alpha=0.7)
for (name, value), style in zip(without.items(), ("-", "--", ":"), strict=True):
    axis.axhline(value, color="grey", linestyle=style, label=name)
axis.set(xticks=range(len(arms)), xticklabels=arms, ylabel="IoU of the top area", ylim=(0, None))
axis.legend(title="baseline maps", loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()

# %%
# A dot is a run. Hardly any run is above the solid line, the mean region of validation: it knows where findings
# usually lie, and saw no image. So these students do not show where the finding of *this* image is, whichever arm is ahead.
#
# Is the difference larger than luck?
# -----------------------------------
# Runs of one arm, which differ in the seed only, are as far apart as the arms. So a difference of single runs says
# nothing. The interval of a report adds what varies between seeds and what varies between patients.


def difference(arm: str, reference: str, seeds: range = range(5)) -> Effect:
    """Return the difference of two arms: a mean over patients, then over runs."""
    own = table[table.attribution == "rollout"].pivot_table(
        index="sample_id", columns=["arm", "seed"], values="iou_top_area"
    )
    patient = table.groupby("sample_id").patient_id.first().loc[own.index]
    values = own[arm][list(seeds)].to_numpy().T - own[reference][list(seeds)].to_numpy().T
    regions = Regions(as_codes(patient.tolist()), np.zeros(len(own), np.int64))
    return effect_of(run_means(values, regions, "patients"))


for seeds in (range(1), range(2), range(3), range(5)):
    effect = difference("distilled", "baseline", seeds)
    interval = effect.interval()
    print(
        f"{len(seeds)} seeds: {effect.estimate:+.3f} ({interval.low:+.3f} to {interval.high:+.3f}), {verdict(effect)}"
    )

# %%
# The interval of one seed is narrow because it is about these two runs only. It says nothing about other runs of the
# same two methods, and nothing is claimed from it: with two seeds, the interval is nearly forty times as wide.
#
# Do the controls behave?
# -----------------------
# The true difference between ``itself`` and ``baseline`` is zero. Shuffled targets should help nobody. Where a control
# "works" as well as the method, the method is not what works.

pairs = [("itself", "baseline"), ("shuffled", "baseline"), ("distilled", "shuffled")]
effects = [difference(*pair) for pair in pairs]
for pair, effect, p in zip(pairs, effects, holm([effect.p_value() for effect in effects]), strict=True):
    interval = effect.interval()
    print(
        f"{pair[0]:>9} - {pair[1]:9} {effect.estimate:+.3f} ({interval.low:+.3f} to {interval.high:+.3f}), p after Holm {p:.2f}"
    )

# %%
# The last line has a p-value below .05. Is it a result? The study file declares it in the family, and a family is claimed
# only if the endpoint is (``gate``). The endpoint is not. So this is a hint, and a reason for a larger study.
#
# What could the study have shown?
# --------------------------------
# "No difference is shown" can mean that there is none, or that the study was too small to see it. The detectable
# difference tells which. ``mmpkd plan`` prints the same for studies of other sizes, from these runs as a pilot.

effect = difference("distilled", "baseline")
print(f"this study: {minimum_detectable_effect(effect):.3f}")
for num_seeds in (5, 10, 20):
    for patients in (1, 4):
        parts = [planned_spread(part, num_seeds, patients) for part in effect.parts]
        print(f"{num_seeds:2} seeds, {patients} x the patients: {detectable_difference(parts):.3f}")

# %%
# Here, more patients buy nothing and more seeds do: runs differ more than patients do. Compare these numbers with a
# difference that would matter to you, and choose it before you look at the result: it is the ``margin`` of the study.
#
# What do single images look like?
# --------------------------------
# A mean hides for whom it holds. The figure has an image a dot.

own = table[(table.attribution == "rollout") & table.arm.isin(["baseline", "distilled"])]
means = own.pivot_table(index="sample_id", columns="arm", values="iou_top_area")
area = table.groupby("sample_id").area.first().loc[means.index]
figure, axis = plt.subplots(figsize=(4.6, 4.2))
dots = axis.scatter(means.baseline, means.distilled, c=area, s=14, cmap="viridis")
axis.axline((0, 0), slope=1, color="grey", linewidth=1)
axis.set(xlabel="baseline, mean over seeds", ylabel="distilled, mean over seeds", title="IoU of the top area")
figure.colorbar(dots, label="area of the regions")
figure.tight_layout()

# %%
# ``explore.html`` of a report draws this figure for the images themselves: a click on a dot opens the image with the
# maps of both arms and all seeds. Look at gains and at losses, at images where no run is right, and at the map without
# a student beside them. Two rules:
#
# - A set of images that was chosen by its result shows nothing about the arms. The page labels such sets.
# - A slider finds a share of the area at which your method wins. The declared share is the one that counts.
#
# :doc:`/report` describes every section, :doc:`/explorer` the page of all images, and :doc:`/statistics` how the answer
# is made and how often it is right.
