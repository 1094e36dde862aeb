"""Reading records off the log: positions, opening, and what is counted as invalid."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tacit.rounds.types import Checked
from tacit.runtime.accepted import Accepted
from tacit.runtime.log import Log
from tacit.runtime.observing import Label, Metric, MetricKind, Metrics
from tacit.wire import envelope, topics
from tacit.wire.envelope import InvalidRecord
from tacit.wire.errors import InvalidReason

LISTED = 1000
"""Invalid records that are listed; the counters go on."""

INVALID = Metric(
    "tacit_invalid_records_total",
    MetricKind.COUNTER,
    "Entries that this process read and that are no valid record, by reason; a start reads every topic from its "
    "beginning. Growth wants a look at the log.",
    labels=(Label("reason", tuple(InvalidReason)),),
    shareable=True,
)
"""In every service's table; `InvalidRecords` keeps it."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """An entry that is no valid record; it stays where it is and changes nothing."""

    topic: str
    offset: int
    reason: str
    detail: str


class Inbox:
    """Follows some topics from their start.

    Args:
        log: The log.
        topics: Topics to follow.
        open_record: Topic and bytes to a checked record, or `InvalidRecord`.

    Attributes:
        positions: Topic to the next offset.
        invalid: Invalid entries by reason.
        listed: The first of them.
    """

    def __init__(self, log: Log, topics: Iterable[str], open_record: Callable[[str, bytes], Checked]) -> None:
        self._log = log
        self._open = open_record
        self.positions = dict.fromkeys(topics, 0)
        self.invalid: Counter[str] = Counter()
        self.listed: list[Invalid] = []

    def poll(self, timeout: float, limit: int = 500) -> list[Checked]:
        """Reads what is new, waiting at most `timeout` seconds for anything at all.

        Raises:
            LogUnavailableError: If the log is away; nothing is skipped.
        """
        records = []
        for entry in self._log.read(self.positions, limit, timeout):
            try:
                records.append(self._open(entry.topic, entry.value))
            except InvalidRecord as error:
                self._count(Invalid(entry.topic, entry.offset, error.reason, error.detail))
            self.positions[entry.topic] = entry.offset + 1
        return records

    def caught_up(self, topics: Iterable[str] | None = None) -> bool:
        """Whether everything that is on the given topics (by default all) now was read.

        Raises:
            LogUnavailableError: If the log is away.
        """
        wanted = self.positions if topics is None else topics
        behind = {topic: end for topic in wanted if (end := self._log.end(topic)) > self.positions[topic]}
        if behind and self._log.read(self.positions, 1, 0.0):
            return False
        # Nothing is left of what lay before these ends: the entries were removed, and the positions go past them.
        self.positions.update(behind)
        return True

    def _count(self, invalid: Invalid) -> None:
        self.invalid[invalid.reason] += 1
        if len(self.listed) < LISTED:
            self.listed.append(invalid)


class InvalidRecords:
    """Keeps `INVALID` equal to what a process's inboxes met.

    Args:
        measured: The process's metrics.
    """

    def __init__(self, measured: Metrics) -> None:
        self._measured = measured
        self._counted: Counter[str] = Counter()

    def update(self, *invalid: Counter[str]) -> None:
        """Adds what is new.

        Args:
            invalid: Invalid entries by reason, `Inbox.invalid` of all the process's inboxes.
        """
        found = sum(invalid, Counter[str]())
        for reason, count in (found - self._counted).items():
            self._measured.increment(INVALID.name, count, reason=reason)
        self._counted = found


def federation_inbox(log: Log, accepted: Accepted, prefix: str) -> Inbox:
    """An inbox over the control topic and every member's own topic; one that does not exist yet reads as empty.

    Args:
        log: The log.
        accepted: The members of the epoch in force, and the keys that records are checked against.
        prefix: Of topic names.
    """
    members = accepted.manifest.members
    names = [topics.control(prefix).name, *(topics.bank(prefix, member.id).name for member in members)]
    return Inbox(log, names, lambda topic, value: envelope.open_record(topic, value, accepted.ring))
