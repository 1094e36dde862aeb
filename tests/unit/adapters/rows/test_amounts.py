"""Amounts become exact hundredths: the written decimal rounded half to even."""

from decimal import ROUND_HALF_EVEN, Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.adapters.rows.amounts import FAULTS, LARGEST, hundredths
from tacit.adapters.rows.mapping import AmountUnit

NULL, INFINITE, NEGATIVE, LARGE = FAULTS


def major(values: list[object], kind: pl.DataType | type[pl.DataType]) -> list[int]:
    """Hundredths of amounts in units of the currency, none of them at fault."""
    whole, faults = hundredths(pl.Series(values, dtype=kind, strict=False), AmountUnit.MAJOR, 2)
    assert not any(at.any() for at in faults.values())
    return [int(value) for value in whole]


def fault_of(value: object, kind: pl.DataType | type[pl.DataType], unit: AmountUnit = AmountUnit.MAJOR) -> list[str]:
    """The faults of one amount, which then counts 0."""
    whole, faults = hundredths(pl.Series([value], dtype=kind, strict=False), unit, 2)
    assert whole.tolist() == [0]
    return [fault for fault, at in faults.items() if at[0]]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (12.34, 1234),
        (0.1 + 0.2, 30),
        (0.005, 0),
        (0.015, 2),
        (0.025, 2),
        (1.005, 100),
        (1.015, 102),
        (2.675, 268),
        (1.0049999, 100),
        (1.0050001, 101),
        (-0.0, 0),
        (5e-324, 0),
        (999999999999.99, 99999999999999),
    ],
)
def test_floats_mean_their_shortest_decimal(value: float, wanted: int) -> None:
    """1.005 is a half, though the float next to it is below."""
    assert major([value], pl.Float64) == [wanted]


@given(st.lists(st.floats(0, 10**12), max_size=20))
def test_floats_equal_decimal_arithmetic(values: list[float]) -> None:
    """The fast way and the decimal way agree for every float."""
    wanted = [int(Decimal(repr(value)).scaleb(2).quantize(Decimal(1), ROUND_HALF_EVEN)) for value in values]
    assert major(list(values), pl.Float64) == wanted


@given(st.lists(st.integers(0, 10**14), max_size=20))
def test_halves_go_to_the_even_neighbour(values: list[int]) -> None:
    """Every written half of a hundredth, as decimal and, where floats can hold it, as float."""
    written = [Decimal(value * 10 + 5).scaleb(-3) for value in values]
    wanted = [int(value.scaleb(2).quantize(Decimal(1), ROUND_HALF_EVEN)) for value in written]
    small = [at for at, value in enumerate(values) if value < 10**11]
    assert major([float(written[at]) for at in small], pl.Float64) == [wanted[at] for at in small]
    assert major([min(value, Decimal(LARGEST)) for value in written], pl.Decimal(38, 3)) == [
        min(value, LARGEST * 100) for value in wanted
    ]


@pytest.mark.parametrize(("value", "wanted"), [(0.1, 10), (12.34, 1234), (0.005, 0), (0.015, 2), (16777.215, 1677722)])
def test_float32_means_its_own_shortest_decimal(value: float, wanted: int) -> None:
    """0.1 as float32 is 0.1 and not 0.100000001."""
    assert major([value], pl.Float32) == [wanted]


@pytest.mark.parametrize("kind", [pl.Int8, pl.UInt16, pl.Int64, pl.UInt64])
def test_whole_units(kind: type[pl.DataType]) -> None:
    """Integers of any width are units of the currency."""
    assert major([0, 7, 100], kind) == [0, 700, 10_000]


@pytest.mark.parametrize(
    ("digits", "wanted"),
    [
        (0, [0, 100, 500, 1500, 2500]),
        (1, [0, 10, 50, 150, 250]),
        (2, [0, 1, 5, 15, 25]),
        (3, [0, 0, 0, 2, 2]),
        (4, [0] * 5),
    ],
)
@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64, pl.Decimal(10, 0)])
def test_minor_units_by_digits(digits: int, wanted: list[int], kind: pl.DataType) -> None:
    """Minor units of 0 to 4 digits, in every type, thousandths rounded half to even."""
    series = pl.Series([0, 1, 5, 15, 25]).cast(kind)
    assert hundredths(series, AmountUnit.MINOR, digits)[0].tolist() == wanted


@pytest.mark.parametrize(
    ("value", "kind", "fault"),
    [
        (None, pl.Float64, NULL),
        (None, pl.Int64, NULL),
        (None, pl.Decimal(10, 2), NULL),
        (float("nan"), pl.Float64, INFINITE),
        (float("inf"), pl.Float64, INFINITE),
        (float("-inf"), pl.Float32, INFINITE),
        (-0.01, pl.Float64, NEGATIVE),
        (-1, pl.Int32, NEGATIVE),
        (Decimal("-0.01"), pl.Decimal(10, 2), NEGATIVE),
        (1.1e12, pl.Float64, LARGE),
        (1e300, pl.Float64, LARGE),
        (10**12 + 1, pl.Int64, LARGE),
        (2**63 + 1, pl.UInt64, LARGE),
        (Decimal(10**12 + 1), pl.Decimal(20, 2), LARGE),
    ],
)
def test_amounts_at_fault(value: object, kind: pl.DataType, fault: str) -> None:
    """Null, not finite, negative and absurd amounts each have their fault and count nothing."""
    assert fault_of(value, kind) == [fault]


def test_the_largest_amount_is_taken() -> None:
    """The bound itself is allowed, in every type."""
    assert major([LARGEST], pl.Int64) == major([float(LARGEST)], pl.Float64) == [LARGEST * 100]


def test_faults_do_not_touch_neighbours() -> None:
    """Other rows keep their amounts."""
    whole, faults = hundredths(pl.Series([1.5, None, -2.0, float("nan"), 2.5]), AmountUnit.MAJOR, 2)
    assert whole.tolist() == [150, 0, 0, 0, 250]
    assert {fault: at.tolist().index(True) for fault, at in faults.items() if at.any()} == {
        NULL: 1,
        INFINITE: 3,
        NEGATIVE: 2,
    }


@pytest.mark.parametrize("kind", [pl.Float64, pl.Int64, pl.Decimal(10, 2)])
def test_no_amounts(kind: pl.DataType) -> None:
    """An empty column has no amount and no fault."""
    assert major([], kind) == []
