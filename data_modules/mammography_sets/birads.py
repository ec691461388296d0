"""BI-RADS assessments, as tables write them."""

import re

import numpy as np
import pandas as pd

from data_modules.columns import rows_in_words, texts


def read_birads(column: "pd.Series[str]", what: str) -> "pd.Series[float]":
    """Read the category of assessments such as `4`, `4a` or `BI-RADS 4`.

    Args:
        column: N cells.
        what: A description of the column for the message.

    Returns:
        Numbers from 0 (incomplete) to 6; NaN where a cell is blank.

    Raises:
        ValueError: If a cell holds anything else.
    """
    cells = pd.Series(texts(column), index=column.index, dtype=str)
    found = cells.str.extract(r"^(?:BI-?RADS)?\s*([0-6])[abc]?$", flags=re.IGNORECASE, expand=False).astype(float)
    wrong = (found.isna() & (cells != "")).to_numpy(dtype=np.bool_)
    if wrong.any():
        raise ValueError(
            f"Expected assessments from 0 to 6, such as '4a' or 'BI-RADS 4', in {what} but got '{cells[wrong].iloc[0]}' "
            f"({rows_in_words(column, wrong)}). Restore the table."
        )
    return found
