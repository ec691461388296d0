"""What looking at a student costs, relative to the plain forward pass of the same batch.

Run: python benchmarks/attribution.py [--model vit_small_patch16_224] [--batch 8] [--repeats 9] [--threads 1] [--device cpu]

The variants run in turn, so that a busy machine slows all of them; medians of the repeats are compared.

- `rollout`: attention rollout of the batch.
- `evaluation`: one forward pass with everything that LocalizationMonitor adds in an epoch of a fit: rollout and last-layer
  attention, nine scores each, against two ROIs an image.
- `with controls`: the same with the four maps that see no student, which a fit scores in its first epoch only, and a test once.
- `peer`: rollout as in jacobgil/vit-explain, its published algorithm (mean fusion, nothing discarded) written down for a
  batch: fused attention off, hooks on the softmax, all heads of all blocks kept, products of whole N x N matrices; with the
      division by row sums
  that it lacks.
- `relevance`, `grad_cam`: the methods with gradients, for one finding an image.
"""

from collections.abc import Callable, Sequence

import timm
import torch
from timing import measure, parser, show
from torch import Tensor, nn

from mmpkd.attribution import (
    AllOnes,
    AttentionMethod,
    AttentionRecorder,
    AttentionRelevance,
    AttentionRollout,
    AttributionMethod,
    CenterGaussian,
    GradCAM,
    ImageIntensity,
    LastLayerAttention,
    RandomMap,
)
from mmpkd.metrics import HeatmapPairs, Rois, default_scores


def peer_rollout(model: nn.Module, image: Tensor) -> Tensor:
    """Return the rollout of the class token, with hooks and N x N products."""
    attentions: list[Tensor] = []
    blocks = [block.attn for block in model.blocks]  # type: ignore[union-attr]
    hooks = [a.attn_drop.register_forward_hook(lambda m, i, output: attentions.append(output)) for a in blocks]
    for attention in blocks:
        attention.fused_attn = False
    model(image)
    for attention, hook in zip(blocks, hooks, strict=True):
        attention.fused_attn = True
        hook.remove()
    eye = torch.eye(attentions[0].shape[-1], device=image.device)
    product = eye.expand(len(image), -1, -1)
    for attention in attentions:
        fused = (attention.mean(1) + eye) / 2
        product = (fused / fused.sum(-1, keepdim=True)) @ product
    return product[:, 0, 1:]


def explained_evaluation(
    model: nn.Module, image: Tensor, mask: Tensor, place: Tensor, controls: Sequence[AttributionMethod]
) -> None:
    """Run the model once and score attributions against all ROIs, as LocalizationMonitor does."""
    with AttentionRecorder(model) as recorder:
        model(image)
    recorded = recorder.result((int(image.shape[-2]), int(image.shape[-1])))
    attention: list[AttentionMethod] = [AttentionRollout(), LastLayerAttention()]
    heatmaps = [method.heatmap(recorded) for method in attention] + [method(model, image) for method in controls]
    rois = Rois(mask, place)
    for heatmap in heatmaps:
        pairs = HeatmapPairs(heatmap, rois)
        for score in default_scores(0.1):
            score.score(pairs)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, repeats=9).parse_args()
    torch.set_num_threads(options.threads)
    model = timm.create_model(options.model).to(options.device).eval()
    side = model.patch_embed.img_size[0]
    image = torch.randn(options.batch, 3, side, side, device=options.device)
    mask, place = two_boxes(options.batch, side)
    mask, place = mask.to(options.device), place.to(options.device)
    label = torch.zeros(options.batch, dtype=torch.int64, device=options.device)
    rollout, relevance, grad_cam = AttentionRollout(), AttentionRelevance(), GradCAM()
    controls = [AllOnes(), RandomMap(), CenterGaussian(), ImageIntensity()]
    variants: dict[str, Callable[[], object]] = {
        "plain": lambda: model(image),
        "rollout": lambda: rollout(model, image),
        "evaluation": lambda: explained_evaluation(model, image, mask, place, []),
        "with controls": lambda: explained_evaluation(model, image, mask, place, controls),
        "peer": lambda: peer_rollout(model, image),
        "relevance": lambda: relevance.of_label(model, image, label),
        "grad_cam": lambda: grad_cam.of_label(model, image, label),
    }
    with torch.no_grad():
        times = measure(variants, options.repeats, options.device)
        difference = (rollout(model, image).flatten(1) - peer_rollout(model, image)).abs().max().item()
    print(f"{options.model}, batch {options.batch}, {options.device}, median of {options.repeats}")
    show(times, "plain")
    print(f"largest difference between rollout and peer: {difference:.1e}")


def two_boxes(batch: int, side: int) -> tuple[Tensor, Tensor]:
    """Return masks (2 B, side, side) of two boxes an image, of a tenth of the frame each, and the image of each."""
    mask = torch.zeros(2 * batch, side, side, dtype=torch.bool)
    size = round(0.316 * side)
    for row in range(2 * batch):
        top, left = (int(torch.randint(0, side - size, ())) for _ in range(2))
        mask[row, top : top + size, left : left + size] = True
    return mask, torch.arange(batch).repeat_interleave(2)


if __name__ == "__main__":
    main()
