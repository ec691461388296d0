"""Time and memory to read the tables, reports and boxes of a MIMIC-CXR of any size, without images.

Run: python benchmarks/indexing.py [--rows 94278 188555 377110]

Writes simulated tables in the layout of MIMIC-CXR-JPG (377,110 images of 227,835 studies and 65,379 patients, in proportion),
reports of 800 characters as `mimic-cxr-reports.zip` and as `mimic_cxr_sectioned.csv`, and 1,448 boxes; then reads and
splits them in a process of its own for each size and source of reports. Peak memory is that of the process.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from timing import Bar, show_bars

FINDINGS = ("Atelectasis", "Cardiomegaly", "Edema", "Pleural Effusion", "No Finding")
SENTENCES = (
    "The lungs are well expanded and clear.",
    "There is a small left pleural effusion with adjacent atelectasis.",
    "The cardiomediastinal silhouette is within normal limits.",
    "No pneumothorax is seen.",
    "Monitoring and support devices are in unchanged position.",
    "Mild pulmonary vascular congestion is present.",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[94_278, 188_555, 377_110])
    parser.add_argument(
        "--read", type=Path, help="read this folder, and print seconds and memory (used by the benchmark)"
    )
    parser.add_argument("--reports", type=Path, help="folder of the reports")
    options = parser.parse_args()
    if options.read is not None:
        read(options.read, options.reports)
        return
    print(f"{'images':>9s}  {'reports':10s} {'seconds':>8s} {'us/image':>9s} {'peak MB':>8s}")
    per_image: dict[str, list[float]] = {"archive": [], "sectioned": []}
    for number in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), number)
            for source, found in per_image.items():
                command = [sys.executable, __file__, "--read", folder, "--reports", f"{folder}/{source}"]
                result = subprocess.run(command, capture_output=True, text=True, check=True)
                seconds, megabytes = (float(value) for value in result.stdout.split()[-2:])
                print(f"{number:9d}  {source:10s} {seconds:8.1f} {1e6 * seconds / number:9.1f} {megabytes:8.0f}")
                found.append(seconds / number)
    few, many = options.rows[0], options.rows[-1]
    show_bars(
        [
            Bar(f"{source}: time per image, {many:,} / {few:,}", own[-1] / own[0], 1.2)
            for source, own in per_image.items()
        ]
    )


def read(root: Path, reports: Path) -> None:
    """Read all splits, and print the seconds that it took and the peak memory of the process in MB."""
    from data_modules.mimic_cxr import MIMICCXRDataModule

    start = time.perf_counter()
    data = MIMICCXRDataModule(root, reports_root=reports, label_names=FINDINGS)
    num_rois = len(data.splits["test"].rois)
    seconds = time.perf_counter() - start
    assert num_rois, "no boxes were read"
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def write(root: Path, number: int) -> None:
    """Write tables of a number of images, and reports of their studies."""
    rng = np.random.default_rng(0)
    num_studies, num_patients = round(number * 227_835 / 377_110), round(number * 65_379 / 377_110)
    study = np.sort(np.concatenate([np.arange(num_studies), rng.integers(0, num_studies, number - num_studies)]))
    patient_of = np.sort(
        np.concatenate([np.arange(num_patients), rng.integers(0, num_patients, num_studies - num_patients)])
    )
    frame = pd.DataFrame({"study_id": 50_000_000 + study, "subject_id": 10_000_000 + patient_of[study]})
    words = rng.integers(0, 2**32, (number, 5))
    frame.insert(0, "dicom_id", ["-".join(f"{word:08x}" for word in row) for row in words.tolist()])
    frame["split"] = np.where(
        patient_of[study] % 100 == 0, "test", np.where(patient_of[study] % 100 == 1, "validate", "train")
    )
    frame.to_csv(root / "mimic-cxr-2.0.0-split.csv.gz", index=False)
    views = rng.choice(["AP", "PA", "LATERAL", "LL", ""], number, p=[0.39, 0.255, 0.22, 0.093, 0.042])
    metadata = frame[["dicom_id", "subject_id", "study_id"]].assign(ViewPosition=views, Rows=3056, Columns=2544)
    metadata["ViewCodeSequence_CodeMeaning"] = np.where(views == "", "antero-posterior", "")
    metadata["PerformedProcedureStepDescription"] = "CHEST (PORTABLE AP)"
    metadata.to_csv(root / "mimic-cxr-2.0.0-metadata.csv.gz", index=False)
    labels = pd.DataFrame({"subject_id": 10_000_000 + patient_of, "study_id": 50_000_000 + np.arange(num_studies)})
    for name in FINDINGS:
        labels[name] = rng.choice([1.0, 0.0, -1.0, np.nan], num_studies, p=[0.15, 0.08, 0.03, 0.74])
    labels.to_csv(root / "mimic-cxr-2.0.0-chexpert.csv.gz", index=False)
    boxed = frame[views != "LATERAL"].sample(min(1448, number // 10), random_state=0)
    boxed = pd.concat([boxed, frame[(frame["split"] == "test") & np.isin(views, ("AP", "PA"))].iloc[:100]])
    boxes = boxed[["dicom_id"]].assign(category_name="Edema", x=100, y=200, w=300, h=400)
    boxes.assign(image_width=2544, image_height=3056).to_csv(root / "MS_CXR_Local_Alignment_v1.0.0.csv", index=False)
    write_reports(root, labels, rng)


def write_reports(root: Path, studies: pd.DataFrame, rng: np.random.Generator) -> None:
    """Write the same texts into an archive and into a table of sections."""
    texts = [
        " ".join(SENTENCES[i] for i in row) for row in rng.integers(0, len(SENTENCES), (len(studies), 12)).tolist()
    ]
    (root / "sectioned").mkdir()
    table = pd.DataFrame(
        {"study": "s" + studies["study_id"].astype(str), "impression": "No change.", "findings": texts}
    )
    table.assign(last_paragraph="", comparison="").to_csv(root / "sectioned/mimic_cxr_sectioned.csv", index=False)
    (root / "archive").mkdir()
    with zipfile.ZipFile(root / "archive/mimic-cxr-reports.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for subject, number, text in zip(studies["subject_id"], studies["study_id"], texts, strict=True):
            head = " FINAL REPORT\n EXAMINATION:  CHEST\n\n INDICATION:  Cough.\n\n"
            report = f"{head} FINDINGS:  {text}\n\n IMPRESSION:  No change.\n"
            archive.writestr(f"files/p{str(subject)[:2]}/p{subject}/s{number}.txt", report)


if __name__ == "__main__":
    main()
