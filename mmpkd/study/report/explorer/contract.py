"""The contract between Python and the page: the JSON `meta`. Arrays are stored separately, see `blocks`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from mmpkd.records.unit import Unit

FORMAT = 1
# stands for all runs: baseline maps are the same in every run
BASELINES = "b"
# a value of `recognised` and of labels
UNKNOWN = 255


@dataclass(frozen=True)
class ArrayPlace:
    """Position of an array in the block of columns.

    Attributes:
        at: Offset of the first byte.
        bytes: Number of bytes, stored by significance: first the lowest byte of every value, then the next one.
        type: uint8, uint16, uint32 or float32.
        shape: Shape.
    """

    at: int
    bytes: int
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class UnitMeta:
    """A unit of localization.

    Attributes:
        name: `finding` (the region of one finding) or `image` (the union of an image's regions).
        top_area: Share of the frame that `iou_top_area` selected.
        methods: Attributions with recorded scores.
        scores: Recorded scores, among `iou_top_area` and `pointing_game`.
    """

    name: Unit
    top_area: float
    methods: tuple[str, ...]
    scores: tuple[str, ...]


@dataclass(frozen=True)
class RunMeta:
    """A run.

    Attributes:
        arm: Arm of the run.
        seed: Seed of the run.
    """

    arm: str
    seed: int


@dataclass(frozen=True)
class MethodMeta:
    """An attribution.

    Attributes:
        name: Name in the tables.
        title: Name in words.
        grid: Patches (rows, columns).
        is_of_finding: Whether it has a map for each finding.
        is_baseline: Whether it is a baseline map.
    """

    name: str
    title: str
    grid: tuple[int, int]
    is_of_finding: bool
    is_baseline: bool


@dataclass(frozen=True)
class Declared:
    """The comparison that the page opens with.

    Attributes:
        arm: The arm that the question is about.
        reference: The arm that it is compared with.
        attribution: The declared attribution.
        score: The declared score.
        unit: The declared unit.
        exploratory: Why it is exploratory, as part of a sentence; "" if it was declared before the first run.
    """

    arm: str
    reference: str
    attribution: str
    score: str
    unit: Unit
    exploratory: str


@dataclass(frozen=True)
class Meta:
    """Everything about a study except its arrays.

    Attributes:
        format: Version of this contract.
        study: Name of the study, and of the domain if it has several, or of the other data set.
        question: Question of the study.
        license: `credentialed`, `open` or `synthetic`.
        frame: Height and width of the network's input frame in pixels.
        declared: The comparison to open with.
        units: Units that all runs were scored in.
        arms: Student arms.
        runs: Runs; arrays refer to them by position.
        methods: Attributions, baseline maps last.
        findings: Names of the findings.
        strata: Levels of each stratum.
        samples: Names of the images: identifiers, keyed hashes of identifiers, or numbers.
        patients: Names of the patients, likewise.
        names: Kind of these names: identifiers, hashes or numbers.
        image_type: Media type of the images.
        left_out: Parts of the study that are not on the page, one sentence each.
        num_images: Number of scored images, on the page or not.
        colormaps: 256 colours each, as RGB bytes in base64.
        arrays: Position of each array.
    """

    study: str
    question: str
    license: str
    frame: tuple[int, int]
    declared: Declared
    units: tuple[UnitMeta, ...]
    arms: tuple[str, ...]
    runs: tuple[RunMeta, ...]
    methods: tuple[MethodMeta, ...]
    findings: tuple[str, ...]
    strata: Mapping[str, tuple[str, ...]]
    samples: tuple[str, ...]
    patients: tuple[str, ...]
    names: Literal["identifiers", "hashes", "numbers"]
    image_type: str
    left_out: tuple[str, ...]
    num_images: int
    colormaps: Mapping[str, str]
    arrays: Mapping[str, ArrayPlace]
    format: int = FORMAT

    def json(self) -> str:
        """Return strict JSON, escaped so that it cannot close the HTML element around it."""
        return json.dumps(asdict(self), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
