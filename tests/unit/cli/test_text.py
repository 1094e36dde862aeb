"""Pieces of help text."""

import pytest

from tacit.cli.text import epsilon, examples


def test_examples_keep_their_lines() -> None:
    """The help's wrapping leaves a paragraph alone that begins with a backspace."""
    assert examples("tacit a", "tacit b") == "\b\nExamples:\n  tacit a\n  tacit b"


@pytest.mark.parametrize(("value", "shown"), [(0.0, "0.000000"), (0.9999991, "1.000000"), (1.5, "1.500000")])
def test_epsilon_is_never_printed_below_what_it_is(value: float, shown: str) -> None:
    """Rounded up at the sixth place."""
    assert epsilon(value) == shown
    assert float(epsilon(value)) >= value
