"""The public basis of a contract: linear terms, hats, ratios, pairs and an intercept (algorithm 4).

Every function of the basis is a table over public bins, so a row's margin is a sum of table look-ups, the bank's
statistic needs no raw value, and the model file holds the model exactly.
"""

import decimal
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tacit.features import representatives
from tacit.features.spec import Column, Contract, Hat, Pair, Ratio, Transform
from tacit.features.types import Encoded
from tacit.learning import kernel as kernels
from tacit.learning.kernel import Kernel
from tacit.learning.types import Ensemble, LearningError, LineTable, PlaneTable, Weights

BATCH = 2**14
"""Rows handled at once: their work arrays stay in the processor's cache."""

LINEAR_LOW, LINEAR_HIGH, LINEAR_UNIT = -2.0, 6.0, 4.0
LEAST_IN_LOG = 0.5

Table = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Block:
    """Functions of the basis that are looked up with one index: a bin, or a cell of two grouped columns.

    Attributes:
        first: Position of the first of these functions in the basis.
        columns: Position of the column, or of the two columns.
        firsts: First bin of every group, for each column.
        table: float64, shape (functions, cells): values times the contract's scale; a plane's cells are row by row.
    """

    first: int
    columns: tuple[int, ...]
    firsts: tuple[tuple[int, ...], ...]
    table: Table

    @property
    def functions(self) -> int:
        """How many functions of the basis the block holds."""
        return int(self.table.shape[0])


class Basis:
    """The functions of a contract, in order: linear, hats, ratios, pairs (first column's knots outer), intercept."""

    def __init__(self, contract: Contract, kernel: Kernel | None = None) -> None:
        """Tabulates the basis.

        Args:
            contract: The feature contract.
            kernel: A compiled kernel, which gives the same bits sooner; None for the process's own, if any.

        Raises:
            LearningError: If knots do not rise, or a table is not finite.
        """
        self.scale = float(contract.scale)
        self.blocks = _blocks(contract)
        self.size = sum(block.functions for block in self.blocks) + 1
        self.kernel = kernel or kernels.chosen()
        self._bins = tuple(column.bins for column in contract.columns)
        self._groups = tuple(_cell_parts(block, contract) for block in self.blocks)
        lines = sorted({block.columns[0] for block in self.blocks if len(block.columns) == 1})
        self._line_numbers = {column: number for number, column in enumerate(lines)}
        self._lookups = self._tables_to_add()

    @property
    def largest(self) -> float:
        """Largest absolute value of any function on any row."""
        return max([self.scale, *(float(np.abs(block.table).max()) for block in self.blocks)])

    def index(self, block: int, bins: NDArray[np.uint8]) -> Index:
        """The cell of every row in the table of one block.

        Args:
            block: Position of the block.
            bins: uint8, shape (columns, rows).

        Returns:
            intp, shape (rows,).
        """
        columns, groups = self.blocks[block].columns, self._groups[block]
        if len(columns) == 1:
            return np.asarray(bins[columns[0]], dtype=np.intp)
        return np.asarray(groups[0].take(bins[columns[0]]) + groups[1].take(bins[columns[1]]))

    def _tables_to_add(self) -> kernels.Tables:
        """The tables that make a margin, in the order of adding: lines by column, then planes."""
        planes = [number for number, block in enumerate(self.blocks) if len(block.columns) > 1]
        shapes = [
            *(((column,), (np.arange(self._bins[column]),), self._bins[column]) for column in self._line_numbers),
            *((self.blocks[it].columns, self._groups[it], self.blocks[it].table.shape[1]) for it in planes),
        ]
        records, first = [np.zeros(0, dtype=kernels.TABLE)], 0
        for columns, groups, cells in shapes:
            records.append(kernels.table(columns, groups, first))
            first += cells
        return np.concatenate(records)

    def terms(self, power: int) -> kernels.Terms:
        """All functions to a power, laid out for a kernel."""
        planes = iter(range(len(self._line_numbers), len(self._lookups)))
        numbers = [
            self._line_numbers[block.columns[0]] if len(block.columns) == 1 else next(planes) for block in self.blocks
        ]
        blocks = [(number, block.first, block.table**power) for number, block in zip(numbers, self.blocks, strict=True)]
        return kernels.terms(self._lookups, blocks, self.scale**power)

    def check(self, encoded: Encoded) -> None:
        """Refuses rows that were not binned by this contract.

        Raises:
            LearningError: If the number of columns differs, or a bin is outside its column.
        """
        if encoded.bins.shape != (len(self._bins), encoded.rows):
            raise LearningError(f"expected bins of shape ({len(self._bins)}, {encoded.rows}), got {encoded.bins.shape}")
        if encoded.rows:
            for column, (top, bins) in enumerate(zip(encoded.bins.max(axis=1).tolist(), self._bins, strict=True)):
                if top >= bins:
                    raise LearningError(f"column {column} has bins 0 to {bins - 1}, got {top}")

    def margins(self, encoded: Encoded, weights: Weights) -> NDArray[np.float64]:
        """The margin of every row: table look-ups added in a fixed order, elementwise.

        The bits of a row's margin depend on that row alone, not on its position, its neighbours or the batch.

        Args:
            encoded: The rows.
            weights: Coefficients, as many as `size`.

        Returns:
            float64, shape (rows,): intercept, then lines by column, then planes, added in that order.

        Raises:
            LearningError: If rows or weights do not fit the contract.
        """
        self.check(encoded)
        model = self.tables(weights)
        if self.kernel is not None:
            held = [*(line.values for line in model.lines), *(row for plane in model.planes for row in plane.values)]
            values = np.array([value for row in held for value in row], dtype=np.float64)
            return self.kernel.margins(encoded.bins, self._lookups, values, model.intercept)
        margins = np.full(encoded.rows, model.intercept, dtype=np.float64)
        lines = [(line.column, np.array(line.values, dtype=np.float64)) for line in model.lines]
        planes = [np.array(plane.values, dtype=np.float64).ravel() for plane in model.planes]
        numbers = [number for number, block in enumerate(self.blocks) if len(block.columns) > 1]
        for start in range(0, encoded.rows, BATCH):
            bins, part = encoded.bins[:, start : start + BATCH], margins[start : start + BATCH]
            for column, table in lines:
                part += table.take(bins[column].astype(np.intp))
            for number, table in zip(numbers, planes, strict=True):
                part += table.take(self.index(number, bins))
        return margins

    def tables(self, weights: Weights) -> Ensemble:
        """The additive model as tables; `margins` adds exactly these, so the sum of tables is the margin.

        Args:
            weights: Coefficients, as many as `size`.

        Returns:
            An ensemble without forests: one line per column that has one-column functions, one plane per block of two.

        Raises:
            LearningError: If there are not `size` weights, or one is not finite.
        """
        values = weights.values
        if len(values) != self.size or not all(math.isfinite(value) for value in values):
            raise LearningError(f"expected {self.size} finite weights, got {len(values)} (or one is not finite)")
        lines: dict[int, Table] = {}
        planes: list[PlaneTable] = []
        for block in self.blocks:
            sums = _weighted(block, values)
            if len(block.columns) == 1:
                column = block.columns[0]
                lines[column] = lines[column] + sums if column in lines else sums
            else:
                planes.append(_plane(block, sums))
        ordered = tuple(LineTable(column, tuple(lines[column].tolist())) for column in sorted(lines))
        return Ensemble(values[-1] * self.scale, ordered, tuple(planes))


def _weighted(block: Block, values: Sequence[float]) -> Table:
    """Sum of the block's functions times their weights, left to right."""
    sums = np.zeros(block.table.shape[1], dtype=np.float64)
    for row, weight in zip(block.table, values[block.first : block.first + block.functions], strict=True):
        sums += weight * row
    return sums


def _plane(block: Block, sums: Table) -> PlaneTable:
    rows = sums.reshape(len(block.firsts[0]), len(block.firsts[1])).tolist()
    return PlaneTable(
        (block.columns[0], block.columns[1]), (block.firsts[0], block.firsts[1]), tuple(tuple(row) for row in rows)
    )


def _cell_parts(block: Block, contract: Contract) -> tuple[Index, ...]:
    """For each column of a block, what every bin adds to the cell: its own number, or its group's."""
    if len(block.columns) == 1:
        return (np.arange(contract.columns[block.columns[0]].bins),)
    (left, right), (rows, cells) = block.columns, block.firsts
    return (
        _groups(rows, contract.columns[left].bins) * len(cells),
        _groups(cells, contract.columns[right].bins),
    )


def _groups(firsts: tuple[int, ...], bins: int) -> Index:
    """Group of every bin."""
    return np.searchsorted(np.array(firsts), np.arange(bins), side="right").astype(np.intp) - 1


def _blocks(contract: Contract) -> tuple[Block, ...]:
    makers = [
        *(_linear(contract, name) for name in contract.linear),
        *(_hat(contract, hat) for hat in contract.hats),
        *(_ratio(contract, ratio) for ratio in contract.ratios),
        *(_pair(contract, pair) for pair in contract.pairs),
    ]
    blocks, first, scale = [], 0, float(contract.scale)
    for columns, firsts, table in makers:
        if not bool(np.isfinite(table).all()):
            raise LearningError(f"the basis over column {contract.columns[columns[0]].name!r} is not finite")
        blocks.append(Block(first, columns, firsts, table * scale))
        first += table.shape[0]
    return tuple(blocks)


_Made = tuple[tuple[int, ...], tuple[tuple[int, ...], ...], Table]


def _linear(contract: Contract, name: str) -> _Made:
    column = contract.column(name)
    centred = (_values(column) - float(column.centre)) / float(column.spread)
    table = np.clip(centred, LINEAR_LOW, LINEAR_HIGH) / LINEAR_UNIT
    return (contract.index[name],), (tuple(range(column.bins)),), table[np.newaxis, :]


def _hat(contract: Contract, hat: Hat) -> _Made:
    column = contract.column(hat.column)
    log = hat.transform is Transform.LOG
    values, knots = _values(column), _knots(hat.knots, log=log)
    table = hats(_logs(values) if log else values, knots)
    return (contract.index[hat.column],), (tuple(range(column.bins)),), table


def _ratio(contract: Contract, ratio: Ratio) -> _Made:
    top, bottom = contract.column(ratio.numerator), contract.column(ratio.denominator)
    logs = _logs(_values(top))[:, np.newaxis] - _logs(_coarse(bottom, log=True))[np.newaxis, :]
    table = hats(logs.ravel(), _knots(ratio.knots, log=True))
    columns = (contract.index[ratio.numerator], contract.index[ratio.denominator])
    return columns, (tuple(range(top.bins)), _firsts(bottom)), table


def _pair(contract: Contract, pair: Pair) -> _Made:
    left, right = (contract.column(name) for name in pair.columns)
    knots = _knots(pair.knots, log=False)
    outer, inner = (hats(_coarse(column, log=False), knots) for column in (left, right))
    table = outer[:, np.newaxis, :, np.newaxis] * inner[np.newaxis, :, np.newaxis, :]
    columns = (contract.index[pair.columns[0]], contract.index[pair.columns[1]])
    return columns, (_firsts(left), _firsts(right)), table.reshape(len(knots) ** 2, -1)


def hats(values: Table, knots: Sequence[float]) -> Table:
    """Hat functions: piecewise linear, 1 at their own knot and 0 at the others, constant outside the knots.

    Args:
        values: float64, shape (cells,).
        knots: At least two, strictly rising.

    Returns:
        float64, shape (knots, cells); every column sums to 1.

    Raises:
        LearningError: If there are fewer than two knots or they do not rise.
    """
    if len(knots) < 2 or any(high <= low for low, high in pairwise(knots)):  # noqa: PLR2004
        raise LearningError(f"expected two or more strictly rising knots, got {list(knots)}")
    points = np.array(knots, dtype=np.float64)
    clamped = np.clip(values, points[0], points[-1])
    left = np.clip(np.searchsorted(points, clamped, side="right") - 1, 0, len(knots) - 2)
    share = (clamped - points[left]) / (points[left + 1] - points[left])
    table = np.zeros((len(knots), len(values)), dtype=np.float64)
    cells = np.arange(len(values))
    table[left, cells] = 1.0 - share
    table[left + 1, cells] = share
    return table


def _knots(knots: Sequence[Fraction], *, log: bool) -> list[float]:
    return [_log(knot) if log else float(knot) for knot in knots]


def _logs(values: Table) -> Table:
    return np.array([_log(Fraction(max(value, LEAST_IN_LOG))) for value in values.tolist()], dtype=np.float64)


def _log(value: Fraction) -> float:
    """Natural logarithm, correctly rounded: the C library's differs in the last bit between machines."""
    with decimal.localcontext(decimal.Context(prec=40)):
        return float((decimal.Decimal(value.numerator) / decimal.Decimal(value.denominator)).ln())


def _values(column: Column) -> Table:
    return np.array(representatives.bin_representatives(column), dtype=np.float64)


def _coarse(column: Column, *, log: bool) -> Table:
    return np.array(representatives.coarse_representatives(column, log), dtype=np.float64)


def _firsts(column: Column) -> tuple[int, ...]:
    return tuple(representatives.coarse_groups(column))
