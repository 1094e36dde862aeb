"""Reading records off the log: positions, opening, and what is counted as invalid."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tacit.rounds.types import Checked
from tacit.runtime.accepted import Accepted
from tacit.runtime.log import Log
from tacit.wire import envelope, topics
from tacit.wire.envelope import InvalidRecord

LISTED = 1000
"""Invalid records that are listed; the counters go on."""


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


def federation_inbox(log: Log, accepted: Accepted, prefix: str) -> Inbox:
    """An inbox over the control topic and every member's own topic; the topics are made where they do not exist.

    Args:
        log: The log.
        accepted: The members of the epoch in force, and the keys that records are checked against.
        prefix: Of topic names.
    """
    members = accepted.manifest.members
    names = [topics.control(prefix).name, *(topics.bank(prefix, member.id).name for member in members)]
    log.create(names)
    return Inbox(log, names, lambda topic, value: envelope.open_record(topic, value, accepted.ring))
