"""Localization: scores, pictures and faithfulness of attributions."""

from mmpkd.callbacks.localization.attribution_maps import AttributionMapLogger
from mmpkd.callbacks.localization.faithfulness import FaithfulnessMonitor
from mmpkd.callbacks.localization.monitor import LocalizationMonitor

__all__ = ["AttributionMapLogger", "FaithfulnessMonitor", "LocalizationMonitor"]
