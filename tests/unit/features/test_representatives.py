"""The public numbers that stand for bins and coarse cells."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_cases import card, column_of, risk_edges
from tacit.features.representatives import (
    bin_representatives,
    coarse_groups,
    coarse_of_bins,
    coarse_representatives,
    representatives,
)
from tacit.features.spec import Column, ContractError


def column(kind: str, edges: list[int | str], **fields: Any) -> Column:  # noqa: ANN401
    """A column with these edges."""
    base = {"name": "x", "type": kind, "provenance": "customer", "edges": edges, "centre": 0, "spread": 4}
    return column_of(base | fields)


@pytest.mark.parametrize(
    ("kind", "edges", "wanted"),
    [
        ("amount", [10, 14, 20], [8, 12, 17, 20]),
        ("amount", [5, 100], [0, 52.5, 100]),
        ("amount", [-10, 0, 20], [-15, -5, 10, 20]),
        ("amount", [0, 20], [-10, 10, 20]),
        ("amount", [10], [8, 10]),
        ("count", ["0.5", "1.5", "3.5"], [0, 1, 2.5, 3.5]),
        ("count", ["0.5"], [0, 0.5]),
        ("share", ["0.001", "0.01", "0.5"], [0, 0.0055, 0.255, 0.5]),
        ("flag", ["0.5"], [0, 1]),
    ],
)
def test_bins_are_stood_for_by_their_middles(kind: str, edges: list[int | str], wanted: list[float]) -> None:
    """Midpoints inside; outside half the next width below, and the last edge itself; never below a public 0."""
    assert bin_representatives(column(kind, edges)).tolist() == wanted


def test_every_bin_of_the_card_holds_its_representative() -> None:
    """A representative lies in its own bin, and they rise."""
    for item, values in zip(card().columns, representatives(card()), strict=True):
        assert values.shape == (item.bins,)
        assert values.dtype == np.float64
        assert (np.diff(values) > 0).all()
        found = np.searchsorted(np.asarray(item.cuts), values.astype(np.float32), side="right")
        assert found.tolist() == list(range(item.bins))


def test_exact_zero_of_a_risk_is_zero() -> None:
    """The first bin of counts and risks stands for none at all."""
    values = dict(zip(card().index, representatives(card()), strict=True))
    assert [values[name][0] for name in ("t_risk1", "t_nb7", "t_nb30", "c_nb1", "weekend")] == [0.0] * 5
    assert values["amount"][:3].tolist() == [2.5, 7.5, 12.5]


def test_middles_are_exact_rationals_rounded_once() -> None:
    """The middle of two decimals is not the middle of two floats."""
    low, high = Fraction("0.1"), Fraction("0.3")
    assert bin_representatives(column("share", ["0.1", "0.3"]))[1] == float((low + high) / 2) == 0.2


def test_coarse_cells_begin_at_their_bins() -> None:
    """The first cell begins at bin 0, every other one right of its edge."""
    item = column("amount", [5, 10, 20, 40], coarse=[0, 10, 40])
    assert coarse_groups(item).tolist() == [0, 2, 4]
    assert coarse_of_bins(item).tolist() == [0, 0, 1, 1, 2]


def test_one_coarse_cell_holds_all() -> None:
    """A single cell is allowed."""
    item = column("amount", [5, 10], coarse=[0])
    assert coarse_groups(item).tolist() == [0]
    assert coarse_of_bins(item).tolist() == [0, 0, 0]


def test_coarse_cells_of_the_card() -> None:
    """A value lies in the coarse cell whose start is the last one not above it."""
    for name in ("c_avg30", "t_risk7", "t_risk30"):
        item = card().column(name)
        starts = [float(np.float32(float(start))) for start in item.coarse or ()]
        cells = coarse_of_bins(item)
        for place, cut in enumerate(item.cuts, start=1):
            assert cells[place] == np.searchsorted(starts, cut, side="right") - 1
        assert (cells[0], cells[-1]) == (0, 15)


def test_coarse_shares_are_means() -> None:
    """Without a logarithm a cell is the mean of its bins."""
    item = column("share", ["0.1", "0.2", "0.4"], coarse=[0, "0.2"])
    assert coarse_representatives(item, log=False).tolist() == pytest.approx([0.1, 0.35])


def test_coarse_logarithms_are_geometric_means_with_a_floor() -> None:
    """Inside a logarithm a cell is the geometric mean, values below .5 counting as .5."""
    item = column("amount", ["0.2", "0.6", 8, 32], coarse=[0, 8])
    wanted = [(0.5 * 0.5 * 4.3) ** (1 / 3), math.sqrt(20 * 32)]
    assert coarse_representatives(item, log=True).tolist() == pytest.approx(wanted)


def test_exact_zero_has_its_own_cell() -> None:
    """A risk of exactly 0 is a cell of its own that stands for 0."""
    for name in ("t_risk7", "t_risk30"):
        values = coarse_representatives(card().column(name), log=False)
        assert values[0] == 0.0
        assert values[1] > risk_edges()[0]
        assert (np.diff(values) > 0).all()


def test_coarse_means_of_the_card_rise() -> None:
    """The denominator's sixteen cells rise from the floor on."""
    values = coarse_representatives(card().column("c_avg30"), log=True)
    assert values.shape == (16,)
    assert values[0] == pytest.approx(2.5)
    assert (np.diff(values) > 0).all()


@pytest.mark.parametrize("ask", [coarse_groups, coarse_of_bins, lambda item: coarse_representatives(item, log=True)])
def test_columns_without_coarse_cells_are_refused(ask: Any) -> None:  # noqa: ANN401
    """Asking for cells that the contract does not have is an error that names the column."""
    with pytest.raises(ContractError, match="column 'amount' has no coarse cells"):
        ask(card().column("amount"))


@st.composite
def amounts(draw: st.DrawFn) -> Column:
    """Any column of amounts with 1 to 20 edges, positive or not."""
    edges = sorted(draw(st.sets(st.integers(-500, 500), min_size=1, max_size=20)))
    return column("amount", list(edges))


@given(amounts())
def test_representatives_of_any_column_rise(item: Column) -> None:
    """One per bin, finite, without two alike."""
    values = bin_representatives(item)
    assert values.shape == (item.bins,)
    assert np.isfinite(values).all()
    assert (np.diff(values) > 0).all()


@given(amounts())
def test_every_representative_lies_in_its_bin(item: Column) -> None:
    """Encoding it gives its bin back: a table of margins is a function of the bins."""
    values = bin_representatives(item)
    found = np.searchsorted(np.asarray(item.cuts), values.astype(np.float32), side="right")
    assert found.tolist() == list(range(item.bins))


@given(amounts(), st.integers(1, 400))
def test_representatives_move_with_their_edges(item: Column, shift: int) -> None:
    """Inner bins of shifted edges are shifted by as much, exactly."""
    moved = column("amount", [int(edge) + shift for edge in item.edges])
    inner, shifted = bin_representatives(item)[1:], bin_representatives(moved)[1:]
    assert shifted.tolist() == (inner + shift).tolist()


@given(st.data())
def test_coarse_cells_tile_the_bins(data: st.DataObject) -> None:
    """Every bin lies in one cell, cells rise with the bins, and their means lie between their bins'."""
    edges = sorted(data.draw(st.sets(st.integers(1, 500), min_size=3, max_size=20)))
    starts = sorted(data.draw(st.sets(st.sampled_from(edges), min_size=1, max_size=5)))
    item = column("amount", list(edges), coarse=[0, *starts])
    cells, firsts = coarse_of_bins(item), coarse_groups(item)
    assert cells.shape == (item.bins,)
    assert cells.tolist() == sorted(cells.tolist())
    assert np.unique(cells).tolist() == list(range(len(starts) + 1))
    assert [int(np.flatnonzero(cells == cell)[0]) for cell in range(len(starts) + 1)] == firsts.tolist()
    values, means = bin_representatives(item), coarse_representatives(item, log=False)
    for cell, mean in enumerate(means):
        inside = values[cells == cell]
        assert inside.min() - 1e-9 <= mean <= inside.max() + 1e-9


@given(st.sets(st.integers(1, 500), min_size=3, max_size=12))
def test_geometric_means_are_not_above_the_others(found: set[int]) -> None:
    """Cell by cell, where no bin lies below the floor of the logarithm."""
    edges = sorted(found)
    item = column("amount", [edge + 100 for edge in edges], coarse=[0, edges[1] + 100])
    logs, plain = coarse_representatives(item, log=True), coarse_representatives(item, log=False)
    floor = np.array([max(value, 0.5) for value in plain])
    assert (logs <= floor * (1 + 1e-12)).all()
