"""What a simulated world is made of: banks, habits, fraud and drift, each value with its unit and range."""

import datetime as dt
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np

DAY = 86_400
HOUR = 3_600
YEAR_DAYS = 365.25
SIDE = 100.0
MAX_BANKS = 1_000
MAX_CUSTOMERS = 5_000_000
MAX_TERMINALS = 5_000_000
MAX_DAYS = 3_660
MAX_SEED = 2**63 - 1

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class WorldError(ValueError):
    """A world that cannot be simulated; the message names the field, the value and the allowed range."""


def _number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WorldError(f"expected {name} to be a number, got {value!r}")
    if not (math.isfinite(value) and low <= value <= high):
        raise WorldError(f"expected {low} <= {name} <= {high}, got {value!r}")


def _whole(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WorldError(f"expected {name} to be a whole number, got {value!r}")
    _number(name, value, low, high)


def _pair(name: str, value: object, low: float, high: float) -> tuple[float, float]:
    if not isinstance(value, tuple) or len(value) != 2:  # noqa: PLR2004  a pair
        raise WorldError(f"expected {name} to be a pair of numbers, got {value!r}")
    for item in value:
        _number(name, item, low, high)
    return value


def _range(name: str, value: object, default: tuple[float, float], limits: tuple[float, float]) -> None:
    first, last = _pair(name, value, *limits)
    if isinstance(default[0], int):
        _whole(name, first, *limits)
        _whole(name, last, *limits)
    if first > last:
        raise WorldError(f"expected {name} to be (low, high) with low <= high, got {value!r}")


def _limited(low: float, high: float, default: Any) -> Any:  # noqa: ANN401  dataclasses.field is untyped too
    return field(default=default, metadata={"low": low, "high": high})


def _check_fields(owner: Any) -> None:  # noqa: ANN401  any dataclass of this module
    for item in fields(owner):
        name, value = f"{type(owner).__name__}.{item.name}", getattr(owner, item.name)
        low, high = item.metadata["low"], item.metadata["high"]
        if isinstance(item.default, tuple):
            _range(name, value, item.default, (low, high))
        elif isinstance(item.default, int):
            _whole(name, value, low, high)
        else:
            _number(name, value, low, high)


@dataclass(frozen=True, slots=True)
class BankPlan:
    """One bank's mix of customers.

    Attributes:
        name: Unique, ``[a-z][a-z0-9-]{0,62}``; it names the folder and, with the world's seed, the random stream.
        customers: Number of customers, 1 to 5,000,000.
        mean_amount: Mean purchase of the bank's median customer, currency units, 1 to 10,000.
        daily_rate: Mean genuine transactions a customer and day, 0.01 to 20.
        fraud_tilt: Factor on the rates of fraud aimed at cards and accounts, 0 to 50; terminals hit whoever comes.
        centre: Where customers live, (x, y) in the square [0, 100] x [0, 100].
        reach: Standard deviation of homes around the centre, 0.1 to 100; large values cover the whole square.
    """

    name: str
    customers: int
    mean_amount: float = 45.0
    daily_rate: float = 0.88
    fraud_tilt: float = 1.0
    centre: tuple[float, float] = (50.0, 50.0)
    reach: float = 25.0

    def __post_init__(self) -> None:
        """Refuses values outside their ranges.

        Raises:
            WorldError: Naming the field, the value and the range.
        """
        if not _NAME.fullmatch(str(self.name)):
            raise WorldError(f"expected BankPlan.name to match {_NAME.pattern}, got {self.name!r}")
        _whole("BankPlan.customers", self.customers, 1, MAX_CUSTOMERS)
        _number("BankPlan.mean_amount", self.mean_amount, 1.0, 10_000.0)
        _number("BankPlan.daily_rate", self.daily_rate, 0.01, 20.0)
        _number("BankPlan.fraud_tilt", self.fraud_tilt, 0.0, 50.0)
        _pair("BankPlan.centre", self.centre, 0.0, SIDE)
        _number("BankPlan.reach", self.reach, 0.1, 100.0)


@dataclass(frozen=True, slots=True)
class Habits:
    """How customers buy.

    Attributes:
        amount_spread: Log standard deviation of the mean purchase between customers of a bank.
        visit_spread: Range of a customer's own log standard deviation from purchase to purchase.
        rate_shape: Gamma shape of the daily rate between customers; small is uneven.
        night_owls: Share of customers who often buy at night.
        night_share: Share of purchases between 22:00 and 06:00, (others, night owls).
        weekend_spread: Log standard deviation of a customer's factor on Saturdays and Sundays.
        regulars: Number of terminals that a customer goes to by habit.
        elsewhere: Share of purchases at any terminal of the world, by popularity: journeys, online.
        trip: Mean distance from home to a regular terminal, units of the square.
        popularity_spread: Log standard deviation of terminal popularity.
        big_share: Share of genuine purchases that are out of the ordinary for the customer.
        big_factor: Range of the factor on such a purchase.
    """

    amount_spread: float = _limited(0.0, 2.0, 0.45)
    visit_spread: tuple[float, float] = _limited(0.0, 2.0, (0.35, 0.75))
    rate_shape: float = _limited(0.1, 100.0, 2.0)
    night_owls: float = _limited(0.0, 1.0, 0.06)
    night_share: tuple[float, float] = _limited(0.0, 1.0, (0.03, 0.25))
    weekend_spread: float = _limited(0.0, 2.0, 0.3)
    regulars: int = _limited(1, 200, 20)
    elsewhere: float = _limited(0.0, 1.0, 0.10)
    trip: float = _limited(0.1, 100.0, 5.0)
    popularity_spread: float = _limited(0.0, 2.0, 0.7)
    big_share: float = _limited(0.0, 0.5, 0.004)
    big_factor: tuple[float, float] = _limited(1.0, 100.0, (4.0, 12.0))

    def __post_init__(self) -> None:
        """Refuses values outside their ranges.

        Raises:
            WorldError: Naming the field, the value and the range.
        """
        _check_fields(self)


@dataclass(frozen=True, slots=True)
class FraudRates:
    """How often each kind of fraud strikes and what it looks like; rates are per customer (terminal) and day.

    Attributes:
        large: Rate of single large purchases with a stolen card.
        large_amount: Median of such a purchase on the first day, currency units.
        terminal: Rate at which a terminal becomes compromised.
        terminal_days: Range of days for which it stays so.
        terminal_share: Share of its transactions that are fraud in that time.
        account: Rate of account takeovers.
        account_days: Days for which an account stays in foreign hands.
        account_daily: Fraudulent transactions a day in that time.
        account_factor: Range of the factor on the customer's own mean purchase.
        testing: Rate of card-testing bursts.
        testing_size: Range of transactions in a burst.
        testing_amount: Range of an amount in a burst, currency units.
    """

    large: float = _limited(0.0, 0.1, 0.00075)
    large_amount: float = _limited(1.0, 5_000.0, 320.0)
    terminal: float = _limited(0.0, 0.1, 0.00034)
    terminal_days: tuple[int, int] = _limited(1, 90, (14, 28))
    terminal_share: float = _limited(0.0, 1.0, 0.6)
    account: float = _limited(0.0, 0.1, 0.00038)
    account_days: int = _limited(1, 90, 14)
    account_daily: float = _limited(0.0, 20.0, 0.4)
    account_factor: tuple[float, float] = _limited(1.0, 100.0, (2.5, 6.0))
    testing: float = _limited(0.0, 0.1, 0.00017)
    testing_size: tuple[int, int] = _limited(1, 100, (4, 10))
    testing_amount: tuple[float, float] = _limited(0.01, 100.0, (0.5, 5.0))

    def __post_init__(self) -> None:
        """Refuses values outside their ranges.

        Raises:
            WorldError: Naming the field, the value and the range.
        """
        _check_fields(self)


@dataclass(frozen=True, slots=True)
class Drift:
    """Slow change: the share by which each quantity grows in a year (compound); negative values shrink it.

    Attributes:
        amount: Purchases (prices).
        rate: Transactions a day (cash gives way to cards).
        large: Rate of large-amount fraud.
        large_amount: Size of large-amount fraud (thieves learn to stay below limits).
        terminal: Rate of terminal compromises (better hardware).
        account: Rate of account takeovers.
        testing: Rate of card testing.
    """

    amount: float = _limited(-0.9, 9.0, 0.05)
    rate: float = _limited(-0.9, 9.0, 0.10)
    large: float = _limited(-0.9, 9.0, -0.20)
    large_amount: float = _limited(-0.9, 9.0, -0.30)
    terminal: float = _limited(-0.9, 9.0, -0.30)
    account: float = _limited(-0.9, 9.0, 0.30)
    testing: float = _limited(-0.9, 9.0, 0.80)

    def __post_init__(self) -> None:
        """Refuses values outside their ranges.

        Raises:
            WorldError: Naming the field, the value and the range.
        """
        _check_fields(self)


@dataclass(frozen=True, slots=True)
class World:
    """Everything the generator needs; equal worlds give equal data.

    Attributes:
        seed: 0 to 2**63 - 1.
        banks: 1 to 1,000 banks with different names.
        days: Number of days simulated, 1 to 3,660.
        start: First day, UTC.
        terminals: Number of terminals, shared by all banks, 1 to 5,000,000.
        habits: How customers buy.
        fraud: How often each kind of fraud strikes.
        drift: What changes slowly.
        label_delay_days: Days after which every label is final, 2 to 60.
    """

    seed: int
    banks: tuple[BankPlan, ...]
    days: int = 141
    start: dt.date = dt.date(2018, 1, 1)
    terminals: int = 10_000
    habits: Habits = Habits()
    fraud: FraudRates = FraudRates()
    drift: Drift = Drift()
    label_delay_days: int = 7

    def __post_init__(self) -> None:
        """Refuses values outside their ranges.

        Raises:
            WorldError: Naming the field, the value and the range.
        """
        _whole("World.seed", self.seed, 0, MAX_SEED)
        _whole("World.days", self.days, 1, MAX_DAYS)
        _whole("World.terminals", self.terminals, 1, MAX_TERMINALS)
        _whole("World.label_delay_days", self.label_delay_days, 2, 60)
        self._check_start()
        self._check_banks()

    def _check_start(self) -> None:
        if type(self.start) is not dt.date:
            raise WorldError(f"expected World.start to be a date, got {self.start!r}")
        _number("the year of World.start", self.start.year, 1970, 2200)

    def _check_banks(self) -> None:
        banks: object = self.banks
        if not isinstance(banks, tuple) or not all(isinstance(bank, BankPlan) for bank in banks):
            raise WorldError(f"expected World.banks to be a tuple of BankPlan, got {self.banks!r}")
        _whole("the number of World.banks", len(self.banks), 1, MAX_BANKS)
        names = [bank.name for bank in self.banks]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise WorldError(f"expected different names in World.banks, got {', '.join(repeated)} more than once")

    @property
    def epoch(self) -> int:
        """Seconds since 1970 of the first day's midnight, UTC."""
        return (self.start - dt.date(1970, 1, 1)).days * DAY

    def stream(self, *key: str) -> np.random.Generator:
        """A random stream of its own for a purpose, equal for equal (seed, key) whatever else the world holds."""
        words = tuple(int.from_bytes(hashlib.sha256(part.encode()).digest()[:4]) for part in key)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=words)))


_DEMO: Mapping[str, tuple[int, float, float, tuple[float, float], float]] = MappingProxyType(
    {
        "bank-a": (4_000, 45.0, 1.0, (50.0, 50.0), 40.0),
        "bank-b": (2_500, 35.0, 1.2, (30.0, 35.0), 15.0),
        "bank-c": (1_500, 55.0, 0.6, (70.0, 65.0), 15.0),
        "bank-d": (1_200, 30.0, 1.5, (65.0, 25.0), 12.0),
        "bank-e": (800, 95.0, 0.7, (50.0, 55.0), 25.0),
    }
)


def default_demo_world(seed: int = 0) -> World:
    """Five banks of 4,000 / 2,500 / 1,500 / 1,200 / 800 customers over 141 days.

    The days are 37 of look-back, 90 of training, 7 until training labels are final, 7 of test. The banks are a
    nationwide one, two regional ones, a mass-market one with much fraud and a small one with wealthy customers.

    Args:
        seed: 0 to 2**63 - 1.

    Returns:
        The world of the default demo.

    Raises:
        WorldError: For a seed out of range.
    """
    banks = tuple(
        BankPlan(name, customers, mean_amount=mean, fraud_tilt=tilt, centre=centre, reach=reach)
        for name, (customers, mean, tilt, centre, reach) in _DEMO.items()
    )
    return World(seed, banks)
