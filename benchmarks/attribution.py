"""What attention rollout costs, relative to the plain forward pass of the same batch.

Run: python benchmarks/attribution.py [--model vit_small_patch16_224] [--batch 8] [--repeats 7] [--threads 1] [--device cpu]

The variants run in turn, so that a busy machine slows all of them; medians of the repeats are compared. `naive` is the usual
recipe: fused attention off, hooks on the softmax, all heads of all blocks kept, products of whole N x N matrices.
`evaluation` is one forward pass with everything that LocalizationMonitor adds for two ROIs an image.
"""

from collections.abc import Callable

import timm
import torch
from timing import measure, parser, show
from torch import Tensor, nn

from mmpkd.attribution import (
    AllOnes,
    AttentionRecorder,
    AttentionRollout,
    CenterGaussian,
    LastLayerAttention,
    RandomMap,
)
from mmpkd.callbacks.localization import score_heatmaps


def naive_rollout(model: nn.Module, image: Tensor) -> Tensor:
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


def explained_evaluation(model: nn.Module, image: Tensor, mask: Tensor) -> None:
    """Run the model once and score five attributions against two ROIs an image."""
    size = (int(image.shape[-2]), int(image.shape[-1]))
    with AttentionRecorder(model) as recorder:
        model(image)
    recorded = recorder.result(size)
    heatmaps = [method.heatmap(recorded) for method in (AttentionRollout(), LastLayerAttention())]
    heatmaps += [method(model, image) for method in (AllOnes(), RandomMap(), CenterGaussian())]
    for heatmap in heatmaps:
        score_heatmaps(heatmap.repeat_interleave(2, 0), mask, top_area=0.1, tolerance=0.0)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, repeats=7).parse_args()
    torch.set_num_threads(options.threads)
    model = timm.create_model(options.model).to(options.device).eval()
    side = model.patch_embed.img_size[0]
    image = torch.randn(options.batch, 3, side, side, device=options.device)
    mask = torch.rand(2 * options.batch, side, side, device=options.device) < 0.1
    rollout = AttentionRollout()
    variants: dict[str, Callable[[], object]] = {
        "plain": lambda: model(image),
        "rollout": lambda: rollout(model, image),
        "evaluation": lambda: explained_evaluation(model, image, mask),
        "naive": lambda: naive_rollout(model, image),
    }
    with torch.no_grad():
        times = measure(variants, options.repeats, options.device)
        difference = (rollout(model, image).flatten(1) - naive_rollout(model, image)).abs().max().item()
    print(f"{options.model}, batch {options.batch}, {options.device}, median of {options.repeats}")
    show(times, "plain")
    print(f"largest difference between rollout and naive: {difference:.1e}")


if __name__ == "__main__":
    main()
