"""An in-process `Log` with fault switches, for tests and the simulation."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tacit.runtime.log import (
    Entry,
    LogDeniedError,
    LogError,
    LogUnavailableError,
    TopicMissingError,
    check_append,
    check_read,
    check_topic,
)


@dataclass(slots=True)
class _Topic:
    """The kept entries of one topic; `start` is the offset of the first one."""

    start: int = 0
    entries: list[Entry] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.start + len(self.entries)

    def since(self, offset: int, limit: int) -> list[Entry]:
        first = max(offset - self.start, 0)
        return self.entries[first : first + limit]


@dataclass(slots=True)
class _Faults:
    """What goes wrong next."""

    away: bool = False
    failing_calls: int = 0
    lost_acknowledgements: int = 0
    duplicates: int = 0
    denied: set[str] = field(default_factory=set)


class MemoryLog:
    """A log in the memory of one process, shared by its threads.

    Readers wake by a condition variable. With `timeout=0` no call waits or looks at the time, so a simulation with a
    clock of its own is deterministic.

    Attributes:
        on_append: Called with each entry once it is on the log and before its writer hears of it; an exception that it
            raises reaches the writer although the entry stays. None by default.
    """

    def __init__(self) -> None:
        self.on_append: Callable[[Entry], None] | None = None
        self._topics: dict[str, _Topic] = {}
        self._faults = _Faults()
        self._closed = False
        self._changed = threading.Condition()

    def create(self, topics: Iterable[str]) -> None:
        """Creates the topics that do not exist yet."""
        names = list(topics)
        for name in names:
            check_topic(name)
        with self._changed:
            self._enter(names)
            for name in names:
                self._topics.setdefault(name, _Topic())

    def append(self, topic: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> int:
        """Appends one entry and returns its offset.

        Raises:
            TopicMissingError: If the topic was never created, or was dropped.
            RecordTooLargeError: If the value is longer than the port allows.
            LogUnavailableError: If a switch says so; with `lose_acknowledgements` the entry is on the log all the same.
        """
        check_append(topic, value)
        with self._changed:
            self._enter([topic])
            if topic not in self._topics:
                raise TopicMissingError(f"topic {topic} does not exist: create it first")
            entry = self._store(topic, key, value, headers)
            lost = self._faults.lost_acknowledgements > 0
            self._faults.lost_acknowledgements -= lost
        if self.on_append is not None:
            self.on_append(entry)
        if lost:
            raise LogUnavailableError(f"the answer to the append to {topic} was lost: the entry may be on the log")
        return entry.offset

    def read(self, positions: Mapping[str, int], limit: int = 500, timeout: float = 0.0) -> list[Entry]:
        """Reads entries at or after the given offsets; from the first kept one where an offset lies before it."""
        check_read(positions, limit, timeout)
        deadline = time.monotonic() + timeout if timeout > 0.0 else None
        with self._changed:
            while True:
                self._enter(positions)
                found = self._find(positions, limit)
                left = deadline - time.monotonic() if deadline is not None else 0.0
                if found or left <= 0.0:
                    return found
                self._changed.wait(left)

    def end(self, topic: str) -> int:
        """The offset that the next entry of a topic will have; 0 for one that does not exist."""
        check_topic(topic)
        with self._changed:
            self._enter([topic])
            return self._topics[topic].end if topic in self._topics else 0

    def close(self) -> None:
        """Ends the log; waiting readers wake with `LogError`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def make_unavailable(self, calls: int | None = None) -> None:
        """Lets calls fail with `LogUnavailableError`.

        Args:
            calls: How many calls fail, at least 1; None means every call until `heal`.

        Raises:
            ValueError: If `calls` is below 1.
        """
        if calls is not None and calls < 1:
            raise ValueError(f"{calls} failing calls: at least 1, or None until healed")
        with self._changed:
            self._faults.away = calls is None
            self._faults.failing_calls = calls or 0
            self._changed.notify_all()

    def lose_acknowledgements(self, appends: int = 1) -> None:
        """Lets the next appends reach the log while their writers see `LogUnavailableError`."""
        with self._changed:
            self._faults.lost_acknowledgements = appends

    def duplicate(self, appends: int = 1) -> None:
        """Puts each of the next appends on the log twice, as a broker may after a retry; the first offset is told."""
        with self._changed:
            self._faults.duplicates = appends

    def deny(self, topic: str) -> None:
        """Refuses every call that names the topic with `LogDeniedError`, until `heal`."""
        with self._changed:
            self._faults.denied.add(topic)
            self._changed.notify_all()

    def heal(self) -> None:
        """Turns every switch off; dropped and truncated entries stay away."""
        with self._changed:
            self._faults = _Faults()
            self._changed.notify_all()

    def drop(self, topic: str) -> None:
        """Deletes a topic with its entries; created again, it starts at offset 0."""
        with self._changed:
            self._topics.pop(topic, None)

    def truncate(self, topic: str, before: int) -> None:
        """Deletes the entries below an offset, as retention does; offsets of the rest and the end stay.

        Raises:
            TopicMissingError: If the topic does not exist.
        """
        with self._changed:
            if topic not in self._topics:
                raise TopicMissingError(f"topic {topic} does not exist: nothing to truncate")
            kept = self._topics[topic]
            cut = min(max(before, kept.start), kept.end)
            self._topics[topic] = _Topic(cut, kept.entries[cut - kept.start :])

    def _enter(self, topics: Iterable[str]) -> None:
        if self._closed:
            raise LogError("the log is closed")
        if self._faults.away:
            raise LogUnavailableError("the log is away until it is healed")
        if self._faults.failing_calls > 0:
            self._faults.failing_calls -= 1
            raise LogUnavailableError(f"the log is away for {self._faults.failing_calls} more calls")
        for topic in topics:
            if topic in self._faults.denied:
                raise LogDeniedError(f"access to topic {topic} is denied")

    def _store(self, topic: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> Entry:
        kept = self._topics[topic]
        first = Entry(topic, kept.end, key, value, headers)
        kept.entries.append(first)
        if self._faults.duplicates > 0:
            self._faults.duplicates -= 1
            kept.entries.append(Entry(topic, kept.end, key, value, headers))
        self._changed.notify_all()
        return first

    def _find(self, positions: Mapping[str, int], limit: int) -> list[Entry]:
        found: list[Entry] = []
        for topic, offset in positions.items():
            if topic in self._topics and len(found) < limit:
                found.extend(self._topics[topic].since(offset, limit - len(found)))
        return found
