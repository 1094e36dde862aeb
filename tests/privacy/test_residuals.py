"""Audit of the noise as it is drawn: released minus true integers, through the production release (privacy 2.5).

The battery needs no seed and no model: it looks at residuals of 160 releases of 256 cells for spread, repetition,
correlation and cells without noise. Six planted defects must each be caught, every time.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tacit.privacy.calibration import Noise
from tacit.privacy.clipping import BoundedSum
from tacit.privacy.release import release
from tacit.privacy.types import CONTRIBUTION_SCALE, GRID, Bounded, Mode, PrivacyError

ROUNDS, CELLS = 160, 256
STDDEV = 10_000
NOISE = Noise(STDDEV**2, GRID, 10**15)
ALARM = 1e-9

Residuals = NDArray[np.int64]


def true_sums(number: int) -> Bounded:
    """The exact sums of one round."""
    generator = np.random.default_rng(number)
    total = BoundedSum(CELLS, Fraction(1))
    total.add(generator.integers(-(2**28), 2**28, (20, CELLS)))
    return total.bounded()


def residual(sums: Bounded, noise: Noise) -> NDArray[np.int64]:
    """Released minus true integers."""
    return release(sums, noise, Mode.DISTRIBUTED).values - sums.sums


@pytest.fixture(scope="module")
def residuals() -> Residuals:
    """What the production release added, round by round: 40,960 cells."""
    return np.stack([residual(true_sums(number), NOISE) for number in range(ROUNDS)])


def spread(found: Residuals) -> float:
    """P-value of too little noise overall, one-sided chi-square."""
    return float(stats.chi2.cdf(np.square(found / STDDEV).sum(), found.size))


def block_spread(found: Residuals) -> float:
    """P-value of the quietest round or column, corrected for looking at all of them."""
    squares = np.square(found / STDDEV)
    rounds = stats.chi2.cdf(squares.sum(axis=1).min(), found.shape[1]) * found.shape[0]
    columns = stats.chi2.cdf(squares.sum(axis=0).min(), found.shape[0]) * found.shape[1]
    return float(min(rounds, columns))


def correlation(found: Residuals, shift: int) -> float:
    """P-value of the largest correlation between rounds (shift 0) or of neighbouring cells (shift 1)."""
    if shift:
        value = float((found[:, shift:] * found[:, :-shift] / STDDEV**2).mean()) * math.sqrt(found[:, shift:].size)
        return 2 * float(stats.norm.sf(abs(value)))
    products = (found / STDDEV) @ (found / STDDEV).T / math.sqrt(found.shape[1])
    pairs = products[np.triu_indices(len(found), 1)]
    return 2 * float(stats.norm.sf(np.abs(pairs).max())) * pairs.size


def repeats(found: Residuals) -> float:
    """0 if two rounds have the same noise in every cell, else 1."""
    return 0.0 if len({row.tobytes() for row in found}) < len(found) else 1.0


def zeros(found: Residuals) -> float:
    """P-value of so many cells without any noise."""
    expected = found.size / (STDDEV * math.sqrt(2 * math.pi))
    return float(stats.poisson.sf((found == 0).sum() - 1, expected))


BATTERY: dict[str, Callable[[Residuals], float]] = {
    "spread": spread,
    "blocks": block_spread,
    "rounds": lambda found: correlation(found, 0),
    "neighbours": lambda found: correlation(found, 1),
    "repeats": repeats,
    "zeros": zeros,
}


def alarms(found: Residuals) -> list[str]:
    """Tests of the battery that raise an alarm."""
    return [name for name, test in BATTERY.items() if test(found) < ALARM]


def low_noise(found: Residuals) -> Residuals:
    """Noise of 0.93 sigma, drawn by the real release."""
    quiet = Noise(int((0.93 * STDDEV) ** 2), GRID, 10**15)
    return np.stack([residual(true_sums(number), quiet) for number in range(len(found))])


def divided(found: Residuals) -> Residuals:
    """Each of 9 banks adds sigma / 9 instead of sigma / 3."""
    share = Noise(STDDEV**2 // 81, GRID, 10**15)
    some = np.stack([[residual(true_sums(number), share) for _ in range(9)] for number in range(20)])
    return some.sum(axis=1)


def reused(found: Residuals) -> Residuals:
    """One round's noise is added again in another round."""
    return np.concatenate([found[:-1], found[:1]])


def paired(found: Residuals) -> Residuals:
    """Cells come in pairs with the same draw."""
    doubled = found.copy()
    doubled[:, 1::2] = doubled[:, ::2]
    return doubled


def unnoised_cells(found: Residuals) -> Residuals:
    """Every twentieth cell is released as it is."""
    partly = found.copy()
    partly[:, ::20] = 0
    return partly


def unnoised_round(found: Residuals) -> Residuals:
    """One round is released as it is."""
    partly = found.copy()
    partly[77] = 0
    return partly


def negated(found: Residuals) -> Residuals:
    """A round's noise is another's with its sign changed, so that their sum has none."""
    return np.concatenate([found[:-1], -found[:1]])


DEFECTS = [low_noise, divided, reused, paired, unnoised_cells, unnoised_round, negated]


def test_the_release_passes(residuals: Residuals) -> None:
    """No alarm on the production release: a false one is rarer than 1e-8."""
    assert residuals.size >= 40_000
    assert alarms(residuals) == []


def test_the_mean_is_zero(residuals: Residuals) -> None:
    """The noise has no bias: six standard errors."""
    assert abs(float(residuals.mean())) < 6 * STDDEV / math.sqrt(residuals.size)


@pytest.mark.parametrize("defect", DEFECTS, ids=[defect.__name__ for defect in DEFECTS])
def test_planted_defects_are_caught(residuals: Residuals, defect: Callable[[Residuals], Residuals]) -> None:
    """A battery that cannot fail proves nothing: every planted defect raises an alarm."""
    assert alarms(defect(residuals))


@pytest.mark.parametrize("seed", range(20))
def test_power_on_five_per_cent_too_little_noise(seed: int) -> None:
    """Five per cent less sigma is caught in 40,960 cells; drawn by numpy, which only a test of the test may do."""
    quiet = np.random.default_rng(seed).normal(0, 0.95 * STDDEV, (ROUNDS, CELLS)).round().astype(np.int64)
    assert "spread" in alarms(quiet)


@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm_on_faultless_noise(seed: int) -> None:
    """The battery is quiet on noise as it should be."""
    assert alarms(np.random.default_rng(seed).normal(0, STDDEV, (ROUNDS, CELLS)).round().astype(np.int64)) == []


def test_clip_of_twice_the_size_is_refused_before_noise() -> None:
    """Sums clipped at 2 cannot be released with noise for clip 1."""
    total = BoundedSum(1, Fraction(2))
    total.add(np.array([[3 * CONTRIBUTION_SCALE]]))
    with pytest.raises(PrivacyError, match="calibrated for a sensitivity"):
        release(total.bounded(), NOISE, Mode.DISTRIBUTED)


def test_the_sum_of_shares_has_the_noise_of_the_plan() -> None:
    """Five honest shares of variance V add up to 5 V: the distributed claim, end to end."""
    shares = np.stack([[residual(true_sums(number), NOISE) for _ in range(5)] for number in range(16)]).sum(axis=1)
    statistic = float(np.square(shares / (STDDEV * math.sqrt(5))).sum())
    assert 1e-9 < float(stats.chi2.cdf(statistic, shares.size)) < 1 - 1e-9
