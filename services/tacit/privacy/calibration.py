"""How much noise a plan needs (protocol 7, algorithm 4).

Everything that decides a variance is integer arithmetic, so that every bank that recomputes a plan's noise
arrives at the same whole numbers. Only the comparison of epsilon with the plan's goes through a float, which
`accounting` makes from decimal logarithms: the same bits on every machine.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tacit.privacy import accounting
from tacit.privacy.types import GRID, LEAST_NOISE_STDDEV, Mode, PrivacyError

Z_STEPS = 2**20
"""Steps per 1.0 of the noise multiplier z."""

Z_MOST = 2**32
"""Largest z tried, in steps: z = 4,096, an epsilon of about 0.001 at delta 1e-5."""

SUM_BITS = 62
"""Noised sums must stay below 2^62 in grid units, so that neither int64 nor the ring can wrap."""


@dataclass(frozen=True)
class Noise:
    """The noise of one release of one bank.

    Attributes:
        variance: Discrete Gaussian parameter V of one bank, in grid units squared, a whole number.
        sensitivity: Delta = k floor(S C), in grid units: of one person at up to k banks.
        rho_nano: zCDP of the release under the mode's trust, in nano-rho, rounded up.
        banks_per_person: k, the most banks at which one person may be a customer.
    """

    variance: int
    sensitivity: int
    rho_nano: int
    banks_per_person: int = 1


@dataclass(frozen=True)
class Budget:
    """The noise of a whole run and what it costs at worst.

    Guarantee: if every release of the run uses its `Noise`, and at most `paid_retries` releases are made twice, the
    run is (`epsilon`, delta)-differentially private for adding or removing one unit, at up to k banks.

    Attributes:
        noises: One per question, in their order.
        reserved_rho_nano: Sum of the releases' rho plus `paid_retries` times the largest, in nano-rho.
        epsilon: Epsilon of `reserved_rho_nano`, never above the plan's.
        z: The noise multiplier: sigma_r = z Delta_r / sqrt(share_r).
    """

    noises: tuple[Noise, ...]
    reserved_rho_nano: int
    epsilon: float
    z: Fraction


@dataclass(frozen=True)
class Trust:
    """Who adds noise, and how many of them count.

    Attributes:
        mode: `local` or `distributed`.
        banks_per_person: k, 1 or more.
        q: Banks that must survive a round (`distributed`).
        c: Banks that may collude or leave out their noise (`distributed`), 0 to q - 1.
    """

    mode: Mode
    banks_per_person: int = 1
    q: int = 1
    c: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.banks_per_person < 1:
            raise PrivacyError(f"banks_per_person must be 1 or more, got {self.banks_per_person}")
        if not 0 <= self.c < self.q:
            raise PrivacyError(f"need 0 <= c < q so that some noise is honest, got q = {self.q}, c = {self.c}")

    @property
    def honest(self) -> int:
        """Noise shares that a claim may count on: q - c, or the bank's own alone."""
        return self.q - self.c if self.mode is Mode.DISTRIBUTED else 1


def calibrate(
    epsilon: Fraction,
    delta: Fraction,
    questions: Sequence[tuple[Fraction, Fraction]],
    *,
    mode: Mode,
    banks_per_person: int = 1,
    q: int = 1,
    c: int = 0,
    paid_retries: int = 0,
) -> Budget:
    """Finds the smallest noise whose total epsilon is not above the plan's.

    Args:
        epsilon: The plan's epsilon, above 0.
        delta: The plan's delta, in (0, 1).
        questions: (clip C, share of the budget) of every release; the shares add up to 1.
        mode: Who adds the noise.
        banks_per_person: k, the most banks at which one person may be a customer.
        q: Banks that must survive a round.
        c: Banks whose noise may be missing.
        paid_retries: Releases that may be made a second time; 0 in mode `local`.

    Returns:
        The budget. Its z is a multiple of 2^-20, rounded up.

    Raises:
        PrivacyError: If an argument is outside its range, no z up to 4,096 suffices, or one bank's noise would be
            below 100 grid units, which exact accounting needs.
    """
    trust = Trust(mode, banks_per_person, q, c)
    _check_goal(epsilon, delta, mode, paid_retries)
    _check_questions(questions)

    def budget(steps: int) -> Budget:
        z = Fraction(steps, Z_STEPS)
        noises = tuple(_noise(z, clip, share, trust) for clip, share in questions)
        costs = [noise.rho_nano for noise in noises]
        reserved = sum(costs) + paid_retries * max(costs)
        return Budget(noises, reserved, accounting.epsilon(reserved, delta), z)

    found = budget(_smallest(lambda steps: Fraction(budget(steps).epsilon) <= epsilon))
    for number, noise in enumerate(found.noises):
        _check_least_noise(number, noise)
    return found


def _check_goal(epsilon: Fraction, delta: Fraction, mode: Mode, paid_retries: int) -> None:
    if epsilon <= 0 or not 0 < delta < 1:
        raise PrivacyError(f"epsilon must be above 0 and delta in (0, 1), got {epsilon} and {delta}")
    if paid_retries < 0 or (mode is Mode.LOCAL and paid_retries):
        raise PrivacyError(f"paid_retries must be 0 or more, and 0 in mode local, got {paid_retries} in mode {mode}")


def _check_questions(questions: Sequence[tuple[Fraction, Fraction]]) -> None:
    if not questions:
        raise PrivacyError("expected at least one question, got none")
    for clip, share in questions:
        if GRID * clip < 1 or share <= 0:
            raise PrivacyError(f"clip must be at least 1/{GRID} and share above 0, got clip {clip}, share {share}")
    total = sum((share for _, share in questions), Fraction(0))
    if total != 1:
        raise PrivacyError(f"the shares of the budget must add up to 1, got {total}")


def _noise(z: Fraction, clip: Fraction, share: Fraction, trust: Trust) -> Noise:
    """V = ceil(z^2 Delta^2 / (share honest)), exactly."""
    sensitivity = trust.banks_per_person * math.floor(GRID * clip)
    variance = math.ceil(z * z * sensitivity**2 / (share * trust.honest))
    cost = accounting.rho_nano(sensitivity, variance, trust.honest)
    return Noise(variance, sensitivity, cost, trust.banks_per_person)


def _smallest(enough: Callable[[int], bool]) -> int:
    """The smallest number of steps that is enough, by bisection; `enough` must be monotone."""
    if not enough(Z_MOST):
        raise PrivacyError(f"epsilon is too small: z = {Z_MOST // Z_STEPS} is not enough; raise epsilon or delta")
    low, high = 0, Z_MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _check_least_noise(number: int, noise: Noise) -> None:
    if noise.variance < LEAST_NOISE_STDDEV**2:
        raise PrivacyError(
            f"question {number}: one bank's noise has standard deviation {math.isqrt(noise.variance)} grid units, "
            f"below {LEAST_NOISE_STDDEV}; lower epsilon, raise this question's clip, give it a smaller share of the "
            "budget, or lower q - c"
        )


def check_delta(delta: Fraction, population: int) -> list[str]:
    """Compares delta with the number of units (privacy 2.6).

    Args:
        delta: The plan's delta.
        population: Units over all banks, public, 1 or more.

    Returns:
        Warnings for the operator; empty if delta is at most 1/(10 population).

    Raises:
        PrivacyError: If delta is above 1/population, which would allow to publish one unit whole.
    """
    if population < 1:
        raise PrivacyError(f"population must be 1 or more, got {population}")
    if delta * population > 1:
        raise PrivacyError(f"delta {delta} is above 1/population = 1/{population}; choose at most 1/{10 * population}")
    if delta * population * 10 > 1:
        return [f"delta {delta} is above 1/(10 population) = 1/{10 * population}"]
    return []


def check_wrap_around(budget: Budget, population: int, banks: int = 1) -> None:
    """Checks that no noised sum can leave the range of the integers that carry it.

    Args:
        budget: The run's noise.
        population: Units over all banks, public.
        banks: Banks that may add noise to one sum.

    Raises:
        PrivacyError: If population x Delta + 12 sigma reaches 2^62 for a release.
    """
    for noise in budget.noises:
        reach = population * noise.sensitivity + 12 * (math.isqrt(banks * noise.variance) + 1)
        if reach >= 2**SUM_BITS:
            raise PrivacyError(
                f"population {population} x sensitivity {noise.sensitivity} + 12 sigma = {reach} reaches 2^{SUM_BITS}; "
                "lower the clip or the population, or raise epsilon"
            )
