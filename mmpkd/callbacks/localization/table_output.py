"""Writing and logging of a localization table at the end of an epoch."""

import pandas as pd
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger

from data_modules.files.atomic import write_text
from mmpkd.callbacks.tables import run_folder, save_table
from mmpkd.numerics.processes import from_first
from mmpkd.records.roi_table import stratified, summary


def write_and_log(
    trainer: Trainer, pl_module: LightningModule, frame: pd.DataFrame | None, stage: str, of_unions: bool = False
) -> None:
    """Write a table and its means by stratum into the run folder, and log its means.

    This is a collective operation: every process must call it, and logs the means.

    Args:
        trainer: The trainer.
        pl_module: Module that logs.
        frame: Table of all processes in the first one, None in the others. An empty table has no means.
        stage: `val` or `test`.
        of_unions: Whether it is the table of unions.
    """
    folder = run_folder(trainer)
    if frame is not None:
        save_table(trainer, frame, folder.unions(stage) if of_unions else folder.rois(stage))
    # a checkpoint may be chosen by them, in every process
    means = from_first(lambda: {} if frame is None or frame.empty else summary(frame, stage))
    if means:
        pl_module.log_dict(means, sync_dist=True)
    if frame is None or frame.empty:
        return
    strata = stratified(frame)
    path = folder.union_strata(stage) if of_unions else folder.strata(stage)
    write_text(path, strata.to_csv(index=False))
    key = "union_localization_by_stratum" if of_unions else "localization_by_stratum"
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger) and stage == "test":
            logger.log_table(f"test/{key}", dataframe=strata)
