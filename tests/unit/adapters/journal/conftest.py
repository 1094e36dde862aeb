"""A fresh bank for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from journal_cases import Bank, open_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "journal.sqlite"


@pytest.fixture
def bank(path: Path) -> Iterator[Bank]:
    """A bank with an empty journal and an empty topic."""
    fresh = Bank(open_journal(path))
    yield fresh
    fresh.journal.close()
