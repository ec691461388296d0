"""Sections of MIMIC-CXR reports."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pandas as pd

TextMode = Literal["findings", "impression", "full", "indication"]

_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z ()/,&-]{2,60}):", re.MULTILINE)
_ADDENDUM = re.compile(r"^[ \t]*_{10,}[ \t]*$", re.MULTILINE)
# names that reports use for the sections that a teacher can read
_ALIASES = {
    "FINDING": "findings",
    "FINDINGS": "findings",
    "CHEST, TWO VIEWS": "findings",
    "IMPRESSION": "impression",
    "IMPRESSIONS": "impression",
    "CONCLUSION": "impression",
    "CONCLUSIONS": "impression",
    "INDICATION": "indication",
    "HISTORY": "indication",
    "CLINICAL HISTORY": "indication",
    "CLINICAL INFORMATION": "indication",
    "REASON FOR EXAM": "indication",
    "REASON FOR EXAMINATION": "indication",
}
# other sections; anything else in capitals, such as LUNGS:, is part of the text of its section
_OTHERS = (
    "ADDENDUM",
    "COMPARISON",
    "COMPARISONS",
    "EXAM",
    "EXAMINATION",
    "FINAL REPORT",
    "FINDINGS AND IMPRESSION",
    "NOTIFICATION",
    "PROCEDURE",
    "RECOMMENDATION",
    "RECOMMENDATIONS",
    "STUDY",
    "TECHNIQUE",
    "VIEWS",
    "WET READ",
)


def parse_sections(report: str) -> dict[str, str]:
    """Split a report into its sections.

    Args:
        report: The raw text. Headings are upper case, at the start of a line, and end with a colon; a rule of
            underscores separates addenda.

    Returns:
        Text by canonical section name (`findings`, `impression`, `indication`, and others in lower case), white space
        folded. Sections that occur twice, as in an addendum, are joined in order.
    """
    sections: dict[str, str] = {}
    for part in _ADDENDUM.split(report):
        headings = [h for h in _HEADING.finditer(part) if " ".join(h.group(1).split()) in {*_ALIASES, *_OTHERS}]
        for position, heading in enumerate(headings):
            end = headings[position + 1].start() if position + 1 < len(headings) else len(part)
            name = " ".join(heading.group(1).split())
            text = " ".join(part[heading.end() : end].split())
            key = _ALIASES.get(name, name.lower())
            if text:
                sections[key] = f"{sections[key]} {text}" if key in sections else text
    return sections


def select_text(sections: Mapping[str, str], mode: TextMode) -> str:
    """Return the text of a mode, or an empty string; another section never takes its place.

    `full` is findings and impression together.
    """
    names = ("findings", "impression") if mode == "full" else (mode,)
    return " ".join(sections[name] for name in names if name in sections)


def read_reports(root: Path, subject_id: Sequence[int], study_id: Sequence[int], mode: TextMode) -> dict[int, str]:
    """Read the text of studies.

    Sections come from `mimic_cxr_sectioned.csv` where it lies in the folder; studies that it lacks, and all studies
    without it, are read from the tree `files/p10/p10000032/s50414267.txt`.

    Args:
        root: Folder of the reports.
        subject_id: Patients.
        study_id: Their studies, in the same order.
        mode: Section to return.

    Returns:
        Text by study; studies without the section are left out.

    Raises:
        FileNotFoundError: If the folder has neither a tree nor a sectioned file.
    """
    sectioned = root / "mimic_cxr_sectioned.csv"
    if not sectioned.is_file() and not (root / "files").is_dir():
        raise FileNotFoundError(
            f"Expected reports in '{root}', as files/p10/p10000032/s50414267.txt or mimic_cxr_sectioned.csv, but found "
            f"neither. They are part of MIMIC-CXR, not of MIMIC-CXR-JPG: set data.reports_root."
        )
    # the sectioned file has no indication
    known = _read_sectioned(sectioned) if sectioned.is_file() and mode != "indication" else {}
    pairs = {int(study): int(subject) for subject, study in zip(subject_id, study_id, strict=True)}
    texts = {study: select_text(known[study], mode) for study in pairs if study in known}
    missing = [study for study in pairs if study not in known]
    with ThreadPoolExecutor(16) as pool:
        read = pool.map(lambda study: _read_report(report_path(root, pairs[study], study)), missing)
        texts.update({study: select_text(sections, mode) for study, sections in zip(missing, read, strict=True)})
    return {study: text for study, text in texts.items() if text}


def report_path(root: Path, subject_id: int, study_id: int) -> Path:
    """Return where the report of a study lies."""
    return root / "files" / f"p{str(subject_id)[:2]}" / f"p{subject_id}" / f"s{study_id}.txt"


def _read_report(path: Path) -> dict[str, str]:
    try:
        return parse_sections(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return {}


def _read_sectioned(path: Path) -> dict[int, dict[str, str]]:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    sections = [name for name in frame.columns if name != "study"]
    known: dict[int, dict[str, str]] = {}
    for study, *texts in frame[["study", *sections]].itertuples(index=False):
        found = {name: " ".join(text.split()) for name, text in zip(sections, texts, strict=True)}
        known[int(study.lstrip("s"))] = {name: text for name, text in found.items() if text}
    return known
