"""Sentences about the findings of a chest phantom: synonyms, sides, zones, sizes, negations, hedges.

Some sentences end in a turn of phrase that a rule-based labeler misreads: a negation that does not negate ("not
significantly changed"), a suspicion that is refuted ("no effusion, previously suspected"), a limitation. They
occur in every report, whatever the label noise, at the rate of the errors of random noise. So two data sets that differ
only in `label_noise` have the same images and reports, and differ only in their labels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from data_modules.phantoms.chest.anatomy import SIDE_NAMES
from data_modules.phantoms.chest.findings import ZONE_NAMES
from data_modules.phantoms.chest.phantom import FINDINGS, ChestScene
from data_modules.phantoms.primitives import pick

FLIP_RATE = 0.12
UNCERTAIN_RATE = 0.06
# an uncertain finding is not flipped as well
MISREAD_RATE = FLIP_RATE * (1 - UNCERTAIN_RATE)
P_NEGATION: Mapping[str, float] = {
    "Cardiomegaly": 0.7,
    "Consolidation": 0.6,
    "Lung Lesion": 0.35,
    "Pleural Effusion": 0.7,
    "Pneumothorax": 0.7,
}
NEGATIONS: Mapping[str, tuple[str, ...]] = {
    "Cardiomegaly": (
        "heart size is normal",
        "cardiomediastinal silhouette is within normal limits",
        "no cardiomegaly",
    ),
    "Consolidation": (
        "no focal consolidation",
        "lungs are free of airspace disease",
        "no opacity to suggest pneumonia",
    ),
    "Lung Lesion": ("no pulmonary nodule", "no suspicious nodular density"),
    "Pleural Effusion": ("no pleural effusion", "costophrenic angles are sharp", "no effusion is seen"),
    "Pneumothorax": ("no pneumothorax", "there is no evidence of pneumothorax", "no pneumothorax is seen"),
}


class Turn(Enum):
    """The reading of a sentence by a rule-based labeler."""

    PLAIN = "plain"
    MISREAD = "misread"
    UNCERTAIN = "uncertain"


TURNS_OF_PRESENCE: Mapping[Turn, tuple[str, ...]] = {
    Turn.PLAIN: ("",),
    Turn.MISREAD: (", not significantly changed", ", without interval change"),
    Turn.UNCERTAIN: (", incompletely characterized", ", of indeterminate chronicity"),
}
TURNS_OF_ABSENCE: Mapping[Turn, tuple[str, ...]] = {
    Turn.PLAIN: ("",),
    Turn.MISREAD: (", previously suspected", ", in contrast to the prior study"),
    Turn.UNCERTAIN: (", although assessment is limited", ", within the limits of technique"),
}


@dataclass(frozen=True)
class Mention:
    """A sentence about one finding.

    Attributes:
        finding: The finding.
        present: Whether the sentence says that it is there.
        phrase: The sentence without its turn of phrase.
        turn: Reading of the ending by a labeler.
        ending: The turn of phrase, with its comma.
    """

    finding: str
    present: bool
    phrase: str
    turn: Turn = Turn.PLAIN
    ending: str = ""

    @property
    def sentence(self) -> str:
        """The whole sentence, without capital and full stop."""
        return self.phrase + self.ending


def mention_findings(rng: np.random.Generator, scene: ChestScene) -> list[Mention]:
    """Write about the findings of a radiograph.

    Args:
        rng: Generator.
        scene: What the radiograph shows.

    Returns:
        One mention for every finding that is there and for some that are not, in the order of `FINDINGS`.
    """
    mentions = []
    for finding, present in zip(FINDINGS, scene.present.tolist(), strict=True):
        if present:
            mentions.append(_with_turn(rng, finding, DESCRIPTIONS[finding](rng, scene), present=True))
        elif rng.random() < P_NEGATION[finding]:
            mentions.append(_with_turn(rng, finding, pick(rng, *NEGATIONS[finding]), present=False))
    return mentions


def _with_turn(rng: np.random.Generator, finding: str, phrase: str, *, present: bool) -> Mention:
    # negations are rarer, so they are misread more often: the rate over all images is the same
    scale = 1.0 if present else 1.0 / P_NEGATION[finding]
    u = float(rng.random()) / scale
    turn = Turn.MISREAD if u < MISREAD_RATE else Turn.UNCERTAIN if u < MISREAD_RATE + UNCERTAIN_RATE else Turn.PLAIN
    endings = TURNS_OF_PRESENCE if present else TURNS_OF_ABSENCE
    return Mention(finding, present, phrase, turn, pick(rng, *endings[turn]))


def _hedge(rng: np.random.Generator) -> str:
    return pick(rng, "", "", "", "possible ", "probable ")


def _cardiomegaly(rng: np.random.Generator, scene: ChestScene) -> str:
    degree = scene.heart.degree
    return pick(
        rng,
        f"the heart is {degree} enlarged",
        f"{degree.removesuffix('ly')} cardiomegaly",
        f"cardiac silhouette is {degree} enlarged",
        f"there is {degree} increased heart size",
    )


def _consolidation(rng: np.random.Generator, scene: ChestScene) -> str:
    if scene.consolidation is None:
        raise ValueError("Expected a scene with a consolidation but got one without.")
    place = f"{SIDE_NAMES[scene.consolidation.side]} {ZONE_NAMES[scene.consolidation.zone]}"
    return _hedge(rng) + pick(
        rng,
        f"patchy opacity in the {place} zone",
        f"consolidation in the {place} lung zone",
        f"airspace opacity projecting over the {place} zone",
        f"focal consolidation {place} lung",
    )


def _lung_lesion(rng: np.random.Generator, scene: ChestScene) -> str:
    if scene.lesion is None:
        raise ValueError("Expected a scene with a lung lesion but got one without.")
    place = f"{SIDE_NAMES[scene.lesion.side]} {ZONE_NAMES[scene.lesion.zone]}"
    return _hedge(rng) + pick(
        rng,
        f"rounded nodule in the {place} zone",
        f"{place} zone pulmonary nodule",
        f"well defined nodular density in the {place} lung",
    )


def _pleural_effusion(rng: np.random.Generator, scene: ChestScene) -> str:
    if scene.effusion is None:
        raise ValueError("Expected a scene with a pleural effusion but got one without.")
    side = scene.effusion.side_name
    size = scene.effusion.size
    return pick(
        rng,
        f"{size} {side} pleural effusion",
        f"{size} {side} sided pleural fluid",
        f"blunting of the {side} costophrenic angle consistent with {size} effusion",
    )


def _pneumothorax(rng: np.random.Generator, scene: ChestScene) -> str:
    if scene.pneumothorax is None:
        raise ValueError("Expected a scene with a pneumothorax but got one without.")
    side = SIDE_NAMES[scene.pneumothorax.side]
    size = scene.pneumothorax.size
    return pick(
        rng,
        f"{size} {side} apical pneumothorax",
        f"{size} {side} pneumothorax",
        f"visceral pleural line at the {side} apex consistent with {size} pneumothorax",
    )


DESCRIPTIONS: Mapping[str, Callable[[np.random.Generator, ChestScene], str]] = {
    "Cardiomegaly": _cardiomegaly,
    "Consolidation": _consolidation,
    "Lung Lesion": _lung_lesion,
    "Pleural Effusion": _pleural_effusion,
    "Pneumothorax": _pneumothorax,
}
