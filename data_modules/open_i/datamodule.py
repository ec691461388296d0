"""The Open-i data module: only reports, for trying a text teacher on real ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from data_modules.base import License, PrivilegedDataModule
from data_modules.files.folders import find_nearest
from data_modules.mimic_cxr.masking import mask_labels
from data_modules.open_i.reports import CODES, Report, read_reports
from data_modules.split import Split

ARCHIVE = "NLMCXR_reports.tgz"
Text = Literal["findings", "impression", "findings_and_impression", "label_masked"]


class OpenIDataModule(PrivilegedDataModule):
    """Reports of the Indiana University chest X-ray collection, with labels from their MeSH codes; no images.

    Access: `NLMCXR_reports.tgz` from Open-i of the National Library of Medicine, CC BY-NC-ND 4.0.

    Cite: Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and retrieval", JAMIA
    23(2):304-310, 2016, https://doi.org/10.1093/jamia/ocv080.

    Read before use: the codes were assigned by people who read these reports, so a teacher that reads them partly repeats the
    coding. A finding without a code is absent; a report without codes, or with only a code for bad image quality, is left out.
    An enlarged or borderline cardiac shadow is cardiomegaly, bullous emphysema is emphysema, and fluid or blood in the pleura,
    with or without air, is pleural effusion. Emphysema of the skin or mediastinum, pericardial effusion, a blunted costophrenic
    angle and heart failure count for no label. There are no patient identifiers, so every report counts as a patient. Names in
    the text are `XXXX`.

    Args:
        root: Folder with `NLMCXR_reports.tgz`, or one up to six levels above.
        text: Part of the report that a teacher reads; `label_masked` is the findings without sentences that name a label.
        val_fraction: Share of the reports that become the validation set.
        test_fraction: Share of the reports that become the test set.
        split_seed: Seed of that draw.
        options: Arguments of `PrivilegedDataModule`; those for images have no effect.
    """

    license: ClassVar[License] = "open"

    def __init__(
        self,
        root: Path,
        text: Text = "findings",
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(tuple(CODES), load_images=False, **options)
        if not (val_fraction > 0 and test_fraction > 0 and val_fraction + test_fraction < 1):
            raise ValueError(
                f"Expected positive fractions that leave reports for training but got {val_fraction} and {test_fraction}."
            )
        self.root = Path(root)
        self.text = text
        self.split_seed = split_seed
        self.fractions = (val_fraction, test_fraction)

    @property
    def privileged_part(self) -> str:
        """The part of the report, as `text` names it."""
        return self.text

    def read_splits(self) -> Mapping[str, Split]:
        """Read the archive; reports that were not coded are dropped and counted."""
        reports = read_reports(find_nearest(self.root, ARCHIVE) or self.root / ARCHIVE)
        coded = [report for report in reports if not np.isnan(report.labels()).any()]
        order = np.random.default_rng(self.split_seed).permutation(len(coded))
        val, test = (round(share * len(coded)) for share in self.fractions)
        rows = {"val": order[:val], "test": order[val : val + test], "train": order[val + test :]}
        dropped = {"dropped_not_coded": len(reports) - len(coded)}
        splits = {}
        for name, chosen in rows.items():
            reports = [coded[i] for i in np.sort(chosen)]
            splits[name] = self._split(reports, dropped if name == "train" else {})
        return splits

    def _split(self, reports: Sequence[Report], counts: Mapping[str, int]) -> Split:
        names = np.array([report.name for report in reports])
        texts = [select(report, self.text) for report in reports]
        return Split(
            sample_id=names,
            patient_id=names,
            image=[Path()] * len(reports),  # there are none, and nothing opens them
            label=np.array([report.labels() for report in reports], dtype=np.float32),
            has_privileged=np.array([bool(text) for text in texts]),
            report=texts,
            counts=counts,
        )


def select(report: Report, text: Text) -> str:
    """Return the part of a report that a teacher reads; empty if the report lacks it."""
    findings, impression = (report.sections.get(name, "") for name in ("FINDINGS", "IMPRESSION"))
    if text == "findings":
        return findings
    if text == "impression":
        return impression
    if text == "label_masked":
        return mask_labels(findings)
    return f"{findings} {impression}".strip()
