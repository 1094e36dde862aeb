"""Starts the processes of a demo, restarts what dies, and ends everything exactly once.

Each child leads a process group of its own, so that Ctrl-C reaches the supervisor alone, and on Linux the kernel kills
it if the supervisor dies in any way. Only processes started here are ever signalled.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from tacit.runtime.clock import Clock, SystemClock
from tacit.runtime.loop import Backoff

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
"""Seconds before the first restart, and the most."""

STEADY_SECONDS = 60.0
"""A child that lived this long starts over with the first pause."""

STOP_SECONDS = 30.0
"""Longest time from SIGTERM to SIGKILL."""

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02


class SupervisorError(Exception):
    """A child that cannot be started at all, or a wrong set of children."""


@dataclass(frozen=True)
class Child:
    """One process to keep alive.

    Attributes:
        name: Name of the log file and in reports; unlike the others.
        argv: Program and arguments; no shell.
        env: Added to this process's environment.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


class ChildState(StrEnum):
    """Standing of a child."""

    RUNNING = "running"
    WAITING = "waiting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """What is known about a child.

    Attributes:
        name: Its name.
        state: Running, waiting for its restart, or stopped with the supervisor.
        pid: Process id while it runs.
        restarts: How often it was started again.
        last_exit: Exit code of its last end, negative for a signal; None if it never ended.
    """

    name: str
    state: ChildState
    pid: int | None
    restarts: int
    last_exit: int | None


class _Kept:
    """One child over all its lives."""

    def __init__(self, child: Child, log: Path, clock: Clock) -> None:
        self.child, self._log, self._clock = child, log, clock
        # Full pauses: one machine has no crowd to spread.
        self._backoff = Backoff(lambda: 1.0, FIRST_PAUSE, LONGEST_PAUSE)
        self.process: subprocess.Popen[bytes] | None = None
        self._started = self._due = 0.0
        self.restarts = 0
        self.last_exit: int | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            try:
                self.process = _spawn(self.child, output.fileno())
            except OSError as error:
                raise SupervisorError(f"cannot start {self.child.name} ({self.child.argv[0]}): {error}") from error
        self._started = self._clock.monotonic()

    def tend(self) -> bool:
        """Notes an end, restarts what is due; whether it was restarted now."""
        if self.process is not None and self.process.poll() is not None:
            self._ended(self.process.returncode)
        if self.process is not None or self._clock.monotonic() < self._due:
            return False
        self.start()
        self.restarts += 1
        return True

    def collect(self) -> bool:
        """Whether it has ended, without a restart."""
        if self.process is not None and self.process.poll() is not None:
            self.last_exit, self.process = self.process.returncode, None
        return self.process is None

    def terminate(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        # The whole group: what a child started and did not end by itself must not stay. The leader is not yet
        # collected, so the group's number is still its own.
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.collect()

    def status(self, stopped: bool) -> ChildStatus:
        state = ChildState.RUNNING if self.process else ChildState.STOPPED if stopped else ChildState.WAITING
        pid = self.process.pid if self.process else None
        return ChildStatus(self.child.name, state, pid, self.restarts, self.last_exit)

    def _ended(self, code: int) -> None:
        now = self._clock.monotonic()
        if now - self._started >= STEADY_SECONDS:
            self._backoff.reset()
        self._due = now + self._backoff.pause()
        self.last_exit, self.process = code, None


class Supervisor:
    """Keeps children alive; call `poll` a few times a second, best inside `with`.

    As a context it starts the children, turns SIGTERM and SIGHUP into `SystemExit` (main thread only), and stops the
    children on the way out, whatever ends the block. On Linux a child dies with the thread that started it: start from
    a thread that lives as long.

    Args:
        children: Processes; names differ.
        logs: Folder of `<name>.log` files, made where missing; output is appended.
        clock: Time of the pauses.
        on_restart: Called by `poll` after each restart.
        stop_seconds: Longest time from SIGTERM to SIGKILL, above 0.

    Raises:
        SupervisorError: If two children share a name or one has no program.
        ValueError: If `stop_seconds` is not above 0.
    """

    def __init__(
        self,
        children: Sequence[Child],
        logs: Path,
        clock: Clock | None = None,
        on_restart: Callable[[ChildStatus], None] | None = None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        if not stop_seconds > 0.0:
            raise ValueError(f"stop time {stop_seconds} s: must be above 0")
        _check(children)
        self._logs, self._on_restart, self._stop_seconds = logs, on_restart, stop_seconds
        self._clock = clock or SystemClock()
        self._kept = [_Kept(child, logs / f"{child.name}.log", self._clock) for child in children]
        self._stopped = False
        self._handlers: dict[int, _Handler] = {}

    def start(self) -> None:
        """Starts every child once, in order.

        Raises:
            SupervisorError: If one cannot be started; the others are stopped again.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            for kept in self._kept:
                kept.start()
        except BaseException:
            self.stop()
            raise

    def poll(self) -> tuple[ChildStatus, ...]:
        """Restarts what is due and reports every child, in order.

        Raises:
            SupervisorError: If a program that ran before cannot be started any more.
        """
        for kept in self._kept:
            if not self._stopped and kept.tend() and self._on_restart is not None:
                self._on_restart(kept.status(stopped=False))
        return tuple(kept.status(self._stopped) for kept in self._kept)

    def stop(self) -> None:
        """SIGTERM to all, then SIGKILL to what is left after `stop_seconds`, or at once if interrupted.

        Later calls do nothing.
        """
        if self._stopped:
            return
        self._stopped = True
        try:
            for kept in self._kept:
                kept.terminate()
            self._await_end(self._clock.monotonic() + self._stop_seconds)
        finally:
            for kept in self._kept:
                kept.kill()

    def _await_end(self, deadline: float) -> None:
        while self._clock.monotonic() < deadline and self._left() > 0:
            self._clock.sleep(_POLL_SECONDS)

    def _left(self) -> int:
        return sum(not kept.collect() for kept in self._kept)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                self._handlers[number] = signal.signal(number, _leave)
        try:
            self.start()
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()


def _check(children: Sequence[Child]) -> None:
    names = [child.name for child in children]
    for child in children:
        if not child.argv or names.count(child.name) > 1 or "/" in child.name or not child.name:
            raise SupervisorError(f"child {child.name!r}: needs a program, and a name of its own without '/'")


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _spawn(child: Child, output: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603  the caller's own program, no shell
        child.argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, **child.env},
        process_group=0,
        preexec_fn=_die_with_parent(),  # noqa: PLW1509  one system call; nothing else can set it between fork and exec
    )


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    # Looked up before the fork: between fork and exec nothing may take a lock.
    set_option = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        set_option(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask
