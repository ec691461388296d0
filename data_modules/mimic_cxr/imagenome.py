"""Anatomy of Chest ImaGenome (https://physionet.org/content/chest-imagenome) in which a finding was reported.

These are boxes of anatomical regions, such as the right lower lung zone, with the findings that the report attributes to them.
They are no outlines of lesions: a score against them tells whether a student looks at the right part of the chest.
"""

import json
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from data_modules.columns import identifiers
from data_modules.geometry import to_xyxy
from data_modules.mimic_cxr.files import read_table
from data_modules.mimic_cxr.rois import Annotations, find_folder
from data_modules.regions import BoxRegion, Region, join_regions

# names of findings in the scene graphs, by label
FINDINGS = {
    "atelectasis": "Atelectasis",
    "lobar/segmental collapse": "Atelectasis",
    "enlarged cardiac silhouette": "Cardiomegaly",
    "consolidation": "Consolidation",
    "pulmonary edema/hazy opacity": "Edema",
    "fluid overload/heart failure": "Edema",
    "enlarged mediastinum": "Enlarged Cardiomediastinum",
    "mass/nodule (not otherwise specified)": "Lung Lesion",
    "lung lesion": "Lung Lesion",
    "lung opacity": "Lung Opacity",
    "pleural effusion": "Pleural Effusion",
    "pleural/parenchymal scarring": "Pleural Other",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
}
GOLD_BOXES = "gold_bbox_coordinate_annotations_1000images.csv"
GOLD_FINDINGS = "gold_attributes_relations_500pts_500studies1st.txt"
ORIGINAL = ("original_x1", "original_y1", "original_x2", "original_y2")


def read_imagenome_gold(root: Path, label_names: Sequence[str]) -> Annotations | None:
    """Read the boxes that people corrected, and the findings that they attributed to them.

    Args:
        root: Folder of Chest ImaGenome, or the one above.
        label_names: The K labels.

    Returns:
        Boxes in pixels of the original images; None if there is no `gold_dataset/`.

    Raises:
        FileNotFoundError: If a file of the folder is missing.
        ValueError: If a file lacks a column.
    """
    folder = find_folder(root, "gold_dataset")
    if folder is None:
        return None
    boxes = read_table(folder / GOLD_BOXES, ("image_id", "bbox_name", *ORIGINAL))
    found = read_table(folder / GOLD_FINDINGS, ("image_id", "bbox", "relation", "label_name"), separator="\t")
    found = found[found["relation"].astype(str).isin(("1", "1.0"))].assign(
        finding=found["label_name"].astype(str).str.lower().map(FINDINGS), bbox_name=found["bbox"]
    )
    found = found.dropna(subset=["finding"])[["image_id", "bbox_name", "finding"]].drop_duplicates()
    for frame in (boxes, found):
        frame["image_id"] = identifiers(frame["image_id"], f"column 'image_id' of a table of '{folder}'")
        frame["image_id"] = frame["image_id"].str.removesuffix(".dcm")
    joined = found.merge(boxes, on=["image_id", "bbox_name"], how="inner")
    empty = joined["original_x2"] <= joined["original_x1"]
    rows = (
        (str(image), str(finding), BoxRegion(to_xyxy(box, "xyxy")))
        for image, finding, *box in joined.loc[~empty, ["image_id", "finding", *ORIGINAL]].itertuples(index=False)
    )
    counts = {"empty_boxes": int(empty.sum())}
    return Annotations(join_regions(rows, label_names, {}), frozenset(boxes["image_id"]), {}, counts)


def read_imagenome_silver(root: Path, label_names: Sequence[str], images: Collection[str]) -> Annotations | None:
    """Read the automatic scene graphs of some images, in place from `scene_graph.zip`.

    Args:
        root: Folder of Chest ImaGenome, or the one above.
        label_names: The K labels.
        images: Images to read; there are graphs of 242,072.

    Returns:
        Boxes in pixels of the original images; None if there is no `silver_dataset/`. `annotated` is empty: the graphs cover
        nearly all frontal images, and nobody is held out of training for them.

    Raises:
        FileNotFoundError: If the archive is missing.
    """
    folder = find_folder(root, "silver_dataset")
    if folder is None:
        return None
    archive = folder / "scene_graph.zip"
    if not archive.is_file():
        raise FileNotFoundError(f"Expected the scene graphs in '{archive}' but there is no such file.")
    rows: list[tuple[str, str, Region]] = []
    without = 0
    with zipfile.ZipFile(archive) as graphs:
        names = {Path(name).name.removesuffix("_SceneGraph.json"): name for name in graphs.namelist()}
        for image in images:
            if image in names:
                rows += [(image, finding, region) for finding, region in _graph(json.loads(graphs.read(names[image])))]
            else:
                without += 1
    return Annotations(join_regions(rows, label_names, {}), frozenset(), {}, {"without_scene_graph": without})


def _graph(graph: dict[str, Any]) -> Iterator[tuple[str, Region]]:
    box_of = {item["bbox_name"]: item for item in graph["objects"]}
    seen = set()
    for entry in graph["attributes"]:
        for phrase in entry["attributes"]:
            for attribute in phrase:
                # for example anatomicalfinding|yes|lung opacity
                _, relation, name = attribute.split("|", 2)
                finding = FINDINGS.get(name)
                item = box_of.get(entry["bbox_name"])
                if relation != "yes" or finding is None or item is None or (finding, entry["bbox_name"]) in seen:
                    continue
                seen.add((finding, entry["bbox_name"]))
                box = to_xyxy([item[name] for name in ORIGINAL], "xyxy")
                if box[2] > box[0] and box[3] > box[1]:
                    yield finding, BoxRegion(box)
