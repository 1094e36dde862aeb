"""The types that make the privacy border visible (architecture D6)."""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = 2**16
"""Grid units per 1.0 of a clipped contribution (protocol: S)."""

CONTRIBUTION_SCALE = 2**32
"""Units per 1.0 of a row's contribution before clipping (algorithm 4: rounded at 2^-32)."""

LEAST_NOISE_STDDEV = 100
"""Least standard deviation, in grid units, of one bank's discrete Gaussian (protocol 7)."""

NANO = 10**9
"""Nano-rho per rho: the ledger counts zCDP in integers of 10^-9, rounded up."""


class PrivacyError(Exception):
    """A privacy rule would be broken; nothing was released."""


class Mode(enum.StrEnum):
    """Who adds the noise.

    LOCAL: every bank adds the full noise; nobody else has to be honest.
    DISTRIBUTED: banks add shares of the noise under masks; q - c of them must be honest.
    """

    LOCAL = "local"
    DISTRIBUTED = "distributed"


class Unit(enum.StrEnum):
    """What one neighbouring data set adds or removes: all rows of one customer, or one row."""

    CUSTOMER = "customer"
    RECORD = "record"


@dataclass(frozen=True, eq=False)
class Bounded:
    """A sum over units that knows its own sensitivity. Only `privacy.clipping` makes one.

    Guarantee: adding or removing one unit changes `sums` by a vector of L2 norm at most `sensitivity`,
    checked in integers for every unit that went in.

    Attributes:
        sums: int64, shape (cells,), grid units of 1/`GRID`.
        sensitivity: floor(GRID * clip), in grid units, of one unit.
    """

    sums: NDArray[np.int64]
    sensitivity: int


@dataclass(frozen=True)
class ReleaseEvent:
    """What one release costs, as plain data for the ledger.

    Attributes:
        mode: Who adds the noise.
        variance: This bank's integer noise variance V, in grid units squared.
        rho_nano: zCDP of the release under the mode's trust, in nano-rho, rounded up.
        rho_alone_nano: zCDP of the bank's own noise alone, should masking fail.
    """

    mode: Mode
    variance: int
    rho_nano: int
    rho_alone_nano: int


@dataclass(frozen=True, eq=False)
class Release:
    """Noised integers and what they cost. Only `privacy.release` makes one.

    Attributes:
        values: int64, shape (cells,), grid units: the bounded sums plus discrete Gaussian noise.
        event: The accounting event.
    """

    values: NDArray[np.int64]
    event: ReleaseEvent
