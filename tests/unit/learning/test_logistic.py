"""The optimiser: exactly the algorithm's arithmetic, in plain floats."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.learning import logistic
from tacit.learning.logistic import Descent
from tacit.learning.types import Learner, LearningError
from tacit.privacy.types import GRID

LEARNER = Learner(rounds=4, average=3)
SUMS = st.lists(st.integers(-(2**40), 2**40), min_size=3, max_size=3)


def run(gradients: list[list[int]], curvature: list[int], variance: int = 0, learner: Learner = LEARNER) -> Descent:
    """Folds a preconditioner and some gradients."""
    state = logistic.start(learner, len(curvature), 0.5).precondition(curvature)
    for gradient in gradients:
        state = state.descend(gradient, variance)
    return state


def test_starts_at_the_public_rate() -> None:
    """All weights 0, the intercept at margin / scale."""
    assert logistic.start(LEARNER, 3, 0.5).weights == (0.0, 0.0, float(Fraction("-4.59512")) / 0.5)


@pytest.mark.parametrize(("size", "scale"), [(0, 1.0), (1, 0.0), (1, -1.0)])
def test_refuses_an_empty_basis(size: int, scale: float) -> None:
    """At least an intercept, and a scale above 0."""
    with pytest.raises(LearningError, match="expected size >= 1"):
        logistic.start(LEARNER, size, scale)


@pytest.mark.parametrize(
    ("decoded", "expected"),
    [
        ([4.0, 0.0, -7.0], (4.0, 0.004, 0.004)),
        ([0.5, 0.25, 0.0], (0.5, 0.25, 0.001)),
        ([-1.0, -2.0, -3.0], (0.001, 0.001, 0.001)),
        ([5000.0, 1.0, 6.0], (5000.0, 5.0, 6.0)),
    ],
)
def test_curvature_has_a_floor(decoded: list[float], expected: tuple[float, ...]) -> None:
    """D_j = max(decoded_j, .001 max(max(decoded), 1)): noise cannot make a step explode."""
    state = logistic.start(LEARNER, 3, 0.5).precondition([int(value * GRID) for value in decoded])
    assert state.curvature == expected


def reference(gradients: list[list[int]], curvature: list[int], variance: int) -> list[list[float]]:
    """The specification's formulas in numpy, iterate by iterate."""
    decoded = np.array(curvature) / GRID
    d = np.maximum(decoded, 0.001 * max(decoded.max(), 1))
    m_diagonal = 1 / (d + 0.3 * d.mean() + 0.3 * math.isqrt(variance) / GRID)
    beta, m, iterates = np.array([0.0, 0.0, -4.59512 / 0.5]), np.zeros(3), []
    for r, gradient in enumerate(gradients, 1):
        m = 0.8 * m - m_diagonal * np.array(gradient) / GRID
        beta = beta + 0.5 * (1 - 0.5 * (r - 1) / 3) * m
        iterates.append(beta.tolist())
    return iterates


@given(st.lists(SUMS, min_size=4, max_size=4), SUMS, st.integers(0, 2**60))
def test_iterates_follow_the_formulas(gradients: list[list[int]], curvature: list[int], variance: int) -> None:
    """Preconditioner, momentum, step sizes and the mean of the last iterates."""
    iterates = reference(gradients, curvature, variance)
    state = run(gradients, curvature, variance)
    for column in range(3):
        assert state.weights[column] == pytest.approx(iterates[-1][column], rel=1e-9, abs=1e-9)
        mean = sum(iterate[column] for iterate in iterates[-3:]) / 3
        assert state.averaged().values[column] == pytest.approx(mean, rel=1e-9, abs=1e-9)


def test_noise_level_shortens_the_steps() -> None:
    """With kappa above 0, more achieved noise means smaller steps."""
    quiet, loud = (run([[GRID] * 3], [GRID] * 3, variance) for variance in (0, (10 * GRID) ** 2))
    assert abs(loud.weights[0]) < abs(quiet.weights[0]) / 3


def test_one_round_uses_the_full_damp() -> None:
    """R = 1 would divide by zero in a_r: it is damp."""
    learner = replace(LEARNER, rounds=1, average=1, kappa=Fraction(0))
    state = run([[-GRID, 0, 0]], [GRID, GRID, GRID], learner=learner)
    assert state.averaged().values[0] == 0.5 * (1.0 / 1.3)


def test_step_sizes_fall_to_half() -> None:
    """a_1 = damp and a_R = damp / 2."""
    state = logistic.start(LEARNER, 1, 1.0)
    assert [state._rate(number) for number in (1, 4)] == [0.5, 0.25]


def test_steps_do_not_grow_with_the_population() -> None:
    """Ten times the customers multiply curvature and gradient alike: the same iterate."""
    small = run([[3 * GRID, -GRID, GRID]], [50 * GRID, 7 * GRID, 9 * GRID])
    large = run([[30 * GRID, -10 * GRID, 10 * GRID]], [500 * GRID, 70 * GRID, 90 * GRID])
    assert large.weights == pytest.approx(small.weights, rel=1e-12)


def test_finds_the_minimum_of_a_quadratic() -> None:
    """Exact gradients of a badly scaled quadratic: the averaged result is near its minimum."""
    learner = replace(LEARNER, rounds=64, average=8, starting_margin=Fraction(0))
    curvature, target = np.array([1000.0, 10.0, 1.0]), np.array([1.0, -2.0, 0.5])
    state = logistic.start(learner, 3, 1.0).precondition((curvature * GRID).astype(int).tolist())
    for _ in range(64):
        gradient = curvature * (np.array(state.weights) - target) * GRID
        state = state.descend([int(value) for value in gradient], 0)
    assert state.averaged().values[0] == pytest.approx(1.0, abs=0.01)
    assert state.averaged().values[1] == pytest.approx(-2.0, abs=0.6)


def test_sums_are_added_left_to_right() -> None:
    """The built-in sum compensates from Python 3.12 on; here the order of additions is the definition."""
    assert logistic._total([1e16, 1.0, -1e16]) == 0.0
    assert logistic._total([]) == 0.0


def test_states_are_values() -> None:
    """Folding the same sums twice gives equal states; the old state is not changed."""
    first = logistic.start(LEARNER, 2, 1.0)
    second = first.precondition([GRID, GRID])
    assert first.curvature == ()
    assert second.descend([1, 2], 3) == second.descend([1, 2], 3)


def test_keeps_only_the_iterates_that_are_averaged() -> None:
    """State does not grow with the number of rounds."""
    assert len(run([[1, 2, 3]] * 4, [GRID] * 3).recent) == 3


@pytest.mark.parametrize("count", [0, 3])
def test_no_result_before_the_last_round(count: int) -> None:
    """An unfinished run has no model."""
    with pytest.raises(LearningError, match=f"only {count} of 4 gradient rounds"):
        run([[0, 0, 0]] * count, [1, 1, 1]).averaged()


def test_refuses_rounds_out_of_turn() -> None:
    """A gradient before the preconditioner, a second preconditioner, a gradient too many."""
    with pytest.raises(LearningError, match="no gradient is expected"):
        logistic.start(LEARNER, 3, 1.0).descend([0, 0, 0], 0)
    with pytest.raises(LearningError, match="released already"):
        run([], [1, 1, 1]).precondition([1, 1, 1])
    with pytest.raises(LearningError, match="after 4 of 4 rounds"):
        run([[0, 0, 0]] * 5, [1, 1, 1])


@pytest.mark.parametrize(("sums", "variance"), [([0, 0], 0), ([0] * 4, 0), ([0, 0, 0], -1)])
def test_refuses_sums_that_do_not_fit(sums: list[int], variance: int) -> None:
    """One sum per weight, and a variance of 0 or more."""
    with pytest.raises(LearningError, match=r"expected 3 sums|variance must be 0"):
        run([sums], [1, 1, 1], variance)
