"""The default number of runs at a time."""

from collections.abc import Sequence

from mmpkd.study.execution.run import Run
from mmpkd.study.execution.settings import stated


def runs_at_a_time(runs: Sequence[Run], num_processors: int, num_gpus: int) -> int:
    """Return how many runs at a time use a machine best: one per GPU or, without GPUs, one per processor.

    Args:
        runs: Runs to make.
        num_processors: Number of processors that may be used.
        num_gpus: Number of GPUs that may be used.
    """
    devices = [num_devices(run) for run in runs]
    if num_gpus:
        # a run without a number of devices takes all GPUs
        widest = max((num_gpus if own is None else own for own in devices), default=1)
        # several processes get one GPU each, so runs that need more go one after another
        return num_gpus if widest == 1 else 1
    widest = max((own or 1 for own in devices), default=1)
    return max(1, min(num_processors // widest, len(runs)))


def num_devices(run: Run) -> int | None:
    """Return how many devices a run asks for (`trainer.devices`), or None if it leaves that to Lightning."""
    asked = stated(run, ["trainer.devices"])["trainer.devices"]
    # -1, `auto` and lists of devices are left to Lightning
    return int(str(asked)) if str(asked).isdecimal() else None
