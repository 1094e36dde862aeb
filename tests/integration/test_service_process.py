"""A service as a real process: probes over HTTP, signals from outside, a supervisor above it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tacit.cli.supervise import Child, Supervisor
from tacit.runtime.bound_ports import read_ports
from tacit.runtime.exit_codes import ExitCode

pytestmark = pytest.mark.integration

SERVICE = """
import pathlib, sys, time
from tacit.runtime.clock import SystemClock
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.health import Status, health_app
from tacit.runtime.http_server import HttpServer
from tacit.runtime.lifecycle import Service, run_process
from tacit.runtime.log import LogUnavailableError
from tacit.runtime.loop import LOOP_METRICS
from tacit.runtime.observing import LOG_LINES, Metrics, configure_logging, count_log_lines
from tacit.runtime.settings import HttpSettings, Settings, announce, load

class ProcessSettings(Settings):
    http: HttpSettings = HttpSettings()
    away: pathlib.Path

def main() -> ExitCode:
    settings = load(ProcessSettings)
    configure_logging(settings.log_level, service="tiny")
    announce(settings)
    metrics = Metrics((*LOOP_METRICS, LOG_LINES))
    count_log_lines(metrics)
    clock = SystemClock()
    status = Status(clock)

    def step(timeout: float) -> None:
        if settings.away.exists():
            raise LogUnavailableError("the test took the log away")
        time.sleep(0.02)

    server = HttpServer(health_app(status.live, status.ready, metrics.expose), settings.http.host, settings.http.port)
    closed = lambda: print('{"event": "closed"}', flush=True)
    service = Service("tiny", step, closed, {"tiny": server}, clock, status=status, metrics=metrics,
                      ports_file=settings.ports_file)
    return service.run()

configure_logging()
sys.exit(run_process(main))
"""


def eventually(holds: Callable[[], bool]) -> None:
    """Waits for another process, at most twenty seconds."""
    until = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < until, "nothing happened in twenty seconds"
        time.sleep(0.02)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What the service is told."""
    return {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TACIT_AWAY": str(tmp_path / "away"),
        "TACIT_PORTS_FILE": str(tmp_path / "ports.json"),
    }


@pytest.fixture
def process(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """The service, killed in the end if it still runs."""
    with subprocess.Popen(  # noqa: S603  this interpreter
        [sys.executable, "-c", SERVICE], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as started:
        yield started
        if started.poll() is None:
            started.kill()


def probe(tmp_path: Path, path: str) -> int:
    """Status of a probe, 0 while nobody listens."""
    ports = read_ports(tmp_path / "ports.json")
    if "tiny" not in ports:
        return 0
    try:
        return httpx.get(f"http://127.0.0.1:{ports['tiny']}{path}").status_code
    except httpx.TransportError:
        return 0


def events(process: "subprocess.Popen[str]") -> list[str]:
    """Events of a process that has ended: every line it wrote is one JSON object."""
    assert process.stdout is not None
    return [json.loads(line)["event"] for line in process.stdout.read().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_ends_clean(
    tmp_path: Path, process: "subprocess.Popen[str]", number: signal.Signals
) -> None:
    """Ready, then one signal: everything closes in order, the port leaves the file, exit 0."""
    eventually(lambda: probe(tmp_path, "/readyz") == 200)
    assert probe(tmp_path, "/livez") == 200
    process.send_signal(number)
    assert process.wait(20) == ExitCode.OK
    assert events(process) == ["settings_loaded", "service_started", "closed", "service_stopped"]
    assert read_ports(tmp_path / "ports.json") == {}


def test_an_outage_shows_in_readiness_and_metrics_and_passes(tmp_path: Path, process: "subprocess.Popen[str]") -> None:
    """Not ready but alive while the log is away; ready again by itself."""
    eventually(lambda: probe(tmp_path, "/readyz") == 200)
    (tmp_path / "away").touch()
    eventually(lambda: probe(tmp_path, "/readyz") == 503)
    assert probe(tmp_path, "/livez") == 200
    port = read_ports(tmp_path / "ports.json")["tiny"]
    shown = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert "tacit_log_outages_total 1.0" in shown
    assert 'tacit_log_lines_total{level="warning"} 1.0' in shown
    (tmp_path / "away").unlink()
    eventually(lambda: probe(tmp_path, "/readyz") == 200)
    process.terminate()
    process.wait(20)
    found = events(process)
    assert (found.count("log_unavailable"), found.count("log_available")) == (1, 1)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"TACIT_HTTP__PORT": "70000"}, ExitCode.USAGE), ({"TACIT_HTTP__HOST": "192.0.2.1"}, ExitCode.UNAVAILABLE)],
)
def test_a_start_that_fails_has_its_code_and_one_line(
    environment: dict[str, str], change: dict[str, str], code: ExitCode
) -> None:
    """Wrong settings and an address of another machine."""
    done = subprocess.run(  # noqa: S603  this interpreter
        [sys.executable, "-c", SERVICE],
        env={**os.environ, **environment, **change},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("process_failed", int(code))


def test_a_supervised_service_survives_a_kill(tmp_path: Path, environment: dict[str, str]) -> None:
    """SIGKILL from outside: it is back, on a new port that the file names."""
    child = Child("tiny", (sys.executable, "-c", SERVICE), environment)
    with Supervisor([child], tmp_path / "logs") as supervisor:
        eventually(lambda: probe(tmp_path, "/readyz") == 200)
        (first,) = supervisor.poll()
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        eventually(lambda: supervisor.poll()[0].restarts == 1 and probe(tmp_path, "/readyz") == 200)
        (second,) = supervisor.poll()
        assert second.pid not in {None, first.pid}
        assert second.last_exit == -signal.SIGKILL
    assert supervisor.poll()[0].last_exit == ExitCode.OK
    assert (tmp_path / "logs" / "tiny.log").read_text().count("service_started") == 2
