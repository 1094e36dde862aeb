"""zCDP in whole numbers, and epsilon from it (protocol 7, privacy 2.4).

The ledger counts rho in integer nano-rho, rounded up, so that adding entries is exact and never below the truth.
Epsilon is derived from the total by the conversion of Renyi to approximate differential privacy that Google's
dp-accounting uses, over the same orders; tests hold the two equal. The package itself is not loaded here, because its
import costs seconds of every process's start (docs/decisions).
"""

import decimal
import functools
from fractions import Fraction

from tacit.privacy.types import NANO, PrivacyError

ORDERS = (*(1.0 + step / 10.0 for step in range(1, 100)), *range(11, 64), 128, 256, 512, 1024)
"""Renyi orders that are tried; more orders could only lower epsilon."""

MOST_NANO = 2**53 - 1
"""Largest total that a cap may stand for."""

MARGIN = 2.0**-40
"""Added to the float result (relative above 1), far above its rounding error and below 1e-9."""

_EXACT = decimal.Context(prec=50)
"""Decimal logarithms are rounded correctly, so all machines find the same noise; C libraries may differ in a bit."""

_DECIMAL_ORDERS = tuple(decimal.Decimal(order) for order in ORDERS)


def rho_nano(sensitivity: int, variance: int, honest: int = 1) -> int:
    """Zero-concentrated cost (zCDP) of one discrete Gaussian release, in nano-rho.

    Guarantee: at least the zCDP, for add/remove of one unit, of integer sums with L2 sensitivity `sensitivity` to
    which `honest` parties each add discrete Gaussian noise of parameter `variance` (Canonne, Kamath, Steinke 2020,
    theorem 4; for sums of shares Kairouz, Liu, Steinke 2021, whose correction is below any float from a standard
    deviation of 100 grid units per share on).

    Args:
        sensitivity: L2 sensitivity in grid units, 0 or more.
        variance: Noise parameter sigma^2 of one party, in grid units squared, 1 or more.
        honest: Parties whose noise is counted: 1 in mode `local`, q - c in mode `distributed`.

    Returns:
        ceil(10^9 sensitivity^2 / (2 honest variance)).

    Raises:
        PrivacyError: If an argument is outside its range.
    """
    if sensitivity < 0 or variance < 1 or honest < 1:
        raise PrivacyError(
            f"expected sensitivity >= 0, variance >= 1, honest >= 1, got {sensitivity}, {variance}, {honest}"
        )
    return -(-NANO * sensitivity**2 // (2 * honest * variance))


def epsilon(rho_nano: int, delta: Fraction) -> float:
    """Epsilon at delta of a total zCDP.

    Guarantee: not below the RDP accountant's exact value for a rho-zCDP mechanism; above it by less than
    2^-39 max(1, epsilon).

    Args:
        rho_nano: Total zCDP in nano-rho, 0 or more.
        delta: Failure probability, in (0, 1).

    Returns:
        Epsilon; 0.0 only for a total of 0.

    Raises:
        PrivacyError: If an argument is outside its range.
    """
    if rho_nano < 0 or not 0 < delta < 1:
        raise PrivacyError(f"expected rho_nano >= 0 and delta in (0, 1), got {rho_nano} and {delta}")
    if rho_nano == 0:
        return 0.0
    with decimal.localcontext(_EXACT):
        rho = decimal.Decimal(rho_nano) / NANO
        nothing, bounds = _bounds(delta)
        # Where the smallest order's divergence alone bounds the total variation by delta, epsilon is 0.
        known = rho * _DECIMAL_ORDERS[0] < nothing
        found = decimal.Decimal(0) if known else min(rho * order + rest for order, rest in bounds)
        value = float(max(found, decimal.Decimal(0)))
    return value + MARGIN * max(1.0, value)


@functools.cache
def cap_nano(most: Fraction, delta: Fraction) -> int:
    """The largest zCDP, in nano-rho, whose epsilon at delta is not above a cap.

    Guarantee: a ledger that never charges more than this keeps the account within (most, delta), for adding or
    removing one unit of the account, over everything the ledger was charged for.

    Args:
        most: Largest epsilon, 0 or more.
        delta: Failure probability, in (0, 1).

    Raises:
        PrivacyError: If delta is outside its range.
    """
    low, high = 0, 1
    while high < MOST_NANO and epsilon(high, delta) <= most:
        low, high = high, min(high * 2, MOST_NANO)
    while high - low > 1:
        middle = (low + high) // 2
        if epsilon(middle, delta) <= most:
            low = middle
        else:
            high = middle
    return low


@functools.lru_cache(maxsize=64)
def _bounds(delta: Fraction) -> tuple[decimal.Decimal, tuple[tuple[decimal.Decimal, decimal.Decimal], ...]]:
    """What of the conversion depends on delta alone (Canonne, Kamath, Steinke 2020, proposition 12).

    Returns:
        The divergence below which epsilon is 0 (Bretagnolle, Huber 1979), and for every order a the number
        log(1 - 1/a) - log(delta a) / (a - 1), to which rho a is added.
    """
    with decimal.localcontext(_EXACT):
        small = decimal.Decimal(delta.numerator) / decimal.Decimal(delta.denominator)
        rests = ((1 - 1 / order).ln() - (small * order).ln() / (order - 1) for order in _DECIMAL_ORDERS)
        return -(1 - small * small).ln(), tuple(zip(_DECIMAL_ORDERS, rests, strict=True))
