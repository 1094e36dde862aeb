"""The public basis: tables, margins and their properties."""

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.features.representatives import bin_representatives, coarse_groups, coarse_representatives
from tacit.features.spec import Contract, Hat, Transform
from tacit.features.types import Encoded
from tacit.learning import basis as module
from tacit.learning.basis import Basis, hats
from tacit.learning.types import LearningError, Weights

Draw = Callable[..., Encoded]


@pytest.fixture(scope="module")
def basis(contract: Contract) -> Basis:
    """The default contract's basis."""
    return Basis(contract)


@pytest.fixture(scope="module")
def weights(basis: Basis) -> Weights:
    """Some weights."""
    return Weights(tuple(np.random.default_rng(5).normal(size=basis.size).tolist()))


def hat_slow(x: float, knots: list[float]) -> list[float]:
    """The formula: x clamped, two neighbouring hats share 1."""
    x = min(max(x, knots[0]), knots[-1])
    values = [0.0] * len(knots)
    for i in range(len(knots) - 1):
        if knots[i] <= x <= knots[i + 1]:
            t = (x - knots[i]) / (knots[i + 1] - knots[i])
            values[i], values[i + 1] = 1 - t, t
            break
    return values


def group(contract: Contract, name: str, bin_: int, *, log: bool) -> float:
    """The representative of a bin's coarse cell."""
    column = contract.column(name)
    cell = sum(1 for first in coarse_groups(column).tolist() if first <= bin_) - 1
    return float(coarse_representatives(column, log)[cell])


def functions_slow(contract: Contract, bins: list[int]) -> list[float]:
    """Every function of the basis on one row, straight from the specification."""
    value = {c.name: float(bin_representatives(c)[b]) for c, b in zip(contract.columns, bins, strict=True)}
    bin_of = dict(zip(value, bins, strict=True))
    result = []
    for name in contract.linear:
        column = contract.column(name)
        result.append(min(max((value[name] - float(column.centre)) / float(column.spread), -2), 6) / 4)
    for hat in contract.hats:
        result += hat_slow(math.log(max(value[hat.column], 0.5)), [math.log(k) for k in hat.knots])
    for ratio in contract.ratios:
        below = group(contract, ratio.denominator, bin_of[ratio.denominator], log=True)
        quotient = math.log(max(value[ratio.numerator], 0.5)) - math.log(max(below, 0.5))
        result += hat_slow(quotient, [math.log(k) for k in ratio.knots])
    for pair in contract.pairs:
        left, right = (
            hat_slow(group(contract, name, bin_of[name], log=False), [float(k) for k in pair.knots])
            for name in pair.columns
        )
        result += [a * b for a in left for b in right]
    return [float(contract.scale) * f for f in [*result, 1.0]]


def test_default_contract_has_55_functions(basis: Basis) -> None:
    """15 linear + 8 hats + 6 ratio hats + 25 pair products + intercept."""
    assert basis.size == 55
    assert [block.functions for block in basis.blocks] == [*[1] * 15, 8, 6, 25]
    assert [block.first for block in basis.blocks] == [*range(15), 15, 23, 29]


def test_margins_equal_the_formula(contract: Contract, basis: Basis, weights: Weights, draw_rows: Draw) -> None:
    """Table look-ups give what the formulas of the specification give, row by row."""
    rows = draw_rows([40, 60])
    margins = basis.margins(rows, weights)
    for row in range(rows.rows):
        functions = functions_slow(contract, rows.bins[:, row].tolist())
        expected = math.fsum(w * f for w, f in zip(weights.values, functions, strict=True))
        assert margins[row] == pytest.approx(expected, abs=1e-12)


def test_each_function_stands_where_its_weight_stands(contract: Contract, basis: Basis, draw_rows: Draw) -> None:
    """Weight j alone gives function j."""
    rows = draw_rows([8], seed=3)
    expected = np.array([functions_slow(contract, rows.bins[:, row].tolist()) for row in range(8)])
    for position in range(basis.size):
        unit = Weights(tuple(float(position == other) for other in range(basis.size)))
        assert basis.margins(rows, unit) == pytest.approx(expected[:, position], abs=1e-13)


def test_margins_do_not_depend_on_position_or_batch(
    basis: Basis, weights: Weights, draw_rows: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permuting rows permutes margins bit for bit, in batches of any size."""
    rows = draw_rows([301])
    order = np.random.default_rng(1).permutation(301)
    before = basis.margins(rows, weights)
    monkeypatch.setattr(module, "BATCH", 7)
    after = basis.margins(Encoded(rows.bins[:, order], rows.starts, rows.labels[order]), weights)
    assert after.tobytes() == before[order].tobytes()


def test_tables_add_up_to_the_margins_exactly(basis: Basis, weights: Weights, draw_rows: Draw) -> None:
    """Summing the ensemble's tables in order gives the margin's very bits."""
    rows, model = draw_rows([50]), basis.tables(weights)
    margins = basis.margins(rows, weights)
    for row in range(rows.rows):
        bins = rows.bins[:, row].tolist()
        total = model.intercept
        for line in model.lines:
            total += line.values[bins[line.column]]
        for plane in model.planes:
            cells = [
                sum(1 for first in firsts if first <= bins[column]) - 1
                for column, firsts in zip(plane.columns, plane.firsts, strict=True)
            ]
            total += plane.values[cells[0]][cells[1]]
        assert total == margins[row]


def test_tables_have_the_shapes_of_the_contract(contract: Contract, basis: Basis, weights: Weights) -> None:
    """One line a column with a bin each; planes are numerator bins x coarse cells, and coarse x coarse."""
    model = basis.tables(weights)
    assert [line.column for line in model.lines] == list(range(15))
    assert [len(line.values) for line in model.lines] == [column.bins for column in contract.columns]
    assert [plane.columns for plane in model.planes] == [(0, 8), (13, 14)]
    assert [(len(plane.values), len(plane.values[0])) for plane in model.planes] == [(61, 16), (16, 16)]
    assert model.forests == ()


def test_hat_blocks_sum_to_the_scale(basis: Basis) -> None:
    """Hats of a block add up to 1 on every cell, times the scale: the balance check of a sum relies on it."""
    for block in basis.blocks[15:]:
        assert block.table.sum(axis=0) == pytest.approx(basis.scale)


@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=9, unique=True).map(sorted),
    st.lists(st.floats(-200, 200), min_size=1, max_size=20),
)
def test_hats_equal_the_formula(knots: list[float], values: list[float]) -> None:
    """Clamped outside, linear between, for any knots."""
    table = hats(np.array(values), knots)
    assert (table >= 0).all()
    assert table.sum(axis=0) == pytest.approx(1.0)
    assert (table * np.array(knots)[:, np.newaxis]).sum(axis=0) == pytest.approx(
        np.clip(values, knots[0], knots[-1]), abs=1e-9
    )
    assert (np.count_nonzero(table, axis=0) <= 2).all()


@pytest.mark.parametrize("knots", [[], [1.0], [1.0, 1.0], [2.0, 1.0]])
def test_hats_refuse_knots_that_do_not_rise(knots: list[float]) -> None:
    """At least two, strictly rising."""
    with pytest.raises(LearningError, match="strictly rising knots"):
        hats(np.zeros(3), knots)


def test_the_smallest_contract(contract: Contract, draw_rows: Draw) -> None:
    """One linear term and the intercept: a flag's 0 and 1 around its centre."""
    bare = Basis(replace(contract, linear=("weekend",), hats=(), ratios=(), pairs=()))
    rows = draw_rows([30])
    expected = [0.404 * (2.0 + (flag - 0.3) / 0.5 / 4) for flag in rows.bins[1].tolist()]
    assert bare.size == 2
    assert bare.margins(rows, Weights((1.0, 2.0))) == pytest.approx(expected)


def test_a_plain_hat_uses_no_logarithm(contract: Contract) -> None:
    """Transform none: the hat stands over the value itself."""
    knots = (Fraction(0), Fraction(100), Fraction(1000))
    found = Basis(replace(contract, linear=(), ratios=(), pairs=(), hats=(Hat("amount", Transform.NONE, knots),)))
    values = bin_representatives(contract.columns[0])
    assert found.blocks[0].table[1][values == 52.5] == pytest.approx(0.525 * 0.404)


def test_largest_bounds_every_function(basis: Basis) -> None:
    """The proof that float sums stay exact needs the largest function: a linear term at its upper clip."""
    assert basis.largest == pytest.approx(1.5 * 0.404)


@pytest.mark.parametrize("values", [(1.0,) * 54, (1.0,) * 56, (math.nan,) * 55, (*(0.0,) * 54, math.inf)])
def test_refuses_weights_that_do_not_fit(basis: Basis, values: tuple[float, ...]) -> None:
    """Wrong number, NaN or infinity."""
    with pytest.raises(LearningError, match="expected 55 finite weights"):
        basis.tables(Weights(values))


def test_refuses_bins_of_another_contract(basis: Basis, weights: Weights, draw_rows: Draw) -> None:
    """A bin outside its column would read another table's cell."""
    rows = draw_rows([3])
    wrong = rows.bins.copy()
    wrong[1, 2] = 2
    with pytest.raises(LearningError, match="column 1 has bins 0 to 1, got 2"):
        basis.margins(Encoded(wrong, rows.starts, rows.labels), weights)
    with pytest.raises(LearningError, match="expected bins of shape"):
        basis.margins(Encoded(rows.bins[:3], rows.starts, rows.labels), weights)


def test_no_rows_have_no_margins(basis: Basis, weights: Weights, draw_rows: Draw) -> None:
    """An empty bank is not an error."""
    assert basis.margins(draw_rows([]), weights).shape == (0,)


@pytest.mark.parametrize("value", [Fraction(1, 2), Fraction(5), Fraction("132.7"), Fraction(1000)])
def test_logarithms_are_correctly_rounded(value: Fraction) -> None:
    """Within half a unit in the last place, from decimal arithmetic and so the same on every machine."""
    assert module._log(value) == pytest.approx(math.log(value), rel=2e-16)
