"""Read the reports of the Indiana University chest X-ray collection and their MeSH codes."""

import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# labels, and the major MeSH headings that count as one; a heading may be followed by qualifiers ("Opacity/lung/base/left")
HEADINGS: Mapping[str, tuple[str, ...]] = {
    "Normal": ("normal",),
    "Atelectasis": ("Pulmonary Atelectasis",),
    "Cardiomegaly": ("Cardiomegaly",),
    "Edema": ("Pulmonary Congestion", "Pulmonary Edema"),
    "Emphysema": ("Emphysema", "Pulmonary Disease, Chronic Obstructive", "Pulmonary Emphysema"),
    "Fracture": ("Fractures, Bone",),
    "Granuloma": ("Calcified Granuloma", "Granuloma", "Granulomatous Disease"),
    "Lung Opacity": ("Airspace Disease", "Consolidation", "Infiltrate", "Opacity"),
    "Nodule": ("Mass", "Nodule"),
    "Pleural Effusion": ("Pleural Effusion",),
}
NOT_CODED = "No Indexing"


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes:
        name: Its identifier, such as `CXR1`.
        sections: Text by section in capitals, such as `FINDINGS`.
        headings: Major MeSH headings without qualifiers; empty if the report was not coded.
    """

    name: str
    sections: Mapping[str, str]
    headings: frozenset[str]

    def labels(self) -> list[float]:
        """Return 1 or 0 for each label, NaN if the report was not coded."""
        if not self.headings or NOT_CODED in self.headings:
            return [float("nan")] * len(HEADINGS)
        return [float(bool(self.headings & set(names))) for names in HEADINGS.values()]


def read_reports(archive: Path) -> list[Report]:
    """Read all reports, ordered by their number.

    Args:
        archive: `NLMCXR_reports.tgz` as distributed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no report.
    """
    if not archive.is_file():
        raise FileNotFoundError(f"Expected the archive of reports at '{archive}' but there is none.")
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
        raise ValueError("Expected a report with a uId but found one without. Use the archive as distributed.")
    sections = {
        str(part.get("Label")): " ".join((part.text or "").split()) for part in root.iterfind(".//AbstractText")
    }
    majors = [(major.text or "").split("/")[0].strip() for major in root.iterfind("MeSH/major")]
    return Report(str(name.get("id")), sections, frozenset(filter(None, majors)))
