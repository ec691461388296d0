"""Base class of attributions that are computed from recorded attention: rollout and last-layer attention."""

from abc import abstractmethod

from torch import Tensor, nn

from mmpkd.attribution.base import AttributionMethod
from mmpkd.attribution.layout import check_readable
from mmpkd.attribution.recording.attention import RecordedAttention, record_attention
from mmpkd.attribution.recording.weights import HeadFusion, check_head_fusion


class AttentionMethod(AttributionMethod):
    """An attribution that needs only the attention of one forward pass. Several methods can share one recording.

    Args:
        head_fusion: How to fuse heads: `mean`, `max` or `min`.

    Example:
        >>> import timm
        >>> import torch
        >>> class FirstLayer(AttentionMethod):
        ...     name = "first_layer"
        ...     def token_relevance(self, recorded):
        ...         return recorded.blocks[0].rows(slice(1))[:, 0]  # the row of the class token
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)
        >>> FirstLayer()(model, torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 2, 2])
    """

    def __init__(self, head_fusion: HeadFusion = "mean") -> None:
        check_head_fusion(head_fusion)
        self.head_fusion: HeadFusion = head_fusion

    def check(self, student: nn.Module) -> None:
        """Raise a TypeError or a ValueError if the student is no sequence of tokens whose weighted sum is classified."""
        check_readable(student)

    @abstractmethod
    def token_relevance(self, recorded: RecordedAttention) -> Tensor:
        """Return the relevance of every token, float32 (B, N), values >= 0; each row sums to 1."""

    def heatmap(self, recorded: RecordedAttention) -> Tensor:
        """Return the relevance of the patches, float32 (B, h, w). It sums to less than 1 if prefix tokens have some too."""
        layout = recorded.layout
        patches = self.token_relevance(recorded)[:, layout.num_prefix_tokens :]  # (B, h*w)
        return patches.reshape(-1, *layout.grid)

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Run the student once and compute heatmaps, float32 (B, h, w) on the patch grid; see `AttributionMethod`."""
        return self.heatmap(record_attention(student, image, self.head_fusion))


def prefix_mass(heatmap: Tensor) -> Tensor:
    """Return the share of the relevance that lies on prefix tokens rather than patches.

    Args:
        heatmap: Float (B, h, w), heatmaps of an `AttentionMethod`.

    Returns:
        Float (B,) in [0, 1].

    Example:
        >>> import torch
        >>> prefix_mass(torch.full((1, 2, 2), 0.2))  # 0.8 on four patches
        tensor([0.2000])
    """
    return 1 - heatmap.sum((1, 2))  # rows of attention methods sum to 1 over all tokens
