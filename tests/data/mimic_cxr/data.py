"""Tiny MIMIC-CXR: tables, images, reports and every collection of regions, in the distributed layout with its traps."""

import gzip
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from data_modules.mimic_cxr.labels import FINDINGS
from tests.data.cbis_ddsm.data import write_dicom

FRAME = (100, 200)
REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old man with cough  // pneumonia?

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  None.

 FINDINGS:

 The heart is enlarged.  There is no
 pneumothorax.  The patient is rotated.

 IMPRESSION:

 1. Cardiomegaly.
"""


@dataclass(frozen=True)
class Study:
    """One image and the labels of its study; `view` None is a missing ViewPosition."""

    subject: int
    study: int
    image: str
    split: str
    view: str | None
    labels: Mapping[str, float]
    code: str = ""
    procedure: str = ""


ROWS = (
    Study(10000001, 50000001, "a", "train", "PA", {"Cardiomegaly": 1, "Edema": -1}),
    Study(10000001, 50000001, "b", "train", "LATERAL", {"Cardiomegaly": 1, "Edema": -1}),
    Study(10000002, 50000002, "c", "train", "AP", {"Edema": 0}),
    Study(10000003, 50000003, "d", "train", "AP", {"Cardiomegaly": 0, "Edema": 1}),
    Study(10000003, 50000007, "h", "train", "PA", {"Cardiomegaly": 0, "Edema": 0}),
    Study(10000004, 50000004, "e", "validate", "AP", {"Cardiomegaly": 1, "Edema": 0}),
    Study(10000005, 50000005, "f", "test", "AP", {"Cardiomegaly": 0, "Edema": 1}),
    Study(10000006, 50000006, "g", "test", None, {"Cardiomegaly": 1, "Edema": 1}, code="antero-posterior"),
)
# x, y, w, h; the annotated patient 10000003 is in training, with a second image that has no box
BOXES = (
    ("d", "Edema", 10, 20, 30, 40),
    ("f", "Edema", 0, 0, 50, 100),
    ("f", "Edema", 150, 0, 50, 100),
    ("f", "Unknown", 0, 0, 1, 1),
)


def write_tables(root: Path, rows: Sequence[Study] = ROWS, compressed: bool = True) -> None:
    """Write split, metadata, CheXpert and NegBio labels, and the radiologist's of release 2.1.0 for study 50000005."""
    root.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(
        [(r.subject, r.study, r.image, r.split, r.view, r.code, r.procedure) for r in rows],
        columns=["subject_id", "study_id", "dicom_id", "split", "ViewPosition", "code", "procedure"],
    )
    labels = [
        {"subject_id": r.subject, "study_id": r.study, **dict.fromkeys(FINDINGS, np.nan), **r.labels} for r in rows
    ]
    by_study = pd.DataFrame(labels).drop_duplicates("study_id")
    metadata = frame[["dicom_id", "subject_id", "study_id", "ViewPosition"]].assign(
        Rows=FRAME[0],
        Columns=FRAME[1],
        StudyDate=21800506,
        StudyTime=213014.531,
        PerformedProcedureStepDescription=frame["procedure"],
        ViewCodeSequence_CodeMeaning=frame["code"],
    )
    tables = {
        "split": frame[["dicom_id", "study_id", "subject_id", "split"]],
        "metadata": metadata,
        "chexpert": by_study,
        "negbio": by_study.replace({-1.0: 0.0}),
    }
    for name, table in tables.items():
        suffix = ".csv.gz" if compressed else ".csv"
        table.to_csv(root / f"mimic-cxr-2.0.0-{name}{suffix}", index=False)
    manual = {"study_id": 50000005, **dict.fromkeys(FINDINGS, np.nan), "Cardiomegaly": 1.0, "Edema": 0.0}
    # this table has no patients, and another name for one finding
    frame = pd.DataFrame([{**manual, "Lung Opacity": 1.0}]).rename(columns={"Lung Opacity": "Airspace Opacity"})
    frame.to_csv(root / "mimic-cxr-2.1.0-test-set-labeled.csv", index=False)


def write_images(root: Path, rows: Sequence[Study] = ROWS, dicom: bool = False) -> None:
    """Write an image of FRAME pixels for every row, at its place in the tree."""
    for row in rows:
        path = root / f"files/p{str(row.subject)[:2]}/p{row.subject}/s{row.study}/{row.image}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if dicom:
            pixels = np.zeros(FRAME, np.uint16)
            pixels[:, : FRAME[1] // 2] = 4000
            write_dicom(path.with_suffix(".dcm"), pixels, "MONOCHROME1", uid=f"2.25.{row.study}{ord(row.image)}")
        else:
            Image.fromarray(np.zeros(FRAME, np.uint8)).save(path.with_suffix(".jpg"))


def report_paths(rows: Sequence[Study] = ROWS, without: str = "c") -> dict[str, str]:
    """Return the reports by their place, of all studies except those of some images."""
    return {
        f"files/p{str(row.subject)[:2]}/p{row.subject}/s{row.study}.txt": REPORT
        for row in rows
        if row.image not in without
    }


def write_reports(root: Path, rows: Sequence[Study] = ROWS) -> None:
    """Write reports into the tree."""
    for name, text in report_paths(rows).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_archive(root: Path, rows: Sequence[Study] = ROWS) -> None:
    """Write `mimic-cxr-reports.zip`."""
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "mimic-cxr-reports.zip", "w") as archive:
        for name, text in report_paths(rows).items():
            archive.writestr(name, text)


Boxes = Sequence[tuple[str, str, int, int, int, int]]


def write_ms_cxr(root: Path, as_json: bool = False, with_split: bool = True, boxes: Boxes = BOXES) -> Path:
    """Write MS-CXR; the file of release 0.1 is named 1.0.0, and older ones have no split column."""
    root.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(boxes, columns=["dicom_id", "category_name", "x", "y", "w", "h"])
    frame = frame.assign(label_text="text", path="files/", image_width=FRAME[1], image_height=FRAME[0])
    if not as_json:
        path = root / "MS_CXR_Local_Alignment_v1.0.0.csv"
        (frame.assign(split="val") if with_split else frame).to_csv(path, index=False)
        return path
    # some images are listed without a box
    names, findings = sorted({*frame["dicom_id"], "c"}), sorted(set(frame["category_name"]))
    content = {
        "images": [{"id": i, "path": f"files/p10/p1/s5/{name}.jpg"} for i, name in enumerate(names)],
        "annotations": [
            {
                "image_id": names.index(image),
                "category_id": findings.index(finding),
                "bbox": box,
                "width": FRAME[1],
                "height": FRAME[0],
                "label_text": "text",
            }
            for image, finding, *box in boxes
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(findings)],
    }
    path = root / "MS_CXR_Local_Alignment_v1.1.0.json"
    path.write_text(json.dumps(content))
    return path


def write_imagenome(root: Path) -> None:
    """Write gold and silver parts of Chest ImaGenome: image f, effusion-like finding in the right lung."""
    silver, gold = root / "silver_dataset", root / "gold_dataset"
    silver.mkdir(parents=True)
    gold.mkdir()
    graph = {
        "objects": [
            {
                "bbox_name": "right lung",
                "x1": 1,
                "original_x1": 20,
                "original_y1": 10,
                "original_x2": 80,
                "original_y2": 90,
            },
            {
                "bbox_name": "spine",
                "x1": 1,
                "original_x1": 90,
                "original_y1": -5,
                "original_x2": 110,
                "original_y2": 105,
            },
        ],
        "attributes": [
            {
                "bbox_name": "right lung",
                "attributes": [
                    ["anatomicalfinding|yes|pulmonary edema/hazy opacity", "severity|yes|mild"],
                    ["anatomicalfinding|yes|pulmonary edema/hazy opacity"],
                    ["disease|no|pneumonia"],
                ],
            },
            {"bbox_name": "spine", "attributes": [["anatomicalfinding|yes|scoliosis"]]},
            {"bbox_name": "carina", "attributes": [["anatomicalfinding|yes|pulmonary edema/hazy opacity"]]},
        ],
        "relationships": [],
    }
    with zipfile.ZipFile(silver / "scene_graph.zip", "w") as archive:
        archive.writestr("scene_graph/f_SceneGraph.json", json.dumps(graph))
    (gold / "gold_bbox_coordinate_annotations_1000images.csv").write_text(
        "image_id,x1,y1,x2,y2,width,height,bbox_name,annot_id,original_x1,original_y1,original_x2,original_y2,annotator\n"
        "f.dcm,0,0,9,9,9,9,right lung,1,20,-10,80,120,x\n"
        "f.dcm,0,0,9,9,9,9,left lung,2,120,10,120,90,x\n"
        "a.dcm,0,0,9,9,9,9,right lung,3,20,10,80,90,x\n"
    )
    rows = ["image_id\tbbox\trelation\tlabel_name\tcontext"]
    rows += [
        "f.dcm\tright lung\t1\tPulmonary edema/hazy opacity\tx",
        "f.dcm\tleft lung\t1\tpulmonary edema/hazy opacity\tx",
    ]
    rows += ["f.dcm\tright lung\t0\tpneumonia\tx"]
    (gold / "gold_attributes_relations_500pts_500studies1st.txt").write_text("\n".join(rows) + "\n")


def write_imagenome_names(root: Path, names: Sequence[str]) -> None:
    """Write one image for each name of a finding, i0, i1 and so on, in gold and silver parts of Chest ImaGenome."""
    silver, gold = root / "silver_dataset", root / "gold_dataset"
    silver.mkdir(parents=True)
    gold.mkdir()
    corners = {"original_x1": 0, "original_y1": 0, "original_x2": 9, "original_y2": 9}
    boxes = ["image_id,bbox_name,original_x1,original_y1,original_x2,original_y2"]
    rows = ["image_id\tbbox\trelation\tlabel_name"]
    with zipfile.ZipFile(silver / "scene_graph.zip", "w") as archive:
        for number, name in enumerate(names):
            attributes = [{"bbox_name": "lung", "attributes": [[f"anatomicalfinding|yes|{name}"]]}]
            graph = {"objects": [{"bbox_name": "lung", **corners}], "attributes": attributes}
            archive.writestr(f"scene_graph/i{number}_SceneGraph.json", json.dumps(graph))
            boxes.append(f"i{number}.dcm,lung,0,0,9,9")
            rows.append(f"i{number}.dcm\tlung\t1\t{name.title()}")
    (gold / "gold_bbox_coordinate_annotations_1000images.csv").write_text("\n".join(boxes) + "\n")
    (gold / "gold_attributes_relations_500pts_500studies1st.txt").write_text("\n".join(rows) + "\n")


def write_reflacx(root: Path, beside: bool = False) -> None:
    """Write two readings of image f, one of phase 1 and one of phase 2, and one of image c, whose patient trains.

    Args:
        root: Folder of the data set.
        beside: Write the tables of the phases beside `main_data/`, rather than into it as they are distributed.
    """
    header = "id,split,image,subject_id,image_size_x,image_size_y"
    path = "physionet.org/files/mimic-cxr-jpg/2.0.0/files/p10/p1/s5"
    (root / "main_data").mkdir(parents=True)
    phases = {1: [("P1R1", "f"), ("P1R9", "c")], 2: [("P2R1", "f")]}
    for phase, readings in phases.items():
        lines = [header, *(f"{name},x,{path}/{image}.jpg,1,{FRAME[1]},{FRAME[0]}" for name, image in readings)]
        folder = root if beside else root / "main_data"
        (folder / f"metadata_phase_{phase}.csv").write_text("\n".join(lines) + "\n")
    ellipses = {
        "P1R1": ["Mass,Nodule,Pulmonary edema", "0,0,50,100,3,False,False,True", "100,0,150,100,2,False,False,True"],
        "P2R1": ["Lung nodule or mass,Pulmonary edema", "150,0,200,100,5,True,True"],
    }
    for name, (labels, *rows) in ellipses.items():
        (root / "main_data" / name).mkdir()
        text = "\n".join([f"xmin,ymin,xmax,ymax,certainty,{labels}", *rows])
        (root / "main_data" / name / "anomaly_location_ellipses.csv").write_text(text + "\n")


def write_mimic(root: Path) -> Path:
    """Write tables, images, reports in the tree, and MS-CXR, all into one folder."""
    write_tables(root)
    write_images(root)
    write_reports(root)
    write_ms_cxr(root)
    return root


def unpack(path: Path) -> None:
    """Replace a compressed table by a plain one."""
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
