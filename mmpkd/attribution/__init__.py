"""Attributions: heatmaps on the patch grid that show where a student looks."""

from mmpkd.attribution.attention_method import AttentionMethod, prefix_mass
from mmpkd.attribution.base import AttributionMethod, ClassAttribution
from mmpkd.attribution.baseline_maps import (
    BASELINE_MAPS,
    AllOnes,
    CenterGaussian,
    ImageIntensity,
    LearnedMap,
    MeanRoi,
    MeanRoiAll,
    RandomMap,
)
from mmpkd.attribution.grad_cam import GradCAM, grad_cam
from mmpkd.attribution.heatmap import is_constant, min_max, resize_heatmap, upsample
from mmpkd.attribution.last_layer import LastLayerAttention, attention_heads
from mmpkd.attribution.layout import TokenLayout, patch_grid, token_layout
from mmpkd.attribution.padding import crop_to_image, pad_to_patches
from mmpkd.attribution.recording.attention import AttentionRecorder, RecordedAttention, record_attention
from mmpkd.attribution.relevance import AttentionRelevance, attention_relevance
from mmpkd.attribution.rollout import AttentionRollout, attention_rollout

__all__ = [
    "BASELINE_MAPS",
    "AllOnes",
    "AttentionMethod",
    "AttentionRecorder",
    "AttentionRelevance",
    "AttentionRollout",
    "AttributionMethod",
    "CenterGaussian",
    "ClassAttribution",
    "GradCAM",
    "ImageIntensity",
    "LastLayerAttention",
    "LearnedMap",
    "MeanRoi",
    "MeanRoiAll",
    "RandomMap",
    "RecordedAttention",
    "TokenLayout",
    "attention_heads",
    "attention_relevance",
    "attention_rollout",
    "crop_to_image",
    "grad_cam",
    "is_constant",
    "min_max",
    "pad_to_patches",
    "patch_grid",
    "prefix_mass",
    "record_attention",
    "resize_heatmap",
    "token_layout",
    "upsample",
]
