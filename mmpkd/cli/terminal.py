"""Terminal output of a command: its log, without library messages that users can do nothing about."""

import logging
import warnings

_WARNINGS = (
    # Lightning uses a deprecated function of PyTorch; only a new release of Lightning can change that
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # a study calls the command line inside a process with other arguments
    r"LightningCLI's args parameter is intended",
    # the data module restores the position in the epoch, which Lightning does not know
    r"You're resuming from a checkpoint that ended before the epoch ended",
    # frozen layers are in eval mode on purpose
    r"Found \d+ module\(s\) in eval mode at the start of training",
)


def start_logging() -> None:
    """Log to the terminal with the time of day."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LogLine("%(asctime)s %(mark)s%(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class _LogLine(logging.Formatter):
    """Marks warnings and errors, which a study looks for in the logs of its runs."""

    def format(self, record: logging.LogRecord) -> str:
        record.mark = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return super().format(record)


def quieten() -> None:
    """Hide messages that users can do nothing about. Other warnings and errors are still shown."""
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    # lists of devices, and advertisements
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # the user has asked for a profile
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)
    # the seed is in config.yaml; Lightning would log it twice per run
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)
