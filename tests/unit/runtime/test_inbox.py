"""Reading records: positions, what is invalid, and knowing that everything was read."""

from collections import Counter

import pytest

from tacit.adapters.memory import MemoryLog
from tacit.rounds.types import Kind
from tacit.runtime import inbox as subject
from tacit.runtime.accepted import Accepted
from tacit.runtime.inbox import INVALID, Inbox, InvalidRecords, federation_inbox
from tacit.runtime.log import LogUnavailableError
from tacit.runtime.observing import Metrics
from tacit.wire import envelope
from tacit.wire.errors import InvalidReason
from wire_cases import BANKS, MANIFEST, RING, record

CONTROL, ASH = "tacit.control.v1", "tacit.bank.v1.ash"


@pytest.fixture
def log() -> MemoryLog:
    """A log with two topics."""
    made = MemoryLog()
    made.create([CONTROL, ASH])
    return made


@pytest.fixture
def inbox(log: MemoryLog) -> Inbox:
    """An inbox over both."""
    return Inbox(log, [CONTROL, ASH], lambda topic, value: envelope.open_record(topic, value, RING))


def test_valid_records_come_in_order(log: MemoryLog, inbox: Inbox) -> None:
    """Each once, and nothing twice."""
    for kind in (Kind.LEAD, Kind.OPEN):
        log.append(CONTROL, b"k", record(kind).value)
    assert [item.header.kind for item in inbox.poll(0.0)] == [Kind.LEAD, Kind.OPEN]
    assert inbox.poll(0.0) == []
    assert inbox.positions == {CONTROL: 2, ASH: 0}


def test_invalid_entries_are_counted_listed_and_passed(log: MemoryLog, inbox: Inbox) -> None:
    """Garbage, another bank's record and a broken signature change nothing but the counters."""
    good = record(Kind.START).value
    for value in (b"garbage", good[:-1] + bytes([good[-1] ^ 1]), good):
        log.append(ASH, b"k", value)
    log.append(CONTROL, b"k", good)
    assert [item.header.kind for item in inbox.poll(0.0)] == [Kind.START]
    assert inbox.invalid.total() == 3
    assert [(item.topic, item.offset) for item in inbox.listed] == [(CONTROL, 0), (ASH, 0), (ASH, 1)]
    assert all(item.reason and item.detail for item in inbox.listed)
    assert inbox.caught_up()


def test_lists_are_bounded(log: MemoryLog, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of garbage cannot fill the memory; counters go on."""
    monkeypatch.setattr(subject, "LISTED", 5)
    for _ in range(12):
        log.append(ASH, b"k", b"garbage")
    inbox.poll(0.0)
    assert (len(inbox.listed), inbox.invalid.total()) == (5, 12)


def test_an_absent_log_skips_nothing(log: MemoryLog, inbox: Inbox) -> None:
    """After an outage the same entries come."""
    log.append(CONTROL, b"k", record(Kind.LEAD).value)
    log.make_unavailable(1)
    with pytest.raises(LogUnavailableError):
        inbox.poll(0.0)
    assert len(inbox.poll(0.0)) == 1


def test_caught_up_per_topic(log: MemoryLog, inbox: Inbox) -> None:
    """All topics, or those asked for."""
    assert inbox.caught_up()
    log.append(ASH, b"k", record(Kind.START).value)
    assert not inbox.caught_up()
    assert inbox.caught_up([CONTROL])
    inbox.poll(0.0)
    assert inbox.caught_up()


def test_a_limit_is_kept(log: MemoryLog, inbox: Inbox) -> None:
    """No more than the limit at once; the rest comes next."""
    for _ in range(5):
        log.append(ASH, b"k", record(Kind.START).value)
    assert [len(inbox.poll(0.0, limit=2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_federations_inbox_follows_its_topics() -> None:
    """Control and every member's topic; making them is not its business, and one that comes later is followed too."""
    log = MemoryLog()
    made = federation_inbox(log, Accepted((MANIFEST,), {}), "tacit")
    assert set(made.positions) == {CONTROL, *(f"tacit.bank.v1.{bank}" for bank in BANKS)}
    assert made.caught_up()
    assert not log._topics
    log.create([ASH])
    log.append(ASH, b"k", record(Kind.START).value)
    assert [item.header.sender for item in made.poll(0.0)] == ["ash"]


def test_what_was_removed_is_not_waited_for(log: MemoryLog, inbox: Inbox) -> None:
    """A topic whose entries are all gone was read; what comes later is still seen."""
    for _ in range(3):
        log.append(CONTROL, b"k", record(Kind.LEAD).value)
    log.truncate(CONTROL, 3)
    assert inbox.poll(0.0) == []
    assert inbox.caught_up()
    log.append(CONTROL, b"k", record(Kind.OPEN).value)
    assert not inbox.caught_up()
    assert [item.header.kind for item in inbox.poll(0.0)] == [Kind.OPEN]
    assert inbox.caught_up()


def counted(measured: Metrics) -> dict[str, float | None]:
    """What the metric says of each reason, those of 0 left out."""
    values = {
        str(reason): measured.shareable.get_sample_value(INVALID.name, {"reason": reason}) for reason in InvalidReason
    }
    return {reason: value for reason, value in values.items() if value}


def test_invalid_entries_are_counted_by_reason_over_all_inboxes() -> None:
    """What grew is added, once, whichever inbox met it."""
    measured = Metrics((INVALID,))
    kept = InvalidRecords(measured)
    first, second = Counter({"malformed": 2}), Counter({"malformed": 1, "bad_fence": 1})
    kept.update(first, second)
    kept.update(first, second)
    assert counted(measured) == {"malformed": 3.0, "bad_fence": 1.0}
    second["bad_fence"] += 4
    kept.update(first, second)
    assert counted(measured) == {"malformed": 3.0, "bad_fence": 5.0}


def test_an_inbox_is_never_changed_by_counting(log: MemoryLog, inbox: Inbox) -> None:
    """The list of `/v1/evidence` stays whole."""
    log.append(ASH, b"k", b"garbage")
    inbox.poll(0.0)
    InvalidRecords(Metrics((INVALID,))).update(inbox.invalid)
    assert inbox.invalid == {"malformed": 1}


def test_every_reason_has_its_series_from_the_start() -> None:
    """So that the first invalid entry of a kind shows as growth."""
    text = Metrics((INVALID,)).expose().decode()
    assert all(f'{INVALID.name}{{reason="{reason}"}} 0.0' in text for reason in InvalidReason)
