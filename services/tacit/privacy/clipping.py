"""Per-unit clipping in exact integers: the only maker of `Bounded` (architecture D6, algorithm 4).

Sums on floats leak (privacy 2.1), so a unit's vector arrives as int64 at 2^-32, its norm is decided in exact
integers, and it is truncated toward zero to the grid of 2^-16, which never raises the norm.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tacit.privacy.types import CONTRIBUTION_SCALE, GRID, Bounded, PrivacyError

MAX_CELLS = 4096
MAX_CLIP = 16
MAX_UNITS = 2**40
"""Units of one sum; each adds at most 2^20 to a cell, so the int64 sum stays below 2^60."""

_FINE_BITS = (CONTRIBUTION_SCALE // GRID).bit_length() - 1
"""A contribution of 2^-32 is this many bits finer than the grid."""

_ROUGH_BITS = 12
"""Bits dropped, rounding up, for the first norm test, at 2^-20."""

_ROUGH_CAP = 2**25
"""Cap of a rough cell: above any bound (16 at 2^-20 is 2^24), and 4,096 of its squares fit in int64."""

_SCALED_BITS = 42
"""A vector that is scaled down keeps this many bits: times a bound of 2^20 it fits in int64."""

_LIMB_BITS = 21
"""A square of 42 bits is summed as three int64 sums of 21-bit limbs."""

_CHUNK = 2**20
"""Cells handled at once, to bound memory."""


class BoundedSum:
    """Sum over units of clipped integer vectors.

    Formal guarantee: for the neighbouring relation "add or remove one unit", the sum changes by exactly that unit's
    clipped vector, whose L2 norm, in integers, is at most floor(GRID clip). The result does not depend on the order
    of the units or on how they are batched, as long as each unit is one row of one batch.

    Edge cases: a zero vector stays zero; -2^63 counts as -(2^63 - 1), which no bound lets through unscaled;
    magnitudes above 2^42 are cut to their upper 42 bits before they are scaled down.
    """

    def __init__(self, cells: int, clip: Fraction) -> None:
        """Starts an empty sum.

        Args:
            cells: Length of a unit's vector, 1 to 4,096.
            clip: L2 bound C of one unit, in units of 1.0, from 1/GRID to 16.

        Raises:
            PrivacyError: If an argument is outside its range.
        """
        if not 1 <= cells <= MAX_CELLS:
            raise PrivacyError(f"cells must be 1 to {MAX_CELLS}, got {cells}")
        if not Fraction(1, GRID) <= clip <= MAX_CLIP:
            raise PrivacyError(f"clip must be 1/{GRID} to {MAX_CLIP}, got {clip}")
        self._cells = cells
        self._bound = math.floor(GRID * clip)
        self._units = 0
        self._sums = np.zeros(cells, dtype=np.int64)

    def add(self, contributions: NDArray[np.int64]) -> None:
        """Clips every unit's vector and adds it.

        Args:
            contributions: int64, shape (units, cells), in units of 2^-32: the summed contributions of one unit per
                row, whole; a unit must not be spread over two rows or two calls.

        Raises:
            PrivacyError: If the type or shape is another one, or more than 2^40 units are added.
        """
        if contributions.dtype != np.int64 or contributions.ndim != 2 or contributions.shape[1] != self._cells:  # noqa: PLR2004
            raise PrivacyError(
                f"expected int64 of shape (units, {self._cells}), got {contributions.dtype} of shape "
                f"{contributions.shape}"
            )
        self._units += contributions.shape[0]
        if self._units > MAX_UNITS:
            raise PrivacyError(f"at most {MAX_UNITS} units fit in one sum, got {self._units}")
        height = max(1, _CHUNK // self._cells)
        for first in range(0, contributions.shape[0], height):
            self._sums += clipped(contributions[first : first + height], self._bound).sum(axis=0)

    def bounded(self) -> Bounded:
        """The sum so far, with its sensitivity."""
        return Bounded(self._sums.copy(), self._bound)


def clipped(contributions: NDArray[np.int64], bound: int) -> NDArray[np.int64]:
    """Brings every row's L2 norm to at most `bound` grid units, and truncates it to the grid.

    Args:
        contributions: int64, shape (units, cells), in units of 2^-32.
        bound: Largest L2 norm of a row, in grid units, 1 to 2^20.

    Returns:
        int64, same shape, in grid units: each row has the direction of its contribution up to truncation toward
        zero, and an L2 norm of at most `bound`, exactly.
    """
    signs = np.sign(contributions)
    sizes = np.abs(np.maximum(contributions, -np.iinfo(np.int64).max))
    result = sizes >> _FINE_BITS
    unsure = np.flatnonzero(~_surely_within(sizes, bound))
    if unsure.size:
        over = unsure[_above(sizes[unsure], bound)]
        result[over] = _scaled(sizes[over], bound)
    result *= signs
    _check_norms(result, bound)
    return result


def _surely_within(sizes: NDArray[np.int64], bound: int) -> NDArray[np.bool_]:
    """First test, at 2^-20 rounded up: never true for a row above the bound."""
    rough = np.minimum((sizes >> _ROUGH_BITS) + 1, _ROUGH_CAP)
    rough[sizes == 0] = 0
    squares: NDArray[np.int64] = np.einsum("ij,ij->i", rough, rough)
    limit = (bound << (_FINE_BITS - _ROUGH_BITS)) ** 2
    return np.less_equal(squares, limit)


def _above(sizes: NDArray[np.int64], bound: int) -> NDArray[np.bool_]:
    """Exact test of every row's norm at 2^-32; a cell cut to 42 bits is above any bound by itself."""
    limit = (bound << _FINE_BITS) ** 2
    squares = _square_norms(np.minimum(sizes, 2**_SCALED_BITS - 1))
    return np.array([square > limit for square in squares], dtype=np.bool_)


def _scaled(sizes: NDArray[np.int64], bound: int) -> NDArray[np.int64]:
    """floor(size x bound / ceil(norm)) per cell: an integer ratio, so the norm is at most the bound."""
    lengths = np.array([int(most).bit_length() for most in sizes.max(axis=1)], dtype=np.int64)
    short = sizes >> np.maximum(lengths - _SCALED_BITS, 0)[:, np.newaxis]
    norms = [math.isqrt(square - 1) + 1 for square in _square_norms(short)]
    return short * bound // np.array(norms, dtype=np.int64)[:, np.newaxis]


def _square_norms(sizes: NDArray[np.int64]) -> list[int]:
    """Exact sums of squares per row, for cells in [0, 2^42)."""
    high, low = sizes >> _LIMB_BITS, sizes & (2**_LIMB_BITS - 1)
    parts = (np.einsum("ij,ij->i", left, right) for left, right in ((high, high), (high, low), (low, low)))
    return [
        (int(top) << (2 * _LIMB_BITS)) + (int(cross) << (_LIMB_BITS + 1)) + int(bottom)
        for top, cross, bottom in zip(*parts, strict=True)
    ]


def _check_norms(result: NDArray[np.int64], bound: int) -> None:
    """The check that decides: cells are at most 2^20, so 4,096 squares are exact in int64."""
    squares = np.einsum("ij,ij->i", result, result)
    if squares.size and (int(np.abs(result).max()) > bound or int(squares.max()) > bound**2):
        raise PrivacyError(f"a clipped vector has squared norm {int(squares.max())}, above {bound**2}")
