"""The content of a page, from runs and images."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np

from mmpkd.records.unit import Unit
from mmpkd.study.report.explorer.blocks import Blocks, different_rows
from mmpkd.study.report.explorer.contract import BASELINES, UNKNOWN, Declared, Meta, MethodMeta, RunMeta, UnitMeta
from mmpkd.study.report.explorer.images import IMAGE_TYPE, NoExplorerError, ScoredImage, ScoredImages
from mmpkd.study.report.explorer.maps import RunMaps, shared_methods, shared_scores, shared_units
from mmpkd.study.report.explorer.names import kind_of_names, shown_names
from mmpkd.study.report.explorer.scope import Scope
from mmpkd.study.report.names import BASELINE_TITLES

_COLORMAPS = ("inferno", "viridis", "cividis", "magma")


@dataclass(frozen=True)
class Title:
    """The head of a page: study, question and declared comparison.

    Attributes:
        study: Name of the study, and of the domain if it has several, or of the other data set.
        question: Question of the study.
        license: `credentialed`, `open` or `synthetic`.
        declared: The comparison to open with.
    """

    study: str
    question: str
    license: str
    declared: Declared


@dataclass(frozen=True)
class Contents:
    """The content of a page.

    Attributes:
        meta: Everything except the arrays.
        columns: The arrays, compressed.
        images: The encoded images, one after another.
    """

    meta: Meta
    columns: bytes
    images: bytes


def check_images(runs: Sequence[RunMaps], images: ScoredImages) -> None:
    """Check that the runs were scored on the regions of these images.

    Raises:
        NoExplorerError: If they were scored on others.
    """
    regions = [(image.sample_id, region.finding) for image in images.images for region in image.regions]
    pixels = np.array([region.num_pixels for image in images.images for region in image.regions])
    for run in runs:
        height, width = run.maps.frame
        areas = run.rows("finding", run.methods("finding")[0])["area"].to_numpy(np.float32)
        share = pixels.astype(np.float32) / np.float32(height * width)
        if regions != run.pairs or not np.array_equal(areas, share):
            raise NoExplorerError(
                f"Expected the test images to have the regions that {run.tables.run.name} was scored on but they have others: "
                f"the data have changed{', or MMPKD_ID_KEY' if images.are_hashed else ''}. Test the runs again."
            )


def contents(title: Title, scope: Scope, images: ScoredImages) -> Contents:
    """Return the content of a page.

    Args:
        title: Head of the page.
        scope: Part of the study on the page; its runs were scored on the same regions.
        images: Images that have regions.

    Raises:
        NoExplorerError: If the runs have no attribution and no score in common.
    """
    writer = _Writer(scope, images)
    units = [writer.unit(unit) for unit in shared_units(scope.runs)]
    if not any(own.methods for own in units):
        raise NoExplorerError("The runs have no attribution with maps and scores in common.")
    methods = writer.methods(units)
    shown = [image for image in images.images if image.sample_id in scope.samples]
    levels = writer.images(shown)
    kind = kind_of_names(title.license, images.are_hashed)
    patients = sorted({image.patient_id for image in images.images})
    writer.patients(shown, patients)
    every = [image.sample_id for image in images.images]
    names = dict(zip(every, shown_names(every, kind), strict=True))
    meta = Meta(
        study=title.study,
        question=title.question,
        license=title.license,
        frame=scope.runs[0].maps.frame,
        declared=title.declared,
        units=tuple(units),
        arms=tuple(dict.fromkeys(run.tables.run.arm.name for run in scope.runs)),
        runs=tuple(RunMeta(run.tables.run.arm.name, run.tables.run.seed) for run in scope.runs),
        methods=methods,
        findings=images.label_names,
        strata=levels,
        samples=tuple(names[image.sample_id] for image in shown),
        patients=shown_names(patients, kind),
        names=kind,
        image_type=IMAGE_TYPE,
        left_out=scope.left_out,
        num_images=len(images.images),
        colormaps={name: _color_table(name) for name in _COLORMAPS},
        arrays=writer.blocks.places,
    )
    return Contents(meta, writer.blocks.compressed(), b"".join(image.pixels for image in shown))


class _Writer:
    """Writes the columns of the images on the page and of their regions."""

    def __init__(self, scope: Scope, images: ScoredImages) -> None:
        self.blocks = Blocks()
        self._runs = scope.runs
        self._attributions = scope.attributions
        self._names = images.label_names
        own = [image.sample_id for image in images.images if image.sample_id in scope.samples]
        self._image = {name: number for number, name in enumerate(own)}
        self._pairs = np.array([name in self._image for name in self._runs[0].maps.sample_id])

    def images(self, images: Sequence[ScoredImage]) -> dict[str, tuple[str, ...]]:
        """Write the properties of images and regions, and return the levels of the strata."""
        add = self.blocks.add
        regions = [region for image in images for region in image.regions]
        place = {name: number for number, name in enumerate(self._names)}
        counts = [len(image.regions) for image in images]
        add("region/image", np.repeat(np.arange(len(images), dtype=np.uint32), counts))
        add("region/finding", np.array([place[region.finding] for region in regions], np.uint16))
        # offsets: the bytes of region r are those from at[r] to at[r + 1]; the same for images below
        add("region/at", np.cumsum([0, *(len(region.runs) for region in regions)]).astype(np.uint32))
        add("region/runs", np.frombuffer(b"".join(region.runs for region in regions), np.uint8))
        add("image/at", np.cumsum([0, *(len(image.pixels) for image in images)]).astype(np.uint32))
        label = np.stack([image.label for image in images])
        add("image/label", np.where(np.isnan(label), UNKNOWN, np.nan_to_num(label)).astype(np.uint8))
        levels: dict[str, tuple[str, ...]] = {}
        for name in images[0].strata:
            values = [image.strata[name] for image in images]
            levels[name] = tuple(sorted(set(values)))
            add(f"stratum/{name}", np.array([levels[name].index(value) for value in values], np.uint16))
        return levels

    def patients(self, images: Sequence[ScoredImage], patients: Sequence[str]) -> None:
        """Write the patient of each image, as an index into all patients."""
        place = {name: number for number, name in enumerate(patients)}
        self.blocks.add("image/patient", np.array([place[image.patient_id] for image in images], np.uint32))

    def unit(self, unit: Unit) -> UnitMeta:
        """Write the recorded values of a unit."""
        methods = [name for name in shared_methods(self._runs, unit) if self._is_shown(name)]
        # regions and what is known of them are the same for all runs and attributions
        rows = self._runs[0].rows(unit, methods[0])
        kept = rows["sample_id"].isin(list(self._image)).to_numpy()
        own = rows[kept]
        self.blocks.add(f"item/{unit}", own["sample_id"].map(self._image).to_numpy(np.uint32))
        # thirds of all scored regions, not only of those on the page
        bounds = np.quantile(rows["area"], (1 / 3, 2 / 3))
        self.blocks.add(f"third/{unit}", np.searchsorted(bounds, own["area"], side="left").astype(np.uint8))
        for name, column, kind in (("ceiling", "iou_ceiling", np.float32), ("parts", "num_regions", np.uint16)):
            if column in own:
                self.blocks.add(f"{name}/{unit}", own[column].to_numpy(kind))
        scores = shared_scores(self._runs, unit)
        for number, run in enumerate(self._runs):
            probability = run.rows(unit, methods[0])["probability"].to_numpy(np.float32)
            self.blocks.add(f"probability/{number}/{unit}", probability[kept])
            self.blocks.add(f"recognised/{number}/{unit}", run.recognised(unit, methods[0])[kept])
        for method in methods:
            for key, run in self._runs_of(method):
                for score in scores:
                    self.blocks.add(f"recorded/{key}/{method}/{unit}/{score}", run.score(unit, method, score)[kept])
        return UnitMeta(unit, self._runs[0].maps.top_area[unit], tuple(methods), scores)

    def methods(self, units: Sequence[UnitMeta]) -> tuple[MethodMeta, ...]:
        """Write the maps of all attributions of some units."""
        names: list[str] = []
        for unit in units:
            names += unit.methods
        return tuple(
            self._method(name) for name in sorted(dict.fromkeys(names), key=lambda name: name in BASELINE_TITLES)
        )

    def _method(self, name: str) -> MethodMeta:
        is_of_finding = False
        # (R,), the image of each pair on the page
        image = np.array([self._image.get(own, -1) for own in self._runs[0].maps.sample_id])[self._pairs]
        for key, run in self._runs_of(name):
            # (U, h, w) and (R,): all pairs of an image share a map if the attribution knows no finding
            maps, row = different_rows(run.maps.maps[name][self._pairs])
            self.blocks.add(f"map/{key}/{name}", maps)
            self.blocks.add(f"row/{key}/{name}", row)
            # pairs of an image are neighbours; if their maps differ, the attribution depends on the finding
            is_of_finding |= bool(((np.diff(image) == 0) & (np.diff(row.astype(np.int64)) != 0)).any())
        height, width = maps.shape[1:]
        title = BASELINE_TITLES.get(name, name.replace("_", " "))
        return MethodMeta(name, title, (height, width), is_of_finding, name in BASELINE_TITLES)

    def _is_shown(self, method: str) -> bool:
        return self._attributions is None or method in self._attributions or method in BASELINE_TITLES

    def _runs_of(self, method: str) -> list[tuple[str, RunMaps]]:
        """Return the runs whose maps of an attribution are written; for a baseline map, the first run stands for all."""
        if method in BASELINE_TITLES:
            return [(BASELINES, self._runs[0])]
        return [(str(number), run) for number, run in enumerate(self._runs)]


def _color_table(name: str) -> str:
    colors = matplotlib.colormaps[name](np.arange(256))[:, :3]
    return base64.b64encode(np.round(255 * colors).astype(np.uint8).tobytes()).decode()
