"""Public numbers that stand for a bin or for a coarse cell of a column (algorithm 4).

They are made of the contract alone: midpoints are exact rationals rounded once, and logarithms are taken one by one,
so every party that reads the contract holds the same float64 values.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tacit.features.spec import Column, ColumnType, Contract, ContractError, as_float32

LOG_FLOOR = 0.5
"""Values below this count as this inside a logarithm."""


def representatives(contract: Contract) -> list[NDArray[np.float64]]:
    """The representative of every bin of every column, in contract order; one array of `column.bins` each."""
    return [bin_representatives(column) for column in contract.columns]


def bin_representatives(column: Column) -> NDArray[np.float64]:
    """The value that stands for each bin of a column.

    Midpoints of the edges; for the first bin its upper edge minus half the next width, for the last its lower edge.
    A column with one edge takes its spread for the next width. The first one is never below 0 if all edges are above 0,
    so a bin of exact zeros is 0. A flag has 0 and 1.

    Args:
        column: Any column of a contract.

    Returns:
        float64, shape (column.bins,), rising.
    """
    if column.type is ColumnType.FLAG:
        return np.array([0.0, 1.0])
    edges = column.edges
    width = edges[1] - edges[0] if len(edges) > 1 else column.spread
    first = edges[0] - width / 2
    if edges[0] > 0:
        first = max(first, Fraction(0))
    inner = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    return np.array([float(value) for value in (first, *inner, edges[-1])])


def coarse_groups(column: Column) -> NDArray[np.int64]:
    """The first bin of each coarse cell of a column; rising, the first is 0.

    Raises:
        ContractError: If the column has no coarse cells.
    """
    if column.coarse is None:
        raise ContractError(f"column {column.name!r} has no coarse cells")
    starts = as_float32(column.coarse)
    return np.array([0, *(column.cuts.index(start) + 1 for start in starts[1:])], dtype=np.int64)


def coarse_of_bins(column: Column) -> NDArray[np.int64]:
    """The coarse cell of each bin of a column, shape (column.bins,).

    Raises:
        ContractError: If the column has no coarse cells.
    """
    return np.searchsorted(coarse_groups(column), np.arange(column.bins), side="right") - 1


def coarse_representatives(column: Column, log: bool) -> NDArray[np.float64]:
    """The value that stands for each coarse cell, made of its bins' representatives.

    Args:
        column: A column with coarse cells.
        log: Whether the cell is used inside a logarithm: then the geometric mean, values below `LOG_FLOOR` counting
            as it; else the arithmetic mean.

    Returns:
        float64, one value per coarse cell, in the column's unit (not a logarithm).

    Raises:
        ContractError: If the column has no coarse cells.
    """
    values = bin_representatives(column).tolist()
    firsts = coarse_groups(column).tolist()
    cells = [values[first:after] for first, after in zip(firsts, [*firsts[1:], len(values)], strict=True)]
    if not log:
        return np.array([math.fsum(cell) / len(cell) for cell in cells])
    logs = ([math.log(max(value, LOG_FLOOR)) for value in cell] for cell in cells)
    return np.array([math.exp(math.fsum(cell) / len(cell)) for cell in logs])
