"""A bank's statistic of one round: per-unit integer contributions, clipped and summed (algorithm 4, protocol 6).

A row's contribution is elementwise float64, rounded to a multiple of 2^-32; from there on everything is an integer.
So a unit's vector depends on that unit's rows alone, bit for bit: not on other units, the order of rows or the batch.
"""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tacit.features.types import Encoded
from tacit.learning import leaves, quality
from tacit.learning.basis import BATCH, Basis
from tacit.learning.kernel import LARGEST
from tacit.learning.sigmoid import sigmoid
from tacit.learning.types import LearningError, QualityPlan, Stage, StageKind, Structure
from tacit.privacy.clipping import BoundedSum
from tacit.privacy.types import CONTRIBUTION_SCALE, Bounded

_EXACT = 2**53
"""Float64 holds every whole number up to here, so float sums of whole numbers below it are exact in any order."""

_SATURATION = 2**62
"""A unit's running sum stops here: 2^30 in units of 1.0, far above any clip, and one batch more still fits int64."""

GREATEST_WEIGHT = 2**10
"""Largest weight of a row: a subsampling rate of at least 2^-10."""

_TREE_CELLS = 2**22
"""Cells of unit vectors held at once in a tree round."""

_GATHERED_CELLS = 2**17
"""Cells of unit vectors gathered before they are clipped."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def bounded_sum(
    stage: Stage,
    encoded: Encoded,
    basis: Basis,
    margins: Floats,
    *,
    trees: Structure | None = None,
    plan: QualityPlan | None = None,
    weight: Fraction = Fraction(1),
) -> Bounded:
    """The clipped sum over a bank's units that answers one question.

    Formal guarantee: adding or removing one unit changes the sums by exactly that unit's clipped vector, whose L2 norm
    is at most floor(GRID stage.clip) grid units; splitting units over banks or permuting a unit's rows leaves the
    total bit for bit the same. A bank without rows answers zeros.

    Args:
        stage: The question: kind, cells and clip.
        encoded: The bank's rows, grouped by unit, subsampled already if the plan asks for it.
        basis: The contract's basis.
        margins: float64, shape (rows,): every row's margin under the question's weights and earlier leaves; finite.
        trees: The round's trees, for kind TREES.
        plan: The quality part of the plan, for kind QUALITY.
        weight: What a row counts (1 / rate under subsampling), for kinds PRECONDITIONER and GRADIENT; (0, 1024].

    Returns:
        The bounded sum; the rows themselves leave no other trace.

    Raises:
        LearningError: If rows, margins, cells or the extra arguments do not fit the stage.
    """
    basis.check(encoded)
    _check_starts(encoded)
    if margins.shape != (encoded.rows,) or not bool(np.isfinite(margins).all()):
        raise LearningError(f"expected {encoded.rows} finite margins, got shape {margins.shape} (or one is not finite)")
    total = BoundedSum(stage.cells, stage.clip)
    for units in _gathered(_units(stage, encoded, basis, margins, trees=trees, plan=plan, weight=weight)):
        total.add(units)
    return total.bounded()


def _gathered(parts: Iterator[Integers]) -> Iterator[Integers]:
    """The same vectors in fewer, larger arrays: clipping a few units costs as much as clipping many."""
    held: list[Integers] = []
    cells = 0
    for part in parts:
        held.append(part)
        cells += part.size
        if cells >= _GATHERED_CELLS:
            yield np.concatenate(held)
            held, cells = [], 0
    if held:
        yield np.concatenate(held)


def _check_starts(encoded: Encoded) -> None:
    starts = encoded.starts
    if not len(starts) or int(starts[0]) or int(starts[-1]) != encoded.rows or bool((np.diff(starts) < 0).any()):
        raise LearningError(f"starts must rise from 0 to {encoded.rows} rows, got {len(starts)} of them")


def _units(
    stage: Stage,
    encoded: Encoded,
    basis: Basis,
    margins: Floats,
    *,
    trees: Structure | None,
    plan: QualityPlan | None,
    weight: Fraction,
) -> Iterator[Integers]:
    """Vectors of whole units, batch by batch."""
    if stage.kind is StageKind.TREES:
        if trees is None:
            raise LearningError("a tree round needs its structure, got none")
        return _tree_units(stage.cells, encoded, trees, margins)
    if stage.kind is StageKind.QUALITY:
        if plan is None:
            raise LearningError("a quality round needs the quality part of the plan, got none")
        _check_cells(stage, quality.cells(plan))
        return _quality_units(encoded, margins, plan)
    _check_cells(stage, basis.size)
    return _basis_units(encoded, margins, _Products(basis, stage.kind, weight))


def _check_cells(stage: Stage, cells: int) -> None:
    if stage.cells != cells:
        raise LearningError(f"a {stage.kind} round of this contract and plan has {cells} cells, got {stage.cells}")


def _tree_units(cells: int, encoded: Encoded, trees: Structure, margins: Floats) -> Iterator[Integers]:
    step = max(1, _TREE_CELLS // cells)
    for first in range(0, encoded.units, step):
        vectors = leaves.contributions(encoded, trees, margins, first, min(first + step, encoded.units))
        if vectors.shape[1] != cells:
            raise LearningError(f"these trees have {vectors.shape[1]} cells, the stage has {cells}")
        yield vectors


class _Products:
    """Contributions of rows to every function of the basis, in units of 2^-32, as whole float64 numbers."""

    def __init__(self, basis: Basis, kind: StageKind, weight: Fraction) -> None:
        if not 0 < weight <= GREATEST_WEIGHT:
            raise LearningError(f"weight must be above 0 and at most {GREATEST_WEIGHT}, got {weight}")
        self._basis = basis
        self._square = kind is StageKind.PRECONDITIONER
        power = 2 if self._square else 1
        self._tables = [block.table**power for block in basis.blocks]
        self._intercept = basis.scale**power
        self._scale = float(weight) * CONTRIBUTION_SCALE
        largest = max(1.0, basis.largest**power * self._scale)
        self.batch = min(BATCH, math.floor(_EXACT / (largest + 1.0)))
        if self.batch < 1:
            raise LearningError(f"a row may contribute up to {largest:.3g} x 2^-32; sums are exact up to 2^53 x 2^-32")
        self.size = basis.size
        self._kernel = basis.kernel if largest < LARGEST else None
        self._terms = None if self._kernel is None else basis.terms(power)

    def sums(self, encoded: Encoded, margins: Floats, rows: slice, cuts: Integers) -> Integers:
        """Sums of the contributions over segments of a batch of rows.

        A whole batch sums to less than 2^53 per function, so float64 holds every partial sum exactly.

        Args:
            encoded: The bank's rows.
            margins: Their margins.
            rows: The batch, at most `batch` rows.
            cuts: First row of every segment within the batch, rising, starting with 0.

        Returns:
            int64, shape (segments, size), units of 2^-32.
        """
        if self._kernel is not None and self._terms is not None:
            return self._kernel.sums(
                encoded.bins[:, rows],
                encoded.labels[rows],
                margins[rows],
                self._terms,
                square=self._square,
                scale=self._scale,
                cuts=cuts,
            )
        p = sigmoid(margins[rows])
        slope = (p * (1.0 - p) if self._square else p - encoded.labels[rows]) * self._scale
        bins = encoded.bins[:, rows]
        sums = np.empty((self.size, len(cuts)), dtype=np.float64)
        work = np.empty_like(slope)
        for number, (block, table) in enumerate(zip(self._basis.blocks, self._tables, strict=True)):
            index = self._basis.index(number, bins)
            for function, values in enumerate(table, block.first):
                np.multiply(values.take(index), slope, out=work)
                np.add.reduceat(np.rint(work, out=work), cuts, out=sums[function])
        np.multiply(slope, self._intercept, out=work)
        np.add.reduceat(np.rint(work, out=work), cuts, out=sums[-1])
        return sums.T.astype(np.int64, order="C")


def _basis_units(encoded: Encoded, margins: Floats, products: _Products) -> Iterator[Integers]:
    """Vectors of units; a unit longer than a batch is carried over as an integer."""
    ends = encoded.starts[1:][np.diff(encoded.starts) > 0]
    carried = np.zeros((1, products.size), dtype=np.int64)
    for first in range(0, encoded.rows, products.batch):
        last = min(first + products.batch, encoded.rows)
        inside = ends[np.searchsorted(ends, first, side="right") : np.searchsorted(ends, last, side="left")]
        cuts = np.concatenate([[0], inside - first])
        vectors = products.sums(encoded, margins, slice(first, last), cuts)
        vectors[0] = np.clip(vectors[0] + carried[0], -_SATURATION, _SATURATION)
        done = len(vectors) - 1
        carried = vectors[done:]
        yield vectors[:done]
        if _ends_at(ends, last):
            yield carried
            carried = np.zeros_like(carried)


def _ends_at(ends: Integers, row: int) -> bool:
    """Whether a unit ends right before a row."""
    position = int(np.searchsorted(ends, row))
    return position < len(ends) and int(ends[position]) == row


def _quality_units(encoded: Encoded, margins: Floats, plan: QualityPlan) -> Iterator[Integers]:
    """Weighted counts by label and margin bin."""
    cells = quality.cells(plan)
    cell = quality.cell_of(margins, encoded.labels, plan)
    counts = np.array(quality.unit_weights(plan), dtype=np.int64)
    step = max(1, _TREE_CELLS // cells)
    for first in range(0, encoded.units, step):
        last = min(first + step, encoded.units)
        starts = encoded.starts[first : last + 1]
        unit = np.repeat(np.arange(last - first), np.diff(starts))
        where = unit * cells + cell[int(starts[0]) : int(starts[-1])]
        yield np.bincount(where, minlength=(last - first) * cells).reshape(-1, cells) * counts
