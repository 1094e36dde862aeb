"""Fixtures of the registry: one finished federation a session, a copy of its log a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_cases import Case, Desk, make_case


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """A federation whose runs are over."""
    yield from make_case(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def desk(case: Case, tmp_path: Path) -> Iterator[Desk]:
    """Surroundings of a registry, with all runs on the log."""
    made = Desk(case, case.log(), tmp_path)
    yield made
    made.close()
