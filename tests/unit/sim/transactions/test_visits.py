"""Customers and their own purchases: each habit drives exactly what it says."""

import dataclasses
import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.sim.transactions import visits
from tacit.sim.transactions.merchants import FACTORS, Terminals, draw_terminals
from tacit.sim.transactions.visits import (
    MAX_CENTS,
    MIN_CENTS,
    WEEKDAYS,
    Batch,
    Customers,
    FraudKind,
    day_of,
    draw_customers,
    draw_visits,
    join,
    select,
    to_cents,
)
from tacit.sim.transactions.world import DAY, HOUR, BankPlan, Drift, FraudRates, Habits, World

BANK = BankPlan("one", 1_500, daily_rate=1.0)
FLAT = Drift(amount=0.0, rate=0.0)
QUIET = FraudRates(terminal=0.0)


def world(bank: BankPlan = BANK, **changes: Any) -> World:  # noqa: ANN401  fields of World
    """A world of one bank over eight whole weeks without drift."""
    defaults: dict[str, Any] = {
        "seed": 11,
        "banks": (bank,),
        "days": 56,
        "terminals": 600,
        "drift": FLAT,
        "fraud": QUIET,
    }
    return World(**(defaults | changes))


def drawn(**habits: Any) -> tuple[World, Terminals, Customers, Batch]:  # noqa: ANN401  fields of Habits
    """Everything that the bank's customers are and do."""
    made = world(habits=Habits(**habits))
    terminals = draw_terminals(made)
    customers = draw_customers(made, BANK, terminals)
    return made, terminals, customers, draw_visits(made, BANK, customers, terminals)


def batch(size: int, first: int = 0) -> Batch:
    """A batch whose arrays all differ."""
    numbers = np.arange(first, first + size)
    return Batch(numbers, numbers + 100, numbers + 200, numbers + 300, (numbers % 5).astype(np.uint8))


def test_weekdays_have_mean_one() -> None:
    """So that a rate is the mean over a week."""
    assert WEEKDAYS.mean() == pytest.approx(1.0)
    assert WEEKDAYS.argmax() == visits.SATURDAY


@pytest.mark.parametrize(
    ("amount", "cents"),
    [(0.0, MIN_CENTS), (0.49, MIN_CENTS), (0.504, 50), (0.51, 51), (12.344, 1234), (12.346, 1235), (1e9, MAX_CENTS)],
)
def test_cents_by_hand(amount: float, cents: int) -> None:
    """Rounded to the cent, never below half a unit nor above ten thousand."""
    assert to_cents(np.array([amount])).tolist() == [cents]


@given(st.integers(0, 10**9))
def test_a_second_lies_in_its_day(second: int) -> None:
    """A day holds its 86,400 seconds."""
    day = int(day_of(np.array([second]))[0])
    assert day * DAY <= second < (day + 1) * DAY


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5))
def test_join_keeps_order_and_columns(sizes: list[int]) -> None:
    """Joined parts stand one behind the other, every array cut alike."""
    parts = [batch(size, 10 * place) for place, size in enumerate(sizes)]
    whole = join(parts)
    assert whole.customer.size == sum(sizes)
    for place, part in enumerate(parts):
        begin = sum(sizes[:place])
        again = select(whole, np.arange(begin, begin + part.customer.size))
        for field in dataclasses.fields(Batch):
            assert np.array_equal(getattr(again, field.name), getattr(part, field.name)), field.name


def test_select_takes_masks_and_orders() -> None:
    """A mask keeps the order, an order is followed."""
    whole = batch(5)
    kept = select(whole, np.array([True, False, True, False, False]))
    assert kept.second.tolist() == [200, 202]
    turned = select(whole, np.array([4, 0]))
    assert (turned.terminal.tolist(), turned.kind.tolist()) == ([104, 100], [4, 0])


def test_genuine_purchases_have_no_kind() -> None:
    """Customers' own purchases are never fraud, and lie within the world."""
    made, terminals, _, bought = drawn()
    assert set(bought.kind.tolist()) == {FraudKind.NONE}
    assert bought.second.min() >= 0
    assert bought.second.max() < made.days * DAY
    assert bought.terminal.max() < terminals.ids.size


def test_a_customers_rate_is_followed() -> None:
    """Over eight weeks a customer buys as often as the hidden rate says."""
    made, _, customers, bought = drawn(weekend_spread=0.0)
    counts = np.bincount(bought.customer, minlength=customers.count)
    expected = customers.rate * made.days
    assert counts.sum() == pytest.approx(expected.sum(), rel=0.02)
    assert np.all(np.abs(counts - expected) < 6 * np.sqrt(expected) + 6)


@pytest.mark.parametrize("shape", [0.5, 50.0])
def test_the_shape_says_how_uneven_rates_are(shape: float) -> None:
    """A gamma variable's variance is its squared mean over the shape."""
    _, _, customers, _ = drawn(rate_shape=shape)
    assert customers.rate.var() == pytest.approx(customers.rate.mean() ** 2 / shape, rel=0.25)


@pytest.mark.parametrize("start", [dt.date(2018, 1, 1), dt.date(2020, 2, 27)])
def test_weekdays_are_those_of_the_calendar(start: dt.date) -> None:
    """Whatever day the world begins on, Saturday sells as much as Saturday does."""
    made = world(start=start, habits=Habits(weekend_spread=0.0))
    terminals = draw_terminals(made)
    bought = draw_visits(made, BANK, draw_customers(made, BANK, terminals), terminals)
    counts = np.bincount((day_of(bought.second) + start.weekday()) % 7, minlength=7)
    assert counts / counts.mean() == pytest.approx(WEEKDAYS, abs=0.035)


def test_the_weekend_factor_is_the_customers_own() -> None:
    """It changes Saturdays and Sundays only, up for some and down for others, on average not at all."""
    _, _, customers, bought = drawn(weekend_spread=0.9)
    assert customers.weekend.mean() == pytest.approx(1.0, abs=0.1)
    eager = customers.weekend > 1.5
    weekend = day_of(bought.second) % 7 >= 5
    share = [weekend[eager[bought.customer] == group].mean() for group in (True, False)]
    assert share[0] > 1.5 * share[1]


@pytest.mark.parametrize(("owls", "shares"), [(0.0, {0.05}), (1.0, {0.4}), (0.5, {0.05, 0.4})])
def test_night_owls_have_their_share(owls: float, shares: set[float]) -> None:
    """Each customer is one of two kinds."""
    _, _, customers, _ = drawn(night_owls=owls, night_share=(0.05, 0.4))
    assert set(customers.night_share.tolist()) == shares


def test_night_purchases_lie_in_the_night() -> None:
    """Who buys only at night buys between ten and six."""
    _, _, _, bought = drawn(night_owls=1.0, night_share=(1.0, 1.0))
    hour = bought.second % DAY // HOUR
    assert set(hour.tolist()) == {22, 23, 0, 1, 2, 3, 4, 5}


def test_day_purchases_gather_at_the_customers_hour() -> None:
    """Without nights a customer's mean hour is about the peak."""
    _, _, customers, bought = drawn(night_share=(0.0, 0.0))
    hour = bought.second % DAY / HOUR
    near = np.abs(hour - customers.peak[bought.customer])
    assert np.median(near) == pytest.approx(0.674 * 3.2, rel=0.1)


def test_the_visit_spread_is_that_of_the_logarithm() -> None:
    """A purchase is the mean times the category's factor times a variable of mean one with the customer's spread."""
    _, terminals, customers, bought = drawn(visit_spread=(0.5, 0.5), big_share=0.0)
    factor = bought.cents / 100 / customers.mean_amount[bought.customer] / FACTORS[terminals.category[bought.terminal]]
    assert set(customers.spread.tolist()) == {0.5}
    assert np.log(factor).std() == pytest.approx(0.5, rel=0.03)
    assert factor.mean() == pytest.approx(1.0, rel=0.02)


def test_no_spread_no_surprise() -> None:
    """Without any spread a purchase is the bank's mean times the category's factor, to the cent."""
    _, terminals, _, bought = drawn(amount_spread=0.0, visit_spread=(0.0, 0.0), big_share=0.0)
    assert np.array_equal(bought.cents, to_cents(BANK.mean_amount * FACTORS[terminals.category[bought.terminal]]))


def test_big_purchases_are_as_many_and_as_big_as_told() -> None:
    """The share out of the ordinary is multiplied by a factor of the range."""
    _, terminals, _, bought = drawn(amount_spread=0.0, visit_spread=(0.0, 0.0), big_share=0.2, big_factor=(5.0, 6.0))
    factor = bought.cents / 100 / BANK.mean_amount / FACTORS[terminals.category[bought.terminal]]
    big = factor > 1.01
    assert big.mean() == pytest.approx(0.2, rel=0.05)
    assert factor[big].min() > 4.99
    assert factor[big].max() < 6.01


@pytest.mark.parametrize("count", [1, 3])
def test_customers_keep_to_their_regulars(count: int) -> None:
    """Who never goes elsewhere is seen at the habitual terminals only, the first most often."""
    _, _, customers, bought = drawn(regulars=count, elsewhere=0.0)
    own = customers.regulars[bought.customer]
    assert own.shape[1] == count
    assert np.all((own == bought.terminal[:, None]).any(axis=1))
    first = (own[:, 0] == bought.terminal).mean()
    assert first == 1.0 if count == 1 else 0.5 < first < 0.8


def test_going_elsewhere_leaves_the_regulars() -> None:
    """Who always goes elsewhere follows popularity alone."""
    _, terminals, _, bought = drawn(elsewhere=1.0)
    seen = np.bincount(bought.terminal, minlength=600)
    assert np.corrcoef(seen, np.diff(terminals.cumulative))[0, 1] > 0.9


def test_prices_grow_and_counts_do_not() -> None:
    """Drift of amounts scales every purchase by its day's factor and moves nobody."""
    habits = Habits(amount_spread=0.0, visit_spread=(0.0, 0.0), big_share=0.0)
    flat, grown = (world(habits=habits, drift=Drift(amount=rate, rate=0.0)) for rate in (0.0, 1.0))
    found = []
    for made in (flat, grown):
        terminals = draw_terminals(made)
        found.append(draw_visits(made, BANK, draw_customers(made, BANK, terminals), terminals))
    assert np.array_equal(found[0].second, found[1].second)
    ratio = found[1].cents / found[0].cents
    assert ratio == pytest.approx(2 ** (day_of(found[0].second) / 365.25), abs=0.01)


def test_homes_stay_near_the_centre() -> None:
    """A narrow bank's customers are regulars of terminals in one corner, a wide bank's of all of them."""
    made = world(habits=Habits(trip=0.1))
    terminals = draw_terminals(made)
    narrow, wide = (
        draw_customers(made, BankPlan(name, 800, centre=(7.0, 7.0), reach=reach), terminals)
        for name, reach in (("narrow", 0.5), ("wide", 100.0))
    )
    assert np.unique(narrow.regulars).max() < terminals.starts[1]
    assert np.unique(wide.regulars).size > 500


def test_customers_are_the_banks_alone() -> None:
    """Another bank in the world changes no customer; another name is another stream."""
    terminals = draw_terminals(world())
    alone = draw_customers(world(), BANK, terminals)
    crowd = draw_customers(world(banks=(BankPlan("zero", 5), BANK)), BANK, terminals)
    renamed = draw_customers(world(), dataclasses.replace(BANK, name="two"), terminals)
    assert np.array_equal(alone.rate, crowd.rate)
    assert not np.array_equal(alone.rate, renamed.rate)
