"""Attribution: where a student looks, as heatmaps on its patch grid."""

from mmpkd.attribution.attention import AttentionRecorder, RecordedAttention, record_attention
from mmpkd.attribution.attention_method import AttentionMethod, prefix_mass
from mmpkd.attribution.base import AttributionMethod
from mmpkd.attribution.heatmap import is_constant, min_max, resize_heatmap, upsample
from mmpkd.attribution.last_layer import LastLayerAttention
from mmpkd.attribution.layout import TokenLayout, patch_grid, token_layout
from mmpkd.attribution.rollout import AttentionRollout, attention_rollout
from mmpkd.attribution.trivial import AllOnes, CenterGaussian, ImageIntensity, RandomMap

__all__ = [
    "AllOnes",
    "AttentionMethod",
    "AttentionRecorder",
    "AttentionRollout",
    "AttributionMethod",
    "CenterGaussian",
    "ImageIntensity",
    "LastLayerAttention",
    "RandomMap",
    "RecordedAttention",
    "TokenLayout",
    "attention_rollout",
    "is_constant",
    "min_max",
    "patch_grid",
    "prefix_mass",
    "record_attention",
    "resize_heatmap",
    "token_layout",
    "upsample",
]
