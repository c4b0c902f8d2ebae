"""The tables of AlpacaEval's length control, as its data set has them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...core.errors import UserError
from ..stored import table_rows
from .length_control import Gamed

GAMED, DIFFICULTY = "df_gamed.csv", "instruction_difficulty.csv"
_COLUMNS = ("preference", "std_delta_len", "instruction_difficulty", "index")


class Tables(NamedTuple):
    """What length control knows beforehand."""

    difficulties: Sequence[float]
    """Of the instructions, in the order of the benchmark."""
    gamed: Gamed


def read_tables(files: Mapping[str, bytes], place: str) -> Tables:
    """The tables in the files GAMED, and DIFFICULTY if it is there: the first one has its values, too.

    `place` is where they lie.

    Raises:
        UserError: one lacks a column or a number.
    """
    gamed = table_rows(files[GAMED], f"{place}: {GAMED}", _COLUMNS)
    known = [row for row in gamed if row["preference"]]  # the others have no verdict
    columns = [[_number(row[name], f"{place}: {GAMED}") for row in known] for name in _COLUMNS[:3]]
    if DIFFICULTY in files:
        table = table_rows(files[DIFFICULTY], f"{place}: {DIFFICULTY}", _COLUMNS[2:3])
        difficulties = [_number(row[_COLUMNS[2]], f"{place}: {DIFFICULTY}") for row in table]
    else:
        by_index = {row["index"]: row[_COLUMNS[2]] for row in reversed(gamed)}
        difficulties = [_number(by_index[index], f"{place}: {GAMED}") for index in sorted(by_index, key=float)]
    return Tables(difficulties, Gamed(*columns))


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{where}: {text!r} is no number") from None
