"""The Lightning command line (fit, validate, test and predict), with a folder for every run."""

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from data_modules.base import PrivilegedDataModule
from data_modules.forms import PrivilegedForm
from mmpkd.callbacks.run_config import SaveRunConfig
from mmpkd.cli.checks.callbacks import check_classes, users_callbacks
from mmpkd.cli.checks.linked import OF_DATA, check_linked
from mmpkd.cli.checks.trainer import check_monitor, check_seed, check_trainer
from mmpkd.cli.checks.trainer_parts import users_plugins
from mmpkd.cli.parser import SuggestingParser
from mmpkd.cli.run_options import RunOptions
from mmpkd.cli.run_parts import run_callbacks, run_loggers
from mmpkd.cli.terminal import quieten, start_logging
from mmpkd.cli.user_code import find_user_code
from mmpkd.modules import ClassificationModule
from mmpkd.numerics.unused_gpu import warn_of_unused_gpu
from mmpkd.records import RunFolder
from mmpkd.records.checkpoint import SafeCheckpointIO, load_of_kind
from mmpkd.records.fit_start import fit_start
from mmpkd.records.lock import locked
from mmpkd.tracking.environment import run_defaults
from mmpkd.tracking.wandb import finish_wandb, sweep_folder

logger = logging.getLogger("mmpkd")
_Part = TypeVar("_Part", ClassificationModule, PrivilegedDataModule)


class AlreadyTrainedError(Exception):
    """The requested training is already finished."""


class MMPKDCLI(LightningCLI):
    """LightningCLI with links between data and model, and a folder for every run.

    Args:
        command: The subcommand, or None if it is unknown. Only its parser is created, which saves time.
        resources: Resources to release when the command ends.
        options: Arguments of LightningCLI.
    """

    def __init__(self, command: str | None, resources: ExitStack, **options: Any) -> None:
        self._command = command
        self._resources = resources
        super().__init__(ClassificationModule, PrivilegedDataModule, **options)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # a static method of Lightning's
        """Return the subcommand (or all, if it is unknown) with the trainer's arguments that are no options."""
        known = LightningCLI.subcommands()
        return known if self._command is None else {self._command: known[self._command]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of the run, and links between data and model."""
        parser.add_class_arguments(RunOptions, "run")
        parser.add_subclass_arguments(
            PrivilegedForm, "privileged_form", required=False, help="another form of the privileged information"
        )
        parser.set_defaults(run_defaults())
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)
        # a link is ignored if the model has no such argument: a teacher has no student
        parser.link_arguments("data.num_classes", "model.init_args.num_classes", apply_on="instantiate")
        for name in OF_DATA:
            target = f"model.init_args.student.init_args.{name}"
            parser.link_arguments(f"data.{name}", target, apply_on="instantiate")
        # Lightning's own instantiator records hyper-parameters, which our checkpoints do not store, and fails at these links
        for kind in (ClassificationModule, PrivilegedDataModule):
            parser.add_instantiator(_instantiate, kind)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse arguments, and refuse settings that a run takes from elsewhere."""
        check_linked(args)
        super().parse_arguments(parser, args)
        check_seed(self.config[self.config.subcommand].seed_everything)

    def _parse_ckpt_path(self) -> None:
        """Do nothing. Lightning would let hyper-parameters in a checkpoint override flags and files."""

    def before_instantiate_classes(self) -> None:
        """Prepare the folder of the run, and choose the checkpoint to start from."""
        check_classes(self.config[self.subcommand].trainer.callbacks)
        self.run: RunOptions = self.config_run()
        self.folder = RunFolder(sweep_folder(Path(self.run.dir)))
        is_trial = bool(self.config[self.subcommand].trainer.fast_dev_run)
        if self.subcommand == "fit" and not is_trial:
            self._take_folder()
        self._checkpoint = self._choose_checkpoint()
        if is_trial:
            # a trial run leaves nothing behind
            self.folder = RunFolder(Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="mmpkd-"))))
        self.run.dir = str(self.folder.path)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        if self._checkpoint is not None:
            # a resumed run continues in its own folder
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")

    @rank_zero_only
    def _take_folder(self) -> None:
        """Lock the folder against other trainings, and delete unfinished files that killed trainings left there."""
        self._resources.enter_context(locked(self.folder.path))
        self.folder.remove_unfinished()

    def _choose_checkpoint(self) -> Path | None:
        """Return the checkpoint that a fit resumes from, or that is evaluated. An untrained student is never evaluated.

        Raises:
            AlreadyTrainedError: If the folder contains the requested training and it is finished.
            FileNotFoundError: If there is no checkpoint to evaluate.
        """
        config = self.config[self.subcommand]
        folder = self.folder
        own = {"best": folder.best, "last": folder.last}  # Lightning's names
        given = None if config.ckpt_path is None else own.get(config.ckpt_path, Path(config.ckpt_path))
        if self.subcommand == "fit" and not config.trainer.fast_dev_run:
            settings = yaml.safe_load(self._parser(self.subcommand).dump(config, skip_none=False))
            start = fit_start(folder, settings, given)
            if start.is_complete:
                raise AlreadyTrainedError(folder.path)
            if start.checkpoint is not None:
                logger.info("resumes from %s", start.checkpoint)
            if start.checkpoint is not None and start.checkpoint.parent == folder.checkpoints:
                config.ckpt_path = None  # config.yaml then describes the whole training
            else:
                _forget_tracked_run(folder)
            given = start.checkpoint
        if given is not None:
            load_of_kind(
                given, "state_dict", "model", mmap=True
            )  # an unreadable file is found before anything slow starts
        if given is not None or self.subcommand == "fit":
            return given
        if not folder.best.is_file():
            raise FileNotFoundError(
                f"Expected the checkpoint of a trained run in '{folder.best}' but there is none. Train it first, or pass "
                "--ckpt_path."
            )
        logger.info("%s: %s", self.subcommand, folder.best)
        return folder.best

    def instantiate_classes(self) -> None:
        """Check the trainer's settings, instantiate everything, and apply the run's options to the data module."""
        check_trainer(self.config[self.subcommand].trainer, str(self.subcommand))
        super().instantiate_classes()
        self.config_init[self.subcommand].ckpt_path = None if self._checkpoint is None else str(self._checkpoint)
        form = self._get(self.config_init, "privileged_form")
        if form is not None:
            self.datamodule.use_form(form)
        if self.run.hash_ids:
            self.datamodule.hash_ids(_id_key())
        if self.run.num_folds:
            self.datamodule.hold_out(self.run.held_out_fold, self.run.num_folds)

    def config_run(self) -> RunOptions:
        """Return the options of the run."""
        return RunOptions(**self.config[self.subcommand].run.as_dict())

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Create a trainer that writes only into the run's folder."""
        configured = self.config_init[self.subcommand].trainer
        check_monitor(self.run.monitor, self.datamodule.label_names)
        warn_of_unused_gpu(configured.accelerator)
        has_bar = configured.enable_progress_bar
        # in a log, every update of a bar would be a line
        has_bar = sys.stdout.isatty() if has_bar is None else has_bar
        seed = int(self.config[self.subcommand].seed_everything)
        own = {
            "default_root_dir": self.run.dir,
            "callbacks": [
                *users_callbacks(configured.callbacks, self.run.figures),
                *run_callbacks(self.run, self.folder, seed, has_bar),
            ],
            "plugins": [*users_plugins(configured.plugins), SafeCheckpointIO()],
            "logger": run_loggers(self.run, self.folder, configured.logger),
            "enable_progress_bar": has_bar,
        }
        trainer = super().instantiate_trainer(**{**own, **kwargs})
        if self.subcommand == "fit":
            # the data module asks again, but only when all processes run
            self.datamodule.check_batch_size(trainer.world_size)
        return trainer


def _instantiate(kind: type[_Part], *args: Any, **options: Any) -> _Part:
    return kind(*args, **options)


@rank_zero_only
def _forget_tracked_run(folder: RunFolder) -> None:
    """Start a new W&B run if an earlier training in the folder was stopped before its first checkpoint."""
    folder.wandb_id.unlink(missing_ok=True)


def _id_key() -> str:
    key = os.environ.get("MMPKD_ID_KEY")
    if not key:
        raise ValueError(
            "Expected a secret key in the environment variable MMPKD_ID_KEY for run.hash_ids but it is empty. Set it."
        )
    return key


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand of the Lightning command line.

    Args:
        args: Arguments without the program's name, for example ["fit", "--config", "experiments/cxr/teacher.yaml"]; the
            arguments of the process if None.

    Raises:
        SystemExit: With status 2 for wrong arguments, 130 after an interrupt, 143 after SIGTERM.
    """
    find_user_code()
    start_logging()
    quieten()
    exit_code = 1
    resources = ExitStack()
    try:
        given = sys.argv[1:] if args is None else list(args)
        MMPKDCLI(
            next((name for name in given if name in LightningCLI.subcommands()), None),
            resources,
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
                "use_distributed_sampler": False,  # the data module distributes samples itself
            },
            auto_configure_optimizers=False,  # modules have an optimizer and a schedule of their own
            parser_kwargs={"prog": "mmpkd"},
            args=given,
        )
        exit_code = 0
    except AlreadyTrainedError as error:
        logger.info("'%s' contains this training, and it is finished. Nothing to do.", error)
        exit_code = 0
    except SIGTERMException:
        # Lightning's own exception would end the process with status 0
        raise SystemExit(143) from None
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise SystemExit(130) from None
        raise
    finally:
        finish_wandb(exit_code)
        resources.close()
