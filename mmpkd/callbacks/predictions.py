"""A table of predictions, one row per sample, in the run folder."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from data_modules.batch import Batch
from mmpkd.callbacks.tables import Rows, is_due, label_names, run_folder, save_table
from mmpkd.records.prediction_table import probability_column, target_column


class PredictionWriter(Callback):
    """Writes `predictions_<stage>.parquet` into the run folder, for val, test and predict.

    One row per sample: `sample_id`, `patient_id`, `target/<label>` (1, 0, NaN) and `probability/<label>`. During a fit, each
    validation replaces the table of the one before.
    """

    def __init__(self) -> None:
        self._rows = Rows()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a new table."""
        del trainer, pl_module
        self._rows = Rows()

    on_test_epoch_start = on_validation_epoch_start
    on_predict_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Store the predictions of a batch, `{"probability": float32 (B, K)}`."""
        del pl_module, batch_idx, dataloader_idx
        if not is_due(trainer):
            return
        columns: dict[str, Tensor | list[str]] = {"sample_id": batch["sample_id"], "patient_id": batch["patient_id"]}
        for column, name in enumerate(label_names(trainer)):
            columns[target_column(name)] = batch["label"][:, column]
            columns[probability_column(name)] = outputs["probability"][:, column]
        self._rows.add(columns)

    on_test_batch_end = on_validation_batch_end
    on_predict_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the validation table."""
        del pl_module
        self._write(trainer, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the test table."""
        del pl_module
        self._write(trainer, "test")

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the table of `predict`."""
        del pl_module
        self._write(trainer, "predict")

    def _write(self, trainer: Trainer, stage: str) -> None:
        if not is_due(trainer):
            return
        frame = self._rows.gather(("sample_id",))
        if frame is not None:
            save_table(trainer, frame, run_folder(trainer).predictions(stage))
