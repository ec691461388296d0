import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mmpkd.callbacks.checkpoints.signals import StopTogether


def process(world_size: int, killed: list[int]) -> Any:
    """Return what the callback sees of a trainer."""
    return SimpleNamespace(
        world_size=world_size,
        strategy=SimpleNamespace(root_device=torch.device("cpu"), launcher=SimpleNamespace(kill=killed.append)),
        _signal_connector=SimpleNamespace(received_sigterm=False, _sigterm_notifier_fn="Lightning's"),
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace()),
    )


@pytest.mark.parametrize("is_told", [False, True])
def test_all_processes_stop_before_the_same_batch(is_told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal's handler talks to no process; before the next batch, all of them learn of it."""
    killed: list[int] = []
    trainers = [process(2, killed), process(2, killed)]
    for trainer in trainers:
        StopTogether().setup(cast("Trainer", trainer), cast("LightningModule", None), "fit")
    for _ in range(2 if is_told else 0):
        trainers[1]._signal_connector._sigterm_notifier_fn(signal.SIGTERM, None)
    assert killed == ([signal.SIGTERM] if is_told else [])
    assert not any(trainer._signal_connector.received_sigterm for trainer in trainers)

    def all_reduce(value: torch.Tensor, operation: object) -> None:
        assert operation == torch.distributed.ReduceOp.MAX
        value.fill_(int(is_told))

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    for trainer in trainers:
        if is_told:
            with pytest.raises(SIGTERMException):
                trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor()
        else:
            trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor()
        assert trainer._signal_connector.received_sigterm == is_told


def test_a_single_process_is_left_to_lightning() -> None:
    trainer = process(1, [])
    StopTogether().setup(trainer, cast("LightningModule", None), "fit")
    assert trainer._signal_connector._sigterm_notifier_fn == "Lightning's"
