"""Validation at the end of a training that stops within an epoch."""

from lightning.pytorch import Callback, LightningModule, Trainer

from mmpkd.callbacks.checkpoints.best_checkpoint import BestCheckpoint, best_checkpoint


class LastValidation(Callback):
    """Validates after the last of `trainer.max_steps`, which Lightning does not, and refuses a training without validation.

    Without it, the weights after the last steps, where the learning rate is smallest, would not be scored.
    """

    def __init__(self) -> None:
        self._validated_step = -1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the step that was validated."""
        del pl_module
        if not trainer.sanity_checking:
            self._validated_step = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate if Lightning has not, because of `check_val_every_n_epoch` or `min_epochs`."""
        del pl_module
        if not 0 < trainer.max_steps <= trainer.global_step or self._validated_step == trainer.global_step:
            return
        loop = trainer.fit_loop.epoch_loop
        # scores are logged at the last step, as at the end of an epoch
        loop._batches_that_stepped -= 1
        trainer.validating = True
        loop.val_loop.run()
        trainer.training = True
        loop._batches_that_stepped += 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Ask Lightning to stop after the last step, because it then validates first."""
        del pl_module, outputs, batch, batch_idx
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that a best checkpoint was chosen.

        Raises:
            RuntimeError: If there was training but no validation.
        """
        del pl_module
        own = best_checkpoint(trainer)
        is_meant = trainer.limit_train_batches == 0 or bool(trainer.fast_dev_run)  # type: ignore[attr-defined]
        if not is_meant and isinstance(own, BestCheckpoint) and not own.best_model_path:
            raise RuntimeError(
                "Expected a validation, which chooses `best.ckpt`, but the training ended without one, after "
                f"{trainer.global_step} steps. Train for longer, or validate sooner (--trainer.val_check_interval)."
            )
