"""Facts about a student's training, from the records of its run: data, teacher, pretrained weights, and the other runs."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import timm

from mmpkd.export.license import data_class, data_kind, init_args
from mmpkd.export.source import ExportSource
from mmpkd.records import RunFolder


@dataclass(frozen=True)
class DataFacts:
    """The data set of a training.

    Attributes:
        name: Name of the data module, or "" if it is unknown.
        license: `credentialed`, `open` or `synthetic`, of the student's own data.
        access: How to get the data, from the docstring of the data module, or "".
        citation: Citation of the data, likewise.
        counts: Counts of each split.
    """

    name: str
    license: str
    access: str
    citation: str
    counts: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class ArmScore:
    """Test scores of all runs of an arm.

    Attributes:
        arm: Name of the arm.
        seeds: Seeds in ascending order.
        auroc: Macro AUROC of each seed; None where it is undefined.
    """

    arm: str
    seeds: tuple[int, ...]
    auroc: tuple[float | None, ...]


def data_facts(source: ExportSource) -> DataFacts:
    """Return the known facts about the training data."""
    tested = None if source.state is None else source.state.test
    counts = {} if tested is None else tested.data
    config = source.config
    name = data_class(config).rpartition(".")[2]
    kind = data_kind(config)
    if kind is None:
        return DataFacts(name, source.own_license, "", "", counts)
    paragraphs = [" ".join(part.split()) for part in (inspect.getdoc(kind) or "").split("\n\n")]
    access = _after("Access:", paragraphs)
    return DataFacts(name, source.own_license, access, _after("Cite:", paragraphs), counts)


def starting_weights(source: ExportSource) -> str:
    """Describe the weights that the training started from."""
    settings = init_args(init_args(source.config.get("model")).get("student"))
    if not settings:
        return "Not recorded."
    name = str(settings.get("model_name"))
    if not settings.get("pretrained"):
        return "Random: the student was trained from scratch."
    if name.startswith("local-dir:"):
        return "Weights in a local folder of whoever trained the student; their licence also applies to this model."
    if ":" in name:  # `hf-hub:user/name`, for example
        return f"The pretrained weights `{name}`; their licence also applies to this model."
    found = timm.get_pretrained_cfg(name)
    stated = None if found is None else found.license
    licence = f"whose licence is {stated}" if stated else "whose licence is unknown to timm"
    return f"timm's pretrained weights of `{name}`, {licence}."


def teacher_words(source: ExportSource) -> str:
    """Describe the teacher that the student was distilled from."""
    if source.state is None or not source.config:
        return "Not recorded."
    teacher = init_args(source.config.get("model")).get("teacher")
    if teacher is None:
        return "None: the student was trained on images and labels only."
    settings = init_args(teacher)
    if settings.get("path") is None:
        return "None: a control made the targets of the training, without a teacher."
    made_from = source.state.made_from
    sha256 = None if made_from is None else made_from.teacher_sha256
    known = f" (SHA-256 {sha256[:12]}...)" if sha256 else ""
    if settings.get("targets") == "image":
        return f"A frozen student{known} that sees the same images."
    return (
        f"A frozen teacher{known} that reads privileged information, which is available only in training. The student sees "
        "only images."
    )


def arms(source: ExportSource) -> list[ArmScore]:
    """Return the arms of the run's study, with the test score of each seed; empty outside a study."""
    if source.folder is None or source.state is None or source.state.study is None:
        return []
    found: dict[str, dict[int, float | None]] = {}
    # <study>/<arm>/<run>/run.json
    for path in sorted(source.folder.path.parents[1].glob("*/*/run.json")):
        state = RunFolder(path.parent).state
        if state is not None and state.study is not None and state.test is not None and state.seed is not None:
            found.setdefault(path.parents[1].name, {})[state.seed] = state.test.metrics.get("test/auroc_macro")
    return [_arm_score(arm, runs) for arm, runs in found.items()]


def _arm_score(arm: str, runs: Mapping[int, float | None]) -> ArmScore:
    seeds = tuple(sorted(runs))
    return ArmScore(arm, seeds, tuple(runs[seed] for seed in seeds))


def _after(word: str, paragraphs: list[str]) -> str:
    return next((part.removeprefix(word).strip() for part in paragraphs if part.startswith(word)), "")
