"""The bank's own topic: signing for a place in the chain, sending stored bytes, and the check against the journal."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tacit.rounds.ledger import Position, Sealed, Stored, Verdict
from tacit.rounds.types import Body, Checked, Kind, Place, header_at
from tacit.runtime import faults
from tacit.runtime.clock import Clock
from tacit.runtime.log import Log
from tacit.trainer.ports import Journal
from tacit.wire import envelope
from tacit.wire.envelope import SigningKey

_TIMELESS = frozenset({Kind.JOIN, Kind.RELEASE})


class TrainerStoppedError(Exception):
    """The journal and the bank's own topic disagree: nothing is written until the bank's operator has decided."""


@dataclass(frozen=True)
class Author:
    """Who signs: the bank's id, its key and its own topic."""

    bank: str
    key: SigningKey
    topic: str


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Due:
    """When a record may go out.

    Attributes:
        at: Not before this moment of the monotonic clock.
        over: Says that waiting hides nothing any more, since what the record answers is over.
    """

    at: float = 0.0
    over: Callable[[], bool] = _never


class Outbox:
    """Sends what the journal holds, oldest first, the same bytes every time, until it was read back (protocol 5).

    Args:
        author: Who signs.
        journal: The bank's journal.
        log: The log.
        clock: Advisory times and the tick.
    """

    def __init__(self, author: Author, journal: Journal, log: Log, clock: Clock) -> None:
        self._author = author
        self._journal = journal
        self._log = log
        self._clock = clock
        self._own: list[Checked] = []
        self._waiting: dict[int, Stored] = {}
        self._due: dict[int, Due] = {}
        self._sent: set[int] = set()
        self._released: set[int] = set()

    @property
    def released(self) -> int:
        """How many noised vectors of this bank its topic shows, repeats left out."""
        return len(self._released)

    def resume(self) -> None:
        """Takes up what an earlier process stored and may not have sent."""
        self._waiting = {stored.seq: stored for stored in self._journal.unsent()}

    def read_back(self, record: Checked) -> None:
        """Notes a record of the own topic."""
        self._own.append(record)
        if record.header.kind is Kind.RELEASE:
            self._released.add(record.header.seq)
        stored = self._waiting.get(record.header.seq)
        if stored is not None and stored.digest == record.digest:
            self._journal.mark_seen(stored.seq)
            self._forget(stored.seq)

    def put(self, stored: Stored, due: Due | None = None) -> None:
        """Sends a stored record when it is due, by default at once.

        The chain has one order: a record that is due takes those along that were stored before it.
        """
        if stored.seen:
            return
        self._waiting[stored.seq] = stored
        if due is None:
            self._due = {seq: earlier for seq, earlier in self._due.items() if seq > stored.seq}
        else:
            self._due[stored.seq] = due

    def waits(self, seq: int) -> bool:
        """Whether a stored record was not read back yet."""
        return seq in self._waiting

    def send(self) -> None:
        """Appends what is due.

        Raises:
            LogUnavailableError: If the log is away; the same bytes go out later.
        """
        now = self._clock.monotonic()
        for seq, stored in sorted(self._waiting.items()):
            if seq in self._sent:
                continue
            due = self._due.get(seq)
            if due is not None and now < due.at and not due.over():
                return
            faults.hit("before-append")
            self._log.append(self._author.topic, self._author.bank.encode(), stored.value)
            self._sent.add(seq)
            faults.hit("after-append")

    def wait(self, timeout: float) -> float:
        """Seconds until something stored is due, at most `timeout`."""
        now = self._clock.monotonic()
        unsent = [seq for seq in self._waiting if seq not in self._sent]
        dues = (self._due[seq].at if seq in self._due else now for seq in unsent)
        return max(0.0, min([timeout, *(at - now for at in dues)]))

    def check(self, named: Iterable[bytes] = ()) -> None:
        """Holds the whole own topic against the journal.

        Raises:
            TrainerStoppedError: If they disagree; the message says how and which command helps.
        """
        report = self._journal.judge_topic(self._own, named)
        if report.verdict is not Verdict.OK:
            helps = "rebuild" if report.verdict in (Verdict.BEHIND, Verdict.CLONED) else "resume"
            raise TrainerStoppedError(
                f"{self._author.topic} and the journal disagree ({report.verdict}): {report.reason}; "
                f"nothing was written; when you know why, run `tacit ledger {helps}`"
            )

    def compose(self, kind: Kind, body: Body, place: Place) -> Callable[[Position], Sealed]:
        """How to sign a body for the place in the chain that the journal will give it."""

        def sealed(position: Position) -> Sealed:
            at = (position.seq, position.previous, position.head)
            # How long JOIN and RELEASE took tells of the rows behind them.
            now = 0.0 if kind in _TIMELESS else self._clock.now()
            header = header_at(kind, self._author.bank, place, now, position=at)
            return envelope.seal(header, body, self._author.key)

        return sealed

    def _forget(self, seq: int) -> None:
        del self._waiting[seq]
        self._due.pop(seq, None)
        self._sent.discard(seq)
