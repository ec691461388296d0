"""The Lightning command line: fit, validate, test and predict, each run in a folder of its own."""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from data_modules.base import PrivilegedDataModule
from data_modules.forms import PrivilegedForm
from mmpkd.callbacks.best_checkpoint import BestCheckpoint
from mmpkd.callbacks.last_checkpoint import LastCheckpoint
from mmpkd.callbacks.last_validation import LastValidation
from mmpkd.callbacks.nan_guard import NaNGuard
from mmpkd.callbacks.predictions import PredictionWriter
from mmpkd.callbacks.progress import EpochLog
from mmpkd.callbacks.record import RunRecord, lineage
from mmpkd.callbacks.rng import RNGState
from mmpkd.callbacks.teacher_card import TeacherCardWriter
from mmpkd.callbacks.threads import Threads
from mmpkd.checkpoint_file import read_checkpoint
from mmpkd.checkpoint_io import SafeCheckpointIO, remove_temporary_checkpoints
from mmpkd.modules import ClassificationModule
from mmpkd.suggestions import SuggestingParser
from mmpkd.terminal import quieten, start_logging
from mmpkd.tracking.environment import run_defaults
from mmpkd.tracking.hidden_paths import run_name
from mmpkd.tracking.metrics_file import MetricsFile
from mmpkd.tracking.wandb import finish_wandb, sweep_folder, wandb_logger
from mmpkd.trainer_options import check_monitor, check_trainer, users_loggers, users_plugins
from mmpkd.unused_gpu import warn_of_unused_gpu
from mmpkd.user_code import find_user_code

logger = logging.getLogger("mmpkd")
LIGHTNINGS_OWN = ("best", "last", "hpc", "registry")  # names of checkpoints that Lightning finds itself


@dataclass
class RunOptions:
    """Where a run lives and how it is tracked.

    Attributes:
        dir: Folder of the run: configuration, checkpoints, metrics, tables, maps and the W&B files.
        group: Study that the run belongs to (W&B group).
        job_type: Role of the run in the study (W&B job type).
        tags: W&B tags.
        project: W&B project.
        wandb: `auto` is online for those who are logged in to W&B and offline for others; `offline` needs no account or network;
            `online` needs an account; `disabled` writes nothing. WANDB_MODE sets the default, and WANDB_PROJECT,
            WANDB_RUN_GROUP, WANDB_JOB_TYPE and WANDB_TAGS those of project, group, job_type and tags.
        media: Whether images go to W&B: `auto`, not if the data are credentialed and the server is a third party's; `local`,
            never; `upload`, always.
        system_metrics: Whether W&B records memory and utilisation of the GPU and the machine.
        hash_ids: Replace identifiers of samples and patients by keyed hashes in everything that the run writes. The key is the
            environment variable MMPKD_ID_KEY; all runs that share targets or are compared need the same one.
        monitor: Validation score, higher is better, that `checkpoints/best.ckpt` is chosen by. Never a localization score.
        reference: Folder of an image-only student's finished run that the teacher card compares a teacher with.
        save_every_n_steps: Steps between saves of `checkpoints/last.ckpt`, from which a killed run goes on.
        num_folds: Folds of training patients, of which one is left out of the training; 0 trains on all of them.
        held_out_fold: Which one, from 0.
    """

    dir: str = "runs/default"
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    project: str = "mmpkd"
    wandb: Literal["auto", "offline", "online", "disabled"] = "auto"
    media: Literal["auto", "local", "upload"] = "auto"
    system_metrics: bool = False
    hash_ids: bool = False
    monitor: str = "val/auroc_macro"
    reference: str | None = None
    save_every_n_steps: int = 100
    num_folds: int = 0
    held_out_fold: int = 0


class SaveRunConfig(SaveConfigCallback):
    """Writes the complete configuration of a fit to `config.yaml` and hands it to the loggers."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save and log the configuration."""
        text = self.parser.dump(self.config, skip_none=False)
        if stage == "fit":
            path = Path(trainer.default_root_dir) / "config.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for tracker in trainer.loggers:
            if isinstance(tracker, WandbLogger):
                tracker.log_hyperparams({"cli": yaml.safe_load(text), "lineage": lineage(trainer, pl_module)})


class MMPKDCLI(LightningCLI):
    """LightningCLI with links between data and model, and a folder for every run."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's options, and the links."""
        parser.add_class_arguments(RunOptions, "run")
        parser.add_subclass_arguments(
            PrivilegedForm, "privileged_form", required=False, help="another form of the privileged information"
        )
        parser.set_defaults(run_defaults())
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)
        same = {name: name for name in ("num_classes", "image_size", "in_chans")}
        for source, target in {**same, "mean": "input_mean", "std": "input_std"}.items():
            parser.link_arguments(f"data.{source}", f"model.init_args.{target}", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Check that a given checkpoint can be read, before anything long begins.

        Lightning would let hyper-parameters in it win over flags and files.
        """
        given = self.config[self.config.subcommand].get("ckpt_path")
        if given is not None and given not in LIGHTNINGS_OWN:
            read_checkpoint(Path(given), "state_dict", "model")

    def before_instantiate_classes(self) -> None:
        """Prepare the run's folder."""
        self.run: RunOptions = self.config_run()
        folder = sweep_folder(Path(self.run.dir))
        self.run.dir = str(folder)
        if self.subcommand != "fit":
            self._choose_checkpoint(folder)
        folder.mkdir(parents=True, exist_ok=True)
        remove_temporary_checkpoints(folder / "checkpoints")
        if self.subcommand == "fit" and self.config.fit.ckpt_path:
            # a run that goes on does so in its own folder
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")

    def _choose_checkpoint(self, folder: Path) -> None:
        """Score the best model of the run if no checkpoint is given; an untrained one is never scored."""
        config = self.config[self.subcommand]
        if config.ckpt_path is not None:
            return
        best = folder / "checkpoints" / "best.ckpt"
        if not best.is_file():
            raise FileNotFoundError(
                f"Expected the checkpoint of a trained run in '{best}' but there is none. Train it first, or give --ckpt_path."
            )
        config.ckpt_path = str(best)
        logger.info("%s: %s", self.subcommand, best)

    def instantiate_classes(self) -> None:
        """Check the trainer's settings, instantiate everything, and tell the data module which form and patients it serves."""
        check_trainer(self.config[self.subcommand].trainer, str(self.subcommand))
        super().instantiate_classes()
        form = self._get(self.config_init, "privileged_form")
        if form is not None:
            self.datamodule.use_form(form)
        if self.run.hash_ids:
            self.datamodule.hash_ids(_id_key())
        if self.run.num_folds:
            self.datamodule.hold_out(self.run.held_out_fold, self.run.num_folds)

    def config_run(self) -> RunOptions:
        """Return the run's options."""
        return RunOptions(**self.config[self.subcommand].run.as_dict())

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make a trainer that writes into the run's folder only."""
        configured = self.config_init[self.subcommand].trainer
        check_monitor(self.run.monitor, self.datamodule.label_names)
        warn_of_unused_gpu(configured.accelerator)
        has_bar = configured.enable_progress_bar
        has_bar = sys.stdout.isatty() if has_bar is None else has_bar
        own = {
            "default_root_dir": self.run.dir,
            "callbacks": [*(configured.callbacks or []), *self._callbacks(has_bar)],
            "plugins": [*users_plugins(configured.plugins), SafeCheckpointIO()],
            "logger": self._loggers(configured.logger),
            "enable_progress_bar": has_bar,
        }
        return super().instantiate_trainer(**{**own, **kwargs})

    def _callbacks(self, has_bar: bool) -> list[Callback]:
        folder = Path(self.run.dir) / "checkpoints"
        best = BestCheckpoint(folder, self.run.monitor)
        last = LastCheckpoint(folder, self.run.save_every_n_steps)
        seed = self.config[self.subcommand].seed_everything
        progress = RichProgressBar(leave=False) if has_bar else EpochLog()
        return [
            best,
            last,
            LastValidation(),
            RNGState(),
            Threads(),
            NaNGuard(),
            PredictionWriter(),
            RunRecord(int(seed), self.run.job_type),
            TeacherCardWriter(self.run.reference),
            progress,
        ]

    def _loggers(self, configured: object) -> list[Logger]:
        if configured is False:
            return []
        run, folder = self.run, Path(self.run.dir)
        name = os.environ.get("WANDB_NAME") or run_name(folder)
        tracker = wandb_logger(
            folder,
            run.wandb,
            run.project,
            name,
            run.group,
            run.job_type,
            run.tags,
            run.media,
            run.system_metrics,
        )
        return [MetricsFile(folder), *([tracker] if tracker else []), *users_loggers(configured)]


def _id_key() -> str:
    key = os.environ.get("MMPKD_ID_KEY")
    if not key:
        raise ValueError(
            "Expected a secret in the environment variable MMPKD_ID_KEY for run.hash_ids but it is empty. Set it."
        )
    return key


def main(args: Sequence[str] | None = None) -> None:
    """Run a sub-command of the Lightning command line.

    Args:
        args: Arguments without the program's name, for example ["fit", "--config", "experiments/cxr/teacher.yaml"]; those
            of the process by default.

    Raises:
        SystemExit: With 2 for wrong arguments, 130 after an interrupt, 143 after SIGTERM.
    """
    find_user_code()
    start_logging()
    quieten()
    exit_code = 1
    try:
        MMPKDCLI(
            ClassificationModule,
            PrivilegedDataModule,
            parser_class=SuggestingParser,
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"save_to_log_dir": False},
            seed_everything_default=0,
            subclass_mode_model=True,
            subclass_mode_data=True,
            trainer_defaults={
                "num_sanity_val_steps": 0,
                "enable_model_summary": False,
                "deterministic": True,
                "use_distributed_sampler": False,
            },
            auto_configure_optimizers=False,
            parser_kwargs={"prog": "mmpkd"},
            args=None if args is None else list(args),
        )
        exit_code = 0
    except SIGTERMException:
        # Lightning's own exception would end the process with 0
        raise SystemExit(143) from None
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise SystemExit(130) from None
        raise
    finally:
        finish_wandb(exit_code)
