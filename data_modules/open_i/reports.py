"""Read the reports of the Indiana University chest X-ray collection and their MeSH codes."""

import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product, starmap
from pathlib import Path

from data_modules.files.layout import as_published

# major MeSH codes by label; codes with further qualifiers count as well ("Opacity/lung/base/left")
CODES: Mapping[str, tuple[str, ...]] = {
    "Normal": ("normal",),
    "Atelectasis": ("Pulmonary Atelectasis",),
    # a borderline heart counts in both spellings
    "Cardiomegaly": ("Cardiac Shadow/borderline", "Cardiac Shadow/enlarged", "Cardiomegaly"),
    "Edema": ("Pulmonary Congestion", "Pulmonary Edema"),
    "Emphysema": ("Bullous Emphysema", "Emphysema", "Pulmonary Disease, Chronic Obstructive", "Pulmonary Emphysema"),
    "Fracture": ("Fractures, Bone",),
    "Granuloma": ("Calcified Granuloma", "Granuloma", "Granulomatous Disease"),
    "Lung Opacity": ("Airspace Disease", "Consolidation", "Infiltrate", "Opacity"),
    "Nodule": ("Mass", "Nodule"),
    "Pleural Effusion": ("Hemopneumothorax", "Hemothorax", "Hydropneumothorax", "Pleural Effusion"),
}
Code = tuple[str, frozenset[str]]


def _parts(code: str) -> Code:
    """Return heading and qualifiers in lower case, since codes are typed by hand."""
    heading, *qualifiers = (part.strip().lower() for part in code.split("/"))
    return heading, frozenset(qualifiers)


NAMES = {label: tuple(map(_parts, codes)) for label, codes in CODES.items()}
# codes that say nothing about a patient
SILENT = frozenset({"no indexing", "technical quality of image unsatisfactory"})


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes:
        name: Its identifier, such as `CXR1`.
        sections: Text by section in capitals, such as `FINDINGS`.
        codes: Major MeSH codes, a heading with qualifiers such as `Opacity/lung/base/left`; empty if the report was not coded.
    """

    name: str
    sections: Mapping[str, str]
    codes: tuple[str, ...]

    def labels(self) -> list[float]:
        """Return 1 or 0 for each label; NaN if the report has no code, or only one for the quality of its image."""
        codes = [_parts(code) for code in self.codes]
        if all(heading in SILENT for heading, _ in codes):
            return [float("nan")] * len(CODES)
        return [float(any(starmap(_counts, product(codes, names)))) for names in NAMES.values()]


def read_reports(archive: Path) -> list[Report]:
    """Read all reports, ordered by their number.

    Args:
        archive: `NLMCXR_reports.tgz` as distributed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no report, or is damaged.
    """
    if not archive.is_file():
        raise FileNotFoundError(f"Expected the archive of reports at '{archive}' but there is none.")
    # by number, so that CXR10 follows CXR9
    with as_published(archive):
        reports = sorted((_parse(content) for content in _members(archive)), key=lambda report: int(report.name[3:]))
    if not reports:
        raise ValueError(f"Expected XML files in '{archive}' but there are none.")
    return reports


def _members(archive: Path) -> Iterator[bytes]:
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(".xml") else None
            if file is not None:
                yield file.read()


def _parse(content: bytes) -> Report:
    root = ET.fromstring(content)
    name = root.find("uId")
    if name is None:
        raise ValueError("a report has no uId")
    sections = {
        str(part.get("Label")): " ".join((part.text or "").split()) for part in root.iterfind(".//AbstractText")
    }
    codes = [" ".join((major.text or "").split()) for major in root.iterfind("MeSH/major")]
    return Report(str(name.get("id")), sections, tuple(filter(None, codes)))


def _counts(code: Code, name: Code) -> bool:
    """Return whether a code has the heading of a name and all of its qualifiers."""
    return code[0] == name[0] and name[1] <= code[1]
