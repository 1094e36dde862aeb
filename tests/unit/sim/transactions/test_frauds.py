"""Each kind of fraud has the rate, the place, the time and the amount that its parameters say."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from tacit.sim.transactions import frauds
from tacit.sim.transactions.frauds import draw_frauds, mark_terminal_fraud
from tacit.sim.transactions.merchants import FACTORS, ONLINE, RESALE, Terminals, draw_terminals
from tacit.sim.transactions.visits import Batch, Customers, FraudKind, day_of, draw_customers, draw_visits
from tacit.sim.transactions.world import DAY, HOUR, BankPlan, Drift, FraudRates, World

BANK = BankPlan("one", 2_000)
NONE = {"large": 0.0, "terminal": 0.0, "account": 0.0, "testing": 0.0}
STEADY = Drift(amount=0.0, rate=0.0, large=0.0, large_amount=0.0, terminal=0.0, account=0.0, testing=0.0)


def world(drift: Drift = STEADY, bank: BankPlan = BANK, **rates: Any) -> World:  # noqa: ANN401  fields of FraudRates
    """Eighty days of one bank with only the fraud that is given."""
    fraud = FraudRates(**(NONE | rates))
    return World(seed=2, banks=(bank,), days=80, terminals=600, drift=drift, fraud=fraud)


def fast(kind: str) -> dict[str, Any]:
    """A rate of one kind alone."""
    return {kind: 0.01}


def drawn(made: World) -> tuple[Terminals, Customers, Batch]:
    """The frauds on top of a world's purchases."""
    terminals, bank = draw_terminals(made), made.banks[0]
    customers = draw_customers(made, bank, terminals)
    return terminals, customers, draw_frauds(made, bank, customers, terminals)


def marked(made: World) -> tuple[Terminals, Batch, Batch]:
    """Visits before and after terminals were compromised."""
    terminals, bank = draw_terminals(made), made.banks[0]
    before = draw_visits(made, bank, draw_customers(made, bank, terminals), terminals)
    return terminals, before, mark_terminal_fraud(made, bank, before, terminals)


@pytest.mark.parametrize(("rate", "kind"), [("large", FraudKind.LARGE), ("testing", FraudKind.TESTING)])
def test_incidents_follow_rate_and_size(rate: str, kind: FraudKind) -> None:
    """The expected number is rate x customers x days, each incident of one customer."""
    _, _, found = drawn(world(testing_size=(5, 5), **fast(rate)))
    incidents = found.kind.size / (5 if kind is FraudKind.TESTING else 1)
    assert set(found.kind.tolist()) == {kind}
    assert incidents == pytest.approx(0.01 * 2_000 * 80, rel=0.1)


@pytest.mark.parametrize("tilt", [0.0, 0.5, 3.0])
def test_the_tilt_multiplies_the_rate(tilt: float) -> None:
    """A bank with tilt 3 has three times the fraud, with tilt 0 none."""
    _, _, found = drawn(world(bank=dataclasses.replace(BANK, fraud_tilt=tilt), large=0.01))
    assert found.kind.size == pytest.approx(tilt * 0.01 * 2_000 * 80, rel=0.1)


@pytest.mark.parametrize("kind", ["large", "account", "testing"])
def test_everything_lies_within_the_world(kind: str) -> None:
    """Takeovers that began before it or end after it are cut."""
    _, customers, found = drawn(world(**fast(kind)))
    assert found.second.min() >= 0
    assert found.second.max() < 80 * DAY
    assert found.customer.max() < customers.count


def test_large_frauds_buy_what_sells_again() -> None:
    """At merchants of resale goods, at any hour, around the median and never below the floor."""
    terminals, _, found = drawn(world(large=0.02, large_amount=400.0))
    assert set(terminals.category[found.terminal].tolist()) <= set(RESALE)
    assert np.median(found.cents) / 100 == pytest.approx(400.0, rel=0.05)
    assert found.cents.min() >= 12_000
    assert set((found.second % DAY // HOUR).tolist()) == set(range(24))


def test_large_amounts_shrink_with_their_drift() -> None:
    """At minus 90 % a year the amounts of the last days are about 0.6 of the first ones'."""
    _, _, found = drawn(world(dataclasses.replace(STEADY, large_amount=-0.9), large=0.05, large_amount=900.0))
    day = day_of(found.second)
    first, last = (np.median(found.cents[part]) for part in (day < 10, day >= 70))
    assert last / first == pytest.approx(0.1 ** (70 / 365.25), rel=0.1)


def test_more_frauds_with_growth() -> None:
    """A rate that grows tenfold a year has more incidents in the second half."""
    _, _, found = drawn(world(dataclasses.replace(STEADY, testing=9.0), testing=0.01))
    halves = np.bincount(day_of(found.second) // 40, minlength=2)
    assert halves[1] / halves[0] == pytest.approx(10 ** (40 / 365.25), rel=0.12)


def test_a_takeover_is_measured_by_its_victim() -> None:
    """The amount is the customer's mean times the category's factor times the range."""
    terminals, customers, found = drawn(world(account=0.01, account_factor=(4.0, 4.0)))
    usual = customers.mean_amount[found.customer] * FACTORS[terminals.category[found.terminal]]
    factor = found.cents / 100 / usual
    assert np.median(factor) == pytest.approx(4.0, rel=0.05)
    assert np.log(factor).std() == pytest.approx(0.35, rel=0.1)


@pytest.mark.parametrize("days", [1, 20])
def test_a_takeover_lasts_its_days(days: int) -> None:
    """A victim's frauds lie in that many days, as many a day as told."""
    _, _, found = drawn(world(account=0.0001, account_days=days, account_daily=3.0))
    victims = np.unique(found.customer)
    spans = [np.ptp(day_of(found.second[found.customer == victim])) for victim in victims]
    assert np.median(spans) < days
    assert found.kind.size == pytest.approx(0.0001 * 2_000 * 80 * 3 * days, rel=0.6)


def test_the_world_does_not_begin_without_takeovers() -> None:
    """Those that began before the first day are under way on it."""
    _, _, found = drawn(world(account=0.02, account_days=30))
    daily = np.bincount(day_of(found.second), minlength=80)
    assert daily[:10].mean() == pytest.approx(daily.mean(), rel=0.1)


def test_a_burst_is_one_merchants_in_the_early_hours() -> None:
    """Every burst has the size told, one online terminal, one victim, and begins between midnight and five."""
    terminals, _, found = drawn(world(testing=0.002, testing_size=(7, 7)))
    assert found.kind.size % 7 == 0
    for column in (found.customer, found.terminal):
        assert np.all(column.reshape(-1, 7) == column[::7, None])
    assert set(terminals.category[found.terminal].tolist()) <= set(ONLINE)
    assert (found.second[::7] % DAY).max() < 5 * HOUR + 3_000


def test_gaps_of_a_burst_are_its_own() -> None:
    """Seconds rise within a burst with a mean gap of four minutes; another burst's gaps are not added."""
    _, _, found = drawn(world(testing=0.005, testing_size=(6, 6)))
    gaps = np.diff(found.second.reshape(-1, 6), axis=1)
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(240.0, rel=0.05)


def test_sizes_and_amounts_of_bursts_span_their_ranges() -> None:
    """Both ends of the sizes occur, amounts stay inside."""
    _, _, found = drawn(world(testing=0.005, testing_size=(2, 4), testing_amount=(1.0, 3.0)))
    assert found.cents.min() >= 100
    assert found.cents.max() <= 300
    bursts = np.unique(np.stack([found.customer, found.terminal, day_of(found.second)]), axis=1, return_counts=True)[1]
    assert {2, 3, 4} <= set(bursts.tolist())


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_of_visits_to_a_compromised_terminal(share: float) -> None:
    """That part of the exposed visits becomes fraud; no other visit does."""
    terminals, _, after = marked(world(terminal=0.005, terminal_share=share))
    exposed = terminals.compromised[after.terminal, day_of(after.second)]
    hit = after.kind == FraudKind.TERMINAL
    assert not hit[~exposed].any()
    assert hit[exposed].mean() == pytest.approx(share, abs=0.03)


def test_marking_changes_kind_and_amount_alone() -> None:
    """Who, where and when stay; amounts of the untouched stay to the cent; the batch given is left as it was."""
    _, before, after = marked(world(terminal=0.005))
    hit = after.kind != FraudKind.NONE
    for name in ("customer", "terminal", "second"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    assert np.array_equal(before.cents[~hit], after.cents[~hit])
    assert not before.kind.any()
    ratio = np.median(after.cents[hit] / before.cents[hit])
    assert ratio == pytest.approx(frauds._TERMINAL_FACTOR, rel=0.05)


def test_no_rate_leaves_nothing() -> None:
    """Without rates there is no fraud and no error."""
    _, _, found = drawn(world())
    assert found.kind.size == 0
    _, before, after = marked(world())
    assert np.array_equal(before.cents, after.cents)
    assert not after.kind.any()


def test_kinds_do_not_disturb_each_other() -> None:
    """Another kind's rate leaves a kind's transactions as they are."""
    _, _, alone = drawn(world(large=0.01))
    _, _, mixed = drawn(world(large=0.01, account=0.01, testing=0.01))
    kept = mixed.kind == FraudKind.LARGE
    assert np.array_equal(mixed.second[kept], alone.second)
    assert np.array_equal(mixed.cents[kept], alone.cents)
