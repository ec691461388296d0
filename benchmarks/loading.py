"""What it costs to load a radiograph: prepared images against files, and against torchxrayvision's MIMIC data set class.

Run: python benchmarks/loading.py [--images 16] [--size 224] [--repeats 5]

Writes a MIMIC-CXR-JPG of synthetic radiographs of 2544 x 3056 pixels (JPEG, quality 95, about 1.5 MB each, as MIMIC's) to a
temporary folder. Times are CPU time per image in one process, with files in the page cache; the variants run in turn.
`PIL` is what most training scripts do: decode everything, convert to RGB, resize. `prepare` is what `mmpkd prepare` does once.
The loaders serve normalised batches of 8: ours from prepared images and from the files, torchxrayvision's with its centre crop
and its resizer, with either of its engines.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
import torchxrayvision as xrv
from PIL import Image
from timing import Bar, measure, ratio, show, show_bars
from torch.utils.data import DataLoader
from torchvision.transforms import Compose

from data_modules.images.prepare import prepare_images
from data_modules.mimic_cxr import MIMICCXRDataModule

FRAME = (3056, 2544)
FINDINGS = ("Atelectasis", "Edema")
BATCH = 8
# times that prepared images are read in one measurement: once is too fast to be timed
ROUNDS = 20
# standard deviation of the noise in grey levels
NOISE = 1.7


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = write_mimic(root, options.images)
        megabytes = np.mean([path.stat().st_size for path in files]) / 1e6
        print(
            f"{len(files)} JPEG files of {FRAME[1]} x {FRAME[0]} pixels, {megabytes:.2f} MB each, to {options.size} pixels"
        )
        run(root, options.size, options.repeats)


def run(root: Path, size: int, repeats: int) -> None:
    """Measure all variants on the same files, and print milliseconds per image."""
    plain = make_data(root, size, None)
    train = plain.splits["train"]
    everyone = (
        np.concatenate([split.sample_id for split in plain.splits.values()]),
        [path for split in plain.splits.values() for path in split.image],
    )
    prepare_images(root / "prepared", plain.preparation, *everyone, num_workers=0)
    prepared = make_data(root, size, root / "prepared")
    dataset = prepared.dataset("train", load_images=True, load_privileged=False)
    assert dataset.prepared is not None
    read = dataset.prepared.read
    single: dict[str, Callable[[], object]] = {
        "PIL": lambda: [pil(path, size) for path in train.image],
        "prepare": lambda: prepare_images(
            Path(tempfile.mkdtemp(dir=root)), plain.preparation, train.sample_id, train.image, num_workers=0
        ),
        "prepared, read": lambda: [read(i) for _ in range(ROUNDS) for i in range(len(train))],
        "prepared, sample": lambda: [dataset[(0, i)] for _ in range(ROUNDS) for i in range(len(train))],
    }
    times = per_image(single, len(train), repeats)
    show(times, "PIL")
    loaders: dict[str, Callable[[], object]] = {
        "torchxrayvision, skimage": lambda: list(xrv_loader(root, size, "skimage")),
        "torchxrayvision, cv2": lambda: list(xrv_loader(root, size, "cv2")),
        "ours, files": lambda: list(plain.train_dataloader()),
        "ours, prepared": lambda: [list(prepared.train_dataloader()) for _ in range(ROUNDS)],
    }
    print("\nDataLoader, without processes of its own")
    show(per_image(loaders, len(train), repeats), "torchxrayvision, skimage")
    wanted = {"prepare": 0.30, "prepared, read": 1 / 200}
    show_bars([Bar(f"{name} / PIL", ratio(times, name, "PIL"), limit) for name, limit in wanted.items()])


def per_image(variants: Mapping[str, Callable[[], object]], num_images: int, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each variant per image, by round; prepared images are read many times over."""
    times = measure(variants, repeats)
    count = {name: num_images * (ROUNDS if "prepared" in name else 1) for name in variants}
    return {name: [t / count[name] for t in own] for name, own in times.items()}


def make_data(root: Path, size: int, prepared: Path | None) -> MIMICCXRDataModule:
    """Return our data module of the files, image and label only."""
    return MIMICCXRDataModule(
        root, label_names=FINDINGS, image_size=size, batch_size=BATCH, load_privileged=False, prepared=prepared
    )


def xrv_loader(root: Path, size: int, engine: str) -> DataLoader[object]:
    """Return a loader of torchxrayvision's data set class on the training files."""
    transform = Compose([xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(size, engine)])
    tables = (root / f"mimic-cxr-2.0.0-{name}.csv" for name in ("chexpert", "metadata"))
    dataset = xrv.datasets.MIMIC_Dataset(str(root / "files"), *map(str, tables), transform=transform)
    return DataLoader(torch.utils.data.Subset(dataset, range(len(dataset) - 2)), batch_size=BATCH)


def write_mimic(root: Path, num_images: int) -> list[Path]:
    """Write frontal radiographs of as many training patients, and of one validation and one test patient."""
    rng = np.random.default_rng(0)
    subject = 10_000_000 + np.arange(num_images + 2)
    frame = pd.DataFrame({"subject_id": subject, "study_id": subject + 40_000_000})
    frame["dicom_id"] = [f"{i:08x}-00000000-00000000-00000000-00000000" for i in range(len(frame))]
    frame["split"] = ["train"] * num_images + ["validate", "test"]
    frame[["dicom_id", "study_id", "subject_id", "split"]].to_csv(root / "mimic-cxr-2.0.0-split.csv", index=False)
    frame.assign(ViewPosition="PA", Rows=FRAME[0], Columns=FRAME[1], StudyDate=21800101).drop(columns="split").to_csv(
        root / "mimic-cxr-2.0.0-metadata.csv", index=False
    )
    labels = frame[["subject_id", "study_id"]].assign(**{name: np.arange(len(frame)) % 2 for name in FINDINGS})
    labels.assign(**{"No Finding": np.nan}).to_csv(root / "mimic-cxr-2.0.0-chexpert.csv", index=False)
    files = []
    for row in frame.itertuples():
        folder = root / f"files/p{str(row.subject_id)[:2]}/p{row.subject_id}/s{row.study_id}"
        folder.mkdir(parents=True)
        folder.with_suffix(".txt").write_text(" FINDINGS: Clear lungs.\n", encoding="utf-8")
        files.append(folder / f"{row.dicom_id}.jpg")
        Image.fromarray(radiograph(rng)).save(files[-1], quality=95)
    return files


def radiograph(rng: np.random.Generator) -> np.ndarray:
    """Return smooth structures with the noise that makes a JPEG file as large as one of MIMIC's."""
    coarse = cv2.resize(rng.random((24, 20), dtype=np.float32), FRAME[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(255 * coarse + rng.normal(0, NOISE, FRAME), 0, 255).astype(np.uint8)


def pil(path: Path, size: int) -> np.ndarray:
    """Decode everything, convert to RGB, resize."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


if __name__ == "__main__":
    main()
