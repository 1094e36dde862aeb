"""Four kinds of fraud against one bank's customers."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from tacit.sim.transactions.merchants import FACTORS, ONLINE, RESALE, Terminals, growth
from tacit.sim.transactions.visits import Batch, Customers, FraudKind, day_of, join, select, to_cents
from tacit.sim.transactions.world import DAY, HOUR, BankPlan, World

_LARGE_SPREAD = 0.45
_LARGE_FLOOR = 120.0
_ACCOUNT_SPREAD = 0.35
_TERMINAL_FACTOR = 1.3
_TERMINAL_SPREAD = 0.4
_TESTING_HOURS = 5
_TESTING_GAP_SECONDS = 240.0


def draw_frauds(world: World, bank: BankPlan, customers: Customers, terminals: Terminals) -> Batch:
    """Fraudulent transactions that come on top of the customers' own, all within the world's days."""
    batch = join(
        [
            _large(world, bank, terminals),
            _account(world, bank, customers, terminals),
            _testing(world, bank, terminals),
        ]
    )
    return select(batch, (batch.second >= 0) & (batch.second < world.days * DAY))


def mark_terminal_fraud(world: World, bank: BankPlan, visits: Batch, terminals: Terminals) -> Batch:
    """Turns a share of the visits to compromised terminals into fraud, with somewhat higher amounts."""
    rng = world.stream("bank", bank.name, "terminal fraud")
    exposed = np.flatnonzero(terminals.compromised[visits.terminal, day_of(visits.second)])
    hit = exposed[rng.random(exposed.size) < world.fraud.terminal_share]
    kind, cents = visits.kind.copy(), visits.cents.copy()
    kind[hit] = FraudKind.TERMINAL
    cents[hit] = to_cents(cents[hit] / 100.0 * _TERMINAL_FACTOR * rng.lognormal(0.0, _TERMINAL_SPREAD, hit.size))
    return dataclasses.replace(visits, kind=kind, cents=cents)


def _incidents(
    bank: BankPlan, rate: float, yearly: float, days: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    counts = rng.poisson(rate * bank.fraud_tilt * bank.customers * growth(yearly, days))
    begin = np.repeat(days, counts)
    return rng.integers(0, bank.customers, begin.size), begin


def _batch(
    kind: FraudKind,
    customer: NDArray[np.int64],
    terminal: NDArray[np.int64],
    second: NDArray[np.int64],
    amount: NDArray[np.float64],
) -> Batch:
    return Batch(customer, terminal, second, to_cents(amount), np.full(customer.size, kind, np.uint8))


def _large(world: World, bank: BankPlan, terminals: Terminals) -> Batch:
    rng = world.stream("bank", bank.name, "large")
    days = np.arange(world.days)
    customer, day = _incidents(bank, world.fraud.large, world.drift.large, days, rng)
    median = world.fraud.large_amount * growth(world.drift.large_amount, day)
    amount = np.maximum(median * rng.lognormal(0.0, _LARGE_SPREAD, day.size), _LARGE_FLOOR)
    second = day * DAY + rng.integers(0, DAY, day.size)
    return _batch(FraudKind.LARGE, customer, terminals.among(RESALE, rng.random(day.size)), second, amount)


def _account(world: World, bank: BankPlan, customers: Customers, terminals: Terminals) -> Batch:
    rng, fraud = world.stream("bank", bank.name, "account"), world.fraud
    # Takeovers may begin before the first day: else the world would start free of them.
    days = np.arange(-fraud.account_days, world.days)
    victim, begin = _incidents(bank, fraud.account, world.drift.account, days, rng)
    uses = rng.poisson(fraud.account_daily * fraud.account_days, victim.size)
    customer, first = np.repeat(victim, uses), np.repeat(begin, uses)
    second = first * DAY + rng.integers(0, fraud.account_days * DAY, customer.size)
    terminal = terminals.anywhere(rng.random(customer.size))
    usual = customers.mean_amount[customer] * FACTORS[terminals.category[terminal]]
    factor = rng.uniform(*fraud.account_factor, customer.size) * rng.lognormal(0.0, _ACCOUNT_SPREAD, customer.size)
    amount = usual * factor * growth(world.drift.amount, day_of(second))
    return _batch(FraudKind.ACCOUNT, customer, terminal, second, amount)


def _testing(world: World, bank: BankPlan, terminals: Terminals) -> Batch:
    rng, fraud = world.stream("bank", bank.name, "testing"), world.fraud
    victim, night = _incidents(bank, fraud.testing, world.drift.testing, np.arange(world.days), rng)
    size = rng.integers(*fraud.testing_size, victim.size, endpoint=True)
    begin = night * DAY + rng.integers(0, _TESTING_HOURS * HOUR, victim.size)
    # Each burst is worked through one online merchant; gaps add up within the burst.
    burst = np.repeat(np.arange(victim.size), size)
    gaps = np.cumsum(rng.exponential(_TESTING_GAP_SECONDS, burst.size))
    before = np.concatenate([[0.0], gaps])[np.cumsum(size) - size]
    second = begin[burst] + np.floor(gaps - before[burst]).astype(np.int64)
    terminal = terminals.among(ONLINE, rng.random(victim.size))[burst]
    amount = rng.uniform(*fraud.testing_amount, burst.size)
    return _batch(FraudKind.TESTING, victim[burst], terminal, second, amount)
