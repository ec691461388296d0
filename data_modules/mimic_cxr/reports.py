"""Reports of MIMIC-CXR, from the tree, the archive or the table of sections."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from data_modules.columns import check_names, rows_in_words
from data_modules.files.csv_file import read_csv
from data_modules.files.folders import find_base, find_nearest
from data_modules.files.layout import as_published
from data_modules.mimic_cxr.masking import mask_labels
from data_modules.mimic_cxr.sections import join_sections, parse_sections

TextMode = Literal["findings", "impression", "full", "indication", "label_masked"]
ARCHIVE = "mimic-cxr-reports.zip"
SECTIONED = "mimic_cxr_sectioned.csv"
_SECTIONS: dict[TextMode, tuple[str, ...]] = {
    "findings": ("findings",),
    "impression": ("findings_and_impression", "impression"),
    "full": ("findings", "findings_and_impression", "impression"),
    "indication": ("indication",),
    "label_masked": ("findings",),
}


@dataclass(frozen=True)
class Reports:
    """Texts of studies.

    Attributes:
        text: Text by study; studies without the section are left out.
        counts: Numbers of studies by source, without a report, and without the section.
    """

    text: Mapping[int, str]
    counts: Mapping[str, int]


def select_text(sections: Mapping[str, str], mode: TextMode) -> str:
    """Return the text of a mode, or an empty string; it is never replaced by another section.

    `full` is findings and impression together. A joint section of both counts as impression, never as findings.
    `label_masked` is the findings without the sentences that name a label.
    """
    text = join_sections(sections, _SECTIONS[mode])
    return mask_labels(text) if mode == "label_masked" else text


def read_reports(root: Path, subject_id: Sequence[int], study_id: Sequence[int], mode: TextMode) -> Reports:
    """Read the text of studies.

    Sections come from `mimic_cxr_sectioned.csv` (or .gz) if it exists. It lacks studies that its script treats by hand; these,
    or all studies without that table, are read from the tree `files/p10/p10000032/s50414267.txt`, or from within
    `mimic-cxr-reports.zip`.

    Args:
        root: Folder of the reports; each form may lie up to six levels below, as in a mirror.
        subject_id: Patients.
        study_id: Their studies, in the same order.
        mode: Section to return.

    Returns:
        Texts and counts.

    Raises:
        FileNotFoundError: If the folder holds none of the three.
        ValueError: If the table lacks a section, or names a study twice or not at all.
    """
    pairs = dict(zip(map(int, study_id), map(int, subject_id), strict=True))
    sectioned = find_nearest(root, SECTIONED, f"{SECTIONED}.gz")
    archive = find_nearest(root, ARCHIVE)
    tree = find_base(root, [report_name(subject, study) for study, subject in pairs.items()])
    if not (sectioned or archive or tree or (root / "files").is_dir()):
        raise FileNotFoundError(
            f"Expected reports in '{root}', as files/p10/p10000032/s50414267.txt, {ARCHIVE} or {SECTIONED}, but found none "
            f"of them. They are part of MIMIC-CXR, not of MIMIC-CXR-JPG: set data.reports_root."
        )
    # the table of sections has no indication
    known = _read_sectioned(sectioned, pairs) if sectioned and mode != "indication" else {}
    counts = {"reports_from_table": len(known)}
    missing = {study: subject for study, subject in pairs.items() if study not in known}
    # an archive goes first, since a tree may be that of MIMIC-CXR-JPG, which has no reports
    name = "archive" if archive else "tree"
    found = dict(_from_archive(archive, missing) if archive else _from_tree(tree or root, missing)) if missing else {}
    counts |= {f"reports_from_{name}": len(found), "without_report": len(missing) - len(found)}
    texts = {study: select_text(sections, mode) for source in (known, found) for study, sections in source.items()}
    texts = {study: text for study, text in texts.items() if text}
    return Reports(texts, {**counts, "without_section": len(pairs) - counts["without_report"] - len(texts)})


def report_name(subject_id: int, study_id: int) -> str:
    """Return the path of the report of a study, the same below the root and in the archive."""
    return f"files/p{str(subject_id)[:2]}/p{subject_id}/s{study_id}.txt"


def _from_tree(root: Path, pairs: Mapping[int, int]) -> Iterator[tuple[int, dict[str, str]]]:
    def read(pair: tuple[int, int]) -> str | None:
        study, subject = pair
        try:
            return (root / report_name(subject, study)).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    # reading small files is mostly waiting, especially on a network drive
    with ThreadPoolExecutor(16) as pool:
        for study, text in zip(pairs, pool.map(read, pairs.items()), strict=True):
            if text is not None:
                yield study, parse_sections(text)


def _from_archive(path: Path, pairs: Mapping[int, int]) -> Iterator[tuple[int, dict[str, str]]]:
    with as_published(path), zipfile.ZipFile(path) as archive:
        # some copies have a folder around files/
        names = {name[max(0, name.find("files/")) :]: name for name in archive.namelist()}
        for study, subject in pairs.items():
            name = names.get(report_name(subject, study))
            if name is not None:
                yield study, parse_sections(archive.read(name).decode("utf-8", errors="replace"))


def _read_sectioned(path: Path, wanted: Mapping[int, int]) -> dict[int, dict[str, str]]:
    frame = read_csv(path, dtype=str, keep_default_na=False)
    names = ("findings", "impression")
    check_names(("study", *names), [str(name) for name in frame.columns], f"columns of '{path.name}'")
    # written as s50414267
    number = frame["study"].str.extract(r"^s?(\d{1,18})$", expand=False)
    wrong = number.isna().to_numpy(dtype=np.bool_)
    if wrong.any():
        raise ValueError(
            f"Expected studies as s50414267 in '{path}' but got '{frame['study'][wrong].iloc[0]}' "
            f"({rows_in_words(frame['study'], wrong)}). Restore the file."
        )
    frame = frame.assign(study=number.astype("int64"))
    # parts of a table that were joined may overlap
    frame = frame.loc[frame["study"].isin(list(wanted)), ["study", *names]].drop_duplicates()
    repeated = int(frame["study"].duplicated().sum())
    if repeated:
        raise ValueError(
            f"Expected one row per study in '{path}' but {repeated} studies have several. Restore the file."
        )
    texts = [frame[name].str.split().str.join(" ") for name in names]
    sections = {}
    for study, *own in zip(frame["study"].tolist(), *texts, strict=True):
        # keep studies without any section: they have a report, which must not be looked for elsewhere
        sections[study] = {name: text for name, text in zip(names, own, strict=True) if text}
    return sections
