"""Training images in the memory of the GPU."""

import logging
import math

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.base import PrivilegedDataModule
from data_modules.batch import Batch
from data_modules.images.device_images import DeviceImages

logger = logging.getLogger("mmpkd")


class ImagesOnDevice(Callback):
    """Keeps all prepared training images on the device and augments them there, instead of loading them.

    Needs `data.prepared`. Images that do not fit into the memory of the GPU are read as they are stored in every epoch, and
    augmented on the device in the same way, so the student is the same.

    Args:
        max_share: Maximum share of the GPU's free memory for the images, in [0, 1]; 0 keeps none there.
    """

    def __init__(self, max_share: float = 0.4) -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f"Expected max_share in [0, 1] but got {max_share}.")
        self.max_share = max_share
        self._images: DeviceImages | None = None
        self._data: PrivilegedDataModule | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the images to the device if they fit, else have them sent as stored, before the training loader is built.

        Raises:
            TypeError: If the data module is none of ours.
            ValueError: If the data module has no prepared images.
        """
        del pl_module
        if stage != "fit":
            return
        data: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, PrivilegedDataModule):
            raise TypeError(
                "Expected a data module of data_modules, or a subclass of PrivilegedDataModule, for ImagesOnDevice: other data "
                "modules and data loaders have no prepared images. Leave it out."
            )
        prepared = data.prepared_images("train")
        if prepared is None:
            raise ValueError(
                "Expected data.prepared, the folder of prepared images, but it is not set. Run `mmpkd prepare`."
            )
        device = trainer.strategy.root_device
        size = len(prepared) * prepared.bytes_per_image
        room = self._room(device)
        self._data = data
        data.images_elsewhere = size <= room
        data.augments_on_device = not data.images_elsewhere
        if data.images_elsewhere:
            self._images = DeviceImages(prepared, data.augmentation, data.mean, data.std, data.seed, device)
            logger.info("%.2f GB of training images are on %s", size / 1e9, device)
        else:
            logger.info(
                "%.2f GB of training images do not fit into %.2f GB of %s and are read in every epoch",
                size / 1e9,
                room / 1e9,
                device,
            )

    def _room(self, device: torch.device) -> float:
        """Return the bytes that images may take; there is no limit on a CPU."""
        if self.max_share == 0:
            return 0
        return self.max_share * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Add the augmented images to the batch."""
        del pl_module, batch_idx
        if self._images is not None:
            image = self._images.batch(batch["index"], trainer.current_epoch)
            # Lightning has already converted the rest of the batch to the precision of the run
            batch["image"] = trainer.precision_plugin.convert_input(image)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Free the memory, and let the data module load images as before."""
        del trainer, pl_module
        self._free()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Free the memory, and let the data module load images as before, since the next fit may not use this callback."""
        del trainer, pl_module, exception
        self._free()

    def _free(self) -> None:
        self._images = None
        if self._data is not None:
            self._data.images_elsewhere = False
            self._data.augments_on_device = False
            self._data = None
