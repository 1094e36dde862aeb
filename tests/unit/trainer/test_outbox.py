"""Stored records go out in order, the same bytes, until they were read back; a topic that disagrees stops all."""

from dataclasses import dataclass, field

import pytest

from fake_clock import FakeClock
from tacit.adapters.memory import MemoryLog
from tacit.rounds.ledger import Position, Stored, TopicReport, Verdict
from tacit.rounds.types import Body, JoinBody, Kind, Place, StartBody
from tacit.runtime.log import LogUnavailableError
from tacit.trainer.outbox import Author, Due, Outbox, TrainerStoppedError
from tacit.wire import envelope
from wire_cases import MANIFEST, RING, key

TOPIC = "tacit.bank.v1.ash"


@dataclass
class Kept:
    """A journal of which the outbox needs three answers."""

    held: list[Stored] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    report: TopicReport = field(default_factory=lambda: TopicReport(Verdict.OK, ""))

    def unsent(self) -> list[Stored]:
        """What was not read back."""
        return self.held

    def mark_seen(self, seq: int) -> None:
        """Notes one."""
        self.seen.append(seq)

    def judge_topic(self, *_: object) -> TopicReport:
        """What the test says."""
        return self.report


class Case:
    """An outbox on a memory log."""

    def __init__(self) -> None:
        self.log, self.clock, self.journal = MemoryLog(), FakeClock(), Kept()
        self.log.create([TOPIC])
        author = Author("ash", key("ash signs"), TOPIC)
        self.outbox = Outbox(author, self.journal, self.log, self.clock)  # type: ignore[arg-type]

    def stored(self, seq: int) -> Stored:
        """A START as the journal would keep it."""
        compose = self.outbox.compose(Kind.START, StartBody(bytes(16)), Place("demo", MANIFEST.digest))
        sealed = compose(Position(seq, b"p" * 32 if seq > 1 else b"", b"h" * 32))
        return Stored(seq, Kind.START, sealed.digest, sealed.value, seen=False)

    def read_back(self) -> None:
        """Reads the whole topic back."""
        for entry in self.sent():
            self.outbox.read_back(envelope.open_record(TOPIC, entry, RING))

    def sent(self) -> list[bytes]:
        """What is on the topic."""
        return [entry.value for entry in self.log.read({TOPIC: 0}, 100)]


@pytest.fixture
def case() -> Case:
    """A fresh one."""
    return Case()


def test_records_go_out_once_in_order(case: Case) -> None:
    """Whatever the order they were put in; a second send repeats nothing."""
    first, second = case.stored(1), case.stored(2)
    case.outbox.put(second)
    case.outbox.put(first)
    case.outbox.send()
    case.outbox.send()
    assert case.sent() == [first.value, second.value]


def test_only_the_same_digest_is_read_back(case: Case) -> None:
    """A foreign record at our number is not ours; ours is marked once."""
    mine = case.stored(1)
    case.clock.sleep(5)
    foreign = case.stored(1)
    case.outbox.put(mine)
    case.outbox.read_back(envelope.open_record(TOPIC, foreign.value, RING))
    assert case.outbox.waits(1)
    case.outbox.send()
    case.read_back()
    case.read_back()
    assert not case.outbox.waits(1)
    assert case.journal.seen == [1]


def test_a_lost_acknowledgement_sends_the_same_bytes(case: Case) -> None:
    """Twice on the topic, to the byte, until it was read back."""
    mine = case.stored(1)
    case.outbox.put(mine)
    case.log.lose_acknowledgements()
    with pytest.raises(LogUnavailableError):
        case.outbox.send()
    case.outbox.send()
    assert case.sent() == [mine.value, mine.value]


def test_a_restart_takes_up_what_was_not_read_back(case: Case) -> None:
    """The stored bytes of an earlier process go out."""
    case.journal.held = [case.stored(1), case.stored(2)]
    case.outbox.resume()
    case.outbox.send()
    assert case.sent() == [stored.value for stored in case.journal.held]


def test_what_is_seen_is_not_sent(case: Case) -> None:
    """A record that the journal saw on the topic stays where it is."""
    mine = case.stored(1)
    case.outbox.put(Stored(1, Kind.START, mine.digest, mine.value, seen=True))
    case.outbox.send()
    assert case.sent() == []


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        (Kind.START, StartBody(bytes(16)), True),
        (Kind.JOIN, JoinBody(b"", b""), False),
    ],
)
def test_what_was_worked_out_from_rows_tells_no_time(case: Case, kind: Kind, body: Body, told: bool) -> None:
    """The header of JOIN and RELEASE does not say when the rows were done."""
    run = b"" if kind is Kind.START else b"r" * 32
    sealed = case.outbox.compose(kind, body, Place("demo", MANIFEST.digest, run))(Position(1, b"", b"h" * 32))
    assert (sealed.header.create_time_ms != 0) is told  # type: ignore[attr-defined]


def test_a_due_time_is_waited_for(case: Case) -> None:
    """Nothing goes out before its tick; then it does, and nothing is left to wait for."""
    case.outbox.put(case.stored(1), Due(case.clock.monotonic() + 2))
    case.outbox.send()
    assert case.sent() == []
    case.clock.sleep(2)
    assert case.outbox.wait(10.0) == 0.0
    case.outbox.send()
    assert len(case.sent()) == 1
    assert case.outbox.wait(10.0) == 10.0


def test_a_tick_holds_back_no_later_record(case: Case) -> None:
    """A record that is due takes those before it along: the order stays, and nobody waits for another run's tick."""
    first, second = case.stored(1), case.stored(2)
    case.outbox.put(first, Due(case.clock.monotonic() + 10**9))
    case.outbox.put(second)
    assert case.outbox.wait(10.0) == 0.0
    case.outbox.send()
    assert case.sent() == [first.value, second.value]


def test_a_tick_ends_with_what_it_hides(case: Case) -> None:
    """Once the slot or the run is over the record goes out at the next turn."""
    over: list[bool] = []
    case.outbox.put(case.stored(1), Due(case.clock.monotonic() + 10**9, lambda: bool(over)))
    case.outbox.send()
    assert case.sent() == []
    over.append(True)
    case.outbox.send()
    assert len(case.sent()) == 1


def test_waiting_ends_at_the_due_time(case: Case) -> None:
    """The loop wakes for the tick."""
    case.outbox.put(case.stored(1), Due(case.clock.monotonic() + 2))
    assert case.outbox.wait(10.0) == pytest.approx(2.0)
    assert case.outbox.wait(1.0) == 1.0


@pytest.mark.parametrize(
    ("verdict", "helps"),
    [(Verdict.BEHIND, "rebuild"), (Verdict.CLONED, "rebuild"), (Verdict.TRUNCATED, "resume")],
)
def test_a_disagreement_stops_and_says_what_helps(case: Case, verdict: Verdict, helps: str) -> None:
    """Verdict, reason and command are in the message."""
    case.outbox.check()
    case.journal.report = TopicReport(verdict, "record 7 is odd")
    with pytest.raises(TrainerStoppedError, match=f"{verdict}.*record 7 is odd.*tacit ledger {helps}"):
        case.outbox.check([b"d" * 32])
