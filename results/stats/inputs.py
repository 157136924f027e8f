"""Checks of the input of every statistic: enough numbers, all of them finite."""

import numpy
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[numpy.float64]
"""One dimension of floats."""
Matrix = NDArray[numpy.float64]
"""Two dimensions of floats."""

DECIMALS = 9
"""To which differences are rounded before they are ranked or compared, so that 0.7 - 0.6 and 0.6 - 0.5 are tied."""


def vector(values: ArrayLike, name: str, smallest: int = 1) -> Vector:
    """The values as a float vector; ValueError naming `name` if they are too few, not one-dimensional or not finite."""
    array = numpy.asarray(values, dtype=numpy.float64)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got shape {array.shape}")
    if array.size < smallest:
        raise ValueError(f"{name}: at least {smallest} value(s) needed, got {array.size}")
    _require_finite(array, name)
    return array


def matrix(values: ArrayLike, name: str, rows: int = 1, columns: int = 1) -> Matrix:
    """The values as a float matrix of at least rows x columns; ValueError naming `name` otherwise or if not finite."""
    array = numpy.asarray(values, dtype=numpy.float64)
    if array.ndim != 2 or array.shape[0] < rows or array.shape[1] < columns:
        raise ValueError(f"{name}: expected a matrix of at least {rows} x {columns}, got shape {array.shape}")
    _require_finite(array, name)
    return array


def pair(first: ArrayLike, second: ArrayLike, name: str, smallest: int = 1) -> tuple[Vector, Vector]:
    """Two float vectors of one length, paired by seed; ValueError otherwise."""
    left, right = vector(first, f"{name}, first", smallest), vector(second, f"{name}, second", smallest)
    if left.size != right.size:
        raise ValueError(f"{name}: paired values must be equally many, got {left.size} and {right.size}")
    return left, right


def proportion(value: float, name: str) -> float:
    """The value if it lies strictly between 0 and 1; ValueError otherwise."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name}: expected a number strictly between 0 and 1, got {value}")
    return value


def _require_finite(array: NDArray[numpy.float64], name: str) -> None:
    if not numpy.isfinite(array).all():
        raise ValueError(f"{name}: every value must be finite; leave out missing runs and score failed ones first")
