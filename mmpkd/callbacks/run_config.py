"""Saving and logging of the configuration of a run."""

from dataclasses import asdict

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger

from data_modules.files.atomic import write_text
from mmpkd.callbacks.record import lineage
from mmpkd.callbacks.tables import run_folder


class SaveRunConfig(SaveConfigCallback):
    """Writes the complete configuration of a fit to `config.yaml` and logs it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save the configuration, except in a fit, where it is saved only after the checkpoint to resume from is accepted."""
        if stage != "fit":
            super().setup(trainer, pl_module, stage)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the configuration of a fit."""
        super().setup(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save and log the configuration of a fit. For other stages, only log it, and only if the folder has none."""
        path = run_folder(trainer).config
        if stage != "fit" and path.is_file():
            return  # the settings of a test must not replace those of the training
        # including defaults, which may differ in later releases
        text = self.parser.dump(self.config, skip_none=False)
        if stage == "fit":
            write_text(path, text)
        for tracker in trainer.loggers:
            if isinstance(tracker, WandbLogger):
                tracker.log_hyperparams({"cli": yaml.safe_load(text), "lineage": asdict(lineage(trainer, pl_module))})
