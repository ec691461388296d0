"""What a study costs on one H100 and on eight: the figures of docs/costs.md that are calculated, from the experiments themselves.

Run: python benchmarks/costs.py      prints the tables of docs/costs.md
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heapreplace
from math import ceil
from pathlib import Path
from typing import Any

import yaml

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
SEEDS = 5
# training speed of ViT-5-Small on one H100, compiled, bfloat16, batch 256, and our bar for a fit with loader processes
ANCHOR_SPEED, SHARE = 7716, 0.90
# depth, width; 22 and 110 million parameters
VIT_S, BERT = (12, 384), (12, 768)
PARAMETERS = {VIT_S: 22e6, BERT: 110e6}
GB = 1e9


def forward_flop(size: tuple[int, int], tokens: int) -> float:
    """Return the operations of a forward pass: 24 d^2 for each token and block, and 4 N d for its attention."""
    depth, width = size
    return depth * tokens * (24 * width**2 + 4 * tokens * width)


def train_flop(size: tuple[int, int], tokens: int) -> float:
    """Return the operations of a training step: the backward pass takes twice the forward pass."""
    return 3 * forward_flop(size, tokens)


# what the anchor reaches, 211 TFLOP/s or a fifth of the H100's peak, times our bar
FLOP_PER_SECOND = SHARE * ANCHOR_SPEED * train_flop(VIT_S, 197)
# float32, in which a frozen teacher always computes: half of the H100's peak of 67 TFLOP/s
FLOAT32_FLOP_PER_SECOND = 33e12
# a validation or test with maps and scores, of the plain one
WITH_MAPS = 1.15


@dataclass(frozen=True)
class Study:
    """A study of three arms.

    Attributes:
        name: Name of the data.
        folder: Folder of its experiments.
        images: Images of training, validation and test.
        side: Side of the images in pixels.
        bytes_per_pixel: Of prepared images.
        batch: Images a step.
        teacher: Depth and width of the teacher's text encoder, or None for a table, whose training takes seconds.
        report_tokens: Tokens of a report.
        num_labels: Number of labels.
        prepare_seconds: CPU time of `mmpkd prepare` for an image, as `benchmarks/loading.py` measures it, or None if unknown.
    """

    name: str
    folder: str
    images: tuple[int, int, int]
    side: int
    bytes_per_pixel: int
    batch: int
    teacher: tuple[int, int] | None
    report_tokens: int
    num_labels: int
    prepare_seconds: float | None

    def trainer(self, arm: str) -> dict[str, Any]:
        """Return the trainer's settings in an arm's experiment."""
        settings = yaml.safe_load((EXPERIMENTS / self.folder / f"{arm}.yaml").read_text(encoding="utf-8"))
        return dict(settings["trainer"])

    def speed(self, arm: str) -> float:
        """Return the operations per second of an arm in the precision of its experiment."""
        is_half = self.trainer(arm).get("precision") == "bf16-mixed"
        return FLOP_PER_SECOND if is_half else FLOAT32_FLOP_PER_SECOND

    @property
    def tokens(self) -> int:
        """Patches of 16 x 16 pixels, and the class token."""
        return (self.side // 16) ** 2 + 1

    @property
    def teacher_hours(self) -> float:
        """Hours of a teacher, with its stored targets."""
        if self.teacher is None:
            return 0.0
        train, val, _ = self.images
        forward = forward_flop(self.teacher, self.report_tokens)
        seconds = self.trainer("teacher")["max_epochs"] * (3 * train + val) * forward / self.speed("teacher")
        return (seconds + (train + val) * forward / FLOAT32_FLOP_PER_SECOND) / 3600

    @property
    def student_hours(self) -> float:
        """Hours of a student, with validations and test."""
        train, val, test = self.images
        forward = forward_flop(VIT_S, self.tokens)
        epochs = self.trainer("baseline")["max_epochs"]
        passes = epochs * (3 * train + WITH_MAPS * val) + WITH_MAPS * test
        return passes * forward / self.speed("baseline") / 3600

    def hours(self, num_gpus: int) -> float:
        """Return the hours of all runs, one per GPU: baselines and teachers first, each student after its teacher."""
        free = [0.0] * num_gpus  # a heap: when each GPU is free
        ready = [0.0] * SEEDS
        for seed in range(SEEDS):
            ready[seed] = free[0] + self.teacher_hours
            heapreplace(free, ready[seed])
        for earliest in [0.0] * SEEDS + ready:
            heapreplace(free, max(free[0], earliest) + self.student_hours)
        return max(free)

    @property
    def prepared_gb(self) -> float:
        """Prepared images."""
        return sum(self.images) * self.side**2 * self.bytes_per_pixel / GB

    @property
    def prepare_hours(self) -> float | None:
        """CPU hours of `mmpkd prepare`, of all cores together."""
        return None if self.prepare_seconds is None else sum(self.images) * self.prepare_seconds / 3600

    @property
    def targets_gb(self) -> float:
        """Stored targets of all teachers: float32 logits, float16 features, and nine bytes."""
        width = 64 if self.teacher is None else self.teacher[1]
        return SEEDS * self.images[0] * (4 * self.num_labels + 2 * width + 9) / GB

    @property
    def checkpoints_gb(self) -> float:
        """Three checkpoints of every run: weights and both moments of AdamW, in float32."""
        teacher = 0 if self.teacher is None else PARAMETERS[self.teacher]
        return SEEDS * 3 * 12 * (2 * PARAMETERS[VIT_S] + teacher) / GB

    @property
    def device_gb(self) -> float:
        """Memory of a student's GPU: 16 bytes a parameter, 34 d bytes of activations for each token and block."""
        depth, width = VIT_S
        return (16 * PARAMETERS[VIT_S] + self.batch * depth * self.tokens * 34 * width) / GB


STUDIES = (
    Study("MIMIC-CXR", "cxr/mimic", (368_960, 2_991, 5_159), 224, 1, 128, BERT, 256, 14, 15.1e-3),
    # masses and calcifications; a tenth of the training patients validates
    Study("CBIS-DDSM at 1,024 px", "mammo/cbis_ddsm", (2_212, 246, 645), 1024, 2, 32, None, 0, 1, None),
)
ROWS: tuple[tuple[str, Callable[[Study], str]], ...] = (
    ("a teacher with its stored targets, hours", lambda s: _round(s.teacher_hours) if s.teacher else "seconds"),
    ("a student with validations and test, hours", lambda s: _round(s.student_hours)),
    (f"all {3 * SEEDS} runs on one H100, hours", lambda s: _round(s.hours(1))),
    ("on eight, one run on each, hours", lambda s: _round(s.hours(8))),
    ("`mmpkd prepare`, core hours", lambda s: _round(s.prepare_hours) if s.prepare_hours else "not measured"),
    ("prepared images, GB", lambda s: _round(s.prepared_gb)),
    (f"stored targets of {SEEDS} teachers, GB", lambda s: _round(s.targets_gb)),
    ("checkpoints of all runs, GB", lambda s: _round(s.checkpoints_gb)),
    ("memory of a GPU, GB", lambda s: _round(s.device_gb)),
)


def table() -> Iterator[str]:
    """Yield the lines of the table of what is calculated, in Markdown."""
    yield "| calculated | " + " | ".join(study.name for study in STUDIES) + " |"
    yield "|---|" + "---|" * len(STUDIES)
    for name, value in ROWS:
        yield f"| {name} | " + " | ".join(value(study) for study in STUDIES) + " |"


def _round(value: float) -> str:
    """Return two digits: a calculation does not know more."""
    return f"{value:.2g}" if value < 10 else str(ceil(value))


def main() -> None:
    """Print."""
    for line in table():
        print(line)


if __name__ == "__main__":
    main()
