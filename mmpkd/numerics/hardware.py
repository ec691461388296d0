"""The hardware that something is computed on, and its name, so that times can be compared."""

import platform
from pathlib import Path

import torch


def gpu_or_cpu() -> torch.device:
    """Return the device for what needs no trainer: a GPU if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def hardware(device: torch.device) -> str:
    """Return the model of a device: of a GPU, or of the processor with the number of its threads; never a host name.

    Args:
        device: Device that a model is on.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"{device.type} of {processor()}"
    threads = torch.get_num_threads()
    return f"{processor()}, {threads} thread{'' if threads == 1 else 's'}"


def processor(cpu_info: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model of the processor, or the name of its architecture where the system does not say more.

    Args:
        cpu_info: What Linux says of its processors.
    """
    if cpu_info.is_file():
        for line in cpu_info.read_text(errors="replace", encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
