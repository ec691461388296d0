"""Views of chest radiographs, also where `ViewPosition` is missing."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FRONTAL = ("AP", "PA")
# words of the view code and the procedure that tell a view; the first that occurs decides
_WORDS = (
    ("lateral", ""),
    ("postero-anterior", "PA"),
    ("antero-posterior", "AP"),
    ("portable", "AP"),
)


def frontal_view(metadata: pd.DataFrame) -> NDArray[np.object_]:
    """Return AP or PA for frontal images, and an empty string for all others.

    About 16,000 images have no `ViewPosition`; their view code, else the procedure's description, is read instead. The
    description counts only if it names a portable image, since other procedures have several views.

    Args:
        metadata: Rows of `mimic-cxr-2.0.0-metadata.csv`.

    Returns:
        N strings.
    """
    view = metadata["ViewPosition"].fillna("").str.strip().str.upper()
    code = _column(metadata, "ViewCodeSequence_CodeMeaning")
    procedure = _column(metadata, "PerformedProcedureStepDescription")
    resolved = np.where(view.isin(FRONTAL), view, "").astype(object)
    for row in np.flatnonzero((view == "").to_numpy()):
        text = code.iloc[row] or (procedure.iloc[row] if "portable" in procedure.iloc[row] else "")
        resolved[row] = next((position for word, position in _WORDS if word in text), "")
    return resolved


def _column(metadata: pd.DataFrame, name: str) -> "pd.Series[str]":
    if name not in metadata:
        return pd.Series("", index=metadata.index, dtype=str)
    return metadata[name].fillna("").astype(str).str.lower()
