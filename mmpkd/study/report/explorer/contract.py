"""The contract between exporter and page: the page's `meta`, as JSON. Arrays lie beside it, see `blocks`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from mmpkd.records.map_file import Unit

FORMAT = 1
# a run that stands for all: maps that see no student are the same in every run
BASELINES = "b"
# of `recognised` and labels
UNKNOWN = 255


@dataclass(frozen=True)
class ArrayPlace:
    """Where an array lies in the block of columns.

    Attributes:
        at: First byte.
        bytes: Number of bytes; those of equal weight lie side by side, the lowest first.
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
        name: `finding`, the region of one finding, or `image`, the union of an image's regions.
        top_area: Share of the frame that `iou_top_area` selected.
        methods: Attributions whose scores are recorded.
        scores: Recorded scores, of `iou_top_area` and `pointing_game`.
    """

    name: Unit
    top_area: float
    methods: tuple[str, ...]
    scores: tuple[str, ...]


@dataclass(frozen=True)
class RunMeta:
    """A run.

    Attributes:
        arm: Its arm.
        seed: Its seed.
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
        is_of_finding: Whether it has one map a finding.
        is_baseline: Whether its map sees no student.
    """

    name: str
    title: str
    grid: tuple[int, int]
    is_of_finding: bool
    is_baseline: bool


@dataclass(frozen=True)
class Declared:
    """The comparison that the page begins with.

    Attributes:
        arm: The arm that the question is about.
        reference: The arm that it is compared with.
        attribution: The declared attribution.
        score: The declared score.
        unit: The declared unit.
        is_as_declared: Whether it was declared before the first run.
    """

    arm: str
    reference: str
    attribution: str
    score: str
    unit: Unit
    is_as_declared: bool


@dataclass(frozen=True)
class Meta:
    """Everything about a study but its arrays.

    Attributes:
        format: Version of this contract.
        study: Name of the study, with that of the domain if it has several.
        question: Its question.
        license: `credentialed`, `open` or `synthetic`.
        frame: Height and width of the frame that the network sees, in pixels.
        declared: The comparison to begin with.
        units: Units that all runs were scored in.
        arms: Student arms.
        runs: Runs; arrays name them by position.
        methods: Attributions, those of baseline maps last.
        findings: Names of the findings.
        strata: Levels of each stratum.
        samples: Names of the images: identifiers, keyed hashes of them, or numbers.
        patients: Names of the patients, likewise.
        names: Whether these names are identifiers, hashes or numbers.
        image_type: Media type of the images.
        left_out: Parts of the study that are not on the page, one sentence each.
        num_images: Images that were scored, on the page or not.
        colormaps: 256 colours each, RGB bytes in base64.
        arrays: Where each array lies.
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
        """Return strict JSON that cannot close the element of a page that holds it."""
        return json.dumps(asdict(self), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
