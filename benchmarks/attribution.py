"""What looking at a student costs, relative to the plain forward pass of the same batch.

Run: python benchmarks/attribution.py [--model vit_small_patch16_224] [--size 224] [--batch 8] [--repeats 9] [--threads 1]
     [--device cpu] [--variants plain limit rollout ...]

The variants run in turn, so that a busy machine slows all of them; medians of the repeats are compared. Memory and time of a
single run come first; with `--repeats 0` they are all that is shown. Linux only, because of how memory is measured.

- `limit`: the forward pass, and q k^T with its softmax once more for each block but the last; nothing is made of them.
- `rollout`: attention rollout of the batch.
- `evaluation`: one forward pass with everything that LocalizationMonitor adds in an epoch of a fit: rollout and last-layer
  attention, nine scores each, against two ROIs an image.
- `with baseline maps`: the same with four baseline maps, which a fit scores in its first epoch only, and a test once.
- `peer`: rollout as in jacobgil/vit-explain, its published algorithm (mean fusion, nothing discarded) written down for a
  batch: fused attention off, hooks on the softmax, all heads of all blocks kept, products of whole N x N matrices; with the
  division by row sums that it lacks.
- `relevance`, `grad_cam`: the methods with gradients, for one finding an image.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import timm
import torch
from timing import Bar, measure, parser, ratio, show, show_bars
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
    patch_grid,
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


def once_more(model: nn.Module, image: Tensor, query: Tensor) -> None:
    """Run the model, and compute q k^T and its softmax again for all blocks but the last, in tiles that fit in the cache.

    Args:
        model: A vision transformer.
        image: Float (B, C, H, W).
        query: Float (B, H, N, d), stands for the queries and keys of every block.
    """
    model(image)
    num_tokens = query.shape[2]
    rows = max(1, min(num_tokens, 2**18 // num_tokens))
    heads = max(1, 2**18 // (rows * num_tokens))
    for _ in range(len(model.blocks) - 1):  # type: ignore[arg-type]
        for pairs in query.flatten(0, 1).split(heads):
            for part in pairs.split(rows, dim=1):
                torch.bmm(part, pairs.transpose(1, 2)).softmax(-1)


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
    arguments = parser(__doc__, repeats=9)
    arguments.add_argument("--size", type=int, default=224)
    arguments.add_argument("--variants", nargs="+")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    model = timm.create_model(options.model, img_size=options.size).to(options.device).eval()
    image = torch.randn(options.batch, 3, options.size, options.size, device=options.device)
    variants = variants_of(model, image)
    chosen = {name: variants[name] for name in options.variants or variants}
    print(
        f"{options.model}, {options.size} pixels, batch {options.batch}, {options.device}, median of {options.repeats}"
    )
    with torch.no_grad():
        memory = show_memory(chosen, 2 * len(model.blocks) * queries_of(model, image).nbytes)
        times = measure(chosen, options.repeats, options.device) if options.repeats else {}
    for reference in ("plain", "limit"):
        if reference in times:
            show(times, reference)
    show_bars(bars_of(options.size, memory, times))


def bars_of(size: int, memory: Mapping[str, float], times: Mapping[str, Sequence[float]]) -> list[Bar]:
    """Return the bars of a size; those of variants that were not measured have no value."""
    wanted = (
        {("rollout", "plain"): 1.10, ("evaluation", "plain"): 1.15} if size <= 224 else {("rollout", "limit"): 1.05}
    )
    bars = [Bar("rollout: peak above the plain pass / queries and keys of all blocks", memory.get("rollout"), 1.5)]
    for names, limit in wanted.items():
        value = ratio(times, *names) if set(names) <= set(times) else None
        bars.append(Bar(" / ".join(names), value, limit))
    return bars


def variants_of(model: nn.Module, image: Tensor) -> dict[str, Callable[[], object]]:
    """Return what can be measured, by name."""
    mask, place = (tensor.to(image.device) for tensor in two_boxes(len(image), image.shape[-1]))
    label = torch.zeros(len(image), dtype=torch.int64, device=image.device)
    evaluation = partial(explained_evaluation, model, image, mask, place)
    return {
        "plain": partial(model, image),
        "rollout": partial(AttentionRollout(), model, image),
        "evaluation": partial(evaluation, []),
        "with baseline maps": partial(evaluation, [AllOnes(), RandomMap(), CenterGaussian(), ImageIntensity()]),
        "limit": partial(once_more, model, image, queries_of(model, image)),
        "relevance": partial(AttentionRelevance().of_label, model, image, label),
        "grad_cam": partial(GradCAM().of_label, model, image, label),
        "peer": partial(peer_rollout, model, image),
    }


def queries_of(model: nn.Module, image: Tensor) -> Tensor:
    """Return noise of the shape of the queries of one block, (B, H, N, d)."""
    attention = model.blocks[0].attn  # type: ignore[index,union-attr]
    rows, columns = patch_grid(model, (image.shape[-2], image.shape[-1]))
    num_tokens = rows * columns + model.num_prefix_tokens  # type: ignore[operator]
    return torch.randn(len(image), attention.num_heads, num_tokens, attention.head_dim, device=image.device) / 8


def show_memory(variants: Mapping[str, Callable[[], object]], queries_and_keys: int) -> dict[str, float]:
    """Print the time of one run of each variant, and its peak of memory above that of the first one.

    Returns:
        The peak of each variant above that of the first one, as a share of queries and keys of all blocks.
    """
    print(f"queries and keys of all blocks: {queries_and_keys / 1e6:.0f} MB")
    first = None
    shares = {}
    next(iter(variants.values()))()  # what the first run allocates stays
    for name, run in variants.items():
        forget_peak()
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        peak = peak_memory()
        first = peak if first is None else first
        above = peak - first
        shares[name] = above / queries_and_keys
        print(f"{name}: {seconds:.2f} s, peak {above / 1e6:.0f} MB above, x {shares[name]:.2f} of them")
    return shares


def forget_peak() -> None:
    """Make the memory that is held now the peak."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> int:
    """Return the most memory that was held since `forget_peak`, in bytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


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
