"""What an optional compiled kernel is given, and what it must return: the bits of the NumPy path (algorithm 4).

A kernel only saves time. It sees the same tables, adds in the same order and rounds at the same places, so that a
bank with one and a bank without send the same integers. `kernel.c` is one; an adapter builds and loads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BINS = 256
"""Room for the bins of one column: they are uint8."""

CHUNK = 512
"""Rows that a kernel works on at once."""

LARGEST = 2.0**51
"""A kernel rounds numbers below this magnitude; `statistics` takes the NumPy path where one could be larger."""

TABLE = np.dtype([("columns", np.int32, 2), ("first", np.int32), ("groups", np.int32, (2, BINS))])
"""One table: its columns (the second is -1 for a one-column table), the position of its cell 0 among the values, and
what every bin of each column adds to the cell."""

Tables = NDArray[np.void]
Floats = NDArray[np.float64]
Int32s = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Terms:
    """Every function of a basis but the intercept, as tables over cells.

    Attributes:
        tables: `TABLE` records: how cells are found.
        dense: int32, shape (functions, 3): table, position in the basis, position of its values.
        values: float64: values of the dense functions, cell by cell.
        sparse: int32, shape (blocks, 3): table, entries of every cell, position of its first entry.
        functions: int32: position in the basis of each entry.
        entries: float64: value of each entry, 0 for those that only fill a cell up.
        intercept: Value of the last function.
        size: Functions of the basis, the intercept included.
    """

    tables: Tables
    dense: Int32s
    values: Floats
    sparse: Int32s
    functions: Int32s
    entries: Floats
    intercept: float
    size: int


class Kernel(Protocol):
    """Compiled loops. Callers have checked shapes, bins and finiteness; a kernel checks nothing."""

    def margins(self, bins: NDArray[np.uint8], tables: Tables, values: Floats, intercept: float) -> Floats:
        """Margins of rows: the intercept, then each table's value, added in the order of the tables.

        Args:
            bins: uint8, shape (columns, rows).
            tables: `TABLE` records.
            values: float64: the tables' values, cell by cell.
            intercept: Margin that every row starts with.

        Returns:
            float64, shape (rows,).
        """
        ...

    def sums(
        self,
        bins: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        margins: Floats,
        terms: Terms,
        *,
        square: bool,
        scale: float,
        cuts: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Sums over segments of rint(value x slope), row by row.

        Args:
            bins: uint8, shape (columns, rows).
            labels: uint8, shape (rows,).
            margins: float64, shape (rows,), finite.
            terms: The functions, squared already where `square` says so.
            square: Slope p (1 - p) scale instead of (p - label) scale.
            scale: Factor of the slope.
            cuts: int64: first row of every segment, rising, starting with 0.

        Returns:
            int64, shape (segments, size).
        """
        ...


class _Chosen:
    """The process's kernel; set once at start, by `main` functions alone."""

    kernel: Kernel | None = None


def use(kernel: Kernel | None) -> None:
    """Sets the kernel of every `Basis` made from now on; None for NumPy alone. Results have the same bits."""
    _Chosen.kernel = kernel


def chosen() -> Kernel | None:
    """The process's kernel."""
    return _Chosen.kernel


def table(columns: tuple[int, ...], groups: Sequence[NDArray[np.intp]], first: int) -> Tables:
    """One `TABLE` record.

    Args:
        columns: One or two column positions.
        groups: For each column, what every bin adds to the cell.
        first: Position of cell 0 among the values.
    """
    record = np.zeros(1, dtype=TABLE)
    record["columns"] = [*columns, -1][:2]
    record["first"] = first
    for side, cells in enumerate(groups):
        record["groups"][0, side, : len(cells)] = cells
    return record


def terms(tables: Tables, blocks: Sequence[tuple[int, int, Floats]], intercept: float) -> Terms:
    """Lays out blocks of functions: dense ones function by function, mostly empty ones cell by cell.

    Args:
        tables: `TABLE` records.
        blocks: Table, position of the first function in the basis, and values of shape (functions, cells).
        intercept: Value of the last function.

    Returns:
        The layout. Entries of 0 add 0 to a sum, so it does not matter which of them are left out.
    """
    dense, values, sparse = [], [0.0], []
    functions, entries = [np.zeros(1, dtype=np.intp)], [np.zeros(1)]
    position = 1
    for number, first, block in blocks:
        if 2 * np.count_nonzero(block) > block.size:
            dense += [(number, first + row, len(values) + row * block.shape[1]) for row in range(block.shape[0])]
            values += block.ravel().tolist()
            continue
        width = max(1, int(np.count_nonzero(block, axis=0).max()))
        held = np.argsort(block == 0.0, axis=0, kind="stable")[:width]
        sparse.append((number, width, position))
        functions.append((held + first).T.ravel())
        entries.append(np.take_along_axis(block, held, axis=0).T.ravel())
        position += held.size
    return Terms(
        tables,
        np.array(dense, dtype=np.int32).reshape(-1, 3),
        np.array(values, dtype=np.float64),
        np.array(sparse, dtype=np.int32).reshape(-1, 3),
        np.concatenate(functions).astype(np.int32),
        np.concatenate(entries),
        intercept,
        1 + sum(block.shape[0] for _, _, block in blocks),
    )
