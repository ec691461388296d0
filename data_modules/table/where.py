"""A condition on the rows of a table to keep, with the same meaning for CSV and Parquet."""

import ast
import copy
import io
import re
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import numbers, to_numbers

# kind of value that a column is compared with; `values` for anything else, such as another column
Kind = Literal["number", "text", "values"]
_QUOTED = re.compile(r"`([^`]+)`")
_ASSIGNMENT = re.compile(r"(?<![=!<>])=(?!=)")
_WORDS = {"&": "and", "|": "or"}
_ERRORS = (TypeError, ValueError, AttributeError, KeyError, NotImplementedError, SyntaxError)


@dataclass(frozen=True)
class RowFilter:
    """Keeps the rows that meet a condition.

    A column that is compared with a number is read as numbers, and one that is compared with text as text exactly as written.
    Anywhere else, a column is read as true and false, or as numbers, if all of its cells are such, and otherwise as text.

    Attributes:
        expression: The condition in the notation of `pandas.DataFrame.query`.

    Raises:
        ValueError: If it is not a condition.
    """

    expression: str

    def __post_init__(self) -> None:
        # raises now if the condition is not valid
        _ = self._tree

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the condition names."""
        names = [node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)]
        return tuple(dict.fromkeys(self._quoted.get(name, name) for name in names))

    def __call__(self, frame: pd.DataFrame, file: str) -> pd.DataFrame:
        """Return the rows of a table that meet the condition.

        Args:
            frame: Cells of text.
            file: Name of the file, for messages.

        Raises:
            ValueError: If a comparison is not possible, or no row is left.
        """
        kept = self._evaluate(frame, file)
        if kept.empty:
            held = [f"'{name}' holds {_examples(frame[name])}" for name in self.columns]
            raise ValueError(
                f"Expected rows of '{file}' that meet data.where, {self.expression!r}, but none of {len(frame)} does: "
                f"{', '.join(held)}."
            )
        return frame.loc[kept]

    @cached_property
    def _quoted(self) -> dict[str, str]:
        """Columns written between backticks, by the names that replace them."""
        return {f"_quoted_{i}": name for i, name in enumerate(_QUOTED.findall(self.expression))}

    @cached_property
    def _tree(self) -> ast.Expression:
        names = iter(self._quoted)
        # Python's parser knows no backticks
        plain = _QUOTED.sub(lambda _: next(names), self.expression.strip())
        try:
            return ast.parse(_with_words(plain), mode="eval")
        except (SyntaxError, tokenize.TokenError) as error:
            hint = "To compare, write ==. " if _ASSIGNMENT.search(plain) else ""
            raise ValueError(
                f"Expected a condition in data.where, such as age > 40 and view == 'PA', but got {self.expression!r}. {hint}"
                "Put names of columns with other characters than letters, digits and _ between backticks."
            ) from error

    def _evaluate(self, frame: pd.DataFrame, file: str) -> "pd.Index[int]":
        """Return the rows that meet the condition; a blank cell, for which methods of text have no answer, does not."""
        names = _Naming()
        # a copy, because the visitor changes the tree
        source = ast.unparse(names.visit(copy.deepcopy(self._tree)))
        variables = {
            variable: _read(frame[self._quoted.get(name, name)], kind, file)
            for (name, kind), variable in names.variables.items()
        }
        try:
            found = pd.DataFrame(variables, index=frame.index).eval(source, engine="python")
        except _ERRORS as error:
            raise ValueError(
                f"Expected a condition in data.where but {self.expression!r} cannot be computed: {error}."
            ) from error
        # a condition without any column gives a single value, which is refused below
        answers = found.dropna() if isinstance(found, pd.Series) else pd.Series([None])
        if not answers.map(lambda answer: isinstance(answer, bool | np.bool_)).all():
            raise ValueError(f"Expected data.where to be true or false for each row but {self.expression!r} is not.")
        return answers.index[answers.astype(bool)]


class _Naming(ast.NodeTransformer):
    """Replaces each column by a variable for each way in which it is read.

    Attributes:
        variables: Variable by column and kind.
    """

    def __init__(self) -> None:
        self.variables: dict[tuple[str, Kind], str] = {}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """Replace a column that is not compared with a number or text."""
        return self._variable(node.id, "values")

    def visit_Compare(self, node: ast.Compare) -> ast.Compare:
        """Replace the columns of a comparison according to the values that they are compared with."""
        operands = [node.left, *node.comparators]
        literals = [value for operand in operands for value in _literals(operand)]
        kind = _kind_of(literals)
        is_order = any(isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for operator in node.ops)
        if kind == "text" and is_order and not np.isnan(to_numbers(pd.Series(literals, dtype=object))).any():
            # as text, '9' sorts after '40'
            raise ValueError(
                f"Expected numbers without quotes in data.where, since {ast.unparse(node)!r} would compare them as text."
            )
        read = [
            self._variable(operand.id, kind) if isinstance(operand, ast.Name) else self.visit(operand)
            for operand in operands
        ]
        return ast.Compare(read[0], node.ops, read[1:])

    def _variable(self, name: str, kind: Kind) -> ast.Name:
        return ast.Name(self.variables.setdefault((name, kind), f"column_{len(self.variables)}"), ast.Load())


def _with_words(expression: str) -> str:
    """Replace `&` and `|` by words, as pandas does, so that comparisons bind tighter."""
    tokens = tokenize.generate_tokens(io.StringIO(expression).readline)
    named = [(tokenize.NAME, _WORDS[text]) if text in _WORDS else (kind, text) for kind, text, *_ in tokens]
    return tokenize.untokenize(named).strip()


def _literals(operand: ast.expr) -> list[object]:
    """Return the literal numbers and texts of an operand."""
    try:
        # also reads negative numbers and lists, which are no `ast.Constant`
        value = ast.literal_eval(operand)
    except ValueError:
        return []
    return list(value) if isinstance(value, list | tuple | set) else [value]


def _kind_of(literals: Sequence[object]) -> Kind:
    if literals and all(isinstance(value, str) for value in literals):
        return "text"
    return "number" if literals and all(isinstance(value, int | float) for value in literals) else "values"


def _read(column: "pd.Series[str]", kind: Kind, file: str) -> "pd.Series[Any] | NDArray[Any]":
    if kind == "number":
        return numbers(column, f"column '{column.name}' of '{file}', which data.where compares with a number,")
    stated = column.dropna()
    is_truth = stated.str.lower().isin(("true", "false")).all()
    is_numbers = not np.isnan(to_numbers(stated)).any()
    if kind == "text" or stated.empty or not is_numbers:
        return pd.Series(column.tolist(), index=column.index)
    values = to_numbers(column)
    # with a blank among them, they stay 1, 0 and NaN, since a bool has no third value
    return values == 1 if is_truth and len(stated) == len(column) else values


def _examples(column: "pd.Series[str]") -> str:
    values = column.dropna().unique().tolist()
    more = ", ..." if len(values) > 3 else ""
    return ", ".join(repr(value) for value in values[:3]) + more if values else "nothing"
