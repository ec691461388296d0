"""Errors that a user can fix end a command with one line. All other errors have a traceback."""

import errno
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path

DEBUG = "--debug"
_is_debug = ContextVar("is_debug", default=False)
_OURS = tuple(Path(__file__).parents[2] / name for name in ("mmpkd", "data_modules"))
_INSTALLED = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))
# errors of a disk, which have no file name
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
# by name, because a command that fails early has not imported these classes
_KINDS = {
    "data_modules.files.atomic.DiskFullError",
    "data_modules.images.image_file.ImageReadError",
    "huggingface_hub.errors.LocalEntryNotFoundError",
    "wandb.errors.errors.Error",
    "mmpkd.study.plan.errors.StudyError",
    "yaml.error.YAMLError",
}
# characters of a reason: some libraries put whole configurations into a message
_LONGEST = 500
_MISCONFIGURED = "lightning.fabric.utilities.exceptions.MisconfigurationException"


def take_debug(args: Sequence[str]) -> tuple[list[str], bool]:
    """Return arguments without `--debug`, and whether it was among them. Arguments after `--` are not changed."""
    # what follows `--` belongs to the runs of a study
    end = list(args).index("--") if "--" in args else len(args)
    own = [arg for arg in args[:end] if arg != DEBUG]
    return [*own, *args[end:]], len(own) < end


def run_with_error_line(name: str, is_debug: bool, run: Callable[[], int], status: int = 2) -> int:
    """Run a command, and print an error that a user can fix as one line.

    Args:
        name: Name of the command, for example `mmpkd fit`.
        is_debug: Whether to raise every error with its traceback.
        run: The command.
        status: Exit status after an error that was printed.

    Returns:
        Exit status of `run`, or `status` after such an error.
    """
    before = _is_debug.set(is_debug)
    try:
        return run()
    except Exception as error:
        line = None if is_debug else user_error(error)
        if line is None:
            raise
        sys.stderr.write(f"{name}: {line}\n")
        return status
    finally:
        _is_debug.reset(before)


def is_debug() -> bool:
    """Return whether the current command was called with `--debug`."""
    return _is_debug.get()


def user_error(error: Exception) -> str | None:
    """Return an error in one line if the user can fix it, or None if it is a bug of ours or in the user's code.

    Users can fix what our own code has checked ("Expected ... but got ..."), problems with files and full disks, settings that
    Lightning refuses, and problems with a W&B account. Errors of the same types from other libraries are bugs, because their
    messages do not say what to change. So are errors that Lightning raises when the user's own code calls it: there, the line
    in that code matters.
    """
    cause = _cause(error)
    message = _message(cause)
    sites = _sites(cause)
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(cause).__mro__}
    # a message alone makes no error ours: the last site is the file that raised it
    is_checked = message.startswith("Expected ") and bool(sites) and _is_ours(sites[-1])
    is_file = isinstance(cause, OSError) and (
        cause.filename is not None or cause.errno in _DISK or re.match(r"\[Errno \d+\] .*'", message) is not None
    )
    is_known = is_checked or is_file or bool(names & _KINDS) or _is_setting(cause, names, sites)
    return " ".join(message.split()) or None if is_known else None


def reason_of(error: Exception) -> str:
    """Return an error in one line, also if the user cannot fix it."""
    cause = _cause(error)
    line = " ".join(_message(cause).split())[:_LONGEST]
    return user_error(error) or f"{type(cause).__name__}: {line}"


def place_in_users_code(error: BaseException) -> str | None:
    """Return file and line in the user's own code where an error occurred, or None if it occurred elsewhere."""
    if isinstance(error, SyntaxError) and error.filename is not None and _is_users(error.filename):
        return f"{error.filename}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else None


def _is_setting(error: BaseException, names: set[str], sites: list[str]) -> bool:
    """Return whether Lightning refused a setting that did not come from the user's own code."""
    if not sites or "/lightning/" not in sites[-1]:
        return False
    is_refusal = _MISCONFIGURED in names or isinstance(error, ValueError | ModuleNotFoundError)
    # Lightning's parsers of `trainer.devices` raise it for a value that is no number of devices
    is_refusal |= isinstance(error, TypeError) and "/lightning/fabric/accelerators/" in sites[-1]
    # for a score that no module logs
    is_refusal |= isinstance(error, RuntimeError) and sites[-1].endswith("/callbacks/early_stopping.py")
    # frames above belong to whoever called us, such as a notebook
    libraries = [position for position, site in enumerate(sites) if _is_ours(site) or "/lightning/" in site]
    return is_refusal and not any(_is_users(site) for site in sites[libraries[0] :])


def _is_ours(file: str) -> bool:
    return any(Path(file).is_relative_to(folder) for folder in _OURS)


def _is_users(file: str) -> bool:
    """Return whether a file belongs neither to us nor to a library. Pseudo files such as `<string>` belong to libraries."""
    path = Path(file)
    is_installed = any(path.is_relative_to(folder) for folder in _INSTALLED)
    return path.suffix == ".py" and path.is_absolute() and not is_installed and not _is_ours(file)


def _cause(error: BaseException) -> BaseException:
    """Return the original error, without the errors of jsonargparse around it, which list all types that it tried."""
    while error.__cause__ is not None and "/jsonargparse/" in "".join(_sites(error)[-1:]):
        error = error.__cause__
    return error


def _message(error: BaseException) -> str:
    text = str(error)
    if _is_of_worker(text):
        return text.rstrip().splitlines()[-1].partition(": ")[2]
    if isinstance(error, OSError) and error.filename is not None:
        return f"Expected to use '{error.filename}' but got: {error.strerror}. Check the path and its permissions."
    if isinstance(error, OSError) and error.errno in _DISK and type(error) is OSError:
        return f"Expected to write a file but got: {error.strerror}. Make room, or choose another disk."
    return text


def _sites(error: BaseException) -> list[str]:
    """Return the files of an error's traceback, outermost first. The last one raised it."""
    # an error from another process has its traceback as text, in its message or as its cause
    text = str(error) if _is_of_worker(str(error)) else str(error.__cause__) if _is_of_pool(error) else ""
    if text:
        return re.findall(r'File "([^"]+)", line', text)
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]


def _is_of_pool(error: BaseException) -> bool:
    """Return whether an error was raised in a process of a pool."""
    return type(error.__cause__).__name__ == "_RemoteTraceback"


def _is_of_worker(text: str) -> bool:
    """Return whether a message comes from an error in a loader process, whose traceback PyTorch puts into the message."""
    return text.startswith("Caught ") and "Original Traceback" in text
