"""A device that this machine does not have, for what only shows on one: tensors with real values that claim to be elsewhere.

    with PretendedDevice() as device:
        module.to(DEVICE)
        module.losses(batch)["loss"].backward()
    assert not device.reads

What an accelerator refuses raises: tensors of two devices in one operation, float64 and repeated borders (Apple's have none), and
tensors of the CPU in a collective of processes (NCCL). What makes the host wait for it is written down. Backward and optimizers
work.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, Self

import pytest
import torch
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

# a device type of PyTorch's that no build brings code for, so that nothing but this file answers
DEVICE = torch.device("lazy")
REPOSITORY = Path(__file__).parents[1]
SHAPES_OF_DATA = (
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
    "repeat_interleave",
)


class MixedDevicesError(RuntimeError):
    """An operation got tensors of two devices."""


class PretendedTensor(Tensor):
    """A tensor of the CPU, `held`, that says it is on `DEVICE`."""

    held: Tensor

    @staticmethod
    def __new__(cls: type, held: Tensor) -> "PretendedTensor":
        """Return a tensor like another one, on the device."""
        tensor: PretendedTensor = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )
        tensor.held = held
        return tensor

    def __repr__(self) -> str:  # type: ignore[override]
        return f"{type(self).__name__}({self.held})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Save the values as a tensor of the CPU, so that a checkpoint can be read anywhere."""
        return self.held.__reduce_ex__(protocol)

    def __format__(self, format_spec: str) -> str:
        """Return the value as text; PyTorch's own method takes no such tensor."""
        return format(self.item(), format_spec)

    def tolist(self) -> Any:
        """Return the values; PyTorch's own method takes no such tensor."""
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Refuse, as for every tensor that is not of the CPU."""
        raise TypeError("Expected a tensor of the CPU. Use Tensor.cpu() first.")

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        raise RuntimeError(f"Expected {func} inside of `with PretendedDevice()`.")


class PretendedDevice(TorchDispatchMode):
    """Runs operations of `DEVICE` on the CPU, and watches them.

    Attributes:
        reads: Where a value, or the shape of what depends on one, was waited for: `file function: operation`.
        collectives: Operations of process groups.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.collectives: list[str] = []
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        """Start; autocast, which knows no such device, does nothing meanwhile, and `torch.tensor` is not dispatched."""
        autocast, tensor = torch.autocast, torch.tensor

        def stub(device_type: str, *args: Any, **kwargs: Any) -> AbstractContextManager[object]:
            return nullcontext() if device_type == DEVICE.type else autocast(device_type, *args, **kwargs)

        def moved(data: Any, device: Any = None, **kwargs: Any) -> Tensor:
            made = tensor(data, **kwargs)
            return made if device is None else made.to(device)

        self._patch.setattr(torch, "autocast", stub)
        self._patch.setattr(torch, "tensor", moved)
        super().__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        """Stop."""
        super().__exit__(*exception)
        self._patch.undo()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        wanted = kwargs.get("device")
        tensors = list(_tensors((args, kwargs)))
        there = [value for value in tensors if isinstance(value, PretendedTensor)]
        is_there = bool(there) if wanted is None else torch.device(wanted).type == DEVICE.type
        if not there and not is_there and func.namespace != "c10d":
            return func(*args, **kwargs)
        name = func._schema.name.split("::")[-1]
        if name == "grid_sampler_2d" and args[3]:
            raise TypeError("Expected grid_sample with zeros around the image: Apple's devices had no other padding.")
        self._check(func.namespace, name, args, [value for value in tensors if not isinstance(value, PretendedTensor)])
        if is_there and wanted is not None:
            kwargs["device"] = torch.device("cpu")
        result = func(*_mapped(_held, args), **_mapped(_held, kwargs))
        if name == "copy_":
            is_there = isinstance(args[0], PretendedTensor)
        waits = not is_there or _is_read(name, result) or _depends_on_data(name, args)
        if (there and waits) or (is_there and _is_blocking_upload(name, args, kwargs)):
            self.reads.append(f"{_caller()}: {name}")
        if not is_there:
            return result
        result = _mapped(_wrap, result)
        return result if func.namespace == "c10d" else return_and_correct_aliasing(func, args, kwargs, result)

    def _check(self, namespace: str, name: str, args: tuple[Any, ...], here: list[Tensor]) -> None:
        if namespace == "c10d":
            self.collectives.append(name)
            if here and name != "barrier":
                raise MixedDevicesError(f"Expected tensors of the device in {name} but got one of the CPU.")
            return
        indexed = name.startswith("index") and name not in ("index_add_", "index_add", "index_select", "index_copy_")
        may_differ = name in ("_to_copy", "copy_") or (indexed and isinstance(args[0], PretendedTensor))
        if not may_differ and any(value.ndim for value in here):
            raise MixedDevicesError(f"Expected tensors of one device in {name} but got one of the CPU among others.")


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors among arguments; `torch.utils._pytree` takes half of the time of a test for it."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Return arguments or results with a function applied to all that they hold."""
    if isinstance(value, list):
        return [_mapped(function, item) for item in value]
    if isinstance(value, tuple):
        return tuple(_mapped(function, item) for item in value)
    if isinstance(value, dict):
        return {name: _mapped(function, item) for name, item in value.items()}
    return function(value)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, PretendedTensor) else value


def _wrap(value: Any) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, PretendedTensor):
        return value
    if value.dtype == torch.float64:
        raise TypeError("Expected no float64 on the device: not every accelerator has it.")
    return PretendedTensor(value)


def _is_read(name: str, result: Any) -> bool:
    return name == "_local_scalar_dense" or isinstance(result, bool)


def _depends_on_data(name: str, args: tuple[Any, ...]) -> bool:
    by_mask = name == "index" and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
    return by_mask or name in SHAPES_OF_DATA


def _is_blocking_upload(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether values of the host are copied to the device while it waits for all work before them."""
    if name == "_to_copy":
        return not isinstance(args[0], PretendedTensor) and not kwargs.get("non_blocking", False)
    if name == "copy_":
        return (
            not isinstance(args[1], PretendedTensor)
            and not (len(args) > 2 and args[2])
            and not kwargs.get("non_blocking")
        )
    indices = args[1] if name.startswith("index") and isinstance(args[1], (list, tuple)) else ()
    return any(isinstance(index, Tensor) and not isinstance(index, PretendedTensor) for index in indices)


def _caller() -> str:
    """Return the file and the function of ours that is running, or Lightning if it is none."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        frame = frame.f_back
        place = _place(frame.f_code)
        if place:
            return place
    return "Lightning"


@cache
def _place(code: CodeType) -> str:
    """Return file and function of our code, or nothing for that of others and of tests."""
    path = Path(code.co_filename)
    is_ours = path.is_relative_to(REPOSITORY) and path.relative_to(REPOSITORY).parts[0] in ("mmpkd", "data_modules")
    # our recorder of attention lets everything through that the model does
    if not is_ours or code.co_name == "__torch_function__":
        return ""
    return f"{path.relative_to(REPOSITORY)} {code.co_qualname.replace('.<locals>', '')}"


class PretendedAccelerator(Accelerator):
    """Lightning's view of the device."""

    def setup_device(self, device: torch.device) -> None:
        """Nothing to set up."""

    def teardown(self) -> None:
        """Nothing to tear down."""

    @staticmethod
    def parse_devices(devices: Any) -> Any:
        """Return what was asked for."""
        return devices

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        """Return the device."""
        return [DEVICE]

    @staticmethod
    def auto_device_count() -> int:
        """Return how many there are."""
        return 1

    @staticmethod
    def is_available() -> bool:
        """It is."""
        return True

    @staticmethod
    def name() -> str:
        """Return its name."""
        return "pretended"


class PretendedStrategy(SingleDeviceStrategy):
    """Trains on the device; values that are logged are reduced over the processes of a group if there is one."""

    def __init__(self) -> None:
        super().__init__(DEVICE, PretendedAccelerator())
        self._process_group = None

    @property
    def is_distributed(self) -> bool:
        """Whether there is a group."""
        return torch.distributed.is_initialized()

    reduce = DDPStrategy.reduce
