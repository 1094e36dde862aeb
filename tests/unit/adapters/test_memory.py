"""The fault switches of the memory log; what every log promises stands in tests/contract/test_log.py."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tacit.adapters.memory import MemoryLog
from tacit.runtime.log import Entry, LogDeniedError, LogError, LogUnavailableError, TopicMissingError

WAIT = 30.0


@pytest.fixture
def log() -> MemoryLog:
    """A log with the topics a and b."""
    made = MemoryLog()
    made.create(["a", "b"])
    return made


def values(log: MemoryLog, topic: str = "a") -> list[bytes]:
    """What lies on a topic."""
    return [entry.value for entry in log.read({topic: 0})]


def test_unavailable_for_a_number_of_calls(log: MemoryLog) -> None:
    """Exactly that many calls fail, of any kind, and nothing of them stays."""
    log.make_unavailable(4)
    for call in (
        lambda: log.append("a", b"", b"x"),
        lambda: log.read({"a": 0}),
        lambda: log.end("a"),
        lambda: log.create(["c"]),
    ):
        with pytest.raises(LogUnavailableError, match="away"):
            call()
    assert log.end("a") == 0
    with pytest.raises(TopicMissingError):
        log.append("c", b"", b"x")


def test_unavailable_until_healed(log: MemoryLog) -> None:
    """Without a number, every call fails until `heal`."""
    log.make_unavailable()
    for _ in range(20):
        with pytest.raises(LogUnavailableError, match="healed"):
            log.end("a")
    log.heal()
    assert log.end("a") == 0


@pytest.mark.parametrize("calls", [0, -1])
def test_refuses_a_number_of_calls_that_is_none(log: MemoryLog, calls: int) -> None:
    """Fewer than one failing call is a mistake of the test."""
    with pytest.raises(ValueError, match=f"{calls} failing calls"):
        log.make_unavailable(calls)


def test_lost_acknowledgement_leaves_the_entry(log: MemoryLog) -> None:
    """The writer sees an error although the entry is there; its resend is a second entry."""
    log.lose_acknowledgements(2)
    for _ in range(2):
        with pytest.raises(LogUnavailableError, match="may be on the log"):
            log.append("a", b"k", b"x")
    assert log.append("a", b"k", b"x") == 2
    assert values(log) == [b"x", b"x", b"x"]


def test_duplicate_appends_twice(log: MemoryLog) -> None:
    """The next append lies twice on the log, the one after it once."""
    log.duplicate()
    assert log.append("a", b"k", b"x", (("traceparent", b"t"),)) == 0
    assert log.append("a", b"k", b"y") == 2
    first, second, _ = log.read({"a": 0})
    assert first == Entry("a", 0, b"k", b"x", (("traceparent", b"t"),))
    assert second == Entry("a", 1, b"k", b"x", (("traceparent", b"t"),))


def test_denied_topic_refuses_and_the_others_work(log: MemoryLog) -> None:
    """A denied topic refuses reading and writing; one that is not named is free."""
    log.deny("a")
    for call in (
        lambda: log.append("a", b"", b"x"),
        lambda: log.read({"b": 0, "a": 0}),
        lambda: log.end("a"),
        lambda: log.create(["a"]),
    ):
        with pytest.raises(LogDeniedError, match="topic a"):
            call()
    assert log.append("b", b"", b"x") == 0
    log.heal()
    assert log.end("a") == 0


def test_dropped_topic_starts_anew(log: MemoryLog) -> None:
    """A dropped topic is missing, ends at 0, and counts from 0 once created again."""
    log.append("a", b"", b"old")
    log.drop("a")
    assert (log.end("a"), values(log)) == (0, [])
    with pytest.raises(TopicMissingError):
        log.append("a", b"", b"x")
    log.create(["a"])
    assert log.append("a", b"", b"new") == 0
    assert log.read({"a": 5}) == []


@pytest.mark.parametrize(("before", "kept"), [(0, [0, 1, 2, 3]), (2, [2, 3]), (4, []), (9, [])])
def test_truncated_topic_reads_from_the_first_kept_entry(log: MemoryLog, before: int, kept: list[int]) -> None:
    """Truncation takes the entries below an offset; offsets and the end stay."""
    for number in range(4):
        log.append("a", b"", b"%d" % number)
    log.truncate("a", before)
    assert [entry.offset for entry in log.read({"a": 0})] == kept
    assert log.end("a") == 4
    assert log.append("a", b"", b"4") == 4


def test_truncating_twice_goes_only_forward(log: MemoryLog) -> None:
    """A lower offset brings nothing back; a topic that does not exist is an error."""
    for number in range(4):
        log.append("a", b"", b"%d" % number)
    log.truncate("a", 3)
    log.truncate("a", 1)
    assert values(log) == [b"3"]
    with pytest.raises(TopicMissingError, match="zz"):
        log.truncate("zz", 0)


def test_on_append_sees_what_is_on_the_log(log: MemoryLog) -> None:
    """The hook runs after the append and outside the lock, so it may read; its error reaches the writer."""
    seen: list[tuple[Entry, int]] = []
    log.on_append = lambda entry: seen.append((entry, log.end("a")))
    log.append("a", b"k", b"x")
    assert seen == [(Entry("a", 0, b"k", b"x"), 1)]

    def crash(_entry: Entry) -> None:
        raise KeyboardInterrupt

    log.on_append = crash
    with pytest.raises(KeyboardInterrupt):
        log.append("a", b"k", b"y")
    assert values(log) == [b"x", b"y"]


def test_healing_keeps_the_entries(log: MemoryLog) -> None:
    """`heal` turns switches off that were never used."""
    log.lose_acknowledgements()
    log.duplicate()
    log.make_unavailable(3)
    log.heal()
    assert [log.append("a", b"", b"x"), log.append("a", b"", b"y")] == [0, 1]


@pytest.mark.parametrize("switch", ["close", "make_unavailable"])
def test_a_waiting_reader_hears_of_a_fault(log: MemoryLog, switch: str) -> None:
    """A reader in another thread does not wait its timeout out when the log closes or goes away."""
    started = threading.Event()

    def wait_long() -> list[Entry]:
        started.set()
        return log.read({"a": 0}, timeout=3 * WAIT)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_long)
        assert started.wait(WAIT)
        getattr(log, switch)()
        with pytest.raises(LogError, match=r"closed|away"):
            waiting.result(WAIT)
