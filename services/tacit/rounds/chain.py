"""Which records of a bank's topic are on its chain (protocol 5). Pure; banks and verifiers share it.

A bank's records carry a sequence number and the digest of the record before. For each number the first record that
names the chain's previous digest is on the chain; repeats and off-chain records are void. A RESUME, which the bank's
governance key signs, starts the chain again after a loss and settles what was off the chain before it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tacit.rounds.types import Checked, Kind, ResumeBody, RoundError


@dataclass(frozen=True, slots=True)
class Link:
    """A place in a chain: a sequence number, 0 before the first record, and that record's digest, empty at 0."""

    seq: int
    digest: bytes


ORIGIN = Link(0, b"")


@dataclass(frozen=True, slots=True)
class Chain:
    """What a topic says of its bank.

    Attributes:
        base: The place before the first record; above `ORIGIN` where the topic was trimmed.
        records: The chain, by sequence.
        off_chain: Void records, repeats left out, that no later RESUME settles, in topic order.
        settled: Void records from before the newest RESUME, in topic order.
        gap: Whether a sequence number from 1 to the highest is missing.
    """

    base: Link
    records: tuple[Checked, ...]
    off_chain: tuple[Checked, ...]
    settled: tuple[Checked, ...]
    gap: bool

    @property
    def head(self) -> Link:
        """The newest place of the chain."""
        return link(self.records[-1]) if self.records else self.base

    @property
    def highest(self) -> int:
        """The newest sequence number of the chain, 0 for an empty one."""
        return self.head.seq


def link(record: Checked) -> Link:
    """The place that a record takes in its chain."""
    return Link(record.header.seq, record.digest)


def before(record: Checked) -> Link:
    """The place that a record says it follows."""
    return Link(record.header.seq - 1, record.header.previous)


def chain(records: Iterable[Checked], base: Link | None = None) -> Chain:
    """Finds the chain in the records of one bank's topic.

    Args:
        records: Validly signed records of one bank, in topic order; an exported archive goes before what is kept.
        base: Place before the first record. By default the origin if any record has sequence 1, else the place that
            the first record names: topics are trimmed from the front only.

    Returns:
        The chain and what is void.

    Raises:
        RoundError: If the records have several senders, or a record has no sequence number.
    """
    unique = _checked(_without_repeats(records))
    start = base if base is not None else _base(unique)
    steps = _Steps(unique)
    found: list[Checked] = []
    head = start
    while (record := steps.after(head)) is not None:
        found.append(record)
        head = link(record)
    return _split(start, unique, found)


def _without_repeats(records: Iterable[Checked]) -> list[Checked]:
    first: dict[bytes, Checked] = {}
    for record in records:
        first.setdefault(record.digest, record)
    return list(first.values())


def _checked(records: list[Checked]) -> list[Checked]:
    senders = {record.header.sender for record in records}
    if len(senders) > 1:
        raise RoundError(f"a chain has one sender, got {sorted(senders)}")
    for record in records:
        if record.header.seq < 1:
            raise RoundError(f"{record.header.kind.name} of {record.header.sender} has sequence 0: not a bank's record")
    return records


def _base(records: list[Checked]) -> Link:
    if not records or any(record.header.seq == 1 for record in records):
        return ORIGIN
    return before(records[0])


class _Steps:
    """Finds the record that follows a place: the first that names it."""

    def __init__(self, records: list[Checked]) -> None:
        self._order = {record.digest: number for number, record in enumerate(records)}
        self._next: dict[Link, Checked] = {}
        self._resumes: dict[Link, Checked] = {}
        for record in records:
            self._next.setdefault(before(record), record)
            place = resumed(record)
            if place is not None:
                self._resumes.setdefault(place, record)

    def after(self, place: Link) -> Checked | None:
        """The first record, in topic order, that follows the place as its successor or as a RESUME from it."""
        candidates = [found for found in (self._next.get(place), self._resumes.get(place)) if found is not None]
        return min(candidates, key=lambda record: self._order[record.digest], default=None)


def resumed(record: Checked) -> Link | None:
    """The place on the topic from which a RESUME starts again; None for other records and malformed ones."""
    body = record.body
    if record.header.kind is not Kind.RESUME or not isinstance(body, ResumeBody):
        return None
    if record.header.seq != max(body.journal_seq, body.topic_seq) + 1:
        return None
    return Link(body.topic_seq, body.topic_digest)


def _split(base: Link, unique: list[Checked], found: list[Checked]) -> Chain:
    on_chain = {record.digest for record in found}
    order = {record.digest: number for number, record in enumerate(unique)}
    settled_until = max((order[record.digest] for record in found if record.header.kind is Kind.RESUME), default=-1)
    void = [(number, record) for number, record in enumerate(unique) if record.digest not in on_chain]
    highest = found[-1].header.seq if found else base.seq
    return Chain(
        base=base,
        records=tuple(found),
        off_chain=tuple(record for number, record in void if number > settled_until),
        settled=tuple(record for number, record in void if number < settled_until),
        gap=len(found) != highest,
    )
