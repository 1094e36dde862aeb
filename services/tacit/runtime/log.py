"""The `Log` port: an append-only log of topics with one partition each (architecture D2).

Readers keep their own offsets; there are no groups, no transactions and no compaction. Offsets start at 0
and only order entries within a topic; no protocol rule may refer to one.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

MAX_VALUE_BYTES = 960 * 1024
"""Largest value that a log takes, in bytes: below Kafka's default limit of 1 MiB with its own framing."""


class LogError(Exception):
    """A log could not do what was asked."""


class LogUnavailableError(LogError):
    """The log is away for now; the same call may be tried again."""


class TopicMissingError(LogError):
    """The topic does not exist, and the log does not create topics by itself."""


class LogDeniedError(LogError):
    """The log knows the caller and refuses the call (authentication or access rule)."""


class RecordTooLargeError(LogError):
    """The value is longer than `MAX_VALUE_BYTES`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One appended record.

    Attributes:
        topic: Name of the topic.
        offset: Position within the topic, from 0, not always without gaps.
        key: Routing key; the sender's id.
        value: The record's bytes.
        headers: Pairs of name and value; `traceparent` only.
    """

    topic: str
    offset: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@runtime_checkable
class Log(Protocol):
    """An append-only log that many processes share.

    Every method may raise `LogUnavailableError` (transient) or `LogDeniedError`.
    """

    def create(self, topics: Iterable[str]) -> None:
        """Creates the topics that do not exist yet; an existing one is left alone."""

    def append(self, topic: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> int:
        """Appends one entry and returns its offset once it is durable.

        After a failure the entry may or may not be on the log: the caller sends the same bytes again.

        Raises:
            TopicMissingError: If the topic was never created.
            RecordTooLargeError: If the value is longer than `MAX_VALUE_BYTES`.
        """

    def read(self, positions: Mapping[str, int], limit: int = 500, timeout: float = 0.0) -> list[Entry]:
        """Reads entries at or after the given offsets.

        Entries of one topic come in order; nothing is promised between topics.

        Args:
            positions: Topic to the first offset wanted. A topic that does not exist yet reads as empty.
            limit: Most entries to return, over all topics.
            timeout: Seconds to wait when there is nothing yet; wakes as soon as there is.

        Returns:
            Up to `limit` entries, empty after the timeout.
        """

    def end(self, topic: str) -> int:
        """The offset that the next entry of a topic will have or exceed; 0 for one that does not exist."""

    def close(self) -> None:
        """Releases connections and files; the log cannot be used afterwards."""


_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def check_topic(topic: str) -> None:
    """Refuses a name that is not a topic's on every adapter.

    Raises:
        ValueError: If the name is not 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-', or is '.' or '..'.
    """
    if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
        raise ValueError(f"topic {topic!r} is not 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'")


def check_append(topic: str, value: bytes) -> None:
    """Refuses an append that no adapter takes.

    Raises:
        ValueError: If the topic's name is not one.
        RecordTooLargeError: If the value is longer than `MAX_VALUE_BYTES`.
    """
    check_topic(topic)
    if len(value) > MAX_VALUE_BYTES:
        raise RecordTooLargeError(
            f"value of {len(value)} bytes for topic {topic}: at most {MAX_VALUE_BYTES} are allowed"
        )


def check_read(positions: Mapping[str, int], limit: int, timeout: float) -> None:
    """Refuses a read that no adapter takes.

    Raises:
        ValueError: If an offset is negative, a topic's name is not one, the limit is below 1 or the timeout is not a
            finite number of seconds from 0.
    """
    for topic, offset in positions.items():
        check_topic(topic)
        if offset < 0:
            raise ValueError(f"offset {offset} of topic {topic}: offsets start at 0")
    if limit < 1:
        raise ValueError(f"limit {limit}: at least 1 entry must be asked for")
    if not 0.0 <= timeout < math.inf:
        raise ValueError(f"timeout {timeout} s: must be a finite number of seconds from 0")
