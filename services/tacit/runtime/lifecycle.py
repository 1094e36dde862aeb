"""From start to exit code: signals, probes, the loop, and closing in order.

SIGTERM or SIGINT: readiness false, the current step finishes, servers drain, `close`, exit 0. A step that outlasts the
drain time, or meets a second signal, is abandoned: everything that a step does may be repeated after a restart.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from tacit.runtime.bound_ports import add_ports, remove_ports
from tacit.runtime.clock import Clock
from tacit.runtime.exit_codes import ExitCode, known_code
from tacit.runtime.health import Status
from tacit.runtime.http_server import ServerError
from tacit.runtime.loop import Loop
from tacit.runtime.observing import Metrics, get_logger

STEP_SECONDS = 1.0
"""Longest time that a step waits for work, and so the usual delay of a stop."""

DRAIN_SECONDS = 25.0
"""Longest time from a signal to the end of the step; with servers and `close` it stays below 30 s."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = get_logger(__name__)


class Server(Protocol):
    """What a service starts before its loop and stops after it; `runtime.http_server.HttpServer` is one."""

    @property
    def running(self) -> bool:
        """Whether requests are answered."""

    def start(self) -> int:
        """Listens and returns the port."""

    def stop(self) -> None:
        """Finishes running requests and stops."""


class _AbandonedError(BaseException):
    """Ends a step from a signal handler; a step's own `except Exception` does not catch it."""


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code of an error that ended a process before or outside its loop; `FATAL` for an unknown one."""
    code = known_code(error)
    return code if code is not None else ExitCode.FATAL


def run_process(body: Callable[[], ExitCode]) -> ExitCode:
    """Runs a process's `main`; an error becomes one log line, `process_failed`, and its exit code."""
    try:
        return body()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the last handler of the process
        code = exit_code_of(error)
        _log.critical("process_failed", error=str(error), exit_code=int(code), exc_info=code is ExitCode.FATAL)
        return code


class Service:
    """A process with one loop in its main thread and its servers beside it.

    Args:
        name: Name in logs.
        step: Does one piece of work, waiting at most the given seconds for it; may be repeated after any failure.
        close: Flushes and releases everything; called once, whatever happened.
        servers: Servers by the name under which their port is written.
        clock: Time.
        status: What the probes look at; a new one if None.
        metrics: Must hold `runtime.loop.LOOP_METRICS`; None counts nothing.
        ports_file: `ports.json` to write bound ports to, None for none.
        drain_seconds: Longest time from a signal to the end of the step, above 0.

    Attributes:
        status: As given, or made.

    Raises:
        ValueError: If `drain_seconds` is not above 0.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[float], None],
        close: Callable[[], None],
        servers: Mapping[str, Server],
        clock: Clock,
        *,
        status: Status | None = None,
        metrics: Metrics | None = None,
        ports_file: Path | None = None,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        if not drain_seconds > 0.0:
            raise ValueError(f"drain time {drain_seconds} s: must be above 0")
        self.status = status if status is not None else Status(clock)
        self._name, self._close, self._servers, self._ports_file = name, close, servers, ports_file
        self._loop = Loop(step, clock, self.status, metrics)
        self._drain = drain_seconds
        self._ports: dict[str, int] = {}
        self._signalled = False

    def stop(self) -> None:
        """Asks the loop to end after its current step; may be called from any thread or handler."""
        self.status.stopping = True

    def run(self) -> ExitCode:
        """Serves until a signal or `stop`.

        Returns:
            `OK` after a stop, `TEMPORARY` if a step had to be abandoned, `FATAL` after an unexpected error of a step or
            of `close`, which is logged as `service_failed` or `close_failed`.

        Raises:
            ServerError: If a server cannot start; everything is closed then.
            PortsFileError: If `ports_file` cannot be written.
        """
        code = ExitCode.FATAL
        with self._signals():
            try:
                self._start_servers()
                code = self._serve()
            except _AbandonedError:
                _log.warning("step_abandoned", service=self._name, drain_seconds=self._drain)
                code = ExitCode.TEMPORARY
            finally:
                code = self._shut(code)
        _log.info("service_stopped", service=self._name, exit_code=int(code))
        return code

    def _serve(self) -> ExitCode:
        _log.info("service_started", service=self._name, ports=self._ports)
        try:
            while not self.status.stopping:
                self._check_servers()
                self._loop.turn(STEP_SECONDS)
        except Exception as error:  # noqa: BLE001  the last handler of the loop
            _log.critical("service_failed", service=self._name, error=type(error).__name__, exc_info=True)
            return ExitCode.FATAL
        return ExitCode.OK

    def _start_servers(self) -> None:
        for name, server in self._servers.items():
            self._ports[name] = server.start()
        if self._ports_file is not None:
            add_ports(self._ports_file, self._ports)

    def _started_all(self) -> bool:
        return len(self._ports) == len(self._servers)

    def _check_servers(self) -> None:
        for name, server in self._servers.items():
            if not server.running:
                raise ServerError(f"the server {name!r} on port {self._ports[name]} ended by itself")

    def _shut(self, code: ExitCode) -> ExitCode:
        self.status.stopping = True
        try:
            for name in self._ports:
                self._servers[name].stop()
            if self._ports_file is not None and self._started_all():
                remove_ports(self._ports_file, self._ports)
            self._close()
        except _AbandonedError:
            _log.warning("close_abandoned", service=self._name, drain_seconds=self._drain)
            return ExitCode.TEMPORARY
        except Exception as error:  # noqa: BLE001  the process ends anyway, with its code
            _log.critical("close_failed", service=self._name, error=type(error).__name__, exc_info=True)
            return ExitCode.FATAL
        return code

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_stop) for number in _STOP_SIGNALS}
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _abandon)
        timer = signal.getitimer(signal.ITIMER_REAL)
        try:
            yield
        finally:
            # Any alarm from here on belongs to whoever set one before.
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.setitimer(signal.ITIMER_REAL, *timer)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        # No log line and no lock here: the handler may have interrupted the holder of either.
        if self._signalled:
            _abandon(number, frame)
        self._signalled = self.status.stopping = True
        signal.setitimer(signal.ITIMER_REAL, self._drain)


def _abandon(_number: int, _frame: FrameType | None) -> None:
    raise _AbandonedError
