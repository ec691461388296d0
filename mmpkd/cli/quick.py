"""The Lightning command line, imported without the garbage collector.

Importing it makes 600,000 objects that stay. The collector would walk over them again and again, for a quarter of the CPU time of
the import.
"""

import atexit
import gc

_was_enabled = gc.isenabled()
gc.disable()
try:
    from mmpkd.cli.lightning_cli import main
finally:
    if _was_enabled:
        gc.enable()

__all__ = ["freeze", "main"]


def freeze() -> None:
    """Never collect what is there now: for programs, which keep all of it, and for servers, whose children then share it."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # extension modules look at the end for what was not collected, and complain of it
