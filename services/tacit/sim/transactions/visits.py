"""Customers of one bank and the purchases they make themselves."""

import enum
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tacit.sim.transactions.merchants import FACTORS, Terminals, growth
from tacit.sim.transactions.world import DAY, HOUR, SIDE, BankPlan, World

# Monday to Sunday, mean 1: shops fill up towards Saturday and many are shut on Sunday.
WEEKDAYS = np.array([0.93, 0.95, 0.97, 1.00, 1.12, 1.13, 0.90])
SATURDAY = 5
MIN_CENTS = 50
MAX_CENTS = 1_000_000
_NIGHT_START, _NIGHT_HOURS = 22, 8
_DAY_SPREAD_HOURS = 3.2


class FraudKind(enum.IntEnum):
    """Why a transaction is fraud; known to the simulator alone, never a feature."""

    NONE = 0
    LARGE = 1
    TERMINAL = 2
    ACCOUNT = 3
    TESTING = 4


@dataclass(frozen=True, eq=False)
class Customers:
    """Hidden truth about one bank's customers; every array has one entry a customer.

    Attributes:
        mean_amount: Mean purchase, currency units.
        spread: Log standard deviation from purchase to purchase.
        rate: Genuine transactions a day.
        weekend: Factor on the rate on Saturdays and Sundays.
        peak: Hour around which purchases by day gather.
        night_share: Share of purchases between 22:00 and 06:00.
        regulars: int64, shape (customers, regulars): indices of habitual terminals, most frequented first.
    """

    mean_amount: NDArray[np.float64]
    spread: NDArray[np.float64]
    rate: NDArray[np.float64]
    weekend: NDArray[np.float64]
    peak: NDArray[np.float64]
    night_share: NDArray[np.float64]
    regulars: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of customers."""
        return int(self.rate.size)


@dataclass(frozen=True, eq=False)
class Batch:
    """Transactions of one bank in any order; every array has one entry a transaction.

    Attributes:
        customer: int64: index of the customer within the bank.
        terminal: int64: index of the terminal within the world.
        second: int64: seconds since the first day's midnight, UTC.
        cents: int64: amount in minor units.
        kind: uint8: `FraudKind`.
    """

    customer: NDArray[np.int64]
    terminal: NDArray[np.int64]
    second: NDArray[np.int64]
    cents: NDArray[np.int64]
    kind: NDArray[np.uint8]


def to_cents(amount: NDArray[np.float64]) -> NDArray[np.int64]:
    """Currency units to minor units, rounded, at least 0.50 and at most 10,000.00."""
    return np.clip(np.rint(amount * 100.0), MIN_CENTS, MAX_CENTS).astype(np.int64)


def day_of(second: NDArray[np.int64]) -> NDArray[np.int64]:
    """The day, from 0, in which a second falls."""
    return second // DAY


def draw_customers(world: World, bank: BankPlan, terminals: Terminals) -> Customers:
    """The customers of a bank; they depend on the world's seed, terminals and habits, and on this bank alone."""
    rng, habits, count = world.stream("bank", bank.name, "customers"), world.habits, bank.customers
    owl = rng.random(count) < habits.night_owls
    return Customers(
        mean_amount=bank.mean_amount * rng.lognormal(0.0, habits.amount_spread, count),
        spread=rng.uniform(*habits.visit_spread, count),
        rate=rng.gamma(habits.rate_shape, bank.daily_rate / habits.rate_shape, count),
        weekend=rng.lognormal(-(habits.weekend_spread**2) / 2, habits.weekend_spread, count),
        peak=rng.normal(14.0, 2.0, count),
        night_share=np.where(owl, habits.night_share[1], habits.night_share[0]),
        regulars=_regulars(world, bank, terminals, rng),
    )


def _regulars(world: World, bank: BankPlan, terminals: Terminals, rng: np.random.Generator) -> NDArray[np.int64]:
    shape = (bank.customers, world.habits.regulars)
    home = rng.normal(np.array(bank.centre)[:, None], bank.reach, (2, bank.customers))
    # A home outside the square is folded back at the border, so that no crowd gathers on the border itself.
    home = SIDE - np.abs(np.mod(home, 2 * SIDE) - SIDE)
    distance, angle = rng.exponential(world.habits.trip, shape), rng.uniform(0.0, 2 * np.pi, shape)
    x, y = home[0][:, None] + distance * np.cos(angle), home[1][:, None] + distance * np.sin(angle)
    return terminals.near(x, y, rng.random(shape))


def draw_visits(world: World, bank: BankPlan, customers: Customers, terminals: Terminals) -> Batch:
    """The genuine purchases of a bank's customers over the whole world's days."""
    rng = world.stream("bank", bank.name, "visits")
    customer, day = _customer_days(world, customers, rng)
    terminal = _visited(world, customers, customer, terminals, rng)
    scale = FACTORS[terminals.category[terminal]] * growth(world.drift.amount, day)
    return Batch(
        customer=customer,
        terminal=terminal,
        second=day * DAY + _time_of_day(customers, customer, rng),
        cents=to_cents(_amounts(world, customers, customer, scale, rng)),
        kind=np.zeros(customer.size, np.uint8),
    )


def _customer_days(
    world: World, customers: Customers, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    days = np.arange(world.days)
    weekday = (days + world.start.weekday()) % 7
    calendar = WEEKDAYS[weekday] * growth(world.drift.rate, days)
    expected = customers.rate[:, None] * calendar[None, :]
    expected[:, weekday >= SATURDAY] *= customers.weekend[:, None]
    cells = np.repeat(np.arange(expected.size), rng.poisson(expected).ravel())
    customer, day = np.divmod(cells, world.days)
    return customer, day


def _visited(
    world: World,
    customers: Customers,
    customer: NDArray[np.int64],
    terminals: Terminals,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    visits = np.cumsum(1.0 / np.arange(1, world.habits.regulars + 1))
    rank = np.searchsorted(visits, rng.random(customer.size) * visits[-1], side="right")
    habitual = customers.regulars[customer, np.minimum(rank, world.habits.regulars - 1)]
    away = rng.random(customer.size) < world.habits.elsewhere
    return np.where(away, terminals.anywhere(rng.random(customer.size)), habitual)


def _time_of_day(customers: Customers, customer: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    at_night = rng.random(customer.size) < customers.night_share[customer]
    by_day = rng.normal(customers.peak[customer], _DAY_SPREAD_HOURS)
    by_night = _NIGHT_START + _NIGHT_HOURS * rng.random(customer.size)
    second: NDArray[np.int64] = np.floor(np.where(at_night, by_night, by_day) * HOUR).astype(np.int64) % DAY
    return second


def _amounts(
    world: World,
    customers: Customers,
    customer: NDArray[np.int64],
    scale: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    spread = customers.spread[customer]
    amount = customers.mean_amount[customer] * scale
    amount *= np.exp(spread * rng.standard_normal(customer.size) - spread**2 / 2)
    big = rng.random(customer.size) < world.habits.big_share
    return np.where(big, amount * rng.uniform(*world.habits.big_factor, customer.size), amount)


def join(batches: list[Batch]) -> Batch:
    """All transactions of several batches, in the order given."""
    return Batch(
        customer=np.concatenate([batch.customer for batch in batches]),
        terminal=np.concatenate([batch.terminal for batch in batches]),
        second=np.concatenate([batch.second for batch in batches]),
        cents=np.concatenate([batch.cents for batch in batches]),
        kind=np.concatenate([batch.kind for batch in batches]),
    )


def select(batch: Batch, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Batch:
    """Some transactions of a batch: those of a mask, or those of an order."""
    return replace(
        batch,
        customer=batch.customer[rows],
        terminal=batch.terminal[rows],
        second=batch.second[rows],
        cents=batch.cents[rows],
        kind=batch.kind[rows],
    )
