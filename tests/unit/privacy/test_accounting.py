"""zCDP in whole numbers, against OpenDP's own map and dp-accounting."""

import decimal
import math
from fractions import Fraction

import dp_accounting
import numpy as np
import pytest
from dp_accounting import rdp
from hypothesis import given
from hypothesis import strategies as st
from opendp import prelude as dp

from tacit.privacy import accounting, calibration
from tacit.privacy.release import scale
from tacit.privacy.types import NANO, Mode, PrivacyError

DELTAS = st.sampled_from([Fraction(1, 10**power) for power in range(2, 10)])


@given(st.integers(1, 2**24), st.integers(10**4, 10**18), st.integers(1, 100))
def test_rho_is_the_exact_ceiling(sensitivity: int, variance: int, honest: int) -> None:
    """Rounded up to the next nano-rho, and by less than one."""
    exact = Fraction(sensitivity**2, 2 * honest * variance) * NANO
    assert 0 <= accounting.rho_nano(sensitivity, variance, honest) - exact < 1


@pytest.mark.parametrize("sensitivity", [1, 65536, 131072, 2**20])
@pytest.mark.parametrize("variance", [10**4, 99_980_001, 10**13 + 7, 2**61])
def test_rho_agrees_with_the_map_of_opendp(sensitivity: int, variance: int) -> None:
    """OpenDP's own zCDP of the mechanism that draws is at most ours, and ours at most a nano-rho above."""
    dp.enable_features("contrib")
    space = (dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="i64"))
    mapped = dp.m.make_gaussian(*space, scale=scale(variance)).map(sensitivity)
    ours = accounting.rho_nano(sensitivity, variance) / NANO
    assert mapped <= ours * (1 + 1e-12)
    assert ours - mapped <= 1.001 / NANO + mapped * 1e-9


def test_honest_shares_divide_the_cost() -> None:
    """The q - c shares of variance V are one Gaussian of (q - c) V."""
    assert accounting.rho_nano(131072, 10**13, 5) == accounting.rho_nano(131072, 5 * 10**13)


@pytest.mark.parametrize("arguments", [(-1, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_rho_refuses_arguments_outside_their_range(arguments: tuple[int, int, int]) -> None:
    """The message names the values."""
    with pytest.raises(PrivacyError, match="expected sensitivity"):
        accounting.rho_nano(*arguments)


def exact_epsilon(rho_nano: int, delta: Fraction) -> decimal.Decimal:
    """The accountant's formula (Canonne, Kamath, Steinke 2020, proposition 12) over its orders, to 50 digits."""
    with decimal.localcontext(decimal.Context(prec=50)):
        rho = decimal.Decimal(rho_nano) / NANO
        small = decimal.Decimal(delta.numerator) / delta.denominator
        orders = [decimal.Decimal(float(order)) for order in rdp.RdpAccountant()._orders]
        bounds = (rho * order + (1 - 1 / order).ln() - (small * order).ln() / (order - 1) for order in orders)
        return max(decimal.Decimal(0), *[min(bounds)])


@given(st.integers(1, 10**14), DELTAS)
def test_epsilon_is_never_below_the_truth(rho_nano: int, delta: Fraction) -> None:
    """Against 50 digits: not below, save where the accountant's KL bound gives less; above by 1e-9 at most."""
    epsilon = accounting.epsilon(rho_nano, delta)
    exact = exact_epsilon(rho_nano, delta)
    if delta**2 > 1.2 * rho_nano / NANO * 1024:
        assert epsilon <= max(float(exact), 0) + 1e-9
    elif epsilon > accounting.MARGIN:
        assert decimal.Decimal(epsilon) >= exact
        assert float(decimal.Decimal(epsilon) - exact) <= 1e-9 * max(1.0, epsilon)


def test_a_thousand_random_histories_agree_with_the_accountant() -> None:
    """The ledger's sum equals composing every release in dp-accounting, within 1e-9 and never below."""
    generator = np.random.default_rng(11)
    for _ in range(1000):
        sensitivities = 2 ** generator.integers(12, 18, size=generator.integers(1, 8))
        variances = generator.integers(10**9, 10**14, size=len(sensitivities))
        pairs = [(int(s), int(v)) for s, v in zip(sensitivities, variances, strict=True)]
        total = sum(accounting.rho_nano(s, v) for s, v in pairs)
        accountant = rdp.RdpAccountant()
        for s, v in pairs:
            accountant.compose(dp_accounting.ZCDpEvent(s**2 / (2 * v)))
        theirs, ours = accountant.get_epsilon(1e-5), accounting.epsilon(total, Fraction(1, 10**5))
        slack = 2e-9 * len(pairs) * (1 + math.sqrt(12 / max(total / NANO, 1e-9)))
        assert theirs <= ours <= theirs + slack


def test_no_spend_is_no_epsilon() -> None:
    """Zero rho is exactly zero epsilon."""
    assert accounting.epsilon(0, Fraction(1, 10**5)) == 0.0


@given(st.integers(0, 10**12), st.integers(0, 10**12), DELTAS)
def test_more_rho_is_never_less_epsilon(first: int, second: int, delta: Fraction) -> None:
    """Monotone, which the bisection of the calibration relies on."""
    low, high = sorted((first, second))
    assert accounting.epsilon(low, delta) <= accounting.epsilon(high, delta)


@pytest.mark.parametrize(("rho", "delta"), [(-1, Fraction(1, 2)), (1, Fraction(0)), (1, Fraction(1))])
def test_epsilon_refuses_arguments_outside_their_range(rho: int, delta: Fraction) -> None:
    """Negative spends and impossible deltas are refused."""
    with pytest.raises(PrivacyError, match="expected rho_nano"):
        accounting.epsilon(rho, delta)


def test_no_logarithm_of_the_c_library_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines whose libraries differ in the last bit find the same noise for the same plan."""
    questions = [(Fraction(1), Fraction(1, 4)), (Fraction(2), Fraction(3, 4))]
    goals = [Fraction(1, 3), Fraction(1), Fraction(8)]

    def budgets() -> list[calibration.Budget]:
        accounting._bounds.cache_clear()
        return [calibration.calibrate(goal, Fraction(1, 10**5), questions, mode=Mode.LOCAL) for goal in goals]

    before = budgets()
    for name in ("log", "log1p", "exp", "expm1", "pow"):
        monkeypatch.setattr(math, name, lambda *_: math.nan)
    assert budgets() == before


@pytest.mark.parametrize("precision", [6, 28])
def test_the_caller_s_decimal_context_changes_nothing(precision: int) -> None:
    """Nor does its rounding."""
    accounting._bounds.cache_clear()
    before = accounting.epsilon(10**8, Fraction(1, 10**5))
    accounting._bounds.cache_clear()
    with decimal.localcontext(decimal.Context(prec=precision, rounding=decimal.ROUND_UP)):
        assert accounting.epsilon(10**8, Fraction(1, 10**5)) == before


SIZES = st.integers(1, 2**24)
VARIANCES = st.integers(10**4, 10**18)


@given(SIZES, SIZES, VARIANCES)
def test_more_sensitivity_costs_more(one: int, other: int, variance: int) -> None:
    """Never less for a larger change of the sums."""
    low, high = sorted((one, other))
    assert accounting.rho_nano(low, variance) <= accounting.rho_nano(high, variance)


@given(SIZES, VARIANCES, VARIANCES, st.integers(1, 100))
def test_more_noise_costs_less(sensitivity: int, one: int, other: int, honest: int) -> None:
    """Never more for a larger variance, nor for one more honest share."""
    low, high = sorted((one, other))
    assert accounting.rho_nano(sensitivity, high, honest) <= accounting.rho_nano(sensitivity, low, honest)
    assert accounting.rho_nano(sensitivity, low, honest + 1) <= accounting.rho_nano(sensitivity, low, honest)


@given(st.lists(st.tuples(SIZES, VARIANCES), min_size=1, max_size=6))
def test_rounding_never_favours_splitting(releases: list[tuple[int, int]]) -> None:
    """A sum of booked costs is not below the booked exact sum, and above it by less than one nano each."""
    booked = sum(accounting.rho_nano(*item) for item in releases)
    exact = sum(Fraction(s * s, 2 * v) * NANO for s, v in releases)
    assert math.ceil(exact) <= booked < exact + len(releases)


@given(st.integers(1, 10**11), DELTAS, DELTAS)
def test_a_smaller_delta_is_a_larger_epsilon(rho_nano: int, one: Fraction, other: Fraction) -> None:
    """The same spending said with less room for failure."""
    low, high = sorted((one, other))
    assert accounting.epsilon(rho_nano, low) >= accounting.epsilon(rho_nano, high)


@pytest.mark.parametrize("epsilon", [Fraction(1, 2), Fraction(1), Fraction(8), Fraction(64)])
def test_a_cap_is_the_largest_cost_within_it(epsilon: Fraction) -> None:
    """One nano-rho more would be above the cap's epsilon."""
    delta = Fraction(1, 10**5)
    nano = accounting.cap_nano(epsilon, delta)
    assert accounting.epsilon(nano, delta) <= epsilon < accounting.epsilon(nano + 1, delta)
    assert 0 < nano < accounting.MOST_NANO


def test_a_cap_of_nothing_allows_nothing() -> None:
    """Epsilon 0 is no cost at all, and a delta that is none is refused."""
    assert accounting.cap_nano(Fraction(0), Fraction(1, 10**5)) == 0
    with pytest.raises(PrivacyError, match="delta"):
        accounting.cap_nano(Fraction(1), Fraction(0))


@pytest.mark.parametrize("delta", [Fraction(1, 10**5), Fraction(1, 10**9)])
def test_the_first_nano_already_counts(delta: Fraction) -> None:
    """Only an account that was never charged has epsilon 0."""
    assert accounting.epsilon(1, delta) > 0
