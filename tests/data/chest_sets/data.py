"""Tiny copies of the chest sets for evaluation, in the distributed layouts with their traps."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from tests.data.cbis_ddsm.data import write_dicom

# the columns of image_labels_test.csv
VINDR_NAMES = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation", "Edema",
    "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst", "Mediastinal shift",
    "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture",
    "Other lesion", "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", "No finding",
)  # fmt: skip


def write_image(path: Path, size: tuple[int, int], mode: str = "L") -> None:
    """Write a black image of (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".dicom":
        write_dicom(path, np.arange(size[0] * size[1], dtype=np.uint16).reshape(size))
    else:
        Image.new(mode, size[::-1]).save(path)


def write_chexlocalize(root: Path, split: str) -> None:
    """Write labels, contours and masks of two frontal images, and the labels of a lateral one."""
    folder = {"val": "valid", "test": "test"}[split]
    prefix = "CheXpert-v1.0/valid" if split == "val" else "test"
    views = ["patient1/study1/view1_frontal", "patient1/study1/view2_lateral", "patient2/study1/view1_frontal"]
    rows = [f"{prefix}/{views[0]}.jpg,1,1,0", f"{prefix}/{views[1]}.jpg,1,1,0", f"{prefix}/{views[2]}.jpg,0,0,0"]
    (root / "CheXpert").mkdir(parents=True, exist_ok=True)
    (root / "CheXlocalize").mkdir(exist_ok=True)
    lines = ["Path,Edema,Lung Opacity,Fracture", *rows]
    (root / f"CheXpert/{split}_labels.csv").write_text("\n".join(lines) + "\n")
    for view in views:
        write_image(root / "CheXpert" / folder / f"{view}.jpg", (40, 80))
    contours = {"Edema": [_square(16, 8, 48, 24), _square(32, 16, 64, 32)], "Airspace Opacity": [_square(0, 0, 40, 20)]}
    content = {
        "patient1_study1_view1_frontal": {"img_size": [40, 80], **contours},
        "patient2_study1_view1_frontal": {"img_size": [40, 80]},
    }
    (root / f"CheXlocalize/gt_annotations_{split}.json").write_text(json.dumps(content))
    masks = {"Edema": np.zeros((40, 80), np.uint8), "Airspace Opacity": np.zeros((40, 80), np.uint8)}
    masks["Edema"][8:24, 16:48] = masks["Edema"][16:32, 32:64] = 1
    masks["Airspace Opacity"][:20, :40] = 1
    encoded = {
        "patient1_study1_view1_frontal": {name: _encode(mask) for name, mask in masks.items()},
        "patient2_study1_view1_frontal": {name: _encode(np.zeros_like(mask)) for name, mask in masks.items()},
    }
    (root / f"CheXlocalize/gt_segmentations_{split}.json").write_text(json.dumps(encoded))


def _square(x0: int, y0: int, x1: int, y1: int) -> list[list[float]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def _encode(mask: NDArray[np.uint8]) -> dict[str, object]:
    encoded = coco.encode(np.asfortranarray(mask))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


def write_padchest_gr(root: Path) -> None:
    """Write grounded reports of two studies: two readers' boxes, normal sentences without keys, names without a label.

    The table is a ZIP archive, and the images lie two folders below, as they are distributed.
    """
    findings = [
        {
            "sentence_en": "Effusion with atelectasis.",
            "abnormal": True,
            "boxes": [[0.0, 0.5, 0.5, 1.0]],
            "extra_boxes": [[0.5, 0.5, 0.75, 1.0]],
            "labels": ["Pleural effusion", "laminar atelectasis", "atelectasis"],
        },
        {"sentence_en": "Scoliosis.", "abnormal": True, "boxes": [], "labels": ["scoliosis"]},
        {"sentence_en": "Hilar congestion.", "abnormal": True, "boxes": [], "labels": ["hilar congestion"]},
        {"sentence_en": "Normal heart.", "abnormal": False},
    ]
    studies = [
        {"StudyID": "s1", "ImageID": "i1.png", "findings": findings},
        {"StudyID": "s2", "ImageID": "i2.png", "findings": [{"sentence_en": "Normal.", "abnormal": False}]},
    ]
    rows = ["s1,i1.png,p1,pleural effusion,train", "s1,i1.png,p1,scoliosis,train", "s2,i2.png,p2,Normal,test"]
    write_grounded_reports(root, studies, rows)
    for name in ("i1.png", "i2.png"):
        write_image(root / "Padchest_GR_files" / "PadChest_GR" / name, (40, 80))


def write_grounded_reports(root: Path, studies: Sequence[Mapping[str, object]], rows: Sequence[str]) -> None:
    """Write the reports of PadChest-GR and its table."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "grounded_reports_20240819.json").write_text(json.dumps(studies))
    with zipfile.ZipFile(root / "master_table.csv.zip", "w") as archive:
        archive.writestr("master_table.csv", "\n".join(["StudyID,ImageID,PatientID,label,split", *rows]) + "\n")


def write_vindr_cxr(root: Path, suffix: str = ".dicom", size: tuple[int, int] = (100, 120)) -> None:
    """Write a consensus test set, and one training image that three readers disagree about.

    Args:
        root: Folder of the data set.
        suffix: Of the image files; boxes are pixels of 100 x 120 (height x width).
        size: (height, width) of the files.
    """
    root.mkdir(parents=True, exist_ok=True)
    header = "image_id,rad_id,class_name,x_min,y_min,x_max,y_max"
    test = [
        "t1,R1,Nodule/Mass,10,20,30,40",
        "t1,R1,Lung tumor,50,60,70,80",
        "t1,R1,Calcification,1,1,2,2",
        "t2,R1,No finding,,,,",
    ]
    train = [
        "r1,R8,Pleural effusion,0,0,9,9",
        "r1,R9,Pleural effusion,5,5,20,20",
        "r1,R9,Lung cyst,1,1,5,5",
        "r1,R10,No finding,,,,",
    ]
    (root / "annotations_test.csv").write_text("\n".join([header, *test]) + "\n")
    (root / "annotations_train.csv").write_text("\n".join([header, *train]) + "\n")
    consensus = {"t1": ("Nodule/Mass", "Lung tumor", "Calcification"), "t2": ("No finding",)}
    rows = [f"{image},{_votes(found)}" for image, found in consensus.items()]
    (root / "image_labels_test.csv").write_text("\n".join([f"image_id,{','.join(VINDR_NAMES)}", *rows]) + "\n")
    votes = {"R8": ("Pleural effusion",), "R9": ("Pleural effusion", "Lung cyst"), "R10": ("No finding",)}
    rows = [f"r1,{reader},{_votes(found)}" for reader, found in votes.items()]
    header = ",".join(["image_id", "rad_id", *VINDR_NAMES])
    (root / "image_labels_train.csv").write_text("\n".join([header, *rows]) + "\n")
    for folder, name in (("test", "t1"), ("test", "t2"), ("train", "r1")):
        write_image(root / folder / f"{name}{suffix}", size)


def _votes(found: Sequence[str]) -> str:
    return ",".join(str(int(name in found)) for name in VINDR_NAMES)


def write_nih(root: Path, version: str = "2017_v2020") -> None:
    """Write two boxed images in two folders, one of them RGBA, and a third of the test list."""
    root.mkdir(parents=True, exist_ok=True)
    end = ",," if version == "2017" else ""
    boxes = ["00000001_000.png,Infiltrate,256,512,256,512", "00000002_000.png,Nodule,1,2,3,4"]
    header = f"Image Index,Finding Label,Bbox [x,y,w,h]{',,,' if end else ''}"
    (root / "BBox_List_2017.csv").write_text(
        "\n".join([header, *(f"{row}{',,,' if end else ''}" for row in boxes)]) + "\n"
    )
    columns = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    columns += f"OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]{',' if end else ''}"
    rows = [
        "00000001_000.png,Infiltration|Effusion,0,1,57,M,PA,2682,2749,0.143,0.143",
        "00000002_000.png,Mass|Nodule,0,2,57,M,AP,2682,2749,0.143,0.143",
        "00000003_000.png,No Finding,0,3,57,M,AP,2682,2749,0.143,0.143",
        "00000004_000.png,No Finding,0,4,57,M,AP,2682,2749,0.143,0.143",
    ]
    table = [columns, *(f"{row}{',' if end else ''}" for row in rows)]
    (root / f"Data_Entry_{version}.csv").write_text("\n".join(table) + "\n")
    (root / "test_list.txt").write_text("00000001_000.png\n00000002_000.png\n00000003_000.png\n")
    write_image(root / "images_001/images/00000001_000.png", (64, 64), "RGBA")
    write_image(root / "images_002/images/00000002_000.png", (64, 64))
    write_image(root / "images_002/images/00000003_000.png", (64, 64))
