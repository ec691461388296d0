"""Configurations of tiny runs, for tests that go through the real command line."""

from pathlib import Path
from typing import Any

import yaml

TRAINER = {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 2}


def data(root: Path, **init_args: Any) -> dict[str, Any]:
    return {"class_path": "tests.tiny.TinyDataModule", "init_args": {"root": str(root), **init_args}}


def text_teacher() -> dict[str, Any]:
    settings = {"width": 16, "depth": 1, "num_heads": 2, "max_length": 16}
    encoder = {"class_path": "mmpkd.teachers.TextEncoder", "init_args": settings}
    return {"class_path": "mmpkd.modules.TeacherModule", "init_args": {"encoder": encoder, "optimizer": {"lr": 5e-3}}}


def student(**init_args: Any) -> dict[str, Any]:
    settings = {"student": {"model_name": "vit_nano_patch8_64", "options": {"depth": 1}}, **init_args}
    return {"class_path": "mmpkd.modules.DistillationModule", "init_args": settings}


def config(folder: Path, name: str, tiny_root: Path, model: dict[str, Any], **more: Any) -> list[str]:
    """Write a configuration and return the arguments that use it: ["--config", path]."""
    content = {
        "run": {"dir": str(folder / name), "wandb": "disabled", **more.pop("run", {})},
        "data": more.pop("data", data(tiny_root)),
        "model": model,
        "trainer": {**TRAINER, **more.pop("trainer", {})},
        **more,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return ["--config", str(path)]
