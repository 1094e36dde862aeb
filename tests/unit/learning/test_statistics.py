"""A bank's statistic: exact per-unit sums that do not depend on partition, order or batch."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.learning import leaves, quality, statistics
from tacit.learning.basis import Basis
from tacit.learning.sigmoid import sigmoid
from tacit.learning.statistics import bounded_sum
from tacit.learning.structure import draw
from tacit.learning.types import LearningError, QualityPlan, Stage, StageKind, TreePlan, Weights
from tacit.privacy.clipping import BoundedSum, clipped

Draw = Callable[..., Encoded]
ONE = Fraction(1)
TREES = TreePlan(rounds=1, trees_per_round=2, depth=3)
GRADIENT = Stage(StageKind.GRADIENT, 55, Fraction(2), ONE)
PRECONDITIONER = Stage(StageKind.PRECONDITIONER, 55, ONE, ONE)
QUALITY = Stage(StageKind.QUALITY, 16, ONE, ONE)
TREE_ROUND = Stage(StageKind.TREES, 32, ONE, ONE)
ALL = [GRADIENT, PRECONDITIONER, QUALITY, TREE_ROUND]


@pytest.fixture(scope="module")
def basis(contract: Contract) -> Basis:
    """The default contract's basis."""
    return Basis(contract)


@pytest.fixture(scope="module")
def weights(basis: Basis) -> Weights:
    """Weights with margins on both sides of zero."""
    return Weights((*np.random.default_rng(5).normal(size=basis.size - 1).tolist(), -2.0))


@pytest.fixture(scope="module")
def answer(contract: Contract, basis: Basis, weights: Weights) -> Callable[..., NDArray[np.int64]]:
    """The sums of one stage over some rows."""
    trees = draw(bytes(32), contract, TREES, 0)

    def ask(stage: Stage, rows: Encoded, **changes: Fraction) -> NDArray[np.int64]:
        margins = basis.margins(rows, weights)
        return bounded_sum(stage, rows, basis, margins, trees=trees, plan=QualityPlan(), **changes).sums

    return ask


def part(rows: Encoded, units: list[int]) -> Encoded:
    """The rows of some units, in that order."""
    picked = [np.arange(rows.starts[unit], rows.starts[unit + 1]) for unit in units]
    order = np.concatenate([np.empty(0, dtype=np.int64), *picked])
    starts = np.concatenate([[0], np.cumsum([len(rows_) for rows_ in picked])]).astype(np.int64)
    return Encoded(rows.bins[:, order], starts, rows.labels[order])


def slow_units(
    basis: Basis, rows: Encoded, margins: NDArray[np.float64], stage: Stage, weight: float
) -> list[list[int]]:
    """Per-unit contributions in Python integers, row by row and function by function."""
    p = sigmoid(margins)
    units = [[0] * basis.size for _ in range(rows.units)]
    for unit in range(rows.units):
        for row in range(int(rows.starts[unit]), int(rows.starts[unit + 1])):
            phi = [
                float(v)
                for n, b in enumerate(basis.blocks)
                for v in b.table[:, basis.index(n, rows.bins[:, row : row + 1])[0]]
            ]
            slope = p[row] * (1.0 - p[row]) if stage.kind is StageKind.PRECONDITIONER else p[row] - rows.labels[row]
            power = 2 if stage.kind is StageKind.PRECONDITIONER else 1
            for position, value in enumerate([*phi, basis.scale]):
                units[unit][position] += round(float(value**power * (slope * (weight * 2.0**32))))
    return units


@pytest.mark.parametrize("stage", [GRADIENT, PRECONDITIONER])
@pytest.mark.parametrize("weight", [ONE, Fraction(8)])
def test_sums_equal_python_integers(
    basis: Basis,
    weights: Weights,
    answer: Callable[..., NDArray[np.int64]],
    draw_rows: Draw,
    *,
    stage: Stage,
    weight: Fraction,
) -> None:
    """Row by row in Python integers gives the same total, bit for bit."""
    rows = draw_rows([3, 0, 1, 9])
    units = slow_units(basis, rows, basis.margins(rows, weights), stage, float(weight))
    expected = BoundedSum(stage.cells, stage.clip)
    expected.add(np.array(units, dtype=np.int64))
    assert answer(stage, rows, weight=weight).tolist() == expected.bounded().sums.tolist()


@pytest.mark.parametrize("kind", [StageKind.GRADIENT, StageKind.PRECONDITIONER])
@pytest.mark.parametrize("batch", [3, 4096])
def test_unit_vectors_are_exact_at_full_precision(
    basis: Basis, weights: Weights, draw_rows: Draw, kind: StageKind, batch: int
) -> None:
    """Before clipping, every unit's vector equals the Python integers at 2^-32: each row was rounded by itself."""
    rows = draw_rows([5, 0, 1, 300, 7])
    margins = basis.margins(rows, weights)
    products = statistics._Products(basis, kind, ONE)
    products.batch = batch
    found = np.concatenate(list(statistics._basis_units(rows, margins, products)))
    stage = Stage(kind, 55, ONE, ONE)
    expected = [
        unit for unit, size in zip(slow_units(basis, rows, margins, stage, 1.0), (5, 0, 1, 300, 7), strict=True) if size
    ]
    assert found.tolist() == expected


def test_a_weight_multiplies_every_row(basis: Basis, weights: Weights, draw_rows: Draw) -> None:
    """Under subsampling at rate 1/8 a row counts 8 times, to the last bit, before clipping."""
    rows = draw_rows([40, 2])
    margins = basis.margins(rows, weights)
    single, eightfold = (
        np.concatenate(list(statistics._basis_units(rows, margins, statistics._Products(basis, StageKind.GRADIENT, w))))
        for w in (ONE, Fraction(8))
    )
    assert np.abs(eightfold - 8 * single).max() <= 4 * 40


def test_clipping_is_per_customer_not_per_row(basis: Basis, draw_rows: Draw) -> None:
    """The same rows count for less as one customer than as many."""
    many, one = draw_rows([1] * 100), draw_rows([100])
    sums = [bounded_sum(GRADIENT, rows, basis, np.full(100, 3.0)).sums for rows in (many, one)]
    lengths = [math.sqrt(sum(int(cell) ** 2 for cell in vector)) / 2**16 for vector in sums]
    assert lengths[0] > 10 * lengths[1]
    assert lengths[1] <= 2


def test_gradient_has_the_direction_of_the_log_loss(
    basis: Basis, weights: Weights, answer: Callable[..., NDArray[np.int64]], draw_rows: Draw
) -> None:
    """With one row a unit and no clipping in force, the sum is the derivative of the log loss by each weight."""
    rows = draw_rows([1] * 200)

    def loss(values: tuple[float, ...]) -> float:
        margins = basis.margins(rows, Weights(values))
        return math.fsum(np.logaddexp(0, margins) - rows.labels * margins)

    sums = answer(GRADIENT, rows) / 2**16
    for position in (0, 5, 17, 25, 40, 54):
        step = 1e-5
        up, down = (list(weights.values) for _ in range(2))
        up[position] += step
        down[position] -= step
        slope = (loss(tuple(up)) - loss(tuple(down))) / (2 * step)
        assert sums[position] == pytest.approx(slope, abs=2e-2)


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.kind)
@settings(max_examples=15)
@given(data=st.data())
def test_banks_and_row_order_do_not_change_the_total(
    answer: Callable[..., NDArray[np.int64]], draw_rows: Draw, stage: Stage, data: st.DataObject
) -> None:
    """Splitting customers over banks and shuffling each customer's rows leaves the summed integers equal."""
    sizes = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=8))
    rows = draw_rows(sizes, seed=data.draw(st.integers(0, 99)))
    units = data.draw(st.permutations(range(rows.units)))
    cut = data.draw(st.integers(0, rows.units))
    generator = np.random.default_rng(cut)
    order = np.concatenate(
        [
            np.empty(0, dtype=np.int64),
            *(generator.permutation(np.arange(a, b)) for a, b in zip(rows.starts[:-1], rows.starts[1:], strict=True)),
        ]
    )
    shuffled = Encoded(rows.bins[:, order], rows.starts, rows.labels[order])
    banks = [part(shuffled, units[:cut]), part(shuffled, units[cut:])]
    assert sum(answer(stage, bank) for bank in banks).tolist() == answer(stage, rows).tolist()


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.kind)
@pytest.mark.parametrize("batch", [1, 2, 5, 64])
def test_batch_sizes_do_not_change_a_bit(
    answer: Callable[..., NDArray[np.int64]], draw_rows: Draw, monkeypatch: pytest.MonkeyPatch, stage: Stage, batch: int
) -> None:
    """Units shorter and longer than a batch, empty ones, and ends on the edge of a batch."""
    rows = draw_rows([0, 4, 1, 0, 17, 5, 5, 0])
    expected = answer(stage, rows).tolist()
    monkeypatch.setattr(statistics, "BATCH", batch)
    monkeypatch.setattr(statistics, "_TREE_CELLS", batch * 40)
    assert answer(stage, rows).tolist() == expected


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.kind)
def test_removing_a_customer_removes_its_own_vector(
    answer: Callable[..., NDArray[np.int64]], draw_rows: Draw, stage: Stage
) -> None:
    """The neighbouring data set's sums differ by what that customer alone would answer."""
    rows = draw_rows([7, 1, 12, 30])
    for unit in range(rows.units):
        others = part(rows, [other for other in range(rows.units) if other != unit])
        change = answer(stage, rows) - answer(stage, others)
        assert change.tolist() == answer(stage, part(rows, [unit])).tolist()
        assert sum(int(cell) ** 2 for cell in change) <= math.floor(2**16 * stage.clip) ** 2


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.kind)
def test_a_customer_with_ten_thousand_rows_is_bounded(
    answer: Callable[..., NDArray[np.int64]], draw_rows: Draw, stage: Stage
) -> None:
    """One heavy customer moves the sums by at most its clip."""
    vector = answer(stage, draw_rows([10_000]))
    assert 0.9 * 2**16 * stage.clip < math.sqrt(sum(int(cell) ** 2 for cell in vector)) <= 2**16 * stage.clip


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.kind)
@pytest.mark.parametrize("sizes", [[], [0, 0]])
def test_an_empty_bank_answers_zeros(
    answer: Callable[..., NDArray[np.int64]], draw_rows: Draw, stage: Stage, sizes: list[int]
) -> None:
    """No customers, or customers without rows in the window."""
    assert answer(stage, draw_rows(sizes)).tolist() == [0] * stage.cells


def test_sensitivity_comes_from_the_stage(basis: Basis, draw_rows: Draw) -> None:
    """The bound that the noise step reads is floor(S C)."""
    assert bounded_sum(GRADIENT, draw_rows([2]), basis, np.zeros(2)).sensitivity == 2**17


def test_tree_rounds_use_the_units_of_the_leaves(
    contract: Contract, basis: Basis, weights: Weights, answer: Callable[..., NDArray[np.int64]], draw_rows: Draw
) -> None:
    """A tree round clips and adds what `leaves.contributions` says of every unit."""
    rows, trees = draw_rows([5, 9, 2]), draw(bytes(32), contract, TREES, 0)
    vectors = leaves.contributions(rows, trees, basis.margins(rows, weights), 0, 3)
    assert answer(TREE_ROUND, rows).tolist() == clipped(vectors, 2**16).sum(axis=0).tolist()


def test_quality_rounds_count_by_label_and_margin(basis: Basis, draw_rows: Draw) -> None:
    """One row a unit: frauds count 1; others 1/32 below -4, 1/4 below -3, else 1."""
    rows = draw_rows([1] * 6)
    rows.labels[:] = [0, 0, 0, 1, 1, 0]
    margins = np.array([-9.0, -4.0, -3.0, -9.0, 2.0, 1.9999])
    sums = bounded_sum(QUALITY, rows, basis, margins, plan=QualityPlan()).sums
    expected = [0] * 16
    for cell, share in ((0, 32), (1, 4), (2, 1), (8, 1), (15, 1), (6, 1)):
        expected[cell] = 2**16 // share
    assert sums.tolist() == expected


def test_a_running_sum_saturates(basis: Basis, draw_rows: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit too large for int64 stops growing and is clipped: nothing wraps."""
    monkeypatch.setattr(statistics, "BATCH", 4)
    monkeypatch.setattr(statistics, "_SATURATION", 2**30)
    vector = bounded_sum(GRADIENT, draw_rows([64], fraud=0.0), basis, np.zeros(64)).sums
    assert abs(int(vector[-1])) <= 2**14 + 2**16


def test_float_sums_stay_exact(basis: Basis) -> None:
    """The batch shrinks with the weight, so that its sums stay below 2^53."""
    for weight in (ONE, Fraction(300), Fraction(1024)):
        products = statistics._Products(basis, StageKind.GRADIENT, weight)
        assert products.batch * (basis.largest * float(weight) * 2**32 + 1) <= 2**53
        assert products.batch >= 1


@pytest.mark.parametrize("weight", [Fraction(0), Fraction(-1), Fraction(1025)])
def test_refuses_weights_outside_the_range(basis: Basis, draw_rows: Draw, weight: Fraction) -> None:
    """Above 0 and at most 1024."""
    with pytest.raises(LearningError, match="weight must be above 0"):
        bounded_sum(GRADIENT, draw_rows([2]), basis, np.zeros(2), weight=weight)


@pytest.mark.parametrize("margins", [np.zeros(3), np.array([0.0, np.nan]), np.array([np.inf, 0.0])])
def test_refuses_margins_that_do_not_fit(basis: Basis, draw_rows: Draw, margins: NDArray[np.float64]) -> None:
    """As many finite margins as rows."""
    with pytest.raises(LearningError, match="expected 2 finite margins"):
        bounded_sum(GRADIENT, draw_rows([2]), basis, margins)


@pytest.mark.parametrize("starts", [[1, 2], [0, 1], [0, 2, 1, 2], []])
def test_refuses_units_that_do_not_cover_the_rows(basis: Basis, draw_rows: Draw, starts: list[int]) -> None:
    """A gap would leave rows unclipped or uncounted."""
    rows = draw_rows([2])
    with pytest.raises(LearningError, match="starts must rise from 0 to 2"):
        bounded_sum(GRADIENT, Encoded(rows.bins, np.array(starts, dtype=np.int64), rows.labels), basis, np.zeros(2))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Stage(StageKind.GRADIENT, 54, ONE, ONE), "55 cells, got 54"),
        (Stage(StageKind.QUALITY, 15, ONE, ONE), "needs the quality part"),
        (Stage(StageKind.TREES, 32, ONE, ONE), "needs its structure"),
    ],
)
def test_refuses_questions_that_are_not_complete(basis: Basis, draw_rows: Draw, stage: Stage, message: str) -> None:
    """Cells must agree with the contract; trees and quality need their parts."""
    with pytest.raises(LearningError, match=message):
        bounded_sum(stage, draw_rows([2]), basis, np.zeros(2))


@pytest.mark.parametrize("stage", [Stage(StageKind.TREES, 30, ONE, ONE), Stage(StageKind.QUALITY, 18, ONE, ONE)])
def test_refuses_cells_of_another_plan(answer: Callable[..., NDArray[np.int64]], draw_rows: Draw, stage: Stage) -> None:
    """Trees or edges of another plan do not slip in."""
    with pytest.raises(LearningError, match="cells"):
        answer(stage, draw_rows([2]))


def test_cells_of_the_default_plan() -> None:
    """Two labels times eight bins."""
    assert quality.cells(QualityPlan()) == QUALITY.cells
