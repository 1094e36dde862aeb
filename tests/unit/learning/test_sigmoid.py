"""The sigmoid: close to the true value, and the same bits wherever a row stands."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.learning.sigmoid import sigmoid
from tacit.learning.types import LearningError

MARGINS = st.floats(-800, 800)


@given(st.lists(MARGINS, min_size=1, max_size=40), st.integers(0, 9000))
def test_bits_do_not_depend_on_position(values: list[float], offset: int) -> None:
    """A row alone, or behind any number of other rows, has the same bits."""
    rows = np.array(values)
    padded = np.concatenate([np.linspace(-30, 30, offset), rows])
    alone = np.concatenate([sigmoid(rows[i : i + 1]) for i in range(rows.shape[0])])
    assert sigmoid(padded)[offset:].tobytes() == alone.tobytes()


def test_strided_input_has_the_same_bits() -> None:
    """A view with gaps gives the bits of its copy."""
    rows = np.random.default_rng(3).normal(0, 5, 1001)
    assert sigmoid(rows[::3]).tobytes() == sigmoid(rows[::3].copy()).tobytes()


def test_matches_the_mathematical_value() -> None:
    """Relative error against the scalar library function stays below 1e-15."""
    rows = np.random.default_rng(1).uniform(-700, 700, 20_000)
    small = [math.exp(-abs(value)) for value in rows]
    truth = np.array([(1 if value >= 0 else e) / (1 + e) for value, e in zip(rows, small, strict=True)])
    assert np.max(np.abs(sigmoid(rows) / truth - 1)) < 1e-15


@given(MARGINS)
def test_is_symmetric(value: float) -> None:
    """sigmoid(-m) = 1 - sigmoid(m) up to rounding."""
    both = sigmoid(np.array([value, -value]))
    assert abs(both.sum() - 1.0) < 3e-16


def test_rises_and_stays_in_range() -> None:
    """Values rise with the margin, from above 0 up to 1."""
    values = sigmoid(np.linspace(-750, 750, 30_001))
    assert np.all(np.diff(values) >= 0)
    assert values[0] > 0
    assert values[-1] == 1
    assert sigmoid(np.zeros(1))[0] == 0.5


def test_known_bits() -> None:
    """Published bits: a change of the arithmetic would change every federated run."""
    values = sigmoid(np.array([-4.59512, -1.0, 0.3, 7.25]))
    assert [value.hex() for value in values.tolist()] == [
        "0x1.47ae114b39a66p-7",
        "0x1.136561454ba86p-2",
        "0x1.261d545e46a8bp-1",
        "0x1.ffa2fb69b099ep-1",
    ]


def test_of_nothing_is_nothing() -> None:
    """No rows give no values."""
    assert sigmoid(np.empty(0)).shape == (0,)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_refuses_what_is_not_finite(bad: float) -> None:
    """NaN and infinity are named, not spread."""
    with pytest.raises(LearningError, match="finite"):
        sigmoid(np.array([0.0, bad]))
