"""Pieces of help text."""

from tacit.cli.text import examples


def test_examples_keep_their_lines() -> None:
    """The help's wrapping leaves a paragraph alone that begins with a backspace."""
    assert examples("tacit a", "tacit b") == "\b\nExamples:\n  tacit a\n  tacit b"
