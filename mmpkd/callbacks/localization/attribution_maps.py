"""Pictures of attributions, always for the same images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import nn

from mmpkd.attribution import AttentionRollout, AttributionMethod, ClassAttribution, crop_to_image, pad_to_patches
from mmpkd.attribution.plotting import display_scale, map_figure, overlay
from mmpkd.callbacks.localization.heatmaps import check_methods, student_of
from mmpkd.callbacks.localization.map_samples import (
    MapSample,
    annotations,
    caption,
    check_names_images,
    choose_examples,
    choose_fixed,
    file_name,
    load_samples,
)
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.callbacks.tables import is_due, label_names
from mmpkd.students import load_student
from mmpkd.students.trained import check_student_input, student_labels
from mmpkd.tracking.media import may_log_media

# score that separates hits from misses
_HIT = "pointing_game"


class AttributionMapLogger(Callback):
    """Draws heatmaps over a fixed set of validation and test images, with the outlines of their ROIs.

    The fixed images are chosen independently of any result: those with the smallest and the largest ROI, then one image of each
    finding in turn, by a hash of their identifiers. They are the same in every epoch, run and arm. Further images are examples of
    hits and misses of this student in the pointing game, chosen by the same hash and not by score.

    Files in the run folder: `maps/<stage>/<sample_id>.png` (the first attribution over the image), `maps/<stage>/hits/`,
    `maps/<stage>/misses/`, and `figures/<stage>/<sample_id>.png` (the image beside the maps of all attributions and students). In
    W&B: `<stage>/attribution/<name>`, `.../<name>/hits`, `.../<name>/misses` and `.../<name>/<other student>`, with boxes and
    masks that can be switched on and off. Images stay on this machine if the data or the user require it (`--run.media`).

    Args:
        attributions: Attribution methods with different names; attention rollout if None. The first must be one that
            `LocalizationMonitor` scores. A map that is specific to a finding is drawn for the first finding of an image.
        num_images: Maximum number of fixed images.
        num_examples: Maximum number of hits, and of misses.
        compare: Checkpoints of other students by name, such as `baseline`, whose maps are drawn beside this student's. If the
            teacher of this student is itself a student, its maps are drawn even if it is not listed here.
        every_n_epochs: During a fit, draw only in every n-th epoch.
    """

    def __init__(
        self,
        attributions: list[AttributionMethod] | None = None,
        num_images: int = 8,
        num_examples: int = 4,
        compare: dict[str, str] | None = None,
        every_n_epochs: int = 1,
    ) -> None:
        super().__init__()
        if num_images < 1 or num_examples < 0 or every_n_epochs < 1:
            raise ValueError(
                "Expected num_images >= 1, num_examples >= 0 and every_n_epochs >= 1 but got "
                f"{num_images}, {num_examples} and {every_n_epochs}."
            )
        self.attributions: list[AttributionMethod] = [AttentionRollout()] if attributions is None else attributions
        names = [method.name for method in self.attributions]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"Expected attributions with different names but got {names}.")
        self.num_images = num_images
        self.num_examples = num_examples
        self.every_n_epochs = every_n_epochs
        self.compare = {name: Path(path) for name, path in (compare or {}).items()}
        self._others: dict[str, nn.Module] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the monitor comes first, and load the other students before any long work.

        Raises:
            TypeError: If the data module does not know its images by name.
            ValueError: If no `LocalizationMonitor` comes before this callback, or if another student has different labels or
                input.
        """
        del stage
        self._monitor(trainer)
        check_methods(self.attributions, pl_module)
        check_names_images(trainer, self)
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        for name, path in self.compare.items():
            if student_labels(path) != tuple(datamodule.label_names):
                raise ValueError(
                    f"Expected '{name}' to be a student with the labels {list(datamodule.label_names)} but it has others."
                )
            check_student_input(path, datamodule.image_size, datamodule.mean, datamodule.std)
            self._others[name] = load_student(path)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the validation images."""
        self._draw(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the test images."""
        self._draw(trainer, pl_module, "test")

    def _monitor(self, trainer: Trainer) -> LocalizationMonitor:
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        for callback in callbacks[: callbacks.index(self)]:
            if isinstance(callback, LocalizationMonitor):
                return callback
        raise ValueError(
            "Expected a LocalizationMonitor before AttributionMapLogger in trainer.callbacks but got none. It finds the hits "
            "and misses to draw."
        )

    def _draw(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        table = self._monitor(trainer).tables.get(stage)
        if not is_due(trainer, self.every_n_epochs) or not trainer.is_global_zero or table is None:
            return
        own = table[(table["attribution"] == self.attributions[0].name) & (table["area"] > 0)]
        if own.empty:
            raise ValueError(
                f"Expected LocalizationMonitor to score '{self.attributions[0].name}' but it scores "
                f"{sorted(table['attribution'].unique())}. Add it there, or draw another attribution first."
            )
        fixed = choose_fixed(own, self.num_images)
        examples = choose_examples(own, _HIT, self.num_examples, fixed) if _HIT in own else {}
        folder = Path(trainer.default_root_dir)
        names = label_names(trainer)
        pairs = table[table["attribution"] == self.attributions[0].name]
        for kind, chosen in {"": fixed, **examples}.items():
            samples = load_samples(trainer, stage, chosen, pairs, names)
            if not samples:
                continue
            heatmaps = self._heatmaps(trainer, pl_module, samples)
            first = heatmaps["student"][self.attributions[0].name]
            _write_overlays(samples, first, folder / "maps" / stage / kind)
            if not kind:
                titles = {method.name: _title(method) for method in self.attributions}
                _write_figures(samples, heatmaps, titles, names, folder / "figures" / stage)
            self._log(trainer, f"{stage}/attribution", kind, samples, heatmaps)

    def _heatmaps(
        self, trainer: Trainer, pl_module: LightningModule, samples: Sequence[MapSample]
    ) -> dict[str, dict[str, NDArray[np.float32]]]:
        """Return heatmaps (B, h, w) by student and attribution; in pixels instead of patches if a student pads its images."""
        image = torch.stack([sample.image for sample in samples]).to(pl_module.device)
        label = torch.tensor([sample.roi_label[0] for sample in samples], device=pl_module.device)
        students = {"student": student_of(pl_module), **self._others}
        taught_by = getattr(getattr(pl_module, "_teacher", None), "student", None)
        if taught_by is not None:
            # a tuple keeps the student out of the parameters of this module
            students["teacher"] = taught_by[0]
        found: dict[str, dict[str, NDArray[np.float32]]] = {}
        for name, student in students.items():
            student.to(pl_module.device)
            padded = pad_to_patches(student, image.to(next(student.parameters()).dtype))
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                maps = {
                    method.name: method.of_label(student, padded, label)
                    if isinstance(method, ClassAttribution)
                    else method(student, padded)
                    for method in self.attributions
                }
            size = (int(image.shape[-2]), int(image.shape[-1]))
            found[name] = {
                method: crop_to_image(student, heatmap.float().cpu(), size).numpy() for method, heatmap in maps.items()
            }
        return found

    def _log(
        self,
        trainer: Trainer,
        prefix: str,
        kind: str,
        samples: Sequence[MapSample],
        heatmaps: Mapping[str, Mapping[str, NDArray[np.float32]]],
    ) -> None:
        names = label_names(trainer)
        for logger in trainer.loggers:
            if not isinstance(logger, WandbLogger):
                continue
            if not may_log_media(logger, getattr(trainer.datamodule, "license", "credentialed")):  # type: ignore[attr-defined]
                rank_zero_info(
                    f"No images are logged to W&B ({prefix}): the data are credentialed and a third party would store them, or "
                    "--run.media is 'local'. They are in the run folder, under maps/."
                )
                continue
            notes = [annotations(sample, names, display_scale(*sample.roi_mask.shape[1:])) for sample in samples]
            for student, by_method in heatmaps.items():
                if kind and student != "student":
                    continue  # hits and misses are defined for this student only
                for method, maps in by_method.items():
                    parts = [prefix, method, *([kind] if kind else []), *([student] if student != "student" else [])]
                    logger.log_image(
                        "/".join(parts),
                        [picture(sample, heatmap) for sample, heatmap in zip(samples, maps, strict=True)],
                        step=trainer.global_step,
                        caption=[caption(sample, names) for sample in samples],
                        boxes=[boxes for boxes, _ in notes],
                        masks=[masks for _, masks in notes],
                    )


def picture(sample: MapSample, heatmap: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return the overlay, uint8 RGB."""
    return overlay(sample.grey, heatmap, list(sample.roi_mask))


def _write_overlays(samples: Sequence[MapSample], heatmaps: NDArray[np.float32], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for sample, heatmap in zip(samples, heatmaps, strict=True):
        rgb = picture(sample, heatmap)
        # OpenCV writes BGR
        ok, encoded = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))
        if not ok:
            raise OSError(f"Expected to encode a map of shape {rgb.shape} as PNG but could not.")
        (folder / f"{file_name(sample.sample_id)}.png").write_bytes(encoded.tobytes())


def _title(method: AttributionMethod) -> str:
    """Return the title of a method's panel, with a placeholder for the finding if the map is specific to one."""
    return f"{method.title}: {{}}" if isinstance(method, ClassAttribution) else method.title


def _write_figures(
    samples: Sequence[MapSample],
    heatmaps: Mapping[str, Mapping[str, NDArray[np.float32]]],
    titles: Mapping[str, str],
    names: Sequence[str],
    folder: Path,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row, sample in enumerate(samples):
        panels = {
            titles[method].format(names[sample.roi_label[0]]) + ("" if student == "student" else f", {student}"): maps[
                row
            ]
            for student, by_method in heatmaps.items()
            for method, maps in by_method.items()
        }
        rois = {names[label]: mask for label, mask in zip(sample.roi_label, sample.roi_mask, strict=True)}
        figure = map_figure(sample.grey, panels, rois, caption(sample, names))
        figure.savefig(folder / f"{file_name(sample.sample_id)}.png", dpi=150)
