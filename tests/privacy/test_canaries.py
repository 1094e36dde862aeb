"""Canaries through the whole border: rows, statistic, clip, release and the sum over banks in mode `local`.

Every canary is a customer of one row in a leaf of its own. Its cells of the released sum say whether it was there,
with the noise of all banks and nothing else. Guessing from them is a membership attack with a known strength: mu is
the canary's norm over the total noise's standard deviation, the parameter of Gaussian differential privacy. A border
that clips at twice the bound, adds too little noise, adds it twice, leaves cells out or loses a bank shows as another
mu, as repeated noise, as exact cells or as a missing bank.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tacit.features.spec import Column, ColumnType, Contract, Provenance
from tacit.features.types import Encoded
from tacit.learning.basis import Basis
from tacit.learning.statistics import bounded_sum
from tacit.learning.types import Stage, StageKind, Structure, TreeStructure
from tacit.privacy import calibration
from tacit.privacy.calibration import Noise
from tacit.privacy.release import release
from tacit.privacy.types import GRID, Bounded, Mode
from tacit.rounds import verify

BANKS = 3
ROUNDS = 40
LEAVES = 32
CLIP = Fraction(1, 8)
"""Below any row's norm of about 0.56 at margin 0, so that every canary is cut to the bound exactly."""

ALARM = 1e-9
Integers = NDArray[np.int64]

EDGES = tuple(Fraction(2 * number + 1, 2) for number in range(LEAVES - 1))
CONTRACT = Contract(
    columns=(Column("leaf", ColumnType.COUNT, Provenance.CUSTOMER, EDGES, Fraction(1), Fraction(1)),),
    linear=("leaf",),
    scale=Fraction(1, 2),
)
STAGE = Stage(StageKind.TREES, 2 * LEAVES, CLIP, Fraction(1))
BASIS = Basis(CONTRACT)
NOISE = calibration.calibrate(Fraction(8), Fraction(1, 10**5), [(CLIP, Fraction(1))], mode=Mode.LOCAL).noises[0]


def _heap(low: int, high: int, node: int, cuts: dict[int, int]) -> None:
    if high - low < 2:
        return
    middle = (low + high) // 2
    cuts[node] = middle
    _heap(low, middle, 2 * node + 1, cuts)
    _heap(middle, high, 2 * node + 2, cuts)


def one_leaf_per_bin() -> Structure:
    """A tree of depth 5 whose leaf number is the row's bin."""
    cuts: dict[int, int] = {}
    _heap(0, LEAVES, 0, cuts)
    return Structure((TreeStructure((0,) * (LEAVES - 1), tuple(cuts[node] for node in range(LEAVES - 1))),))


TREES = one_leaf_per_bin()


def rows_of(leaves: Integers) -> Encoded:
    """One fraud of one customer in each of these leaves."""
    units = len(leaves)
    starts = np.arange(units + 1, dtype=np.int64)
    return Encoded(leaves.astype(np.uint8)[np.newaxis], starts, np.ones(units, dtype=np.uint8))


def statistic(leaves: Integers, clip: Fraction = CLIP) -> Bounded:
    """The production statistic of one bank's canaries."""
    rows = rows_of(leaves)
    return bounded_sum(replace(STAGE, clip=clip), rows, BASIS, np.zeros(rows.rows), trees=TREES)


def whole(sums: Bounded, noise: Noise) -> Integers:
    """The production release."""
    return release(sums, noise, Mode.LOCAL).values


@dataclass
class Border:
    """How one bank answers: the production code, with at most one part of it replaced."""

    clip: Fraction = CLIP
    released: Callable[[Bounded, Noise], Integers] = whole
    silent: frozenset[int] = frozenset()

    def answers(self, present: NDArray[np.bool_]) -> list[Integers]:
        """The released vectors of all banks in one round; `present` has shape (banks, leaves)."""
        sums = [statistic(np.flatnonzero(leaves), self.clip) for leaves in present]
        if self.clip != CLIP:
            # The release would refuse it: the defect also has to lie about its sensitivity.
            sums = [replace(item, sensitivity=NOISE.sensitivity) for item in sums]
        found = [self.released(item, NOISE) for item in sums]
        return [vector * (bank not in self.silent) for bank, vector in enumerate(found)]


@dataclass
class Audit:
    """What an observer of the log knows after all rounds: who was there, and the released vectors.

    Attributes:
        present: bool, shape (rounds, banks, leaves).
        vectors: int64, shape (rounds, banks, cells).
        sums: int64, shape (rounds, cells): as a reader of the log adds them.
    """

    present: NDArray[np.bool_]
    vectors: Integers
    sums: Integers = field(init=False)

    def __post_init__(self) -> None:
        """Adds the vectors in the ring, as every reader of the log does."""
        cells = self.vectors.shape[2]
        ring = [[[verify.encode(int(cell)) for cell in vector] for vector in banks] for banks in self.vectors]
        self.sums = np.array([verify.total(banks, cells) for banks in ring], dtype=np.int64)


CANARY = statistic(np.array([7])).sums[14:16]
"""One canary's cells, gradient and curvature, as clipped."""


def run(border: Border, seed: int = 0) -> Audit:
    """All rounds of canaries that are present or not by a coin."""
    present = np.random.default_rng(seed).random((ROUNDS, BANKS, LEAVES)) < 0.5
    return Audit(present, np.array([border.answers(banks) for banks in present]))


def scores(cells: Integers) -> NDArray[np.float64]:
    """Every leaf's released cells along the canary, in units of one canary; shape (..., leaves)."""
    pairs = cells.reshape(*cells.shape[:-1], LEAVES, 2).astype(np.float64)
    return np.asarray(pairs @ CANARY / float(CANARY @ CANARY))


def expected_noise(banks: int) -> float:
    """Standard deviation of a score over the sum of some banks' noise."""
    return math.sqrt(banks * NOISE.variance / float(CANARY @ CANARY))


def bank_count(audit: Audit) -> float:
    """P-value of the gain of a canary on the sum being 1 for each bank that has it."""
    count = audit.present.sum(axis=1).astype(np.float64)
    centred = count - count.mean()
    gain = float((centred * scores(audit.sums)).sum() / (centred**2).sum())
    error = expected_noise(BANKS) / math.sqrt(float((centred**2).sum()))
    return 2 * float(stats.norm.sf(abs(gain - 1) / error))


def bank_noise(audit: Audit) -> float:
    """P-value of each bank's residuals having the plan's variance, two-sided, corrected for the number of banks."""
    residual = (scores(audit.vectors) - audit.present) / expected_noise(1)
    squares, size = (residual**2).sum(axis=(0, 2)), residual.shape[0] * residual.shape[2]
    tails = np.minimum(stats.chi2.cdf(squares, size), stats.chi2.sf(squares, size))
    return 2 * BANKS * float(tails.min())


def repeated(audit: Audit) -> float:
    """0 where two releases of a bank have the same noise in many cells, else 1."""
    residual = audit.vectors - _contribution(audit.present)
    flat = residual.reshape(-1, residual.shape[2])
    same = [np.count_nonzero(one == other) for at, one in enumerate(flat) for other in flat[at + 1 :: BANKS]]
    return 0.0 if max(same) > residual.shape[2] // 4 else 1.0


def exact_cells(audit: Audit) -> float:
    """P-value of so many cells without any noise."""
    residual = audit.vectors - _contribution(audit.present)
    chance = residual.size / math.sqrt(2 * math.pi * NOISE.variance)
    return float(stats.poisson.sf((residual == 0).sum() - 1, chance))


def _contribution(present: NDArray[np.bool_]) -> Integers:
    return (present[..., np.newaxis] * CANARY).reshape(*present.shape[:-1], 2 * LEAVES).astype(np.int64)


BATTERY = {"gain": bank_count, "noise": bank_noise, "repeats": repeated, "exact": exact_cells}


def alarms(audit: Audit) -> set[str]:
    """Tests of the battery that raise an alarm."""
    return {name for name, test in BATTERY.items() if test(audit) < ALARM}


def quiet(sums: Bounded, noise: Noise) -> Integers:
    """Noise of 0.7 sigma, drawn by the production release."""
    return whole(sums, replace(noise, variance=noise.variance * 49 // 100, rho_nano=10 * noise.rho_nano))


def reusing() -> Callable[[Bounded, Noise], Integers]:
    """One draw, used in every round."""
    kept: list[Integers] = []

    def released(sums: Bounded, noise: Noise) -> Integers:
        if not kept:
            kept.append(whole(sums, noise) - sums.sums)
        return sums.sums + kept[0]

    return released


def leaving_cells(sums: Bounded, noise: Noise) -> Integers:
    """Every sixteenth cell is released as it is."""
    values = whole(sums, noise).copy()
    values[::16] = sums.sums[::16]
    return values


DEFECTS: dict[str, tuple[Callable[[], Border], str]] = {
    "clip x 2": (lambda: Border(clip=2 * CLIP), "gain"),
    "noise x 0.7": (lambda: Border(released=quiet), "noise"),
    "noise reused": (lambda: Border(released=reusing()), "repeats"),
    "cells without noise": (lambda: Border(released=leaving_cells), "exact"),
    "one bank silent": (lambda: Border(silent=frozenset({1})), "gain"),
}


@pytest.fixture(scope="module")
def production() -> Audit:
    """The border as it is: 120 releases of 32 canary places."""
    return run(Border())


def test_a_canary_is_cut_to_the_bound() -> None:
    """Its norm is the sensitivity but for truncation to the grid, and it touches its own leaf alone."""
    norm = math.hypot(*map(float, CANARY))
    assert NOISE.sensitivity - 2 < norm <= NOISE.sensitivity == math.floor(GRID * CLIP)
    for leaf in range(LEAVES):
        assert np.flatnonzero(statistic(np.array([leaf])).sums).tolist() == [2 * leaf, 2 * leaf + 1]


def test_the_production_border_raises_no_alarm(production: Audit) -> None:
    """Each of the four tests; a false alarm is rarer than one in 10^8 runs."""
    assert alarms(production) == set()


@pytest.mark.parametrize("name", DEFECTS)
def test_planted_defects_are_caught(name: str) -> None:
    """Every defect raises the alarm that is meant for it."""
    border, alarm = DEFECTS[name]
    assert alarm in alarms(run(border(), seed=1))


def test_an_attacker_on_one_bank_has_no_more_than_the_plan_grants(production: Audit) -> None:
    """Every threshold's error rates lie above the trade-off curve of mu (Dong, Roth, Su 2022), up to six errors."""
    mu = NOISE.sensitivity / math.sqrt(NOISE.variance)
    found = scores(production.vectors)
    there, absent = np.sort(found[production.present]), np.sort(found[~production.present])
    for threshold in np.linspace(0.0, 1.0, 11):
        false_alarm = 1 - np.searchsorted(absent, threshold) / absent.size
        missed = np.searchsorted(there, threshold) / there.size
        bound = stats.norm.cdf(stats.norm.isf(false_alarm) - mu)
        assert missed >= bound - 6 * 0.5 / math.sqrt(min(there.size, absent.size))


def test_a_coalition_of_the_others_learns_what_one_release_grants(production: Audit) -> None:
    """Mode `local`: taking the other banks' vectors off the sum leaves exactly one bank's release."""
    rest = production.sums - production.vectors[:, 1:].sum(axis=1)
    assert np.array_equal(rest, production.vectors[:, 0])


def test_epsilon_of_the_noise_is_the_plans(production: Audit) -> None:
    """The measured mu of one bank gives no larger zCDP than was booked, within six errors of the measurement."""
    residual = (scores(production.vectors) - production.present).ravel()
    measured = 1 / float(residual.var())
    booked = 2 * NOISE.rho_nano / 10**9
    assert measured <= booked * (1 + 6 * math.sqrt(2 / residual.size))
