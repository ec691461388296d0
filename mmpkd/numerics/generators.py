"""The random number generators of this process: those of Python, NumPy, PyTorch and its device."""

import random
from types import ModuleType
from typing import Any

import numpy as np
import torch


def generator_state() -> dict[str, Any]:
    """Return the states of all generators of this process, as tensors, lists and numbers.

    Only the current GPU is included, because other GPUs belong to other processes.
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
    """Restore a result of `generator_state`.

    The generator of a device is not changed if the saved state comes from a process without such a device.
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
    """Seed all generators of this process from integers >= 0. Different keys give independent streams."""
    for_python, for_numpy, for_torch = np.random.SeedSequence(key).generate_state(3, np.uint64).tolist()
    random.seed(for_python)
    # NumPy's old generator takes seeds of 32 bits
    np.random.seed(for_numpy % 2**32)  # noqa: NPY002
    torch.manual_seed(for_torch)  # also seeds the generators of devices


def _devices() -> dict[str, ModuleType]:
    """Return PyTorch's modules of the accelerators that this process uses."""
    devices: dict[str, ModuleType] = {}
    # asking for the generator of an unused GPU would create a CUDA context
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        devices["cuda"] = torch.cuda
    if torch.backends.mps.is_available():
        devices["mps"] = torch.mps
    return devices
