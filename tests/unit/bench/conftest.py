"""Bench scripts import each other by name, as they do when they are run."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Loads a bench module by name."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module
