"""Sections of radiology reports in the style of MIMIC-CXR."""

import re
from collections.abc import Mapping

# A heading stands in capitals at the start of a line and ends with a colon; its text may follow on the same line.
_HEADING = re.compile(r"^[ \t]*([A-Z'][A-Z ()/,&.'-]{1,60}?)[ \t]*:", re.MULTILINE)
_ADDENDUM = re.compile(r"^[ \t]*_{10,}[ \t]*$", re.MULTILINE)
_SPACE = re.compile(r"\s+")

# Headings of sections in reports, misspellings included. `findings_and_impression` holds both: it is never served as
# findings, since the labels are computed from the impression.
_NAMES: dict[str, tuple[str, ...]] = {
    "findings": (
        "FINDING",
        "FINDINGS",
        "FINDIGNS",
        "FINDNGS",
        "FIDNINGS",
        "REPORT FINDINGS",
        "CHEST",
        "AP CHEST",
        "PORTABLE CHEST",
        "CHEST RADIOGRAPH",
        "CHEST, TWO VIEWS",
        "CHEST TWO VIEWS",
        "CHEST, SINGLE VIEW",
        "CHEST, SINGLE AP VIEW",
        "CHEST, AP",
        "CHEST, PA AND LATERAL",
        "PA AND LATERAL CHEST",
        "PA AND LATERAL CHEST RADIOGRAPH",
        "PA AND LATERAL VIEWS OF THE CHEST",
        "FRONTAL AND LATERAL VIEWS OF THE CHEST",
        "AP AND LATERAL VIEWS OF THE CHEST",
        "PORTABLE AP CHEST RADIOGRAPH",
        "AP PORTABLE CHEST",
        "SINGLE AP VIEW OF THE CHEST",
    ),
    "impression": (
        "IMPRESSION",
        "IMPRESSIONS",
        "IMPRESION",
        "IMPRESSON",
        "IMPRSSION",
        "IMPESSION",
        "IMPRESSION AND RECOMMENDATION",
        "IMPRESSION AND RECOMMENDATIONS",
        "CONCLUSION",
        "CONCLUSIONS",
        "SUMMARY",
        # in reports with this heading, it means the impression
        "NDICATION",
        "'NDICATION",
    ),
    "findings_and_impression": (
        "FINDINGS AND IMPRESSION",
        "FINDINGS/IMPRESSION",
        "FINDINGS / IMPRESSION",
        "FINDINGS IMPRESSION",
        "FINDING AND IMPRESSION",
        "IMPRESSION AND FINDINGS",
        "IMPRESSION/FINDINGS",
    ),
    "indication": (
        "INDICATION",
        "INDICATIONS",
        "INDICATION FOR STUDY",
        "INDICATION FOR EXAM",
        "INDICATION FOR EXAMINATION",
        "HISTORY",
        "HISTORY OF PRESENT ILLNESS",
        "PFI",
        "PFI REPORT",
        "PATIENT HISTORY",
        "CLINICAL HISTORY",
        "CLINICAL INDICATION",
        "CLINICAL INFORMATION",
        "HISTORY AND INDICATION",
        "INDICATION AND HISTORY",
        "HISTORY/INDICATION",
        "REASON FOR EXAM",
        "REASON FOR EXAMINATION",
        "REASON FOR STUDY",
        "REASON FOR THIS EXAMINATION",
    ),
    "comparison": ("COMPARISON", "COMPARISONS", "COMPARISON STUDY", "COMPARISON EXAM", "COMPARISON FILM"),
    "technique": ("TECHNIQUE", "PROCEDURE", "VIEWS", "VIEW", "STUDY", "TYPE OF EXAMINATION"),
    "examination": ("EXAM", "EXAMINATION", "EXAMINATIONS", "FINAL REPORT", "FINAL ADDENDUM", "TYPE OF EXAM"),
    "recommendation": ("RECOMMENDATION", "RECOMMENDATIONS", "RECOMMENDATION(S)"),
    "notification": ("NOTIFICATION", "NOTIFICATIONS", "COMMUNICATION"),
    "wet_read": ("WET READ", "PRELIMINARY REPORT", "PRELIMINARY READ"),
    "addendum": ("ADDENDUM", "ADDENDUM BEGINS"),
}
# any other heading in capitals, such as LUNGS:, is part of the text of its section
_SECTION = {name: section for section, names in _NAMES.items() for name in names}


def parse_sections(report: str) -> dict[str, str]:
    """Split a report into its sections.

    Args:
        report: The raw text; lines of underscores separate addenda.

    Returns:
        Text by section (`findings`, `impression`, `findings_and_impression`, `indication`, `comparison`, `technique`,
        `examination`, `recommendation`, `notification`, `wet_read`, `addendum`), with single spaces; empty sections are
        left out. Sections that occur twice, as in an addendum, are joined in order.
    """
    sections: dict[str, str] = {}
    for part in _ADDENDUM.split(report) if "__________" in report else (report,):
        headings = [
            (section, match.start(), match.end())
            for match in _HEADING.finditer(part)
            if (section := _SECTION.get(_SPACE.sub(" ", match.group(1)))) is not None
        ]
        # the text of a section ends at the next heading
        ends = [*(start for _, start, _ in headings), len(part)][1:]
        for (section, _, begin), end in zip(headings, ends, strict=True):
            text = " ".join(part[begin:end].split())
            if text:
                sections[section] = f"{sections[section]} {text}" if section in sections else text
    return sections


def join_sections(sections: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the text of some sections, in the order of the names; an empty string if there is none."""
    return " ".join(sections[name] for name in names if name in sections)
