"""How the report calls scores and trivial maps."""

TRIVIAL = {
    "all_ones": "All-ones map",
    "random": "Random map",
    "center_gaussian": "Centre Gaussian",
    "image_intensity": "Image intensity",
    "mean_roi": "Mean ROI",
}
SCORE_NAMES = {
    "pointing_game": "pointing game",
    "iou_top_area": "IoU (top area)",
    "iou_otsu": "IoU (Otsu)",
    "iou_val": "IoU (tuned on validation)",
    "miou": "mIoU",
    "relevance_mass": "relevance mass",
    "relevance_rank": "relevance rank",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "cnr": "CNR",
}


def measure_name(score: str, attribution: str) -> str:
    """Return what was measured, in words."""
    return f"{SCORE_NAMES.get(score, score)} of {attribution.replace('_', ' ')}"
