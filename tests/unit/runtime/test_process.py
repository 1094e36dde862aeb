"""The start of a process: logs, metrics, faults, in this order."""

from collections.abc import Iterator

import pytest
import structlog

from tacit.runtime import faults
from tacit.runtime.loop import LOOP_METRICS
from tacit.runtime.observing import LOG_LINES, Metrics, get_logger
from tacit.runtime.process import begin
from tacit.runtime.settings import Settings

TABLE = (*LOOP_METRICS, LOG_LINES)


@pytest.fixture(autouse=True)
def _as_before(lines: object) -> Iterator[None]:
    """The fixture of captured lines puts logging back as it was; no fault stays armed."""
    yield
    faults.install({})


def started(capsys: pytest.CaptureFixture[str]) -> tuple[Metrics, list[str]]:
    """Begins a process; its metrics and its log lines, a warning of somebody's included."""
    measured = begin(Settings(log_level="info"), "registry", TABLE)
    structlog.stdlib.get_logger("tacit.test").warning("somebody_warned")
    get_logger("tacit.test").debug("too_quiet")
    return measured, capsys.readouterr().out.splitlines()


def test_every_line_names_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    """The settings come first; lines below the level do not come."""
    _, said = started(capsys)
    assert [word in line for word, line in zip(("settings_loaded", "somebody_warned"), said, strict=True)] == [True] * 2
    assert all('"service": "registry"' in line for line in said)


def test_warnings_are_counted_from_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    """The metrics are those of the table, and they hear the log."""
    measured, _ = started(capsys)
    assert measured.table == TABLE
    assert 'tacit_log_lines_total{level="warning"} 1.0' in measured.expose().decode()


def test_a_fault_of_the_environment_is_armed_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the second variable the process does not start."""
    monkeypatch.setenv(faults.FAULT, "before-commit")
    monkeypatch.delenv(faults.ALLOW, raising=False)
    with pytest.raises(faults.FaultError, match="before-commit"):
        begin(Settings(), "registry", TABLE)
    monkeypatch.setenv(faults.ALLOW, "1")
    begin(Settings(), "registry", TABLE)
    assert faults._Armed.point == "before-commit"
