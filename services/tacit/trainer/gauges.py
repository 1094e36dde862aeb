"""Keeps the trainer's metrics equal to the fold, the own topic and the ledger."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tacit.rounds.ledger import LedgerReport, Position
from tacit.rounds.state import Run, State
from tacit.rounds.types import Kind
from tacit.runtime.clock import Clock
from tacit.runtime.inbox import Inbox, InvalidRecords
from tacit.runtime.observing import Events, Metrics
from tacit.trainer import metrics
from tacit.trainer.checks import finished
from tacit.trainer.ports import Worker

ROUND = "round"
"""First part of the worker's key of a round's statistic."""

T = TypeVar("T")


class Journal(Protocol):
    """What the metrics need of the bank's journal."""

    def position(self) -> Position:
        """What the next record's header carries; its head changes with every entry."""

    def ledger(self) -> LedgerReport:
        """What the account was charged."""


@dataclass(frozen=True)
class Sources:
    """What the metrics are read from.

    Attributes:
        bank: The bank's id.
        state: The fold.
        inbox: Counts invalid entries.
        journal: The bank's journal.
        released: How many noised vectors of this bank its own topic shows.
        ready: Whether the log was read to its end and the own topic agrees with the journal.
    """

    bank: str
    state: State
    inbox: Inbox
    journal: Journal
    released: Callable[[], int]
    ready: Callable[[], bool]


class Gauges:
    """Keeps the metrics equal to what they are read from.

    What others may scrape is a function of records on the log, which all members read; the ledger's figures are exposed
    on the bank's own port only. Counters of runs and releases start when the trainer is ready.

    Args:
        sources: What the metrics are read from.
        measured: The process's metrics.
    """

    def __init__(self, sources: Sources, measured: Metrics) -> None:
        self._sources = sources
        self._measured = measured
        self._counted: set[tuple[bytes, str]] = set()
        self._settled: set[bytes] = set()
        self._invalid = InvalidRecords(measured)
        self._events = Events(measured)
        self._released = 0
        self._head: bytes | None = None

    def update(self) -> None:
        """Sets every gauge and adds what is new to the counters; to be called under the trainer's lock."""
        for run in self._sources.state.runs.values():
            if run.id not in self._settled:
                self._count(run)
        self._measured.set(metrics.ROUND.name, float(self._round(self._sources.state.active)))
        self._invalid.update(self._sources.inbox.invalid)
        released = self._sources.released()
        self._events.count(metrics.RELEASES.name, released - self._released)
        self._released = released
        self._events.begin(self._sources.ready())
        self._account()

    def _count(self, run: Run) -> None:
        said = {"joined": Kind.JOIN, "refused": Kind.REFUSED, "left": Kind.LEFT}
        found = {outcome for outcome, kind in said.items() if self._said(run, kind)}
        if "joined" in found and finished(run):
            found.add("finished")
        for outcome in sorted(found):
            if (run.id, outcome) not in self._counted:
                self._counted.add((run.id, outcome))
                self._events.count(metrics.RUNS.name, outcome=outcome)
        # A run that is over can still be left, and the LEFT is this bank's last record of it.
        if "left" in found or "finished" in found:
            self._settled.add(run.id)

    def _said(self, run: Run, kind: Kind) -> bool:
        return self._sources.state.answer(self._sources.bank, run.id, kind) is not None

    def _round(self, run: Run | None) -> int:
        taking_part = run is not None and self._sources.bank in run.banks and not self._said(run, Kind.LEFT)
        return run.attempt.round if run is not None and run.attempt is not None and taking_part else -1

    def _account(self) -> None:
        head = self._sources.journal.position().head
        if head == self._head:
            return
        self._head = head
        lifetime = self._sources.journal.ledger().lifetime
        left = max(lifetime.left_nano, 0) / lifetime.cap_nano if lifetime.cap_nano else 0.0
        self._measured.set(metrics.SPENT.name, lifetime.epsilon)
        self._measured.set(metrics.LEFT.name, left)


class TimedWorker:
    """A worker that measures how long a round's statistic takes.

    Args:
        worker: Does the work.
        clock: Time.
        measured: The process's metrics.
    """

    def __init__(self, worker: Worker, clock: Clock, measured: Metrics) -> None:
        self._worker, self._clock, self._measured = worker, clock, measured

    def done(self, key: Hashable, work: Callable[[], T]) -> T | None:
        """As the worker's own."""
        wanted = isinstance(key, tuple) and key[:1] == (ROUND,)
        return self._worker.done(key, (lambda: self._timed(work)) if wanted else work)

    def forget(self, key: Hashable) -> None:
        """As the worker's own."""
        self._worker.forget(key)

    @property
    def busy(self) -> bool:
        """As the worker's own."""
        return self._worker.busy

    def _timed(self, work: Callable[[], T]) -> T:
        began = self._clock.monotonic()
        result = work()
        self._measured.observe(metrics.WORK.name, self._clock.monotonic() - began)
        return result
