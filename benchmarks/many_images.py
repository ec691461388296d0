"""A data set of any size without pictures: rows like those of MIMIC-CXR-JPG, and prepared images in a file of zeros."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.base import PrivilegedDataModule
from data_modules.images.geometry import place, whole
from data_modules.images.prepared import NUM_CHECKED, PreparedIndex, PreparedMeta, Status, describe, pack
from data_modules.split import Split, Table

# images, studies and patients of MIMIC-CXR
NUM_IMAGES, NUM_STUDIES, NUM_PATIENTS = 377_110, 227_835, 65_379
FRAME = (3056, 2544)
FINDINGS = tuple(f"Finding {k}" for k in range(14))
REPORT_LENGTH = 800
COLUMNS = tuple("abcdefghij")
VALUES = tuple(map(str, range(20)))


class ManyImages(PrivilegedDataModule):
    """Rows with paths, labels, a report per study and a table; the image files are empty.

    Args:
        root: Folder of the image files and of the prepared images.
        num_images: Number of training images.
        options: Arguments of `PrivilegedDataModule`.
    """

    def __init__(self, root: Path, num_images: int, **options: Any) -> None:
        super().__init__(FINDINGS, load_privileged=True, **options)
        self.root = root
        self.num_images = num_images

    def read_splits(self) -> Mapping[str, Split]:
        """Return a training split of the wanted size, and two of one image."""
        sizes = {"train": self.num_images, "val": 1, "test": 1}
        return {name: _split(self.root / name, size, seed) for seed, (name, size) in enumerate(sizes.items())}


def write(root: Path, num_images: int, side: int = 224) -> Path:
    """Write prepared images, all of them zero, and the image files whose sizes are compared with them; return their folder."""
    folder = root / "prepared"
    folder.mkdir(parents=True)
    data = ManyImages(root, num_images, image_size=side)
    splits = data.splits.values()
    for split in splits:
        for row in range(0, len(split), max(1, len(split) // NUM_CHECKED)):
            split.image[row].parent.mkdir(parents=True, exist_ok=True)
            split.image[row].touch()
    index = PreparedIndex.pending(np.concatenate([split.sample_id for split in splits]))
    index.status[:] = Status.READY
    index.geometry[:] = pack(place(FRAME, whole(FRAME), side, "pad"))
    index.save(folder / "index.npz")
    meta = PreparedMeta(len(index.status), side, "uint8", describe(data.preparation), True)
    meta.save(folder)
    with (folder / "images.bin").open("wb") as file:
        file.truncate(meta.num_bytes)
    return folder


def _split(root: Path, size: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    study = np.arange(size) * NUM_STUDIES // NUM_IMAGES
    patient = study * NUM_PATIENTS // NUM_STUDIES + 10_000_000 + 1_000_000 * seed
    words = rng.integers(0, 2**32, (size, 5)).tolist()
    names = ["-".join(f"{word:08x}" for word in row) for row in words]
    rows = zip(patient.tolist(), study.tolist(), names, strict=True)
    reports = [f"Study {number}. ".ljust(REPORT_LENGTH, "x") for number in range(size * NUM_STUDIES // NUM_IMAGES + 1)]
    return Split(
        sample_id=np.array(names),
        patient_id=patient.astype(str),
        image=[root / f"files/p{p // 1_000_000}/p{p}/s{s + 50_000_000}/{name}.jpg" for p, s, name in rows],
        label=rng.integers(0, 2, (size, len(FINDINGS))).astype(np.float32),
        has_privileged=np.ones(size, np.bool_),
        report=[reports[number] for number in study.tolist()],
        table=Table(
            rng.random((size, len(COLUMNS)), np.float32), np.zeros((size, len(VALUES)), np.float32), COLUMNS, VALUES
        ),
        strata={"view": rng.choice(["AP", "PA", "LATERAL"], size)},
    )
