"""The noise of a plan."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


EPSILONS = st.fractions(Fraction(1, 4), 8, max_denominator=64)
SHARES = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(
    lambda parts: [Fraction(part, sum(parts)) for part in parts]
)
CLIPS = st.sampled_from([Fraction(1, 2), ONE, Fraction(2), Fraction(7, 3)])


def questions_of(shares: list[Fraction], clip: Fraction = ONE) -> list[tuple[Fraction, Fraction]]:
    """One question per share."""
    return [(clip, share) for share in shares]


@settings(max_examples=25)
@given(one=EPSILONS, other=EPSILONS)
def test_a_smaller_epsilon_takes_more_noise(one: Fraction, other: Fraction) -> None:
    """In every question; never less."""
    low, high = sorted((one, other))
    strict, loose = (calibrate(goal, DELTA, DEFAULT, mode=Mode.LOCAL) for goal in (low, high))
    assert strict.z >= loose.z
    assert all(a.variance >= b.variance for a, b in zip(strict.noises, loose.noises, strict=True))
    assert strict.reserved_rho_nano <= loose.reserved_rho_nano


@settings(max_examples=20)
@given(one=st.integers(3, 12), other=st.integers(3, 12))
def test_a_smaller_delta_takes_more_noise(one: int, other: int) -> None:
    """As epsilon does."""
    low, high = sorted((Fraction(1, 10**one), Fraction(1, 10**other)))
    assert calibrate(ONE, low, DEFAULT, mode=Mode.LOCAL).z >= calibrate(ONE, high, DEFAULT, mode=Mode.LOCAL).z


@settings(max_examples=40)
@given(shares=SHARES, clip=CLIPS, retries=st.integers(0, 3))
def test_the_reserve_covers_every_history(shares: list[Fraction], clip: Fraction, retries: int) -> None:
    """All questions once and the dearest again as often as was prepaid, whatever is asked twice."""
    found = calibrate(ONE, DELTA, questions_of(shares, clip), mode=Mode.DISTRIBUTED, q=4, c=1, paid_retries=retries)
    costs = sorted((noise.rho_nano for noise in found.noises), reverse=True)
    repeated = [costs[0]] * retries
    assert found.reserved_rho_nano == sum(costs) + sum(repeated) >= sum(costs)
    assert accounting.epsilon(sum(costs), DELTA) <= found.epsilon <= 1


@settings(max_examples=40)
@given(shares=SHARES)
def test_a_question_costs_its_share(shares: list[Fraction]) -> None:
    """Rho is split as the plan says, up to one grid step of a variance and one nano."""
    found = calibrate(ONE, DELTA, questions_of(shares), mode=Mode.LOCAL)
    for noise, share in zip(found.noises, shares, strict=True):
        assert noise.rho_nano == pytest.approx(float(share) * found.reserved_rho_nano, rel=1e-6, abs=len(shares) + 1)


@settings(max_examples=30)
@given(shares=SHARES, clip=CLIPS, seed=st.randoms(use_true_random=False))
def test_the_order_of_questions_changes_nothing(shares: list[Fraction], clip: Fraction, seed: random.Random) -> None:
    """The same noise for the same question; the same z, reserve and epsilon."""
    asked = [*questions_of(shares, clip)]
    shuffled = seed.sample(asked, len(asked))
    one, other = (calibrate(ONE, DELTA, order, mode=Mode.LOCAL) for order in (asked, shuffled))
    assert (one.z, one.reserved_rho_nano, one.epsilon) == (other.z, other.reserved_rho_nano, other.epsilon)
    assert dict(zip(asked, one.noises, strict=True)) == dict(zip(shuffled, other.noises, strict=True))


@settings(max_examples=30)
@given(clip=CLIPS, factor=st.integers(2, 6))
def test_noise_grows_with_the_clip_alone(clip: Fraction, factor: int) -> None:
    """The multiplier and the cost stay: noise is proportional to what one unit may add."""
    one = calibrate(ONE, DELTA, [(clip, ONE)], mode=Mode.LOCAL)
    other = calibrate(ONE, DELTA, [(factor * clip, ONE)], mode=Mode.LOCAL)
    ratio = Fraction(other.noises[0].sensitivity, one.noises[0].sensitivity) ** 2
    assert other.z == one.z
    assert other.noises[0].variance == pytest.approx(float(ratio * one.noises[0].variance), rel=1e-6)


@pytest.mark.parametrize(("q", "c"), [(1, 0), (3, 1), (7, 2), (67, 20)])
def test_shares_of_the_noise_add_up_to_that_of_one_bank(q: int, c: int) -> None:
    """Of q - c honest banks; the others' noise is a gift."""
    alone = calibrate(ONE, DELTA, [(ONE, ONE)], mode=Mode.LOCAL)
    shared = calibrate(ONE, DELTA, [(ONE, ONE)], mode=Mode.DISTRIBUTED, q=q, c=c)
    total = (q - c) * shared.noises[0].variance
    assert shared.z == alone.z
    assert alone.noises[0].variance <= total < alone.noises[0].variance + q


@pytest.mark.parametrize("mode", list(Mode))
def test_quorums_mean_nothing_in_mode_local(mode: Mode) -> None:
    """There every bank adds the full noise, whoever else takes part."""
    one = calibrate(ONE, DELTA, DEFAULT, mode=mode, q=7, c=2)
    other = calibrate(ONE, DELTA, DEFAULT, mode=mode, q=9, c=1)
    assert (one == other) is (mode is Mode.LOCAL)
