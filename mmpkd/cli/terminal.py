"""What a command shows in the terminal: its log, without messages of libraries that a user can do nothing about."""

import logging
import warnings

_WARNINGS = (
    # Lightning calls what PyTorch is about to replace; only a release of Lightning changes that
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # a study calls the command line within a process that has arguments of its own
    r"LightningCLI's args parameter is intended",
    # the data module keeps the position in the epoch, where Lightning does not look
    r"You're resuming from a checkpoint that ended before the epoch ended",
    # frozen layers are in eval mode on purpose
    r"Found \d+ module\(s\) in eval mode at the start of training",
)


def start_logging() -> None:
    """Log to the terminal, with the time of day."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LogLine("%(asctime)s %(mark)s%(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class _LogLine(logging.Formatter):
    """Says of a line that it is a warning or an error; a study looks for these in the logs of its runs."""

    def format(self, record: logging.LogRecord) -> str:
        record.mark = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return super().format(record)


def quieten() -> None:
    """Drop what a user can do nothing about. Other warnings show, and so do errors."""
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    # tables of devices, and advertisements
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # but a profile is what the user has asked for
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)
    # the seed is in config.yaml; two lines a run say it again
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)
