"""Common parts of teacher and student training: optimizer, schedule, scores and logging."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from timm.optim import param_groups_weight_decay
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from data_modules.base import PrivilegedDataModule
from data_modules.batch import Batch
from data_modules.labels import metric_name
from mmpkd.metrics.classification import MultilabelScores
from mmpkd.modules.optimizer import OptimizerSettings, WarmupCosine
from mmpkd.students.output import ModelOutput


class ClassificationModule(LightningModule):
    """Multi-label classification with AdamW, linear warm-up and cosine decay.

    Args:
        num_classes: Number of labels K.
        optimizer: Settings of AdamW.
    """

    def __init__(self, num_classes: int, optimizer: OptimizerSettings) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.optimizer_settings = optimizer
        self._total_steps = 0
        # difference between the step of the schedule and Lightning's own, see `_scheduled_step`
        self._steps_before = 0
        self._group_settings: list[dict[str, Any]] = []
        self.scores = MultilabelScores(num_classes)

    @abstractmethod
    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the terms of the training loss by name, scalars. `loss` is the one to minimise."""

    @abstractmethod
    def predict(self, batch: Batch) -> ModelOutput:
        """Return the outputs for a batch."""

    def evaluation_label(self, batch: Batch) -> Tensor:
        """Return the labels (B, K) that outputs are scored against; NaN is ignored."""
        return batch["label"]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss, and log its terms, averaged over processes, every `log_every_n_steps` steps."""
        del batch_idx
        losses = self.losses(batch)
        # only at steps where Lightning passes values to the loggers, since logging takes time; the last step of an epoch is
        # for the progress lines
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # 0: nothing is logged
        is_due = every > 0 and (self.global_step + 1) % every == 0
        if is_due or self.trainer.is_last_batch:
            self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, sync_dist=True)
            lr = max(group["lr"] for group in self.trainer.optimizers[0].param_groups)
            # Lightning would log a plain number in half precision if the model is trained in it; made on the device, since a copy
            # of it would wait for the device
            self.log("train/lr", torch.full((), lr, dtype=torch.float32, device=self.device))
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Update the scores and return the probabilities, float32 (B, K)."""
        del batch_idx
        return self._evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Update the scores and return the probabilities, float32 (B, K)."""
        del batch_idx
        return self._evaluate(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Return the probabilities, float32 (B, K)."""
        del batch_idx
        return {"probability": self.predict(batch).logits.float().sigmoid()}

    def _evaluate(self, batch: Batch) -> dict[str, Tensor]:
        probability = self.predict(batch).logits.float().sigmoid()  # (B, K)
        self.scores.update(probability, self.evaluation_label(batch))
        return {"probability": probability}

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the validation split, and store the thresholds of F1 for the test split."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores of the test split."""
        self._log_scores("test")

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the K labels, in the order of the logits: those of the data module, or numbers if it has none."""
        names = getattr(getattr(self.trainer, "datamodule", None), "label_names", None)
        return tuple(str(label) for label in range(self.num_classes)) if names is None else tuple(names)

    def _log_scores(self, stage: str) -> None:
        # the scores are the same in all processes, but without `sync_dist` Lightning warns about each of them
        scores = self.scores.compute()
        self.scores.reset()
        if self.trainer.sanity_checking:  # a few batches have no scores worth logging
            return
        if stage == "val":
            self.scores.thresholds.copy_(scores["best_thresholds"].reshape(-1))
        for measure in ("auroc", "auprc", "f1", "ece"):
            values = scores[measure].reshape(-1)  # torchmetrics squeezes the values of a single class
            for name, value in zip(self.label_names, values, strict=True):
                self.log(f"{stage}/{measure}/{metric_name(name)}", value, sync_dist=True)
            macro = scores[f"{measure}_macro"]
            self.log(f"{stage}/{measure}_macro", macro, prog_bar=measure == "auroc", sync_dist=True)
        self.log(f"{stage}/num_classes_evaluated", scores["num_classes_evaluated"], sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW over timm's parameter groups, and the learning rate schedule, stepped after every batch."""
        settings = self.optimizer_settings
        # for float16 weights, the usual 1e-8 rounds to 0, and a weight without a gradient would become infinite
        smallest = max(torch.finfo(parameter.dtype).tiny for parameter in self.parameters() if parameter.requires_grad)
        optimizer = torch.optim.AdamW(
            self.parameter_groups(), lr=settings.lr, betas=settings.betas, eps=max(1e-8, smallest)
        )
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise ValueError(
                "Expected trainer.max_epochs or trainer.max_steps, which the learning rate schedule needs, but got neither."
            )
        self._total_steps = int(steps)
        multiplier = WarmupCosine(self._total_steps, settings.warmup_fraction)
        # a function: PyTorch would save and restore the attributes of an object, with the old number of steps
        schedule = LambdaLR(optimizer, lambda step: multiplier(step + self._steps_before))
        # settings only: `on_train_start` writes them back, and must not replace the parameters of a group
        self._group_settings = [dict(group) for group in optimizer.param_groups]
        for group_settings in self._group_settings:
            del group_settings["params"]
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Apply the optimizer settings of the configuration, which may differ from those stored in a checkpoint."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if isinstance(datamodule, PrivilegedDataModule):
            datamodule.count_resumed_batches()
        self._steps_before = self._scheduled_step() - self.global_step
        schedule = self.lr_schedulers()
        if not isinstance(schedule, LambdaLR):
            return
        # a checkpoint restores the old settings in both places
        schedule.base_lrs = [settings["initial_lr"] for settings in self._group_settings]
        for group, settings, multiplier in zip(
            schedule.optimizer.param_groups, self._group_settings, schedule.lr_lambdas, strict=True
        ):
            group.update(settings)
            group["lr"] = settings["initial_lr"] * multiplier(schedule.last_epoch)

    def _scheduled_step(self) -> int:
        """Return the step of the schedule at which training continues, from the fraction of the epochs that is done.

        It differs from the number of optimizer steps if earlier steps had another batch size, number of processes or gradient
        accumulation.
        """
        loop = self.trainer.fit_loop
        trainer = self.trainer
        steps_per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        if self._total_steps != steps_per_epoch * (trainer.max_epochs or 0):
            return self.global_step  # trainer.max_steps is set, not trainer.max_epochs
        batch: int = loop.epoch_loop.batch_progress.current.processed  # type: ignore[attr-defined]
        if batch >= trainer.num_training_batches:
            batch = 0  # the next epoch has not started
        epochs: int = loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        return epochs * steps_per_epoch + batch // trainer.accumulate_grad_batches

    @property
    def progress(self) -> float:
        """Fraction of training that is done, in [0, 1]; 0 before it starts."""
        return (self.global_step + self._steps_before) / self._total_steps if self._total_steps else 0.0

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters grouped by weight decay and learning rate."""
        weight_decay = self.optimizer_settings.weight_decay
        return list(param_groups_weight_decay(self, weight_decay, no_weight_decay_list=self.no_weight_decay()))

    def no_weight_decay(self) -> list[str]:
        """Return the names of parameters without weight decay, other than biases and norms."""
        return []
