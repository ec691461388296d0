"""Random number generators of this process: Python's, NumPy's, PyTorch's, and that of the device it computes on."""

import random
from types import ModuleType
from typing import Any

import numpy as np
import torch


def generator_state() -> dict[str, Any]:
    """Return the state of every generator that this process draws from, as tensors, lists and numbers.

    Of several GPUs it is that of the current one: another process draws from the others.
    """
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        **{kind: module.get_rng_state() for kind, module in _devices().items()},
    }


def set_generator_state(state: dict[str, Any]) -> None:
    """Take back a state that `generator_state` returned.

    A device's generator is left as it is if the state comes from a process without such a device.
    """
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    for kind, module in _devices().items():
        if kind in state:
            module.set_rng_state(state[kind])


def seed_generators(*key: int) -> None:
    """Seed every generator of this process from integers >= 0; different keys give streams that have nothing in common."""
    for_python, for_numpy, for_torch = (int(word) for word in np.random.SeedSequence(key).generate_state(3, np.uint64))
    random.seed(for_python)
    np.random.seed(for_numpy % 2**32)  # noqa: NPY002
    torch.manual_seed(for_torch)  # seeds the generators of devices, too


def _devices() -> dict[str, ModuleType]:
    """Return the modules of the accelerators that this process uses; asking others would start a context on them."""
    devices: dict[str, ModuleType] = {}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        devices["cuda"] = torch.cuda
    if torch.backends.mps.is_available():
        devices["mps"] = torch.mps
    return devices
