"""Fixtures of the process plumbing."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from fake_clock import FakeClock
from tacit.runtime.observing import configure_logging


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still unless moved."""
    return FakeClock()


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, object]]]]:
    """Captures logs as JSON; call it for the lines so far."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    stream = io.StringIO()
    configure_logging("debug", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
