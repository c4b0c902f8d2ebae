"""Preference matrices and policies from files: CSV without a heading, JSON, or NPY."""

import csv
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..core.errors import UserError
from .preference import EXACT, Array, check_matrix, log_normalise

_ROUNDED = 1.01e-4
"""How far P + Pᵀ may be from 1 in a file: twice the rounding error of four digits."""


def read_matrix(path: Path) -> Array:
    """The preference matrix (n, n) in a file: row i, column j is P(i ≻ j).

    Numbers rounded to four digits or more, or to float32, are mended so that P + Pᵀ is 1; stderr says so.

    Raises:
        UserError: the file cannot be read, or holds no preference matrix; says where.
    """
    numbers = _read(path)
    if numbers.ndim != 2:
        raise UserError(f"{path}: a preference matrix has rows and columns, not the shape {numbers.shape}")
    numbers = _unrounded(numbers, path)
    try:
        check_matrix(numbers)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return numbers


def _unrounded(numbers: Array, path: Path) -> Array:
    """The matrix with each pair summing to 1, where it does so but for rounding; otherwise as it is."""
    if numbers.shape[0] != numbers.shape[1] or not numbers.size:
        return numbers
    off = np.abs(numbers + numbers.T - 1).max()
    if not EXACT < off <= _ROUNDED:  # NaN is neither
        return numbers
    said = f"P[i, j] + P[j, i] is 1 up to rounding, off by {off:.2g}; made 1 by adding half the difference to both"
    print(f"nashflow: {path}: {said}", file=sys.stderr)
    return np.asarray((numbers + 1 - numbers.T) / 2)


def read_log_policy(path: Path) -> Array:
    """Log-probabilities (n,) from a file of probabilities: a list, a row or a column.

    Raises:
        UserError: the file cannot be read, or they are not positive numbers that sum to one.
    """
    probabilities = _read(path)
    if probabilities.ndim != 1 and 1 not in probabilities.shape:
        raise UserError(f"{path}: probabilities are one row or one column, not the shape {probabilities.shape}")
    probabilities = probabilities.ravel()
    if not (probabilities > 0).all():  # NaN is not above 0 either
        index = int(np.argmin(probabilities > 0))
        raise UserError(
            f"{path}: every response needs a probability above 0, but that of {index} is {probabilities[index]:g}"
        )
    if not abs(probabilities.sum() - 1) <= 1e-6:
        raise UserError(f"{path}: probabilities must sum to 1, these sum to {probabilities.sum():g}")
    return log_normalise(np.log(probabilities))


def _read(path: Path) -> Array:
    """A one- or two-dimensional array of numbers."""
    if path.suffix.lower() not in _READERS:
        raise UserError(f"{path}: give a file that ends in {', '.join(_READERS)}")
    try:
        return _READERS[path.suffix.lower()](path)
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file, though its name ends in {path.suffix}") from None


def _read_csv(path: Path) -> Array:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    return _array([[_number(cell, path, i) for cell in row] for i, row in enumerate(rows)], path)


def _read_json(path: Path) -> Array:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(data, list):
        raise UserError(f"{path}: give a list of rows of numbers, or a list of probabilities")
    if not any(isinstance(row, list) for row in data):
        return np.array([_number(value, path, 0) for value in data])
    rows = [row if isinstance(row, list) else [row] for row in data]
    return _array([[_number(value, path, i) for value in row] for i, row in enumerate(rows)], path)


def _read_npy(path: Path) -> Array:
    with path.open("rb") as file:
        try:
            array = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, MemoryError, OverflowError, BadZipFile) as error:
            raise UserError(f"{path}: not an NPY file of numbers: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise UserError(f"{path}: not an NPY file of numbers but of {getattr(array, 'dtype', 'several arrays')}")
    return np.asarray(array, dtype=np.float64)


_READERS: dict[str, Callable[[Path], Array]] = {".csv": _read_csv, ".json": _read_json, ".npy": _read_npy}


def _number(value: Any, path: Path, row: int) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: row {row} has {value!r}, which is no number") from None


def _array(rows: Sequence[Sequence[float]], path: Path) -> Array:
    for i, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise UserError(f"{path}: row {i} has {len(row)} numbers, row 0 has {len(rows[0])}")
    return np.array(rows, dtype=np.float64)
