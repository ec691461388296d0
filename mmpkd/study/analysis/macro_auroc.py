"""A difference in classification between two arms."""

from collections.abc import Sequence

from mmpkd.statistics.arrays import as_codes
from mmpkd.statistics.auroc import auroc_difference
from mmpkd.statistics.effects import Effect
from mmpkd.study.analysis.pairing import check_same_images, stacked_predictions, targets_of
from mmpkd.study.analysis.run_tables import RunTables


def macro_auroc_difference(arm: Sequence[RunTables], reference: Sequence[RunTables]) -> Effect:
    """Return the difference in macro AUROC between two arms, whose runs have the same seeds in the same order.

    Raises:
        StudyError: If they predicted different images or labels.
    """
    check_same_images([*arm, *reference])
    # patients and targets are the same in all runs, and all rows are sorted by sample
    first = reference[0]
    patient = as_codes(first.predictions["patient_id"].tolist())
    return auroc_difference(stacked_predictions(arm), stacked_predictions(reference), targets_of(first), patient)
