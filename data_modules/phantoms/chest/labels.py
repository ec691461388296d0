"""Labels of studies as a labeler would extract them from reports, with errors.

Whatever their cause, about 11 % of the findings are stated wrongly and 6 % are uncertain. `random`: errors are independent of
everything, so a teacher that has read many reports averages them out. `phrase`: errors follow from the wording of the report,
so a teacher that reads it can learn to repeat them. `none`: the labels are the truth. Only real data can show which of the
first two is closer to a real labeler; distillation profits from the first.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data_modules.phantoms.chest.phantom import FINDINGS
from data_modules.phantoms.chest.sentences import FLIP_RATE, UNCERTAIN_RATE, Mention, Turn

LabelNoise = Literal["random", "phrase", "none"]
UNCERTAIN = -1.0


def observed_labels(
    rng: np.random.Generator, present: NDArray[np.bool_], mentions: Sequence[Mention], label_noise: LabelNoise
) -> NDArray[np.float32]:
    """Label a study.

    Args:
        rng: Generator, used by `random` only.
        present: The true findings, bool (5,).
        mentions: Sentences of the report about them.
        label_noise: Cause of the errors.

    Returns:
        Float32 (5,): 1 present, 0 absent, -1 uncertain, NaN blank. A finding that no sentence mentions is blank,
        unless an error of `random` states it; under `none` every finding is stated.
    """
    if label_noise == "none":
        return present.astype(np.float32)
    stated = _randomly_wrong(rng, present) if label_noise == "random" else _misread(present, mentions)
    mentioned = np.isin(FINDINGS, [mention.finding for mention in mentions])
    # what is not mentioned is absent, so any other value is an error of `random`
    return np.where(mentioned | (stated != 0), stated, np.nan).astype(np.float32)


def _randomly_wrong(rng: np.random.Generator, present: NDArray[np.bool_]) -> NDArray[np.float64]:
    flipped = rng.random(len(present)) < FLIP_RATE
    uncertain = rng.random(len(present)) < UNCERTAIN_RATE
    return np.where(uncertain, UNCERTAIN, present ^ flipped)


def _misread(present: NDArray[np.bool_], mentions: Sequence[Mention]) -> NDArray[np.float64]:
    labels = present.astype(np.float64)
    for mention in mentions:
        truth = float(mention.present)
        reading = {Turn.PLAIN: truth, Turn.MISREAD: 1 - truth, Turn.UNCERTAIN: UNCERTAIN}
        labels[FINDINGS.index(mention.finding)] = reading[mention.turn]
    return labels
