"""A localization table that grows batch by batch, with the thresholds that its unit learns in validation."""

from collections.abc import Collection

import pandas as pd

from mmpkd.callbacks.localization.pair_columns import Columns
from mmpkd.callbacks.localization.tuning import ThresholdTuning
from mmpkd.callbacks.tables import Rows
from mmpkd.numerics.processes import from_first
from mmpkd.records.roi_table import KEY, PAIR


class ScoreTable:
    """The table of regions or that of unions.

    Attributes:
        tuning: Tuned thresholds of this unit.
        num_rows: Rows of all processes in the table that was gathered last.
        has_baselines: Whether scores of baseline maps are kept from an earlier epoch of a fit.
    """

    def __init__(self) -> None:
        self.tuning = ThresholdTuning()
        self._known = Rows()
        self._scored = Rows()
        self.num_rows = 0
        self.has_baselines = False
        # in the first process only, which has the table
        self._baselines: pd.DataFrame | None = None

    def forget_baselines(self) -> None:
        """Forget the scores of baseline maps."""
        self.has_baselines = False
        self._baselines = None

    def start(self) -> None:
        """Start again without rows."""
        self._known = Rows()
        self._scored = Rows()

    def add(self, known: Columns) -> None:
        """Add the columns of a batch that do not depend on the attribution."""
        self._known.add(known)

    def add_scores(self, attribution: str, known: Columns, columns: Columns) -> None:
        """Add the scores of one attribution for the rows that were last given to `add`."""
        names = [attribution] * len(known["finding"])
        self._scored.add({name: known[name] for name in PAIR} | {"attribution": names} | columns)

    def gather(self, kept: Collection[str] | None) -> pd.DataFrame | None:
        """Return the table of all processes in the first one and None in the others, and start again without rows.

        This is a collective operation: every process must call it.

        Args:
            kept: Attributions whose scores are the same in every epoch of a fit, so that the scores of its first epoch are kept
                for later epochs. None outside a fit.
        """
        known = self._known.gather(PAIR)
        scored = self._scored.gather(KEY)
        self.num_rows = from_first(lambda: 0 if scored is None else len(scored))
        if kept and self.num_rows:
            self.has_baselines = True
        if known is None or scored is None or scored.empty:
            return scored
        if kept:
            scored = self._with_kept(scored, kept)
        return known.merge(scored, on=list(PAIR)).sort_values(list(KEY), kind="stable", ignore_index=True)

    def _with_kept(self, scored: pd.DataFrame, kept: Collection[str]) -> pd.DataFrame:
        if self._baselines is not None:
            return pd.concat([scored, self._baselines], ignore_index=True)
        self._baselines = scored[scored["attribution"].isin(kept)]
        return scored
