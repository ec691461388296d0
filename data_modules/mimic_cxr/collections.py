"""Find and read all collections of regions on MIMIC-CXR, as deep as mirrors nest them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from lightning.pytorch.utilities import rank_zero_only

from data_modules.files.folders import MAX_DEPTH, MAX_FOLDERS, by_version, walk_folders
from data_modules.mimic_cxr.imagenome import read_imagenome_gold
from data_modules.mimic_cxr.ms_cxr import find_ms_cxr, read_ms_cxr
from data_modules.mimic_cxr.reflacx import read_reflacx
from data_modules.mimic_cxr.rois import Annotations, RoiSource

logger = logging.getLogger("mmpkd")
# folders that are not searched: patients of MIMIC-CXR, readings of REFLACX
LEAVES = r"p\d\d|main_data|gaze_data|gold_dataset|silver_dataset"
FOLDERS: Mapping[RoiSource, str] = {
    "imagenome_gold": "gold_dataset",
    "imagenome_silver": "silver_dataset",
    "reflacx": "main_data",
}


@dataclass(frozen=True)
class Collections:
    """Places of the collections.

    Attributes:
        root: The folder that was searched.
        places: File of MS-CXR, or folder of another collection: one of each version, the newest last.
    """

    root: Path
    places: Mapping[RoiSource, Sequence[Path]]

    def read(self, label_names: Sequence[str], min_certainty: int) -> Mapping[RoiSource, Annotations]:
        """Read all collections except the automatic one, which covers nearly everyone.

        Of several versions of a collection, the newest is scored, and the images of all versions count as annotated.

        Args:
            label_names: The K labels.
            min_certainty: Smallest certainty of an ellipse of REFLACX.
        """
        readers: dict[RoiSource, Callable[[Path], Annotations]] = {
            "ms_cxr": lambda path: read_ms_cxr(path, label_names),
            "imagenome_gold": lambda path: read_imagenome_gold(path, label_names),
            "reflacx": lambda path: read_reflacx(path, label_names, min_certainty),
        }
        return {name: self._newest(name, read) for name, read in readers.items() if name in self.places}

    def _newest(self, name: RoiSource, read: Callable[[Path], Annotations]) -> Annotations:
        versions = [read(path) for path in self.places[name]]
        annotated = frozenset[str]().union(*(version.annotated for version in versions))
        return replace(versions[-1], annotated=annotated)

    @rank_zero_only
    def say(self) -> None:
        """Log once which collections were found, and where."""
        if not self.places:
            logger.info(
                "no regions below the folder of the images: nothing is localized, and no patient held out of training"
            )
        for name, found in self.places.items():
            places = [str(path.relative_to(self.root)) for path in found]
            older = f"; patients of {', '.join(places[:-1])} are held out of training, too" if places[1:] else ""
            logger.info("regions of %s: %s%s", name, places[-1], older)


@rank_zero_only
def say_foreign(collections: Mapping[RoiSource, Annotations], images: "pd.Series[str]") -> None:
    """Warn of collections for which nobody is held out of training, since they name no image of the tables.

    Args:
        collections: The collections that were read.
        images: All images of the tables.
    """
    for name, found in collections.items():
        if found.annotated and not images.isin(found.annotated).any():
            logger.warning(
                "Expected images of %s in the tables but none of its %d is there: no patient is held out of training for it.",
                name,
                len(found.annotated),
            )


def find_collections(root: Path, must_exist: bool) -> Collections:
    """Find the collections in a folder or up to six levels below.

    Args:
        root: The folder.
        must_exist: Whether at least one is required.

    Raises:
        FileNotFoundError: If there is none but one is required, since patients with regions would not be held out of training.
    """
    folders = [folder for level in walk_folders(root, LEAVES) for folder in level]
    found: dict[RoiSource, list[Path]] = {"ms_cxr": find_ms_cxr(folders)}
    for name, folder_name in FOLDERS.items():
        found[name] = [folder for folder in folders if folder.name == folder_name]
    places = {name: sorted(paths, key=by_version) for name, paths in found.items() if paths}
    if must_exist and not places:
        raise FileNotFoundError(
            f"Expected MS_CXR_Local_Alignment_v*.csv, or the folders {', '.join(FOLDERS.values())} of other collections with "
            f"regions, in data.rois.root '{root}' or up to {MAX_DEPTH} folders below, but found none of them. Without them, "
            "patients with regions are not held out of training. Set data.rois.root to where they are, or leave it out; folders "
            f"with more than {MAX_FOLDERS} subfolders are not searched."
        )
    return Collections(root, places)
