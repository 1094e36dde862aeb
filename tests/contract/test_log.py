"""What every `Log` adapter promises: one suite for the memory, the SQLite and the Kafka log."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacit.adapters.kafka import KafkaLog
from tacit.adapters.memory import MemoryLog
from tacit.adapters.sqlite_log import SqliteLog
from tacit.runtime.log import MAX_VALUE_BYTES, Entry, Log, LogError, RecordTooLargeError, TopicMissingError

Opener = Callable[[], Log]
KAFKA = pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.integration])
DURABLE = ["sqlite", KAFKA]
WAIT = 30.0
"""Far above any delay that is right, so that only a reader that never wakes meets it."""


def _maker(kind: str, request: pytest.FixtureRequest, folder: Path) -> Opener:
    if kind == "memory":
        shared = MemoryLog()
        return lambda: shared
    if kind == "sqlite":
        return lambda: SqliteLog(folder / "log.sqlite")
    settings_of_broker = request.getfixturevalue("kafka_settings")
    return lambda: KafkaLog(settings_of_broker)


@pytest.fixture(params=["memory", *DURABLE])
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens one more handle on the same log; all are closed after the test."""
    make = _maker(request.param, request, tmp_path)
    opened: list[Log] = []

    def open_one() -> Log:
        opened.append(make())
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()


@pytest.fixture
def log(open_log: Opener) -> Log:
    """One handle."""
    return open_log()


@pytest.fixture
def topic(log: Log) -> str:
    """A topic that exists and that no other test uses."""
    name = f"test.{uuid4().hex}"
    log.create([name])
    return name


def drain(log: Log, topic: str, start: int = 0) -> list[Entry]:
    """Every entry of a topic that is there now."""
    found: list[Entry] = []
    end = log.end(topic)
    while start < end:
        found += log.read({topic: start}, timeout=WAIT)
        start = found[-1].offset + 1
    return found


def test_is_a_log(log: Log) -> None:
    """Each adapter has the port's methods."""
    assert isinstance(log, Log)


def test_appends_get_rising_offsets_from_zero_and_read_in_order(log: Log, topic: str) -> None:
    """Offsets count from 0 without gaps, and a read returns entries by offset."""
    offsets = [log.append(topic, b"a", b"%d" % number) for number in range(20)]
    entries = drain(log, topic)
    assert offsets == list(range(20))
    assert [entry.offset for entry in entries] == offsets
    assert [entry.value for entry in entries] == [b"%d" % number for number in range(20)]


def test_end_is_the_next_offset(log: Log, topic: str) -> None:
    """The end counts every entry, and is 0 for an empty topic and for one that does not exist."""
    assert log.end(topic) == 0
    assert log.end(f"{topic}.absent") == 0
    last = [log.append(topic, b"", b"x") for _ in range(3)][-1]
    assert log.end(topic) == last + 1 == 3


def test_reads_from_the_given_offset(log: Log, topic: str) -> None:
    """Going back and forth returns the same entries again: the log keeps no position of its own."""
    for number in range(6):
        log.append(topic, b"", b"%d" % number)
    assert [entry.value for entry in log.read({topic: 4}, timeout=WAIT)] == [b"4", b"5"]
    assert [entry.value for entry in log.read({topic: 2}, limit=2, timeout=WAIT)] == [b"2", b"3"]
    assert [entry.value for entry in log.read({topic: 5}, timeout=WAIT)] == [b"5"]


def test_read_without_timeout_returns_what_is_there(log: Log, topic: str) -> None:
    """A timeout of 0 finds every acknowledged entry, and nothing past the end."""
    log.append(topic, b"", b"x")
    assert [entry.value for entry in log.read({topic: 0})] == [b"x"]
    assert log.read({topic: 1}) == []
    assert log.read({}) == []


def test_reads_many_topics_at_once(log: Log) -> None:
    """One call follows several topics, each in its own order, and one that does not exist reads as empty."""
    names = [f"test.{uuid4().hex}" for _ in range(3)]
    log.create(names)
    for number in range(5):
        for name in names:
            log.append(name, name.encode(), b"%d" % number)
    positions = dict.fromkeys([*names, "test.absent"], 0)
    seen: dict[str, list[bytes]] = {name: [] for name in names}
    while sum(map(len, seen.values())) < 15:
        for entry in log.read(positions, limit=4, timeout=WAIT):
            seen[entry.topic].append(entry.value)
            positions[entry.topic] = entry.offset + 1
    assert all(values == [b"0", b"1", b"2", b"3", b"4"] for values in seen.values())


def test_topics_do_not_share_offsets(log: Log, topic: str) -> None:
    """An append to one topic moves no other."""
    other = f"{topic}.other"
    log.create([other])
    assert [log.append(topic, b"", b"a"), log.append(other, b"", b"b"), log.append(topic, b"", b"c")] == [0, 0, 1]
    assert [entry.value for entry in drain(log, other)] == [b"b"]


def test_limit_bounds_one_read(log: Log, topic: str) -> None:
    """No call returns more than the limit, and paging by offset misses nothing."""
    for number in range(10):
        log.append(topic, b"", b"%d" % number)
    values: list[bytes] = []
    while len(values) < 10:
        page = log.read({topic: len(values)}, limit=3, timeout=WAIT)
        assert 1 <= len(page) <= 3
        values += [entry.value for entry in page]
    assert values == [b"%d" % number for number in range(10)]


def test_key_and_headers_come_back(log: Log, topic: str) -> None:
    """Key, value and headers are bytes that the log does not touch, empty ones included."""
    headers = (("traceparent", b"00-4bf9-01"), ("empty", b""))
    log.append(topic, b"bank-a", b"\x00\xff value", headers)
    log.append(topic, b"", b"")
    assert drain(log, topic) == [Entry(topic, 0, b"bank-a", b"\x00\xff value", headers), Entry(topic, 1, b"", b"", ())]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.binary(max_size=64), value=st.binary(max_size=512), header=st.binary(max_size=64))
def test_any_bytes_round_trip(log: Log, topic: str, key: bytes, value: bytes, header: bytes) -> None:
    """Whatever the bytes, the entry at the returned offset holds them."""
    offset = log.append(topic, key, value, (("traceparent", header),))
    assert log.read({topic: offset}, timeout=WAIT) == [Entry(topic, offset, key, value, (("traceparent", header),))]


def test_largest_value_passes(log: Log, topic: str) -> None:
    """A value of exactly 960 KiB is kept whole, between small ones."""
    value = bytes(range(256)) * (MAX_VALUE_BYTES // 256)
    for content in (b"before", value, b"after"):
        log.append(topic, b"bank-a", content)
    assert [entry.value for entry in drain(log, topic)] == [b"before", value, b"after"]


def test_one_byte_more_is_refused(log: Log, topic: str) -> None:
    """An oversized value raises before anything reaches the log, which keeps working."""
    with pytest.raises(RecordTooLargeError, match=f"{MAX_VALUE_BYTES + 1} bytes.*at most {MAX_VALUE_BYTES}"):
        log.append(topic, b"", bytes(MAX_VALUE_BYTES + 1))
    assert log.end(topic) == 0
    assert log.append(topic, b"", b"x") == 0


def test_append_to_a_missing_topic_raises(log: Log) -> None:
    """Topics are never made by an append, and one made later works."""
    name = f"test.{uuid4().hex}"
    with pytest.raises(TopicMissingError, match=name):
        log.append(name, b"", b"x")
    assert log.end(name) == 0
    log.create([name])
    assert log.append(name, b"", b"x") == 0


def test_create_leaves_an_existing_topic_alone(log: Log, topic: str) -> None:
    """Creating twice, also beside a new topic, keeps the entries."""
    log.append(topic, b"", b"kept")
    other = f"{topic}.other"
    log.create([topic, other, topic])
    log.create([topic])
    assert [entry.value for entry in drain(log, topic)] == [b"kept"]
    assert log.end(other) == 0


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "white space", "a" * 250, "ünïcode"])
def test_bad_topic_names_are_refused(log: Log, name: str) -> None:
    """A name that some adapter could not take is refused by all."""
    for call in (
        lambda: log.create([name]),
        lambda: log.append(name, b"", b""),
        lambda: log.read({name: 0}),
        lambda: log.end(name),
    ):
        with pytest.raises(ValueError, match="topic"):
            call()


@pytest.mark.parametrize(
    ("positions", "limit", "timeout"),
    [({"a": -1}, 1, 0.0), ({"a": 0}, 0, 0.0), ({"a": 0}, 1, -0.1), ({"a": 0}, 1, float("nan"))],
)
def test_bad_reads_are_refused(log: Log, positions: dict[str, int], limit: int, timeout: float) -> None:
    """A negative offset, an empty limit and a timeout that is no time are errors of the caller."""
    with pytest.raises(ValueError, match=r"offset|limit|timeout"):
        log.read(positions, limit, timeout)


def test_a_waiting_reader_is_woken(open_log: Opener, topic: str) -> None:
    """A reader that waits in another thread, on another handle, gets the entry without waiting its timeout out."""
    reader, writer = open_log(), open_log()
    reading = threading.Event()

    def wait_for_one() -> list[Entry]:
        reader.read({topic: 0})
        reading.set()
        return reader.read({topic: 0}, timeout=3 * WAIT)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_for_one)
        assert reading.wait(WAIT)
        writer.append(topic, b"", b"awake")
        assert [entry.value for entry in waiting.result(WAIT)] == [b"awake"]


def test_a_reader_of_many_topics_is_woken_by_any(open_log: Opener, topic: str) -> None:
    """The last of several topics wakes as well as the first."""
    reader, writer = open_log(), open_log()
    names = [topic, f"{topic}.b", f"{topic}.c"]
    writer.create(names)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.read, dict.fromkeys(names, 0), 500, 3 * WAIT)
        writer.append(names[-1], b"", b"c")
        assert [entry.topic for entry in waiting.result(WAIT)] == [names[-1]]


def test_concurrent_writers_lose_and_double_nothing(open_log: Opener, topic: str) -> None:
    """Every acknowledged append is on the log once, at the offset that its writer was told."""

    def write(number: int) -> dict[int, bytes]:
        own = open_log()
        values = [b"%d/%d" % (number, index) for index in range(40)]
        return {own.append(topic, b"%d" % number, value): value for value in values}

    with ThreadPoolExecutor(4) as pool:
        acknowledged = list(pool.map(write, range(4)))
    entries = drain(open_log(), topic)
    assert {entry.offset: entry.value for entry in entries} == {k: v for own in acknowledged for k, v in own.items()}
    assert len(entries) == 160
    for own in acknowledged:
        assert list(own) == sorted(own)


def test_threads_may_share_one_handle(log: Log, topic: str) -> None:
    """Appends and reads from several threads on one object do not disturb each other."""
    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(log.read, {f"{topic}.never": 0}, 500, 0.5)
        offsets = list(pool.map(lambda number: log.append(topic, b"", b"%d" % number), range(60)))
        assert reader.result(WAIT) == []
    values = {entry.offset: entry.value for entry in drain(log, topic)}
    assert values == {offset: b"%d" % number for number, offset in enumerate(offsets)}


@pytest.mark.parametrize("open_log", DURABLE, indirect=True)
def test_entries_survive_closing(open_log: Opener) -> None:
    """What was acknowledged is there after every handle was closed, and counting goes on."""
    name = f"test.{uuid4().hex}"
    first = open_log()
    first.create([name])
    for number in range(5):
        first.append(name, b"k", b"%d" % number, (("traceparent", b"t"),))
    first.close()
    second = open_log()
    assert drain(second, name) == [Entry(name, n, b"k", b"%d" % n, (("traceparent", b"t"),)) for n in range(5)]
    assert second.append(name, b"k", b"5") == 5


def test_a_closed_log_refuses_every_call(log: Log, topic: str) -> None:
    """After `close`, which may come twice, each method says that the log is closed."""
    log.close()
    log.close()
    for call in (
        lambda: log.create([topic]),
        lambda: log.append(topic, b"", b""),
        lambda: log.read({topic: 0}),
        lambda: log.end(topic),
    ):
        with pytest.raises(LogError, match="closed"):
            call()
