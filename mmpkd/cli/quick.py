"""The Lightning command line, imported while the garbage collector is off.

The import creates 600,000 objects that stay alive. The collector would traverse them again and again, which takes a quarter of
the CPU time of the import.
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
    """Exclude all current objects from garbage collection.

    Programs keep them anyway, and the children of a forking server then share their memory.
    """
    gc.freeze()
    atexit.register(gc.unfreeze)  # some extension modules complain at exit about objects that were not collected
