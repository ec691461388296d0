"""Training images in the memory of the GPU."""

import logging

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.base import PrivilegedDataModule
from data_modules.batch import Batch
from data_modules.images.device_images import DeviceImages

logger = logging.getLogger("mmpkd")


class ImagesOnDevice(Callback):
    """Keeps all prepared training images on the device and augments them there, instead of loading them.

    Needs `data.prepared`. If the images do not fit into the memory of the GPU, they are loaded as usual, which is logged.

    Args:
        max_share: Maximum share of the GPU's free memory for the images, in (0, 1].
    """

    def __init__(self, max_share: float = 0.4) -> None:
        if not 0 < max_share <= 1:
            raise ValueError(f"Expected max_share in (0, 1] but got {max_share}.")
        self.max_share = max_share
        self._images: DeviceImages | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the images to the device, if they fit, before the training loader is built.

        Raises:
            ValueError: If the data module has no prepared images.
        """
        del pl_module
        if stage != "fit":
            return
        data: PrivilegedDataModule = trainer.datamodule  # type: ignore[attr-defined]
        prepared = data.prepared_images("train")
        if prepared is None:
            raise ValueError(
                "Expected data.prepared, the folder of prepared images, but it is not set. Run `mmpkd prepare`."
            )
        device = trainer.strategy.root_device
        size = len(prepared) * prepared.bytes_per_image
        if device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0]
            if size > self.max_share * free:
                logger.info(
                    "%.1f GB of images do not fit into %.1f GB of free memory and are loaded in every epoch",
                    size / 1e9,
                    free / 1e9,
                )
                return
        self._images = DeviceImages(prepared, data.augmentation, data.mean, data.std, data.seed, device)
        data.images_elsewhere = True
        logger.info("%.2f GB of training images are on %s", size / 1e9, device)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Add the augmented images to the batch."""
        del pl_module, batch_idx
        if self._images is not None:
            image = self._images.batch(batch["index"], trainer.current_epoch)
            # Lightning has already converted the rest of the batch to the precision of the run
            batch["image"] = trainer.precision_plugin.convert_input(image)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Free the memory, and let the data module load images again."""
        del pl_module
        self._free(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Free the memory, and let the data module load images again, since the next fit may not use this callback."""
        del pl_module, exception
        if self._images is not None:
            self._free(trainer)

    def _free(self, trainer: Trainer) -> None:
        self._images = None
        trainer.datamodule.images_elsewhere = False  # type: ignore[attr-defined]
