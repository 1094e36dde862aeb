"""A world's values: names, ranges, random streams of their own, and the demo's plan."""

import datetime as dt
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.sim.transactions import world as subject
from tacit.sim.transactions.world import (
    BankPlan,
    Drift,
    FraudRates,
    Habits,
    World,
    WorldError,
    default_demo_world,
)

BANK = BankPlan("one", 10)
OWNERS = [Habits, FraudRates, Drift]
FIELDS = [(owner, item.name) for owner in OWNERS for item in fields(owner)]


def limits(owner: type[Any], name: str) -> tuple[Any, float, float]:
    """Default and range of a field."""
    found = next(item for item in fields(owner) if item.name == name)
    return found.default, found.metadata["low"], found.metadata["high"]


def value(default: object, number: float) -> object:
    """A value of a field's kind: a pair where it is one, whole where it is whole."""
    if isinstance(default, tuple):
        return (value(default[0], number), value(default[0], number))
    return int(number) if isinstance(default, int) else float(number)


@pytest.mark.parametrize(("owner", "name"), FIELDS)
def test_both_ends_of_every_range_are_allowed(owner: type[Any], name: str) -> None:
    """The limits themselves are values."""
    default, low, high = limits(owner, name)
    for end in (low, high):
        assert getattr(owner(**{name: value(default, end)}), name) == value(default, end)


@pytest.mark.parametrize(("owner", "name"), FIELDS)
@pytest.mark.parametrize("step", [-1, 1])
def test_beyond_every_range_is_refused(owner: type[Any], name: str, step: int) -> None:
    """The message has the field, the range and the value."""
    default, low, high = limits(owner, name)
    beyond = (low if step < 0 else high) + step
    with pytest.raises(WorldError, match=rf"{owner.__name__}.{name} <= .*, got {beyond:g}"):
        owner(**{name: value(default, beyond)})


@pytest.mark.parametrize(("owner", "name"), FIELDS)
@pytest.mark.parametrize("bad", [None, "1", True, [1, 2], float("nan"), float("inf")])
def test_other_kinds_are_refused(owner: type[Any], name: str, bad: object) -> None:
    """Text, truth values, lists, NaN and infinity are no number and no pair."""
    with pytest.raises(WorldError, match=f"{owner.__name__}.{name}"):
        owner(**{name: bad})


@pytest.mark.parametrize("name", ["a", "bank-1", "a" * 63])
def test_names_of_banks(name: str) -> None:
    """Small letters, digits and hyphens, a letter first, at most 63."""
    assert BankPlan(name, 1).name == name


@pytest.mark.parametrize("name", ["", "1a", "-a", "A", "a_b", "a.b", "a/b", "a" * 64, "a\n", "é"])
def test_other_names_are_refused(name: str) -> None:
    """A name is a folder's, so nothing else may stand in it."""
    with pytest.raises(WorldError, match=r"BankPlan\.name"):
        BankPlan(name, 1)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("customers", 1, 5_000_000), ("mean_amount", 1.0, 10_000.0), ("daily_rate", 0.01, 20.0), ("reach", 0.1, 100.0)],
)
def test_ranges_of_a_bank(name: str, low: float, high: float) -> None:
    """The ends are allowed, a hundredth or one beyond is not."""
    step = 1 if isinstance(low, int) else 0.001
    fit: list[dict[str, Any]] = [{name: low}, {name: high}]
    for changes in fit:
        assert getattr(replace(BANK, **changes), name) == changes[name]
    beyond: list[dict[str, Any]] = [{name: low - step}, {name: high + step}]
    for changes in beyond:
        with pytest.raises(WorldError, match=rf"BankPlan\.{name} <= .*, got {changes[name]}"):
            replace(BANK, **changes)


@given(st.integers(0, subject.MAX_SEED))
def test_equal_seeds_give_equal_streams(seed: int) -> None:
    """A stream is a function of seed and key."""
    first, second = (World(seed, (BANK,)).stream("bank", "one", "visits").random(4) for _ in range(2))
    assert np.array_equal(first, second)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=3), st.lists(st.text(max_size=5), min_size=1, max_size=3))
def test_other_keys_give_other_streams(first: list[str], second: list[str]) -> None:
    """The parts of a key count, and their order."""
    made = World(3, (BANK,))
    same = np.array_equal(made.stream(*first).random(4), made.stream(*second).random(4))
    assert same is (first == second)


def test_streams_do_not_depend_on_the_rest() -> None:
    """Days, terminals, banks and habits leave a stream as it is; the seed does not."""
    other = World(3, (BANK, BankPlan("two", 4)), days=9, terminals=5, habits=Habits(regulars=3))
    numbers = World(3, (BANK,)).stream("labels").random(8)
    assert np.array_equal(numbers, other.stream("labels").random(8))
    assert not np.array_equal(numbers, World(4, (BANK,)).stream("labels").random(8))


@pytest.mark.parametrize(
    ("start", "seconds"),
    [(dt.date(1970, 1, 1), 0), (dt.date(1970, 1, 2), 86_400), (dt.date(2018, 1, 1), 1_514_764_800)],
)
def test_the_epoch_is_the_first_days_midnight(start: dt.date, seconds: int) -> None:
    """In UTC, whatever the machine's zone."""
    assert World(0, (BANK,), start=start).epoch == seconds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1.0}, "World.seed to be a whole number, got 1.0"),
        ({"days": 3_661}, "1 <= World.days <= 3660, got 3661"),
        ({"terminals": 5_000_001}, "World.terminals <= 5000000, got 5000001"),
        ({"label_delay_days": 61}, "2 <= World.label_delay_days <= 60, got 61"),
        ({"start": dt.date(2201, 1, 1)}, "year of World.start <= 2200, got 2201"),
        ({"start": "2018-01-01"}, "World.start to be a date, got '2018-01-01'"),
        ({"banks": None}, "World.banks to be a tuple of BankPlan, got None"),
        ({"banks": (BANK, BANK, BankPlan("two", 1))}, "got one more than once"),
    ],
)
def test_worlds_out_of_range(changes: dict[str, object], message: str) -> None:
    """The field, the range and the value are named."""
    with pytest.raises(WorldError, match=message):
        World(**({"seed": 0, "banks": (BANK,)} | changes))  # type: ignore[arg-type]


def test_a_thousand_banks_and_no_more() -> None:
    """The limit on banks is the one that is written."""
    banks = tuple(BankPlan(f"bank-{number}", 1) for number in range(subject.MAX_BANKS))
    assert len(World(0, banks).banks) == subject.MAX_BANKS
    with pytest.raises(WorldError, match=r"number of World\.banks <= 1000, got 1001"):
        World(0, (*banks, BANK))


def test_the_demo_is_one_plan_for_every_seed() -> None:
    """Only the seed differs; names are a to e and people live inside the square."""
    first, second = default_demo_world(1), default_demo_world(2)
    assert replace(first, seed=2) == second
    assert [bank.name for bank in first.banks] == [f"bank-{letter}" for letter in "abcde"]
    assert all(0 < place < subject.SIDE for bank in first.banks for place in bank.centre)


def test_the_demos_seed_has_a_range() -> None:
    """A negative seed is refused where it is given."""
    with pytest.raises(WorldError, match=r"World\.seed .* got -1"):
        default_demo_world(-1)


def test_refusals_are_value_errors() -> None:
    """Callers that know no worlds may catch the usual class."""
    assert issubclass(WorldError, ValueError)
