"""A bank with a journal and a topic of its own, for the tests of both."""

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from tacit.adapters.journal import Journal, Position, Reservation, ResumePoint, Stored
from tacit.privacy.types import Mode, Release, ReleaseEvent, Unit
from tacit.rounds.types import Body, Checked, Header, Kind, ResumeBody, StartBody

ACCOUNT = "cards"
BUCKET_CAP = 1_000
LIFETIME_CAP = 2_500
RUN = bytes([1]) * 32
OTHER_RUN = bytes([2]) * 32
REQUEST = bytes([9]) * 32
CONTEXT = bytes([7]) * 32
EVENT = ReleaseEvent(Mode.LOCAL, 1_000_000, 100, 100)
MASKED_EVENT = ReleaseEvent(Mode.DISTRIBUTED, 1_000_000, 100, 300)
TOPIC = "tacit.bank.v1.bank-1"

_serial = itertools.count()


class FixedClock:
    """A clock that stands still."""

    def now(self) -> float:
        """A moment in 2018."""
        return 1_530_000_000.5

    def monotonic(self) -> float:
        """Zero."""
        return 0.0

    def sleep(self, seconds: float) -> None:
        """Does not wait."""


@dataclass(frozen=True)
class Signed:
    """A record that was composed."""

    value: bytes
    digest: bytes


def open_journal(path: Path, **changes: object) -> Journal:
    """A journal with the caps of these tests."""
    arguments = {
        "account": ACCOUNT,
        "unit": Unit.CUSTOMER,
        "bucket_cap_nano": BUCKET_CAP,
        "lifetime_cap_nano": LIFETIME_CAP,
        "clock": FixedClock(),
        "delta": Fraction(1, 10**5),
    }
    return Journal.open(path, **{**arguments, **changes})  # type: ignore[arg-type]


def reservation(
    run: bytes = RUN, rho_nano: int = 500, buckets: tuple[str, ...] = ("2018-05", "2018-06")
) -> Reservation:
    """A reservation of this account."""
    return Reservation(run, ACCOUNT, buckets, rho_nano)


def checked(
    kind: Kind, seq: int, previous: bytes, body: Body | None = None, *, run: bytes = b"", slot: int = 0
) -> Checked:
    """A record of bank-1 whose digest depends on its header and a serial number."""
    header = Header("demo", bytes(32), run, 0, slot, kind, "bank-1", b"", b"", seq=seq, previous=previous)
    digest = hashlib.sha256(repr((header, next(_serial))).encode()).digest()
    return Checked(header, body if body is not None else StartBody(bytes(16)), digest, TOPIC)


def draw(event: ReleaseEvent = EVENT, cells: int = 8) -> Callable[[], Release]:
    """A draw that never gives the same values twice."""
    return lambda: Release(np.arange(cells, dtype=np.int64) + 1000 * next(_serial), event)


@dataclass
class Bank:
    """A journal, what it composed, and its topic."""

    journal: Journal
    topic: list[Checked] = field(default_factory=list)
    composed: dict[bytes, Checked] = field(default_factory=dict)

    def compose(self, kind: Kind, run: bytes = b"", slot: int = 0) -> Callable[..., Signed]:
        """Signs a record of a kind."""

        def sign(at: Position, _: object = None) -> Signed:
            return self._sign(checked(kind, at.seq, at.previous, run=run, slot=slot))

        return sign

    def compose_resume(self, at: Position, point: ResumePoint) -> Signed:
        """Signs a RESUME."""
        numbers = (point.journal_seq, point.journal_digest, point.topic_seq, point.topic_digest)
        return self._sign(checked(Kind.RESUME, at.seq, at.previous, ResumeBody(*numbers, point.rebuilt, b"s")))

    def start(self) -> Stored:
        """Stores a START."""
        return self.journal.record(Kind.START, b"", None, self.compose(Kind.START))

    def join(self, run: bytes = RUN, rho_nano: int = 500, buckets: tuple[str, ...] = ("2018-05", "2018-06")) -> Stored:
        """Reserves a run."""
        return self.journal.reserve(reservation(run, rho_nano, buckets), self.compose(Kind.JOIN, run))

    def spend(self, slot: int = 0, run: bytes = RUN, event: ReleaseEvent = EVENT, request: bytes = REQUEST) -> Stored:
        """Spends a slot."""
        kind = Kind.RELEASE if event.mode is Mode.LOCAL else Kind.MASKED
        signed = self.compose(kind, run, slot)
        return self.journal.spend(run, slot, request=request, rho=event, draw=draw(event), compose=signed)

    def send(self) -> None:
        """Appends what is unsent and marks it."""
        for stored in self.journal.unsent():
            self.topic.append(self.composed[stored.digest])
            self.journal.mark_seen(stored.seq)

    def ready(self) -> "Bank":
        """START and JOIN on the topic."""
        self.start()
        self.join()
        self.send()
        return self

    def copy(self, path: Path) -> "Bank":
        """A second bank on a byte copy of the journal's file; it sees the same topic."""
        path.write_bytes(self.journal._store.path.read_bytes())
        return Bank(open_journal(path), self.topic, self.composed)

    def _sign(self, record: Checked) -> Signed:
        self.composed[record.digest] = record
        return Signed(b"record " + record.digest, record.digest)
