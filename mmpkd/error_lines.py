"""Errors that a user can mend end a command with one line; any other shows where in the program it happened."""

import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

DEBUG = "--debug"
_OURS = tuple(str(Path(__file__).parents[1] / name) for name in ("mmpkd", "data_modules"))
# by name: a command that fails early has not imported them
_KINDS = {
    "lightning.fabric.utilities.exceptions.MisconfigurationException",
    "wandb.errors.errors.Error",
    "mmpkd.study.plan.StudyError",
    "yaml.error.YAMLError",
}


def take_debug(args: Sequence[str]) -> tuple[list[str], bool]:
    """Return arguments without `--debug`, and whether it was among them; what follows `--` is left as it is."""
    end = list(args).index("--") if "--" in args else len(args)
    own = [arg for arg in args[:end] if arg != DEBUG]
    return [*own, *args[end:]], len(own) < end


def run_with_error_line(name: str, is_debug: bool, run: Callable[[], int], status: int = 2) -> int:
    """Run a command, and print an error that a user can mend as one line.

    Args:
        name: Name of the command, for example `mmpkd fit`.
        is_debug: Whether every error is raised, with its traceback.
        run: The command.
        status: Exit status after such an error.

    Returns:
        Exit status: that of `run`, or `status`.
    """
    try:
        return run()
    except Exception as error:
        line = None if is_debug else user_error(error)
        if line is None:
            raise
        sys.stderr.write(f"{name}: {line}\n")
        return status


def user_error(error: Exception) -> str | None:
    """Return what a user has to know about an error, in one line, or None if the program is to blame.

    A user can mend what our own code has checked ("Expected ... but got ..."), what the system says of a file, settings that
    Lightning refuses, and what wandb says of an account. The same types of errors from within other libraries are bugs: a
    ValueError of PyTorch tells nobody what to change.
    """
    cause = _cause(error)
    message, site = _message(cause), _site(cause)
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(cause).__mro__}
    is_file = isinstance(cause, OSError) and not isinstance(cause, ConnectionError)
    is_setting = isinstance(cause, ValueError) and "/lightning/pytorch/" in site
    is_checked = message.startswith("Expected ") and site.startswith(_OURS)
    return " ".join(message.split()) if is_file or is_setting or is_checked or names & _KINDS else None


def _cause(error: BaseException) -> BaseException:
    """Return the error that jsonargparse has wrapped into its own, which lists all types that it tried."""
    while error.__cause__ is not None and "/jsonargparse/" in _site(error):
        error = error.__cause__
    return error


def _message(error: BaseException) -> str:
    text = str(error)
    if _is_of_worker(text):
        return text.rstrip().splitlines()[-1].partition(": ")[2]
    if isinstance(error, OSError) and error.filename is not None:
        return f"Expected to use '{error.filename}' but got: {error.strerror}. Check the path and its permissions."
    return text


def _site(error: BaseException) -> str:
    """Return the file whose code raised an error."""
    if _is_of_worker(str(error)):
        files = re.findall(r'File "([^"]+)", line', str(error))
    else:
        files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return files[-1] if files else ""


def _is_of_worker(text: str) -> bool:
    """Return whether a message is that of an error in a process that loads data: PyTorch puts its traceback into it."""
    return text.startswith("Caught ") and "Original Traceback" in text
