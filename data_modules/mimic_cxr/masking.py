"""Remove the labels from a text, so that a teacher has to learn from the rest."""

import re

# Words that name a finding, or that a labeler takes for one. A sentence that denies a finding names it as well.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "Atelectasis": ("atelecta", "collapse", "volume loss"),
    "Cardiomegaly": ("cardiomegaly", "heart", "cardiac silhouette", "cardiac enlargement", "cardiac size"),
    "Consolidation": ("consolidat", "airspace disease", "air-space disease"),
    "Edema": ("edema", "oedema", "vascular congestion", "heart failure", "fluid overload", "chf", "interstitial marking"),
    "Enlarged Cardiomediastinum": ("mediastin", "cardiomediastin", "hilar contour", "aortic contour"),
    "Fracture": ("fracture", "rib deformit"),
    "Lung Lesion": ("nodul", "mass", "lesion", "tumor", "tumour", "neoplas", "metasta", "carcinoma", "cancer", "granuloma"),
    "Lung Opacity": ("opaci", "infiltrat", "interstitial abnormalit", "airspace", "air-space", "density", "densities", "haze"),
    "No Finding": ("normal", "unremarkable", "clear", "acute cardiopulmonary", "acute process", "no acute", "abnormalit"),
    "Pleural Effusion": ("effusion", "pleural fluid", "hydrothorax", "costophrenic"),
    "Pleural Other": ("pleural thickening", "fibrothorax", "pleural scar", "pleural parenchymal", "pleural abnormal"),
    "Pneumonia": ("pneumonia", "infect", "bronchopneumonia", "aspiration"),
    "Pneumothorax": ("pneumothora", "pneumothoraces"),
    "Support Devices": (
        "tube", "catheter", "line", "pacemaker", "pacer", "lead", "wire", "device", "valve", "stent", "port", "picc",
        "sternotomy", "clip", "icd", "defibrillator", "prosthe", "hardware", "drain",
    ),
}  # fmt: skip
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\s+(?=\d+\.\s)")
_NAMED = re.compile(
    r"\b(?:" + "|".join(sorted({word for words in SYNONYMS.values() for word in words}, key=len, reverse=True)) + ")",
    re.IGNORECASE,
)


def mask_labels(text: str) -> str:
    """Remove every sentence that names one of the 14 labels or a synonym of it, denied or not.

    Args:
        text: Text of a section.

    Returns:
        The sentences that remain, joined by blanks; often an empty string.
    """
    return " ".join(sentence for sentence in split_sentences(text) if not _NAMED.search(sentence))


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text; numbered items count as sentences, too."""
    return [sentence for sentence in _SENTENCE.split(text) if sentence]
