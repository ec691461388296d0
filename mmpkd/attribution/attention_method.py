"""What rollout and last-layer attention share: heatmaps that are read from recorded attention."""

from abc import abstractmethod

from torch import Tensor, nn

from mmpkd.attribution.base import AttributionMethod
from mmpkd.attribution.recording.attention import RecordedAttention, record_attention
from mmpkd.attribution.recording.weights import HeadFusion, check_head_fusion


class AttentionMethod(AttributionMethod):
    """An attribution that needs nothing but the attention of one forward pass, which several methods can share.

    Args:
        head_fusion: How to fuse heads: `mean`, `max` or `min`.
    """

    def __init__(self, head_fusion: HeadFusion = "mean") -> None:
        check_head_fusion(head_fusion)
        self.head_fusion: HeadFusion = head_fusion

    @abstractmethod
    def token_relevance(self, recorded: RecordedAttention) -> Tensor:
        """Return the relevance of every token, float32 (B, N), values >= 0, rows sum to 1."""

    def heatmap(self, recorded: RecordedAttention) -> Tensor:
        """Return the relevance of the patches, float32 (B, h, w); what is missing to a sum of 1 is on prefix tokens."""
        layout = recorded.layout
        patches = self.token_relevance(recorded)[:, layout.num_prefix_tokens :]
        return patches.reshape(-1, *layout.grid)

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Run the student once and compute heatmaps, float32 (B, h, w) on the patch grid; see `AttributionMethod`."""
        return self.heatmap(record_attention(student, image, self.head_fusion))


def prefix_mass(heatmap: Tensor) -> Tensor:
    """Return the share (B,) of relevance that the heatmaps (B, h, w) of an `AttentionMethod` lost to prefix tokens."""
    return 1 - heatmap.sum((1, 2))
