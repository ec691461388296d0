"""Radiology reports in the text layout of MIMIC-CXR: section titles in capitals, lines of at most 79 characters.

INDICATION and COMPARISON say nothing about the image, so a teacher that reads only those is a negative control.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data_modules.phantoms.chest.phantom import ChestScene
from data_modules.phantoms.chest.sentences import Mention, mention_findings
from data_modules.phantoms.primitives import pick

View = Literal["PA", "AP"]
LINE_WIDTH = 79
P_DRAIN_MENTIONED = 0.5
P_DISTRACTOR = 0.2
P_NORMAL_OPENING = 0.3
# share of reports with an impression, as in MIMIC-CXR
P_IMPRESSION = 0.83
NORMAL = "no acute cardiopulmonary process"
DISTRACTORS = (
    "no acute osseous abnormality",
    "comparison with prior study",
    "portable technique limits assessment",
    "median sternotomy wires are noted",
    "clinical correlation is advised",
    "visualised upper abdomen is unremarkable",
)
COMPLAINTS = ("cough", "shortness of breath", "chest pain", "fever", "hypoxia", "weakness")
QUESTIONS = ("evaluate for acute process", "interval change", "infiltrate?", "preoperative evaluation")


@dataclass(frozen=True)
class ChestReport:
    """A report.

    Attributes:
        text: The whole text, as in the file.
        mentions: Sentences about its findings.
    """

    text: str
    mentions: tuple[Mention, ...]


def write_report(rng: np.random.Generator, scene: ChestScene, view: View) -> ChestReport:
    """Write the report of a radiograph.

    Args:
        rng: Generator.
        scene: What the radiograph shows.
        view: Its projection.

    Returns:
        The report.
    """
    mentions = mention_findings(rng, scene)
    sections = {
        "EXAMINATION": "CHEST (PORTABLE AP)" if view == "AP" else "CHEST (PA)",
        "INDICATION": _indication(rng),
        "COMPARISON": pick(rng, "None.", "Chest radiograph ___.", "___."),
        "FINDINGS": _prose(_finding_sentences(rng, scene, mentions)),
    }
    if rng.random() < P_IMPRESSION:
        sections["IMPRESSION"] = _impression(mentions)
    return ChestReport(_lay_out(sections), tuple(mentions))


def _indication(rng: np.random.Generator) -> str:
    patient = pick(rng, "man", "woman")
    # ___ stands for what the de-identification of MIMIC-CXR removed
    return f"___ year old {patient} with {pick(rng, *COMPLAINTS)}  // {pick(rng, *QUESTIONS)}"


def _finding_sentences(rng: np.random.Generator, scene: ChestScene, mentions: Sequence[Mention]) -> list[str]:
    sentences = [mention.sentence for mention in mentions]
    if scene.drain and rng.random() < P_DRAIN_MENTIONED:
        sentences.append(pick(rng, "chest tube in situ", "chest drain noted"))
    sentences += [distractor for distractor in DISTRACTORS if rng.random() < P_DISTRACTOR]
    rng.shuffle(sentences)
    if not scene.present.any() and rng.random() < P_NORMAL_OPENING:
        sentences.insert(0, NORMAL)
    return sentences or [NORMAL]


def _impression(mentions: Sequence[Mention]) -> str:
    positive = [mention.phrase for mention in mentions if mention.present]
    if len(positive) < 2:
        return _prose(positive or [NORMAL])
    return "  ".join(f"{number}.  {_prose([phrase])}" for number, phrase in enumerate(positive, start=1))


def _prose(sentences: Sequence[str]) -> str:
    return "  ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def _lay_out(sections: dict[str, str]) -> str:
    blocks = [" " * 33 + "FINAL REPORT"]  # as MIMIC-CXR centres it
    for title, body in sections.items():
        lines = textwrap.wrap(body, LINE_WIDTH, initial_indent=f" {title}:  ", subsequent_indent=" ")
        blocks.append("\n".join([*lines, " "]))
    return "\n".join(blocks) + "\n"
