"""The user's own classes in the working directory of a command."""

import sys
from pathlib import Path

import data_modules


def find_user_code() -> None:
    """Let a configuration name classes in the working directory: `my_data.MyData`, or `data_modules.my_data.MyData`.

    The `mmpkd` script then finds the same modules as `python -m mmpkd`. The user's own folder `data_modules` is searched after
    ours; its `__init__.py` is not executed.

    Raises:
        SystemExit: If one of the user's modules has the same name as one of ours.
    """
    folder = Path.cwd()
    if folder not in (Path(entry).resolve() for entry in sys.path):
        # last, so that a user's file cannot hide an installed module
        sys.path.append(str(folder))
    theirs = folder / "data_modules"
    is_checkout = (
        folder / "mmpkd" / "__init__.py"
    ).is_file()  # the data_modules of a checkout belongs to its own mmpkd
    if is_checkout or not theirs.is_dir() or str(theirs) in data_modules.__path__:
        return
    shared = sorted(_modules(theirs) & _modules(Path(data_modules.__path__[0])))
    if shared:
        sys.exit(
            f"Expected names in {theirs} that differ from those in mmpkd's own data_modules but got: {', '.join(shared)}. "
            "Rename them."
        )
    data_modules.__path__.append(str(theirs))


def _modules(folder: Path) -> set[str]:
    """Return the names of the modules and packages in a folder."""
    names = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    return {name for name in names if name.isidentifier() and not name.startswith("__")}
