"""A service's life with real signals to this process."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_clock import FakeClock
from tacit.runtime.bound_ports import add_ports, read_ports
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.http_server import PortTakenError, ServerError
from tacit.runtime.lifecycle import Service, exit_code_of, run_process
from tacit.runtime.log import LogDeniedError, LogUnavailableError
from tacit.runtime.settings import SettingsError

Lines = Callable[[], list[dict[str, object]]]


class FakeServer:
    """A server that notes what happens to it."""

    def __init__(self, story: list[str], port: int = 4000, error: Exception | None = None) -> None:
        self.story, self.port, self.error = story, port, error
        self.running = False

    def start(self) -> int:
        """Starts, or fails as told."""
        if self.error is not None:
            raise self.error
        self.running = True
        self.story.append(f"start {self.port}")
        return self.port

    def stop(self) -> None:
        """Stops."""
        self.running = False
        self.story.append(f"stop {self.port}")


class Steps:
    """Steps that do what a list of actions says, then end the service."""

    def __init__(self, story: list[str], *actions: Callable[[], object]) -> None:
        self.story, self.actions = story, list(actions)

    def __call__(self, timeout: float) -> None:
        """One step."""
        assert timeout == 1.0
        self.story.append("step begins")
        self.actions.pop(0)()
        self.story.append("step ends")


def send(number: signal.Signals) -> Callable[[], None]:
    """An action that signals this process."""
    return lambda: os.kill(os.getpid(), number)


def fail(error: BaseException) -> Callable[[], None]:
    """An action that raises."""

    def action() -> None:
        raise error

    return action


@pytest.fixture
def story() -> list[str]:
    """What happened, in order."""
    return []


def service_of(
    story: list[str], clock: FakeClock, *actions: Callable[[], object], ports_file: Path | None = None
) -> Service:
    """A service with one server that closes into the story."""
    return Service(
        "trainer",
        Steps(story, *actions),
        lambda: story.append("close"),
        {"trainer": FakeServer(story)},
        clock,
        ports_file=ports_file,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_after_the_step_in_order(story: list[str], clock: FakeClock, number: signal.Signals) -> None:
    """The step finishes, servers drain, then everything closes; exit 0."""
    service = service_of(story, clock, lambda: None, send(number))
    assert service.run() is ExitCode.OK
    assert story == ["start 4000", *["step begins", "step ends"] * 2, "stop 4000", "close"]


def test_readiness_ends_with_the_signal(story: list[str], clock: FakeClock) -> None:
    """Before the step is over nobody sends work here."""
    seen: list[tuple[bool, str]] = []

    def step() -> None:
        send(signal.SIGTERM)()
        seen.append(service.status.ready())

    service = service_of(story, clock, lambda: None, step)
    service.run()
    assert seen == [(False, "stopping")]


def test_a_second_signal_abandons_the_step(story: list[str], clock: FakeClock, lines: Lines) -> None:
    """The step does not end, the rest closes, and the code says try again."""
    service = service_of(story, clock, lambda: (send(signal.SIGINT)(), send(signal.SIGINT)()))
    assert service.run() is ExitCode.TEMPORARY
    assert story == ["start 4000", "step begins", "stop 4000", "close"]
    assert [line["event"] for line in lines()] == ["service_started", "step_abandoned", "service_stopped"]


def test_a_step_that_outlasts_the_drain_time_is_abandoned(story: list[str], clock: FakeClock) -> None:
    """Fault 37: the alarm ends what SIGTERM could not, although the step catches every Exception."""

    def stubborn() -> None:
        send(signal.SIGTERM)()
        while True:
            with contextlib.suppress(Exception):
                signal.pause()

    service = Service("t", Steps(story, stubborn), lambda: story.append("close"), {}, clock, drain_seconds=0.05)
    assert service.run() is ExitCode.TEMPORARY
    assert story == ["step begins", "close"]


def test_a_close_that_hangs_is_abandoned(story: list[str], clock: FakeClock, lines: Lines) -> None:
    """The drain time covers closing as well."""
    steps = Steps(story, send(signal.SIGTERM))
    service = Service("t", steps, signal.pause, {}, clock, drain_seconds=0.05)
    assert service.run() is ExitCode.TEMPORARY
    assert "close_abandoned" in [line["event"] for line in lines()]


def test_handlers_and_timer_are_given_back(story: list[str], clock: FakeClock) -> None:
    """A test runner or an outer loop finds its own again."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)]
    armed = signal.getitimer(signal.ITIMER_REAL)[0] > 0.0
    service_of(story, clock, send(signal.SIGTERM)).run()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)] == before
    assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0.0) == armed


def test_a_log_that_is_away_is_no_end(story: list[str], clock: FakeClock) -> None:
    """The step is tried again."""
    service = service_of(story, clock, fail(LogUnavailableError("away")), send(signal.SIGTERM))
    assert service.run() is ExitCode.OK
    assert story.count("step begins") == 2


def test_any_other_error_is_fatal(story: list[str], clock: FakeClock, lines: Lines) -> None:
    """Logged with its trace, everything closed, exit 70."""
    assert service_of(story, clock, fail(ValueError("bug"))).run() is ExitCode.FATAL
    assert story == ["start 4000", "step begins", "stop 4000", "close"]
    (line,) = [line for line in lines() if line["event"] == "service_failed"]
    assert (line["error"], line["level"]) == ("ValueError", "critical")
    assert "bug" in str(line["exception"])


def test_a_server_that_dies_is_fatal(story: list[str], clock: FakeClock, lines: Lines) -> None:
    """A process without its port must not look healthy."""
    server = FakeServer(story)
    steps = Steps(story, lambda: setattr(server, "running", False))
    service = Service("t", steps, lambda: story.append("close"), {"api": server}, clock)
    assert service.run() is ExitCode.FATAL
    assert story == ["start 4000", "step begins", "step ends", "stop 4000", "close"]
    assert "ServerError" in [line.get("error") for line in lines()]


def test_a_failing_close_is_fatal(story: list[str], clock: FakeClock, lines: Lines) -> None:
    """What was not flushed is not a clean end."""
    service = Service("t", Steps(story, send(signal.SIGTERM)), fail(OSError("disk full")), {}, clock)
    assert service.run() is ExitCode.FATAL
    assert "close_failed" in [line["event"] for line in lines()]


def test_a_server_that_cannot_start_ends_the_start(story: list[str], clock: FakeClock) -> None:
    """Started ones stop, everything closes, and the error reaches `main`."""
    servers = {"api": FakeServer(story), "health": FakeServer(story, 1, PortTakenError("port 1"))}
    service = Service("t", Steps(story), lambda: story.append("close"), servers, clock)
    with pytest.raises(PortTakenError):
        service.run()
    assert story == ["start 4000", "stop 4000", "close"]


def test_stop_works_without_a_signal(story: list[str], clock: FakeClock) -> None:
    """Embedding code stops a service by a call; a first signal then still only asks."""

    def step() -> None:
        service.stop()
        send(signal.SIGTERM)()

    service = service_of(story, clock, step)
    assert service.run() is ExitCode.OK


def test_ports_are_written_while_it_serves(story: list[str], clock: FakeClock, tmp_path: Path) -> None:
    """The file names the port from before the first step until the end; others' entries stay."""
    file = tmp_path / "ports.json"
    add_ports(file, {"scorer": 1})
    seen: list[dict[str, int]] = []
    actions = (lambda: seen.append(read_ports(file)), send(signal.SIGTERM))
    service_of(story, clock, *actions, ports_file=file).run()
    assert seen == [{"scorer": 1, "trainer": 4000}]
    assert read_ports(file) == {"scorer": 1}


def test_drain_times_are_positive(clock: FakeClock) -> None:
    """Zero would never fire."""
    with pytest.raises(ValueError, match="above 0"):
        Service("t", lambda _: None, lambda: None, {}, clock, drain_seconds=0.0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("x"), ExitCode.USAGE),
        (PortTakenError("x"), ExitCode.TEMPORARY),
        (LogUnavailableError("x"), ExitCode.TEMPORARY),
        (LogDeniedError("x"), ExitCode.DENIED),
        (ServerError("x"), ExitCode.UNAVAILABLE),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (ValueError("x"), ExitCode.FATAL),
    ],
)
def test_every_end_has_its_code(error: BaseException, code: ExitCode, lines: Lines) -> None:
    """One table, for `main` as for the loop; one line says why."""
    assert exit_code_of(error) is code
    assert run_process(fail(error)) is code  # type: ignore[arg-type]
    (line,) = lines()
    assert (line["event"], line["exit_code"]) == ("process_failed", int(code))
    assert ("exception" in line) == (code is ExitCode.FATAL)


def test_a_process_that_ends_well_returns_its_code() -> None:
    """Nothing is added."""
    assert run_process(lambda: ExitCode.OK) is ExitCode.OK
