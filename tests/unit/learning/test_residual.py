"""Where the trees of a bank's own model start."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.learning.residual import base_margin, mean_share
from tacit.learning.types import LearningError


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_type_of_the_margins_stays(kind: type) -> None:
    """Training rounds to float32 before it multiplies, scoring does not: each in its own type."""
    found = base_margin(np.array([1.0, -3.0, 0.1], dtype=kind), 0.5)
    assert found.dtype == kind
    assert found.tolist() == (np.array([1.0, -3.0, 0.1], dtype=kind) * kind(0.5)).tolist()


@given(margin=st.floats(-1e6, 1e6), share=st.floats(0, 1))
def test_one_row_is_as_many(margin: float, share: float) -> None:
    """The bits of a single margin are those of a batch."""
    assert base_margin(margin, share) == base_margin(np.array([margin]), share)[0]


def test_the_share_of_a_mean() -> None:
    """Alone and a residual start from half the margin; one model starts from its own share."""
    assert mean_share([0.0, 1.0]) == 0.5
    assert mean_share([1.0]) == 1.0


def test_no_models_have_no_mean() -> None:
    """An empty list is a mistake of the caller."""
    with pytest.raises(LearningError, match="no models"):
        mean_share([])
