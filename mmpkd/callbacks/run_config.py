"""The configuration of a run, in its folder and for its trackers."""

from dataclasses import asdict

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger

from data_modules.atomic import write_text
from mmpkd.callbacks.record import lineage
from mmpkd.callbacks.tables import run_folder


class SaveRunConfig(SaveConfigCallback):
    """Writes the complete configuration of a fit to `config.yaml` and hands it to the loggers."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait, in a fit: a checkpoint that does not fit may still be refused."""
        if stage != "fit":
            super().setup(trainer, pl_module, stage)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the configuration."""
        super().setup(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save and log the configuration of a training, and log that of a test of a student that was trained elsewhere."""
        text = self.parser.dump(self.config, skip_none=False)
        path = run_folder(trainer).config
        if stage == "fit":
            write_text(path, text)
        elif path.is_file():
            return  # what a test is run with says nothing of how the student was trained
        for tracker in trainer.loggers:
            if isinstance(tracker, WandbLogger):
                tracker.log_hyperparams({"cli": yaml.safe_load(text), "lineage": asdict(lineage(trainer, pl_module))})
