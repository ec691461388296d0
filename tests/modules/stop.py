from lightning.pytorch import Callback, LightningModule, Trainer


class StopAfter(Callback):
    """Ends a fit after so many epochs, as a kill would, without changing what it was planned for."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop."""
        del pl_module
        trainer.should_stop = trainer.should_stop or trainer.current_epoch + 1 >= self.epochs
