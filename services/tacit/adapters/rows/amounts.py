"""Amounts as exact whole hundredths of the currency's unit."""

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tacit.adapters.rows.mapping import AmountUnit

CENTS_DIGITS = 2
LARGEST = 10**12
"""Largest amount in units of the currency."""

_LIMIT = LARGEST * 10**CENTS_DIGITS

FAULTS = (
    "null; allowed: a number",
    "not finite; allowed: a finite number",
    "negative; allowed: 0 or more",
    f"above {LARGEST}; allowed: at most that",
)
"""What an amount can be at fault for, in the order in which it is said."""

Hundredths = tuple[NDArray[np.int64], dict[str, NDArray[np.bool_]]]
"""Whole hundredths (0 where a row is at fault), and rows at fault by fault."""


def hundredths(series: pl.Series, unit: AmountUnit, digits: int) -> Hundredths:
    """Turns amounts into whole hundredths, rounding the written decimal half to even.

    Args:
        series: Amounts: integers, decimals or floats. A float means the shortest decimal that reads back as it.
        unit: Whether they count units of the currency or its minor units.
        digits: Digits of the minor unit, 0 to 4.

    Returns:
        int64 hundredths, and the rows at fault: null, not finite, negative, above `LARGEST`.
    """
    shift = CENTS_DIGITS if unit == AmountUnit.MAJOR else CENTS_DIGITS - digits
    null = series.is_null().to_numpy()
    if series.dtype.is_float():
        return _of_floats(series, shift, null)
    if series.dtype.is_integer():
        numbers = series.cast(pl.Int64, strict=False)
        beyond = numbers.is_null().to_numpy() & ~null
        return _of_integers(numbers.fill_null(0).to_numpy(), shift, null, beyond)
    return _of_decimals(series, shift, null)


def _faults(
    null: NDArray[np.bool_], infinite: NDArray[np.bool_], low: NDArray[np.bool_], high: NDArray[np.bool_]
) -> dict[str, NDArray[np.bool_]]:
    return dict(zip(FAULTS, (null, infinite, low, high), strict=True))


def _of_floats(series: pl.Series, shift: int, null: NDArray[np.bool_]) -> Hundredths:
    if series.dtype == pl.Float32:
        # Through text, so that 0.1 means 0.1 and not the float64 next to the float32.
        series = series.cast(pl.String).cast(pl.Float64)
    values = series.fill_null(0.0).to_numpy()
    finite = np.isfinite(values)
    values = np.where(finite, values, 0.0)
    low, high = values < 0, np.abs(values) * 10.0**shift > _LIMIT
    scaled = np.where(low | high, 0.0, values) * 10.0**shift
    rounded = np.rint(scaled)
    # Near a half the product's own rounding could decide; there the written decimal does.
    close = np.abs(np.abs(scaled - rounded) - 0.5) <= 1e-12 + 1e-15 * scaled
    for row in np.flatnonzero(close):
        rounded[row] = _rounded(Decimal(repr(float(values[row]))), shift)
    return rounded.astype(np.int64), _faults(null, ~finite, low, high)


def _of_integers(
    values: NDArray[np.int64], shift: int, null: NDArray[np.bool_], beyond: NDArray[np.bool_]
) -> Hundredths:
    limit = _LIMIT * 10 ** max(-shift, 0) // 10 ** max(shift, 0)
    low, high = values < 0, (values > limit) | beyond
    good = np.where(low | high, 0, values)
    if shift >= 0:
        whole = good * 10**shift
    else:
        unit = 10**-shift
        whole, rest = np.divmod(good, unit)
        whole = whole + ((2 * rest > unit) | ((2 * rest == unit) & (whole % 2 == 1)))
    return whole, _faults(null, np.zeros_like(null), low, high)


def _of_decimals(series: pl.Series, shift: int, null: NDArray[np.bool_]) -> Hundredths:
    values = [Decimal(0) if value is None else Decimal(value) for value in series.to_list()]
    low = np.array([value < 0 for value in values], dtype=np.bool_)
    high = np.array([value.scaleb(shift) > _LIMIT for value in values], dtype=np.bool_)
    whole = [0 if bad else _rounded(value, shift) for value, bad in zip(values, low | high, strict=True)]
    return np.array(whole, dtype=np.int64), _faults(null, np.zeros_like(null), low, high)


def _rounded(value: Decimal, shift: int) -> int:
    return int(value.scaleb(shift).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
