"""Terminals: picks by popularity, cells of the square, growth, and how long a compromise lasts."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.sim.transactions import merchants
from tacit.sim.transactions.merchants import CATEGORIES, ONLINE, RESALE, Terminals, draw_terminals, growth
from tacit.sim.transactions.world import SIDE, BankPlan, Drift, FraudRates, Habits, World

STEADY = Drift(terminal=0.0)


def world(**changes: Any) -> World:  # noqa: ANN401  fields of World
    """A world whose banks do not matter."""
    defaults: dict[str, Any] = {"seed": 4, "banks": (BankPlan("one", 1),), "days": 60, "terminals": 600}
    return World(**(defaults | changes))


def terminals(popularity: list[float], category: list[int], starts: list[int], side: int = 1) -> Terminals:
    """Terminals by hand."""
    count = len(popularity)
    return Terminals(
        ids=np.arange(1, count + 1),
        category=np.array(category, np.uint8),
        cumulative=np.concatenate([[0.0], np.cumsum(popularity)]),
        starts=np.array(starts),
        cells_a_side=side,
        compromised=np.zeros((count, 1), np.bool_),
    )


FOUR = terminals([1.0, 2.0, 3.0, 4.0], [6, 0, 4, 6], [0, 2, 2, 3, 4], side=2)


def test_shares_of_categories_are_whole() -> None:
    """Every terminal has exactly one category; names are different, factors above zero."""
    assert sum(share for _, share, _ in CATEGORIES) == pytest.approx(1.0)
    assert len({name for name, _, _ in CATEGORIES}) == len(CATEGORIES)
    assert merchants.FACTORS.tolist() == [factor for _, _, factor in CATEGORIES]
    assert merchants.FACTORS.min() > 0


def test_groups_name_what_thieves_use() -> None:
    """Stolen cards buy what can be sold again; testing happens online."""
    assert [CATEGORIES[place][0] for place in RESALE] == ["electronics", "travel", "online"]
    assert [CATEGORIES[place][0] for place in ONLINE] == ["online"]


@pytest.mark.parametrize(
    ("draw", "expected"), [(0.0, 0), (0.09, 0), (0.1, 1), (0.29, 1), (0.31, 2), (0.59, 2), (0.6, 3), (0.999, 3)]
)
def test_anywhere_inverts_the_running_sum(draw: float, expected: int) -> None:
    """Popularities 1, 2, 3, 4 own the tenths of the draw in order."""
    assert FOUR.anywhere(np.array([draw])).tolist() == [expected]


@pytest.mark.parametrize(("draw", "expected"), [(0.0, 0), (0.19, 0), (0.21, 3), (0.99, 3)])
def test_among_keeps_the_odds_of_the_chosen(draw: float, expected: int) -> None:
    """Of the two online terminals the first has 1 part in 5."""
    assert FOUR.among(ONLINE, np.array([draw])).tolist() == [expected]


def test_among_takes_every_category_named() -> None:
    """Electronics and online together: 1, 3 and 4 parts of 8."""
    draws = (np.arange(8_000) + 0.5) / 8_000
    assert np.bincount(FOUR.among(RESALE, draws), minlength=4).tolist() == [1_000, 0, 3_000, 4_000]


@pytest.mark.parametrize(
    ("point", "expected"),
    [((10.0, 10.0), {0, 1}), ((90.0, 10.0), {0, 1, 2, 3}), ((10.0, 90.0), {2}), ((90.0, 90.0), {3})],
)
def test_near_looks_in_the_points_cell(point: tuple[float, float], expected: set[int]) -> None:
    """Columns run with x, rows with y; the empty cell is served by all."""
    draws = np.linspace(0.0, 0.999, 50)
    picked = FOUR.near(np.full(50, point[0]), np.full(50, point[1]), draws)
    assert set(picked.tolist()) == expected


def test_near_keeps_the_odds_within_the_cell() -> None:
    """In the first cell popularity 1 stands against 2."""
    draws = (np.arange(3_000) + 0.5) / 3_000
    picked = FOUR.near(np.full(3_000, 10.0), np.full(3_000, 10.0), draws)
    assert np.bincount(picked).tolist() == [1_000, 2_000]


@given(st.floats(-50.0, 150.0), st.floats(-50.0, 150.0))
def test_points_outside_belong_to_the_border(x: float, y: float) -> None:
    """A trip that leaves the square ends in a cell at its border."""
    inside = merchants._cell(np.clip([x], 0, SIDE), np.clip([y], 0, SIDE), 7)
    assert merchants._cell(np.array([x]), np.array([y]), 7).tolist() == inside.tolist()
    assert 0 <= inside[0] < 49


@given(st.floats(-0.9, 9.0), st.floats(-400.0, 4_000.0), st.floats(-400.0, 4_000.0))
def test_growth_multiplies_over_time(yearly: float, first: float, second: float) -> None:
    """Growth over two spans is the product of both."""
    both = growth(yearly, np.array([first, second, first + second]))
    if np.all((both > 1e-300) & (both < 1e300)):
        assert both[0] * both[1] == pytest.approx(both[2], rel=1e-6)


def test_no_growth_is_a_factor_of_one() -> None:
    """At zero a year nothing moves, before the first day either."""
    assert growth(0.0, np.array([-30, 0, 900])).tolist() == [1.0, 1.0, 1.0]


def test_terminals_stand_in_order_of_their_cell() -> None:
    """The starts cover all terminals, cell after cell; a cell holds about a dozen."""
    made = draw_terminals(world())
    assert made.starts[0] == 0
    assert made.starts[-1] == 600
    assert np.all(np.diff(made.starts) >= 0)
    assert made.cells_a_side == 7
    assert 10 < np.diff(made.starts).mean() < 14


@pytest.mark.parametrize(("count", "side"), [(1, 1), (47, 1), (48, 2), (1_200, 10), (200_000, 100)])
def test_cells_follow_the_number_of_terminals(count: int, side: int) -> None:
    """One cell at least, a hundred a side at most."""
    assert draw_terminals(world(terminals=count, days=1, fraud=FraudRates(terminal=0.0))).cells_a_side == side


def test_even_popularity_without_spread() -> None:
    """With spread 0 all terminals are as popular."""
    made = draw_terminals(world(habits=Habits(popularity_spread=0.0)))
    assert np.diff(made.cumulative) == pytest.approx(np.ones(600))


def test_spread_is_that_of_the_logarithm() -> None:
    """The logarithm of popularity has the spread asked for."""
    made = draw_terminals(world(terminals=20_000, days=1, habits=Habits(popularity_spread=1.3)))
    assert np.log(np.diff(made.cumulative)).std() == pytest.approx(1.3, rel=0.03)


def test_banks_and_drift_of_prices_leave_terminals_alone() -> None:
    """Places, categories and compromises follow from the seed and terminal settings."""
    first = draw_terminals(world())
    second = draw_terminals(world(banks=(BankPlan("two", 7), BankPlan("three", 9)), drift=Drift(amount=1.0, rate=2.0)))
    for field in dataclasses.fields(first):
        assert np.array_equal(getattr(first, field.name), getattr(second, field.name)), field.name


@pytest.mark.parametrize("length", [1, 5, 30])
def test_a_compromise_lasts_as_long_as_it_says(length: int) -> None:
    """With one possible length every run of compromised days inside the world has that length."""
    rare = FraudRates(terminal=0.00002, terminal_days=(length, length))
    held = draw_terminals(world(terminals=6_000, days=90, fraud=rare, drift=STEADY)).compromised
    edges = np.diff(np.pad(held[:, :].astype(np.int8), ((0, 0), (1, 1))), axis=1)
    begins, ends = np.nonzero(edges == 1), np.nonzero(edges == -1)
    whole = (begins[1] > 0) & (ends[1] < 90)
    assert whole.sum() > 3
    # Two incidents of one terminal may overlap; at this rate they do not.
    assert set((ends[1] - begins[1])[whole].tolist()) == {length}


def test_no_compromise_without_a_rate() -> None:
    """At rate 0 no terminal is compromised on any day."""
    made = draw_terminals(world(fraud=FraudRates(terminal=0.0)))
    assert made.compromised.shape == (600, 60)
    assert not made.compromised.any()


def test_compromises_fade_with_their_drift() -> None:
    """At minus 90 % a year the second year has far fewer."""
    often = world(terminals=3_000, days=730, fraud=FraudRates(terminal=0.001), drift=Drift(terminal=-0.9))
    held = draw_terminals(often).compromised
    assert held[:, 365:].mean() < 0.2 * held[:, :365].mean()


def test_other_seed_other_terminals() -> None:
    """Places and popularity are drawn from the seed."""
    assert not np.array_equal(draw_terminals(world()).ids, draw_terminals(world(seed=5)).ids)
