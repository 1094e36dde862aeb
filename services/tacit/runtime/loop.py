"""One step after another, with patience while the log is away."""

import secrets
from collections.abc import Callable

from tacit.runtime.clock import Clock
from tacit.runtime.health import Status
from tacit.runtime.log import LogUnavailableError
from tacit.runtime.observing import Metric, MetricKind, Metrics, get_logger

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds of the first and of the longest pause, before jitter."""

_NAP = 0.25
_ENTROPY = secrets.SystemRandom()
_log = get_logger(__name__)

LOOP_TURNED = Metric(
    "tacit_loop_turned_timestamp_seconds",
    MetricKind.GAUGE,
    "When the main loop last went round; the operator looks here when nothing moves.",
    shareable=True,
)
LOG_OUTAGES = Metric(
    "tacit_log_outages_total",
    MetricKind.COUNTER,
    "Times that the log went away, a streak of failures counted once.",
    shareable=True,
)
LOG_AWAY = Metric(
    "tacit_log_away",
    MetricKind.GAUGE,
    "1 while the log does not answer, else 0; alerts on it.",
    shareable=True,
)
LOOP_METRICS = (LOOP_TURNED, LOG_OUTAGES, LOG_AWAY)
"""Every service's table begins with these."""


class Backoff:
    """Pauses that double and carry jitter, so that clients of a broker that returns do not come at once.

    Args:
        draw: Uniform numbers in [0, 1).
        first: Seconds of the first pause, above 0.
        longest: Cap in seconds, at least `first`.

    Raises:
        ValueError: If the seconds are outside their ranges.
    """

    def __init__(self, draw: Callable[[], float], first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE) -> None:
        if not 0.0 < first <= longest:
            raise ValueError(f"pauses of {first} to {longest} s: must be above 0, the first not above the longest")
        self._draw, self._first, self._longest = draw, first, longest
        self._next = first

    def pause(self) -> float:
        """Seconds to wait now: between half and all of the current pause, which doubles up to the cap."""
        current = self._next
        self._next = min(current * 2.0, self._longest)
        return current * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """Starts over after a success."""
        self._next = self._first


class Loop:
    """Runs steps until told to stop.

    A step that raises `LogUnavailableError` is tried again after a pause; it must be safe to repeat. Every other error
    passes through.

    Args:
        step: Does one piece of work, waiting at most the given seconds for it.
        clock: Time; pauses go through it.
        status: Told of every turn, outage and of the first step that is done.
        metrics: Must hold `LOOP_METRICS`; None counts nothing.
        draw: Uniform numbers in [0, 1) for the jitter.
    """

    def __init__(
        self,
        step: Callable[[float], None],
        clock: Clock,
        status: Status,
        metrics: Metrics | None = None,
        draw: Callable[[], float] = _ENTROPY.random,
    ) -> None:
        self._step, self._clock, self._status, self._metrics = step, clock, status, metrics
        self._backoff = Backoff(draw)
        self._away_since: float | None = None

    def turn(self, timeout: float) -> None:
        """One step, or one pause if the log is away."""
        self._turned()
        try:
            self._step(timeout)
        except LogUnavailableError as error:
            self._lost(error)
            self._wait(self._backoff.pause())
        else:
            self._status.started()
            self._answered()

    def _turned(self) -> None:
        self._status.turned()
        if self._metrics is not None:
            self._metrics.set(LOOP_TURNED.name, self._clock.now())

    def _lost(self, error: LogUnavailableError) -> None:
        if self._away_since is not None:
            return
        self._away_since = self._clock.monotonic()
        self._status.outage = "the log is away"
        _log.warning("log_unavailable", error=str(error))
        if self._metrics is not None:
            self._metrics.increment(LOG_OUTAGES.name)
            self._metrics.set(LOG_AWAY.name, 1.0)

    def _answered(self) -> None:
        if self._away_since is None:
            return
        seconds = self._clock.monotonic() - self._away_since
        self._away_since = None
        self._status.outage = ""
        self._backoff.reset()
        _log.info("log_available", outage_seconds=round(seconds, 1))
        if self._metrics is not None:
            self._metrics.set(LOG_AWAY.name, 0.0)

    def _wait(self, seconds: float) -> None:
        # In naps, so that a signal to stop is seen soon: a sleep goes on after a signal handler returned.
        until = self._clock.monotonic() + seconds
        while not self._status.stopping and (left := until - self._clock.monotonic()) > 0.0:
            self._clock.sleep(min(left, _NAP))
