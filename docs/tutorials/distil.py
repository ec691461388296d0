"""
Everything in plain Python
==========================

Distil a student from a teacher of reports, without a command line: ``.venv/bin/python docs/tutorials/distil.py``.

Chest phantoms are written on the way; any other data module of ``data_modules`` takes their place. A few epochs on a few
images show how it is done, and nothing else.
"""

from pathlib import Path

from lightning.pytorch import Trainer, seed_everything

import mmpkd
from data_modules.phantoms import ChestPhantomDataModule


def distil(folder: Path, num_train: int = 400, epochs: int = 3) -> None:
    """Train a teacher and a student, and print what the student predicts for image files."""
    seed_everything(0, verbose=False)
    sizes = {"num_train": num_train, "num_val": num_train // 2, "num_test": num_train // 4}
    data = ChestPhantomDataModule(folder / "phantoms", **sizes, image_size=64, mean=0.41, std=0.18)
    options = {"max_epochs": epochs, "logger": False, "enable_checkpointing": False, "enable_model_summary": False}

    # the teacher reads the reports, and no image is opened
    teacher = mmpkd.TeacherModule(mmpkd.TextEncoder(width=64, depth=1), data.num_classes)
    trainer = Trainer(**options)
    trainer.fit(teacher, data)
    trainer.save_checkpoint(folder / "teacher.ckpt", weights_only=True)

    # the student sees the image only
    student = mmpkd.VisionTransformerStudent("vit_nano_patch8_64", data.num_classes, 64, mean=data.mean, std=data.std)
    source = mmpkd.TeacherSource(str(folder / "teacher.ckpt"))
    module = mmpkd.DistillationModule(student, source, mmpkd.Objective(weight=0.7))
    trainer = Trainer(**options)
    trainer.fit(module, data)
    trainer.test(module, data)
    trainer.save_checkpoint(folder / "student.ckpt", weights_only=True)

    # from here on, the checkpoint is all that is needed; five of the images that were written, some of them of the training
    found = mmpkd.infer(folder / "student.ckpt", sorted(folder.rglob("*.jpg"))[:5])
    print(found.drop(columns="file").round(2).to_string())


if __name__ == "__main__":
    distil(Path("runs/distil"))
