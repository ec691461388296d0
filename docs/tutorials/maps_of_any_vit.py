"""
Maps and scores of any timm ViT
===============================

You have a vision transformer of timm, and want to know where it looks. Nothing is trained, and the model is not
changed: fused attention stays on, and its outputs are the same with and without a map. Three lines are all it takes:
methods, maps, scores. The lines before them stand for a model and an image of your own.
"""

import numpy as np
import timm
import torch

from data_modules.phantoms.chest.phantom import render_chest, sample_chest_scene
from mmpkd.attribution import AttentionRelevance, AttentionRollout, CenterGaussian, LastLayerAttention
from mmpkd.metrics import iou, pixel_auroc, pointing_game

torch.manual_seed(0)
# yours: pretrained=True, or your weights
model = timm.create_model("vit_tiny_patch16_224", num_classes=5, in_chans=1).eval()
# yours: an image, and a mask of the finding
phantom = render_chest(sample_chest_scene(np.random.default_rng(13), "train"), 224)
finding, region = next(iter(phantom.masks.items()))
image = (torch.tensor(phantom.pixels)[None, None] / 255 - 0.5) / 0.25  # (B, C, H, W), normalised
mask = torch.tensor(region)[None]  # bool (B, H, W)

methods = [AttentionRollout(), LastLayerAttention(), CenterGaussian()]
heatmaps = {method.title: method(model, image) for method in methods}
heatmaps["relevance of output 1"] = AttentionRelevance().of_label(model, image, torch.tensor([1]))
print(f"{'map':22} {'shape':11} pointing game, IoU (top 10 %), pixel AUROC")
for name, heatmap in heatmaps.items():
    scores = (pointing_game(heatmap, mask), iou(heatmap, mask, "top_area", area=0.1), pixel_auroc(heatmap, mask))
    print(f"{name:22}", tuple(heatmap.shape), " ".join(f"{score.item():.2f}" for score in scores))

# %%
# A map lives on the grid of patches, here 14 x 14. Scores enlarge it to the image, as all figures do. The weights of
# this model are random, so the scores are those of a model that knows nothing. Read them beside baseline maps, which
# see no model, such as the Gaussian in the third line.

import matplotlib.pyplot as plt

from mmpkd.attribution.plotting import overlay

figure, axes = plt.subplots(1, len(heatmaps), figsize=(12, 3.4))
for axis, (name, heatmap) in zip(axes, heatmaps.items(), strict=True):
    axis.imshow(overlay(phantom.pixels / 255, heatmap[0].detach().numpy(), [region]))
    axis.set(title=name, xticks=[], yticks=[])
figure.suptitle(f"Region: {finding}")
figure.tight_layout()

# %%
# Any of them
# -----------
# The same lines work with other architectures: distillation tokens, registers, average or attention pooling,
# rectangular images. Models without global attention, such as Swin, have no rollout, and the error says what there is
# instead.

for name in (
    "deit_tiny_distilled_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "eva02_tiny_patch14_224",
    "beit_base_patch16_224",
):
    other = timm.create_model(name, num_classes=5, in_chans=1, img_size=224).eval()
    print(name, tuple(AttentionRollout()(other, image).shape))

swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, in_chans=1).eval()
try:
    AttentionRollout()(swin, image)
except (TypeError, ValueError) as error:
    print(error)

# %%
# Outputs are the same
# --------------------

with torch.inference_mode():
    before = model(image)
    AttentionRollout()(model, image)
    print(torch.equal(before, model(image)))

# %%
# :doc:`/localization` says what each map and each score means, and what its chance level is. A student of mmpkd takes
# the place of ``model``: ``mmpkd.load_student("runs/cxr/distilled/seed0")``.
