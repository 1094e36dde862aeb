"""Runs by functions: who adds how much noise, splits, and orders of rows."""

from collections.abc import Callable
from fractions import Fraction
from types import ModuleType

import numpy as np
import pytest

from tacit.features.types import Encoded
from tacit.privacy.types import Mode

Load = Callable[[str], ModuleType]


@pytest.mark.parametrize(("banks", "q", "c"), [(3, 3, 1), (5, 4, 1), (10, 7, 2), (20, 14, 4)])
def test_default_quorum(bench: Load, banks: int, q: int, c: int) -> None:
    """The defaults of protocol 1."""
    setting = bench("learning").distributed(Fraction(1), banks)
    assert (setting.q, setting.c, setting.mode, setting.paid_retries) == (q, c, Mode.DISTRIBUTED, 2)


def test_split_keeps_every_row_once(bench: Load) -> None:
    """Rows go to their bank, each a unit of its own; a bank may be empty."""
    rows = Encoded(np.arange(12, dtype=np.uint8).reshape(2, 6), np.arange(7), np.array([0, 1, 0, 0, 1, 1], np.uint8))
    parts = bench("learning").split(rows, np.array([0, 2, 0, 2, 2, 0]), 3)
    assert [part.bins[0].tolist() for part in parts] == [[0, 2, 5], [], [1, 3, 4]]
    assert [part.labels.tolist() for part in parts] == [[0, 0, 1], [], [1, 0, 1]]
    assert [part.units for part in parts] == [3, 0, 3]


def test_permuting_keeps_units_together(bench: Load) -> None:
    """The units asked for come in that order, each with all of its rows."""
    rows = Encoded(np.arange(6, dtype=np.uint8)[None], np.array([0, 1, 3, 6]), np.arange(6, dtype=np.uint8) % 2)
    made = bench("exactness").permuted(rows, np.array([2, 0]), np.random.default_rng(0))
    assert made.starts.tolist() == [0, 3, 4]
    assert sorted(made.bins[0, :3].tolist()) == [3, 4, 5]
    assert made.bins[0, 3] == 0
    assert (made.labels == made.bins[0] % 2).all()


def test_unknown_benches_are_refused(bench: Load, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong name runs nothing and lists the right ones."""
    assert bench("run").main(["quality-week"]) == 2
    assert "quality_week" in capsys.readouterr().err
