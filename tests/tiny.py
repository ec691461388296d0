"""A data set of 64 tiny images that a student can learn in seconds: a bright square says which of two findings is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from data_modules.base import License, PrivilegedDataModule
from data_modules.images.regions import BoxRegion, Roi
from data_modules.images.transforms import Augmentation
from data_modules.split import Split, Table
from mmpkd.students import VisionTransformerStudent
from mmpkd.teachers.encoders.vocabulary import learn_word_tokenizer
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets

NAMES = ("Left Finding", "Right Finding")
SIDE = 32


def write_tiny(root: Path, sizes: Mapping[str, int], seed: int = 0) -> dict[str, Split]:
    """Write images below `root` and return the splits."""
    return {name: _write_split(root / name, name, n, seed) for name, n in sizes.items()}


def _write_split(folder: Path, name: str, n: int, seed: int) -> Split:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, len(name), n])
    label = rng.integers(0, 2, size=(n, 2)).astype(np.float32)
    label[:2] = [[0, 1], [1, 0]]
    images, rois = [], {}
    for i in range(n):
        pixels = rng.integers(0, 60, size=(SIDE, SIDE)).astype(np.uint8)
        boxes = [(4.0, 12.0, 12.0, 20.0), (20.0, 12.0, 28.0, 20.0)]
        for finding in np.flatnonzero(label[i]):
            x0, y0, x1, y1 = (int(v) for v in boxes[finding])
            pixels[y0:y1, x0:x1] = 220
        path = folder / f"{i}.png"
        if not path.exists():
            Image.fromarray(pixels).save(path)
        images.append(path)
        if name != "train" and label[i].any():
            rois[i] = tuple(Roi(int(f), (BoxRegion(boxes[f]),)) for f in np.flatnonzero(label[i]))
    has = np.ones(n, dtype=np.bool_)
    has[-1] = False
    words = [("bright left" if a else "dark left") + (" bright right" if b else " dark right") for a, b in label]
    table = Table(label[:, :1].copy(), np.eye(2, dtype=np.float32)[label[:, 1].astype(int)], ("a",), ("b=0", "b=1"))
    return Split(
        sample_id=np.array([f"{name}{i}" for i in range(n)]),
        patient_id=np.array([f"{name}-patient{i // 2}" for i in range(n)]),
        image=images,
        label=label,
        has_privileged=has,
        report=[word if ok else "" for word, ok in zip(words, has, strict=True)],
        table=table,
        rois=rois,
    )


class TinyDataModule(PrivilegedDataModule):
    """The tiny data set.

    Args:
        root: Where images are written.
        image_size: Side of the input.
        batch_size: Samples a step.
        num_workers: Loader processes.
        seed: Seed of order and augmentation.
        num_train: Training samples.
        num_eval: Validation and test samples each.
        shift: Largest random translation of a training image.
        label_names: Names of the two findings.
        data_seed: Seed of the data themselves.
        prepared: Folder of prepared images.
    """

    license: ClassVar[License] = "synthetic"

    def __init__(
        self,
        root: str,
        image_size: int = 32,
        batch_size: int = 8,
        num_workers: int = 0,
        seed: int = 0,
        num_train: int = 64,
        num_eval: int = 16,
        shift: float = 0.1,
        label_names: tuple[str, str] = NAMES,
        data_seed: int = 0,
        prepared: Path | None = None,
    ) -> None:
        augmentation = Augmentation(shift=shift)
        super().__init__(
            label_names,
            image_size=image_size,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            augmentation=augmentation,
            prepared=prepared,
        )
        self.root, self.num_train, self.num_eval, self.data_seed = Path(root), num_train, num_eval, data_seed

    def read_splits(self) -> Mapping[str, Split]:
        """Write and return the splits."""
        return write_tiny(
            self.root, {"train": self.num_train, "val": self.num_eval, "test": self.num_eval}, self.data_seed
        )


def tiny_student(**settings: Any) -> VisionTransformerStudent:
    """Return a student of the tiny data set, of one block."""
    chosen = {"model_name": "vit_nano_patch8_64", "num_classes": 2, "image_size": SIDE, "options": {"depth": 1}}
    return VisionTransformerStudent(**{**chosen, **settings})


def write_targets(folder: Path, root: Path) -> Path:
    """Write targets of some outside model, with features, for the training samples of the tiny data set."""
    train = TinyDataModule(str(root)).splits["train"]
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((1, *train.label.shape)).astype(np.float32)
    features = rng.standard_normal((len(train), 4)).astype(np.float16)
    meta = TargetsMeta(list(NAMES), thresholds=[0.4, 0.6])
    TeacherTargets(logits, features, train.has_privileged, train.sample_id, meta).save(folder)
    return folder


def write_student(path: Path, root: Path) -> Path:
    """Write the checkpoint of a student that has not learned anything, with thresholds that part its predictions."""
    torch.manual_seed(0)
    student = tiny_student()
    for parameter in student.model.head.parameters():
        parameter.data += torch.randn_like(parameter)
    data = TinyDataModule(str(root))
    dataset = data.dataset("test", True, False)
    student.eval()
    with torch.no_grad():
        logits = student(torch.stack([torch.from_numpy(dataset[0, row].image) for row in range(16)])).logits
    weights = {f"student.{name}": value for name, value in student.state_dict().items()}
    state = {**weights, "scores.thresholds": logits.sigmoid().median(0).values}
    seen = {"mean": 0.5, "std": 0.25, "preparation": data.preparation.describe()}
    torch.save({"student": student.settings, "input": seen, "label_names": list(NAMES), "state_dict": state}, path)
    return path


def write_text_encoder(folder: Path) -> Path:
    """Write a tiny BERT in place of one of the Hugging Face hub."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = learn_word_tokenizer(["no effusion"], 50)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)
    return folder
