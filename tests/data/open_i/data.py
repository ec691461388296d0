"""Write a tiny archive of reports in the layout of the Indiana University chest X-ray collection."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

XML = """<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR{n}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="INDICATION">cough</AbstractText><AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION">Done.</AbstractText></Abstract></Article></MedlineCitation>
<MeSH>{majors}<automatic>ignored</automatic></MeSH></eCitation>"""


def write_open_i(root: Path, num_reports: int = 40, codes: Mapping[int, Sequence[str]] = MappingProxyType({})) -> Path:
    """Write the archive, last report first; report 7 was not coded, report 9 has no findings; `codes` are of some reports."""
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "NLMCXR_reports.tgz", "w:gz") as tar:
        for n in range(num_reports, 0, -1):
            majors = ["normal"] if n % 2 else ["Opacity/lung/base/left", "Cardiomegaly/mild"]
            majors = ["No Indexing"] if n == 7 else list(codes.get(n, majors))
            findings = "" if n == 9 else "The heart is\n   large. Lines are seen. The trachea is midline."
            tags = "".join(f"<major>{major}</major>" for major in majors)
            content = XML.format(n=n, findings=findings, majors=tags).encode()
            info = tarfile.TarInfo(f"ecgen-radiology/{n}.xml")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return root
