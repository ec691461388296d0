"""A table extracted from chest radiography reports."""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data_modules.forms.base import PrivilegedForm
from data_modules.mimic_cxr.masking import SYNONYMS, split_sentences
from data_modules.split import Split, Table

STATES = ("present", "uncertain", "absent")
# words that make the rest of their clause absent or uncertain
_ABSENT = re.compile(
    r"\b(no|not|without|free of|negative for|denies|absence of|absent|clear of|resolved|ruled out|rather than)\b",
    re.IGNORECASE,
)
_UNCERTAIN = re.compile(
    r"\b(may|might|could|possib\w*|probabl\w*|likely|suspicious|suspected|suggest\w*|cannot be excluded|cannot exclude|"
    r"questionable|versus|concern\w*|differential)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"\b(?:but|however|although|except|with the exception of)\b|[;:]", re.IGNORECASE)


class TableFromText(PrivilegedForm):
    """Three columns per finding: whether the report states it as present, uncertain or absent.

    Findings are found by words, as in `data_modules.mimic_cxr.masking`, and their state by words of denial and doubt in the
    same clause: a simple rule in the spirit of NegEx (Chapman et al. 2001, https://doi.org/10.1006/jbin.2001.1029) and of the
    CheXpert labeler (Irvin et al. 2019, https://arxiv.org/abs/1901.07031), not a replacement for either. If clauses disagree,
    present wins over uncertain, and uncertain over absent.

    Args:
        keep_text: Whether to keep the text as well, for a teacher that reads both.
    """

    def __init__(self, keep_text: bool = False) -> None:
        self.keep_text = keep_text

    def __call__(self, splits: Mapping[str, Split]) -> dict[str, Split]:
        """Return the splits with the table."""
        return {name: self._extract(split) for name, split in splits.items()}

    def _extract(self, split: Split) -> Split:
        if split.report is None:
            raise ValueError("Expected text to extract a table from but the data set has none.")
        encoded = np.stack([extract(text) for text in split.report]) if len(split) else np.zeros((0, 0), np.float32)
        names = tuple(f"{finding}={state}" for finding in SYNONYMS for state in STATES)
        table = Table(np.zeros((len(split), 0), np.float32), encoded, (), names)
        return replace(split, table=table, report=split.report if self.keep_text else None)


_NAMES = {
    finding: re.compile(r"\b(?:" + "|".join(sorted(words, key=len, reverse=True)) + ")", re.IGNORECASE)
    for finding, words in SYNONYMS.items()
}


def extract(text: str) -> NDArray[np.float32]:
    """Return the state of the 14 findings in a text: float32 (42,), three columns per finding, of which at most one is 1."""
    found = np.zeros((len(SYNONYMS), len(STATES)), dtype=np.float32)
    for sentence in split_sentences(text):
        for clause in _CLAUSE.split(sentence):
            # a position in STATES; within a clause, denial wins over doubt
            state = 2 if _ABSENT.search(clause) else 1 if _UNCERTAIN.search(clause) else 0
            for row, pattern in enumerate(_NAMES.values()):
                if pattern.search(clause):
                    found[row, state] = 1
    # present before uncertain before absent
    found[:, 1] *= 1 - found[:, 0]
    found[:, 2] *= (1 - found[:, 0]) * (1 - found[:, 1])
    return found.reshape(-1)
