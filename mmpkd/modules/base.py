"""What teacher and student training share: optimizer, schedule, scores, logging."""

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
        self._steps_before = 0
        self._group_settings: list[dict[str, Any]] = []
        self.scores = MultilabelScores(num_classes)

    @abstractmethod
    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the terms of the training loss by name; `loss` is what is minimised."""

    @abstractmethod
    def predict(self, batch: Batch) -> ModelOutput:
        """Return the outputs for a batch."""

    def evaluation_label(self, batch: Batch) -> Tensor:
        """Return the labels (B, K) that outputs are scored against; NaN is ignored."""
        return batch["label"]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss; its terms, means over processes, are logged every `log_every_n_steps`: logging costs time."""
        del batch_idx
        losses = self.losses(batch)
        # the steps at which Lightning hands what was logged to the loggers; the last step of an epoch is for progress lines
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # 0: the loggers get nothing
        is_due = every > 0 and (self.global_step + 1) % every == 0
        if is_due or self.trainer.is_last_batch:
            self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, sync_dist=True)
            lr = max(group["lr"] for group in self.trainer.optimizers[0].param_groups)
            # in half precision, Lightning would log a number in it
            self.log("train/lr", torch.tensor(lr, dtype=torch.float32, device=self.device))
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Score one batch; returns the probabilities (B, K)."""
        del batch_idx
        return self._evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Score one batch; returns the probabilities (B, K)."""
        del batch_idx
        return self._evaluate(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Return the probabilities (B, K)."""
        del batch_idx
        return {"probability": self.predict(batch).logits.float().sigmoid()}

    def _evaluate(self, batch: Batch) -> dict[str, Tensor]:
        probability = self.predict(batch).logits.float().sigmoid()
        self.scores.update(probability, self.evaluation_label(batch))
        return {"probability": probability}

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the validation split, and keep the thresholds of F1 for the test split."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores of the test split."""
        self._log_scores("test")

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the K labels, in the order of the logits: those of the data module, or numbers if it names none."""
        names = getattr(getattr(self.trainer, "datamodule", None), "label_names", None)
        return tuple(str(label) for label in range(self.num_classes)) if names is None else tuple(names)

    def _log_scores(self, stage: str) -> None:
        # equal in all processes; without `sync_dist` Lightning doubts it and warns of each score
        scores = self.scores.compute()
        self.scores.reset()
        if self.trainer.sanity_checking:
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
        """Return AdamW over timm's parameter groups, and the schedule, stepped every batch."""
        settings = self.optimizer_settings
        # where the weights are float16, the usual 1e-8 is 0, and a weight without a gradient would become infinite
        smallest = max(torch.finfo(parameter.dtype).tiny for parameter in self.parameters() if parameter.requires_grad)
        optimizer = torch.optim.AdamW(
            self.parameter_groups(), lr=settings.lr, betas=settings.betas, eps=max(1e-8, smallest)
        )
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise ValueError(
                "Expected trainer.max_epochs or trainer.max_steps: the learning rate falls towards the end of training."
            )
        self._total_steps = int(steps)
        multiplier = WarmupCosine(self._total_steps, settings.warmup_fraction)
        # a function, since PyTorch would save and restore an object, with the number of steps of before
        schedule = LambdaLR(optimizer, lambda step: multiplier(step + self._steps_before))
        self._group_settings = [
            {name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups
        ]
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Go on with the settings of the configuration, which may be others than those that a checkpoint was saved with."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if isinstance(datamodule, PrivilegedDataModule):
            datamodule.count_resumed_batches()
        self._steps_before = self._scheduled_step() - self.global_step
        schedule = self.lr_schedulers()
        if not isinstance(schedule, LambdaLR):
            return
        schedule.base_lrs = [settings["initial_lr"] for settings in self._group_settings]
        for group, settings, multiplier in zip(
            schedule.optimizer.param_groups, self._group_settings, schedule.lr_lambdas, strict=True
        ):
            group.update(settings)
            group["lr"] = settings["initial_lr"] * multiplier(schedule.last_epoch)

    def _scheduled_step(self) -> int:
        """Return the step of the schedule at which the training goes on: the share of the epochs that is done decides.

        It differs from the number of steps that were made if they were made with another batch size, number of processes or
        accumulation of gradients.
        """
        loop = self.trainer.fit_loop
        trainer = self.trainer
        steps_per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        if self._total_steps != steps_per_epoch * (trainer.max_epochs or 0):
            return self.global_step  # the number of steps is given, not that of epochs
        batch: int = loop.epoch_loop.batch_progress.current.processed  # type: ignore[attr-defined]
        if batch >= trainer.num_training_batches:
            batch = 0  # the next epoch has not begun
        epochs: int = loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        return epochs * steps_per_epoch + batch // trainer.accumulate_grad_batches

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]; 0 before it has begun."""
        return (self.global_step + self._steps_before) / self._total_steps if self._total_steps else 0.0

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters by weight decay and learning rate."""
        weight_decay = self.optimizer_settings.weight_decay
        return list(param_groups_weight_decay(self, weight_decay, no_weight_decay_list=self.no_weight_decay()))

    def no_weight_decay(self) -> list[str]:
        """Return the names of parameters, besides biases and norms, that are not decayed."""
        return []
