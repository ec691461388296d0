"""Anatomical regions of Chest ImaGenome (https://physionet.org/content/chest-imagenome) with the findings reported in them.

The boxes surround anatomical regions, such as the right lower lung zone. They are not outlines of lesions: a score against
them shows whether a student looks at the right part of the chest.
"""

import json
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from data_modules.columns import binary_column, coordinates, identifiers
from data_modules.files.json_file import read_json
from data_modules.files.layout import as_published
from data_modules.images.geometry import to_xyxy
from data_modules.images.regions import BoxRegion, Region, join_regions
from data_modules.mimic_cxr.files import read_table
from data_modules.mimic_cxr.rois import Annotations
from data_modules.vocabulary import Vocabulary

# lower-case names of findings and devices in the scene graphs, assigned as CheXpert's labeler reads them
VOCABULARY = Vocabulary(
    stated={
        "Atelectasis": ("atelectasis", "linear/patchy atelectasis", "lobar/segmental collapse"),
        "Cardiomegaly": ("enlarged cardiac silhouette",),
        "Consolidation": ("consolidation",),
        "Edema": ("fluid overload/heart failure", "pulmonary edema/hazy opacity", "vascular congestion"),
        "Enlarged Cardiomediastinum": ("mediastinal widening", "superior mediastinal mass/enlargement"),
        "Fracture": ("clavicle fracture", "rib fracture", "spinal fracture"),
        "Lung Lesion": (
            "calcified nodule",
            "lung cancer",
            "lung lesion",
            "mass/nodule (not otherwise specified)",
            "multiple masses/nodules",
        ),
        "Lung Opacity": (
            "airspace opacity",
            "increased reticular markings/ild pattern",
            "infiltration",
            "interstitial lung disease",
            "lung opacity",
        ),
        "Pleural Effusion": ("hydropneumothorax", "pleural effusion"),
        "Pleural Other": ("pleural/parenchymal scarring",),
        "Pneumonia": ("pneumonia",),
        "Pneumothorax": ("hydropneumothorax", "pneumothorax"),
        "Support Devices": (
            "cardiac pacer and wires",
            "chest port",
            "chest tube",
            "endotracheal tube",
            "enteric tube",
            "ij line",
            "intra-aortic balloon pump",
            "mediastinal drain",
            "picc",
            "pigtail catheter",
            "prosthetic valve",
            "subclavian line",
            "swan-ganz catheter",
            "tracheostomy tube",
        ),
    }
)
GOLD_BOXES = "gold_bbox_coordinate_annotations_1000images.csv"
GOLD_FINDINGS = "gold_attributes_relations_500pts_500studies1st.txt"
ORIGINAL = ("original_x1", "original_y1", "original_x2", "original_y2")


def read_imagenome_gold(folder: Path, label_names: Sequence[str]) -> Annotations:
    """Read the boxes and findings that people checked and corrected.

    Args:
        folder: `gold_dataset/`.
        label_names: The K labels.

    Returns:
        Boxes in pixels of the original images.

    Raises:
        FileNotFoundError: If a file of the folder is missing.
        ValueError: If a file lacks a column, or a cell does not hold what it should.
    """
    boxes = read_table(folder / GOLD_BOXES, ("image_id", "bbox_name", *ORIGINAL))
    found = read_table(folder / GOLD_FINDINGS, ("image_id", "bbox", "relation", "label_name"), separator="\t")
    boxes[list(ORIGINAL)] = coordinates(boxes, ORIGINAL, f"'{GOLD_BOXES}'")
    # rows with 0 deny the finding
    stated = binary_column(found["relation"], f"column 'relation' of '{GOLD_FINDINGS}'", may_be_blank=False) == 1
    found = found[stated].assign(bbox_name=found["bbox"])
    found["finding"] = [list(VOCABULARY.labels_of(str(name).lower())) for name in found["label_name"]]
    found = found[["image_id", "bbox_name", "finding"]].explode("finding").dropna().drop_duplicates()
    for frame in (boxes, found):
        frame["image_id"] = identifiers(frame["image_id"], f"column 'image_id' of a table of '{folder}'")
        frame["image_id"] = frame["image_id"].str.removesuffix(".dcm")
        frame["bbox_name"] = frame["bbox_name"].astype(str).str.strip().str.lower()
    joined = found.merge(boxes, on=["image_id", "bbox_name"], how="inner")
    boxed = found.set_index(["image_id", "bbox_name"]).index.isin(boxes.set_index(["image_id", "bbox_name"]).index)
    empty = joined["original_x2"] <= joined["original_x1"]
    rows = (
        (str(image), str(finding), BoxRegion(to_xyxy(box, "xyxy")))
        for image, finding, *box in joined.loc[~empty, ["image_id", "finding", *ORIGINAL]].itertuples(index=False)
    )
    rois = join_regions(rows, label_names, {})
    counts = {"empty_boxes": int(empty.sum()), "findings_without_a_box": int((~boxed).sum())}
    return Annotations(rois, frozenset(boxes["image_id"]), VOCABULARY.labels, counts=counts)


def read_imagenome_silver(folder: Path, label_names: Sequence[str], images: Collection[str]) -> Annotations:
    """Read the automatic scene graphs of some images, from `scene_graph/` or in place from `scene_graph.zip`.

    Args:
        folder: `silver_dataset/`.
        label_names: The K labels.
        images: Images to read; there are graphs of 242,072.

    Returns:
        Boxes in pixels of the original images. `annotated` is empty: the graphs cover nearly all frontal images, so nobody
        is held out of training for them.

    Raises:
        FileNotFoundError: If neither exists.
        ValueError: If the archive or a graph is damaged.
    """
    rows: list[tuple[str, str, Region]] = []
    without = 0
    with as_published(folder / "scene_graph.zip"):
        for image, graph in _graphs(folder, images):
            if graph is None:
                without += 1
            else:
                rows += [(image, finding, region) for finding, region in _regions(graph)]
    rois = join_regions(rows, label_names, {})
    return Annotations(rois, frozenset(), VOCABULARY.labels, counts={"without_scene_graph": without})


def _graphs(folder: Path, images: Collection[str]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield images with their scene graphs; None for an image without."""
    unpacked = folder / "scene_graph"
    archive = folder / "scene_graph.zip"
    if unpacked.is_dir():
        for image in images:
            path = unpacked / f"{image}_SceneGraph.json"
            yield image, read_json(path) if path.is_file() else None
        return
    if not archive.is_file():
        raise FileNotFoundError(f"Expected the scene graphs in '{archive}' or '{unpacked}' but there is neither.")
    with zipfile.ZipFile(archive) as graphs:
        names = {Path(name).name.removesuffix("_SceneGraph.json"): name for name in graphs.namelist()}
        for image in images:
            yield image, json.loads(graphs.read(names[image])) if image in names else None


def _regions(graph: dict[str, Any]) -> Iterator[tuple[str, Region]]:
    box_of = {item["bbox_name"]: item for item in graph["objects"]}
    for anatomy, label in dict.fromkeys(_stated(graph)):
        if anatomy in box_of:
            box = to_xyxy([box_of[anatomy][name] for name in ORIGINAL], "xyxy")
            if box[2] > box[0] and box[3] > box[1]:
                yield label, BoxRegion(box)


def _stated(graph: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield anatomy and label of every finding that a report states."""
    for entry in graph["attributes"]:
        for phrase in entry["attributes"]:
            for attribute in phrase:
                # for example anatomicalfinding|yes|lung opacity
                _, relation, name = attribute.split("|", 2)
                if relation == "yes":
                    for label in VOCABULARY.labels_of(name.strip().lower()):
                        yield entry["bbox_name"], label
