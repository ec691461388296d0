"""Views of chest radiographs, even if `ViewPosition` is missing."""

import pandas as pd

from data_modules.columns import texts

FRONTAL = ("AP", "PA")
# words of the view code or the procedure that name a view; the first that occurs decides
_WORDS = (
    ("lateral", "LATERAL"),
    ("postero-anterior", "PA"),
    ("antero-posterior", "AP"),
    ("portable", "AP"),
)
_SAME = {"LL": "LATERAL"}


def resolve_views(metadata: pd.DataFrame) -> "pd.Series[str]":
    """Return the view of every image: AP, PA, LATERAL, another as written, or an empty string if it is unknown.

    About 16,000 images have no `ViewPosition`. For these, the view code is read, or without it the description of the
    procedure, which counts only if it names a portable image, since other procedures have several views.

    Args:
        metadata: Rows of `mimic-cxr-2.0.0-metadata.csv`.

    Returns:
        N strings.
    """
    view = _column(metadata, "ViewPosition").str.strip().str.upper().replace(_SAME)
    missing = view == ""
    code = _column(metadata[missing], "ViewCodeSequence_CodeMeaning")
    procedure = _column(metadata[missing], "PerformedProcedureStepDescription")
    text = code.where(code != "", procedure.where(procedure.str.contains("portable"), ""))
    known = {value: _view_in(value) for value in text.unique()}
    return view.where(~missing, text.map(known).reindex(view.index, fill_value=""))


def _view_in(text: str) -> str:
    """Return the view that the first known word in a text names, or an empty string."""
    return next((name for word, name in _WORDS if word in text), "")


def _column(metadata: pd.DataFrame, name: str) -> "pd.Series[str]":
    if name not in metadata:
        return pd.Series("", index=metadata.index, dtype=str)
    return pd.Series(texts(metadata[name]), index=metadata.index, dtype=str).str.lower()
