"""A warning if there is a GPU that PyTorch cannot use. The run would otherwise train on the CPU without notice."""

import logging
import os
import shutil
from pathlib import Path

import torch

logger = logging.getLogger("mmpkd")
_DRIVER = Path("/proc/driver/nvidia/version")


def warn_of_unused_gpu(accelerator: object) -> None:
    """Log why PyTorch sees no GPU although there is an NVIDIA driver, and what to do.

    Nothing is logged if the run or CUDA_VISIBLE_DEVICES excludes GPUs.

    Args:
        accelerator: `trainer.accelerator`, for example "auto".
    """
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    has_driver = _DRIVER.is_file() or shutil.which("nvidia-smi") is not None
    if accelerator == "cpu" or is_hidden or not has_driver or torch.cuda.is_available():
        return
    if torch.version.cuda is None:
        reason = f"PyTorch {torch.__version__} was built without CUDA"
        advice = "install a build with it (in a checkout: `make install TORCH=cu126`)"
    else:
        reason = (
            f"the driver is most likely too old for CUDA {torch.version.cuda}, which PyTorch {torch.__version__} uses"
        )
        advice = "update the driver, or install a build for it (in a checkout: `make install TORCH=cu126`)"
    logger.warning(
        "No GPU can be used although there is an NVIDIA driver: %s. To train on the GPU, %s.", reason, advice
    )
