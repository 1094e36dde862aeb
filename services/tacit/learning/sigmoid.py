"""The logistic function with bits that depend on the value alone.

NumPy's own exp takes other instructions at the end of an array than in its middle, so that a row's last bit can
depend on its position. Here only + - * / and exact operations (rint, ldexp) are used, each correctly rounded
for every element, so that any order and any partition of rows gives the same bits.
"""

import math

import numpy as np
from numpy.typing import NDArray

from tacit.learning.types import LearningError

_LIMIT = 700.0
_CHUNK = 8192
_LOG2_E = 1.4426950408889634
# ln 2 in two parts; the high one has 21 trailing zero bits, so that k * _LN2_HIGH is exact for |k| <= 2^20.
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_TERMS = 13
FACTORIALS = tuple(1.0 / math.factorial(power) for power in range(_TERMS, -1, -1))
"""Coefficients of the Taylor sum of exp, the highest power first."""


def _exp(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(x) for -700 <= x <= 0: 2^k times the Taylor sum of the rest, which is at most ln(2)/2."""
    k = np.rint(x * _LOG2_E)
    rest = x - k * _LN2_HIGH
    rest -= k * _LN2_LOW
    total = np.full_like(rest, FACTORIALS[0])
    for factor in FACTORIALS[1:]:
        total *= rest
        total += factor
    return np.ldexp(total, k.astype(np.int32))


def sigmoid(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-margin)), within 4e-16 of the true value.

    Guarantee: the bits of an element depend on its value alone, not on its position or its neighbours.

    Args:
        margins: float64, shape (rows,), finite; beyond +-700 the value at +-700 is returned.

    Returns:
        float64, shape (rows,), in (0, 1].

    Raises:
        LearningError: If a margin is not finite.
    """
    if not bool(np.isfinite(margins).all()):
        raise LearningError("margins must be finite; at least one is NaN or infinite")
    result = np.empty(margins.shape[0], dtype=np.float64)
    for start in range(0, margins.shape[0], _CHUNK):
        part = margins[start : start + _CHUNK]
        small = _exp(np.maximum(-np.abs(part), -_LIMIT))
        result[start : start + _CHUNK] = np.where(part >= 0.0, 1.0, small) / (1.0 + small)
    return result
