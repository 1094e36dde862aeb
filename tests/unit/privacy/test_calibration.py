"""The noise of a plan."""

import math
from fractions import Fraction

import pytest

from tacit.privacy import accounting
from tacit.privacy.calibration import Budget, Noise, calibrate, check_delta, check_wrap_around
from tacit.privacy.types import GRID, Mode, PrivacyError

DELTA = Fraction(1, 10**5)
ONE = Fraction(1)
DEFAULT = [(ONE, Fraction(5, 100)), *[(Fraction(2), Fraction(90, 3200))] * 32, (ONE, Fraction(5, 100))]


def distributed(epsilon: Fraction = ONE, **changes: int) -> Budget:
    """The default plan at ten banks."""
    settings = {"q": 7, "c": 2, "paid_retries": 2} | changes
    return calibrate(epsilon, DELTA, DEFAULT, mode=Mode.DISTRIBUTED, **settings)


def test_default_plan_with_two_prepaid_retries() -> None:
    """The multiplier of the default distributed plan at epsilon 1."""
    assert float(distributed().z) == pytest.approx(4.243, abs=2e-4)


@pytest.mark.parametrize(("epsilon", "z"), [("1/2", 7.6675), ("1", 4.0455), ("2", 2.1492), ("4", 1.158), ("8", 0.638)])
def test_multipliers_without_retries(epsilon: str, z: float) -> None:
    """Without retries only the total rho counts: the published multipliers at delta 1e-5."""
    assert float(calibrate(Fraction(epsilon), DELTA, DEFAULT, mode=Mode.LOCAL).z) == pytest.approx(z, rel=6e-4)


@pytest.mark.parametrize("epsilon", ["1/10", "1/3", "1", "7/2", "8"])
@pytest.mark.parametrize("retries", [0, 3])
def test_epsilon_is_met_and_not_wasted(epsilon: str, retries: int) -> None:
    """Never above the plan's epsilon, and at most a hair below."""
    goal = Fraction(epsilon)
    found = distributed(goal, paid_retries=retries)
    assert goal * Fraction(9999, 10000) < Fraction(found.epsilon) <= goal
    assert found.epsilon == accounting.epsilon(found.reserved_rho_nano, DELTA)


def test_the_multiplier_is_the_smallest() -> None:
    """One step of z less would break the plan's epsilon."""
    found = calibrate(ONE, DELTA, [(ONE, ONE)], mode=Mode.LOCAL)
    variance = math.ceil((found.z - Fraction(1, 2**20)) ** 2 * GRID**2)
    assert accounting.epsilon(accounting.rho_nano(GRID, variance), DELTA) > 1


def test_reservation_holds_the_retries() -> None:
    """The reserve is the sum of all rounds and the most expensive one per prepaid retry."""
    found = distributed()
    costs = [noise.rho_nano for noise in found.noises]
    assert found.reserved_rho_nano == sum(costs) + 2 * max(costs)


@pytest.mark.parametrize(("mode", "honest"), [(Mode.LOCAL, 1), (Mode.DISTRIBUTED, 5)])
def test_variances_follow_shares_exactly(mode: Mode, honest: int) -> None:
    """V = ceil(z^2 Delta^2 / (share (q - c))), in whole numbers."""
    found = calibrate(ONE, DELTA, DEFAULT, mode=mode, q=7, c=2)
    for noise, (clip, share) in zip(found.noises, DEFAULT, strict=True):
        sensitivity = math.floor(GRID * clip)
        assert noise.variance == math.ceil(found.z**2 * sensitivity**2 / (share * honest))
        assert noise.rho_nano == accounting.rho_nano(sensitivity, noise.variance, honest)


def test_a_person_at_several_banks_is_paid_for() -> None:
    """Several (k) banks a person multiply the sensitivity, hence the variance by k^2, at the same epsilon."""
    once, thrice = distributed(), distributed(banks_per_person=3)
    assert thrice.z == once.z
    assert [noise.sensitivity for noise in thrice.noises] == [3 * noise.sensitivity for noise in once.noises]
    assert thrice.noises[5].variance == pytest.approx(9 * once.noises[5].variance, abs=9)


def test_recomputing_gives_the_same_whole_numbers() -> None:
    """A bank that recomputes a plan's noise compares for equality."""
    assert distributed() == distributed()


def test_noise_below_a_hundred_grid_units_is_refused() -> None:
    """The message names the question and what to change."""
    tiny = [(Fraction(1, 1000), ONE)]
    with pytest.raises(PrivacyError, match=r"question 0: .*below 100; lower epsilon, raise this question's clip"):
        calibrate(Fraction(8), DELTA, tiny, mode=Mode.LOCAL)


@pytest.mark.parametrize("epsilon", [Fraction(0), Fraction(-1)])
@pytest.mark.parametrize("delta", [DELTA, Fraction(0)])
def test_refuses_impossible_goals(epsilon: Fraction, delta: Fraction) -> None:
    """Epsilon above 0, delta in (0, 1)."""
    with pytest.raises(PrivacyError, match="epsilon must be above 0"):
        calibrate(epsilon, delta, DEFAULT, mode=Mode.LOCAL)


def test_refuses_an_epsilon_that_no_multiplier_reaches() -> None:
    """Says so instead of searching for ever."""
    with pytest.raises(PrivacyError, match="epsilon is too small"):
        calibrate(Fraction(1, 10**7), Fraction(1, 10**9), DEFAULT, mode=Mode.LOCAL)


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "at least one question"),
        ([(ONE, Fraction(1, 2))], "add up to 1, got 1/2"),
        ([(ONE, Fraction(2)), (ONE, Fraction(-1))], "share above 0"),
        ([(Fraction(1, 2**17), ONE)], "clip must be at least"),
    ],
)
def test_refuses_wrong_questions(questions: list[tuple[Fraction, Fraction]], message: str) -> None:
    """Clips and shares are checked before any noise is computed."""
    with pytest.raises(PrivacyError, match=message):
        calibrate(ONE, DELTA, questions, mode=Mode.LOCAL)


@pytest.mark.parametrize("changes", [{"q": 2}, {"q": 0, "c": 0}, {"c": -1}, {"banks_per_person": 0}])
def test_refuses_impossible_quorums(changes: dict[str, int]) -> None:
    """Some noise must be honest."""
    with pytest.raises(PrivacyError, match=r"banks_per_person|need 0 <= c < q"):
        distributed(**changes)


@pytest.mark.parametrize(("mode", "retries"), [(Mode.LOCAL, 1), (Mode.DISTRIBUTED, -1)])
def test_refuses_wrong_retries(mode: Mode, retries: int) -> None:
    """Mode local has no retries to pay for."""
    with pytest.raises(PrivacyError, match="paid_retries"):
        calibrate(ONE, DELTA, DEFAULT, mode=mode, paid_retries=retries)


@pytest.mark.parametrize(("population", "warnings"), [(1000, 0), (10_000, 0), (10_001, 1), (100_000, 1)])
def test_delta_is_compared_with_the_population(population: int, warnings: int) -> None:
    """Above 1/(10 population) it is warned about."""
    assert len(check_delta(DELTA, population)) == warnings


def test_delta_above_one_over_population_is_refused() -> None:
    """Such a delta would allow one unit to be published."""
    with pytest.raises(PrivacyError, match="above 1/population = 1/100001"):
        check_delta(DELTA, 100_001)


def test_a_population_of_none_is_refused() -> None:
    """Population is at least 1."""
    with pytest.raises(PrivacyError, match="population must be 1 or more, got 0"):
        check_delta(DELTA, 0)


def test_sums_that_could_wrap_are_refused() -> None:
    """Population x Delta + 12 sigma must stay below 2^62."""
    budget = Budget((Noise(10**8, 2**20, 1),), 1, 1.0, ONE)
    check_wrap_around(budget, 2**41)
    with pytest.raises(PrivacyError, match=r"reaches 2\^62"):
        check_wrap_around(budget, 2**42)


def test_noise_counts_towards_the_wrap() -> None:
    """Noise of all banks together may reach the limit by itself."""
    budget = Budget((Noise(2**116, 1, 1),), 1, 1.0, ONE)
    check_wrap_around(budget, 1)
    with pytest.raises(PrivacyError, match=r"reaches 2\^62"):
        check_wrap_around(budget, 1, banks=100)
