"""The privacy border: the only maker of `Release` (architecture D6, protocol 7).

Noise is an exact discrete Gaussian drawn by OpenDP from the operating system's randomness. There is no seed and no
way to inject a sampler. Draw once per question: what was drawn is stored, and a resend sends the stored values.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from opendp import domains, measurements, metrics
from opendp.mod import enable_features

from tacit.privacy import accounting
from tacit.privacy.calibration import SUM_BITS, Noise
from tacit.privacy.clipping import MAX_CELLS
from tacit.privacy.types import LEAST_NOISE_STDDEV, Bounded, Mode, PrivacyError, Release, ReleaseEvent


def release(bounded: Bounded, noise: Noise, mode: Mode) -> Release:
    """Adds one discrete Gaussian draw to every cell of a bounded sum.

    Formal guarantee: under mode `local` the result is (`rho_nano` / 10^9)-zCDP for adding or removing one unit at up
    to `noise.banks_per_person` banks; under `distributed` the sum of such releases over the honest survivors is, as
    long as q - c of them drew their noise, and `rho_alone_nano` bounds this one if it is ever seen alone.

    Args:
        bounded: Integer sums and the sensitivity of one unit at this bank.
        noise: The calibrated noise of this question.
        mode: Who adds the noise.

    Returns:
        The noised integers and their accounting event.

    Raises:
        PrivacyError: If the sums are more sensitive than the noise was calibrated for, the noise is too small for
            exact accounting, its cost is understated, or a cell lies outside +-2^62.
    """
    alone = accounting.rho_nano(noise.sensitivity, max(noise.variance, 1))
    _check_noise(bounded, noise, mode, alone)
    _check_sums(bounded.sums)
    values = np.array(_noised(bounded.sums.tolist(), noise.variance), dtype=np.int64)
    return _frozen(values, ReleaseEvent(mode, noise.variance, noise.rho_nano, alone))


def restore(values: Sequence[int] | NDArray[np.int64], event: ReleaseEvent) -> Release:
    """Makes a release again from what the journal stored; draws nothing. For `adapters.journal` alone.

    Args:
        values: The stored noised integers, grid units, 1 to 4,096 of them.
        event: The stored event.

    Returns:
        The release as it was made.

    Raises:
        PrivacyError: If the values are not integers in the range of int64, or too many.
    """
    stored = np.asarray(values)
    if stored.dtype != np.int64 or stored.ndim != 1 or not 1 <= stored.shape[0] <= MAX_CELLS:
        raise PrivacyError(f"expected 1 to {MAX_CELLS} int64 values, got {stored.dtype} of shape {stored.shape}")
    return _frozen(stored.copy(), event)


def _check_noise(bounded: Bounded, noise: Noise, mode: Mode, alone: int) -> None:
    if bounded.sensitivity * noise.banks_per_person > noise.sensitivity:
        raise PrivacyError(
            f"the noise was calibrated for a sensitivity of {noise.sensitivity} over {noise.banks_per_person} banks "
            f"a person, but one unit may change these sums by {bounded.sensitivity}"
        )
    if noise.variance < LEAST_NOISE_STDDEV**2:
        raise PrivacyError(f"noise variance must be at least {LEAST_NOISE_STDDEV**2}, got {noise.variance}")
    if noise.rho_nano < 1 or (mode is Mode.LOCAL and noise.rho_nano < alone):
        raise PrivacyError(f"a release in mode {mode} costs {alone} nano-rho alone, but is booked as {noise.rho_nano}")


def _check_sums(sums: NDArray[np.int64]) -> None:
    if sums.dtype != np.int64 or sums.ndim != 1 or not 1 <= sums.shape[0] <= MAX_CELLS:
        raise PrivacyError(f"expected 1 to {MAX_CELLS} int64 sums, got {sums.dtype} of shape {sums.shape}")
    if int(sums.max()) >= 2**SUM_BITS or int(sums.min()) <= -(2**SUM_BITS):
        raise PrivacyError(f"sums must lie within +-2^{SUM_BITS}, got {int(sums.min())} to {int(sums.max())}")


def _noised(sums: list[int], variance: int) -> list[int]:
    """One exact discrete Gaussian draw per cell, by OpenDP."""
    enable_features("contrib")
    space = (domains.vector_domain(domains.atom_domain(T="i64")), metrics.l2_distance(T="i64"))
    mechanism: Any = measurements.make_gaussian(*space, scale=scale(variance))
    noised: list[int] = mechanism(sums)
    return noised


def scale(variance: int) -> float:
    """sqrt(variance) rounded up: the smallest float near the root whose exact square is not below the variance."""
    root = math.sqrt(variance)
    while Fraction(root) ** 2 < variance:
        root = math.nextafter(root, math.inf)
    return root


def _frozen(values: NDArray[np.int64], event: ReleaseEvent) -> Release:
    values.setflags(write=False)
    return Release(values, event)
