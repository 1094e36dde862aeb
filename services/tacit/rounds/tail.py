"""A bank's chain, grown record by record as its topic is read (protocol 5); `rounds.chain` judges a whole topic."""

from tacit.rounds.chain import ORIGIN, Link, before, link, resumed
from tacit.rounds.types import Checked


class Tail:
    """The growing end of one bank's chain.

    The result does not depend on how the topic is cut into batches, and equals `rounds.chain.chain` of what was read,
    where that begins at the topic's first record. Only records that may still join are kept.

    Attributes:
        head: The newest place of the chain.
    """

    def __init__(self) -> None:
        self.head: Link = ORIGIN
        self._started = False
        self._next: dict[Link, Checked] = {}
        self._resumes: dict[Link, Checked] = {}
        self._order: dict[bytes, int] = {}

    def extend(self, record: Checked) -> list[Checked]:
        """Takes in the topic's next record.

        Args:
            record: A validly signed record of this bank.

        Returns:
            The records that are on the chain now and were not before, in chain order; empty if it is void so far.
        """
        if not self._started:
            self._started = True
            if record.header.seq > 1:
                self.head = before(record)
        if record.digest in self._order:
            return []
        self._order[record.digest] = len(self._order)
        if record.header.seq > self.head.seq:
            self._next.setdefault(before(record), record)
            place = resumed(record)
            if place is not None and place.seq >= self.head.seq:
                self._resumes.setdefault(place, record)
        return self._follow()

    def read(self, digest: bytes) -> bool:
        """Whether the record of that digest was taken in before."""
        return digest in self._order

    def _follow(self) -> list[Checked]:
        grown = []
        while (record := self._after(self.head)) is not None:
            grown.append(record)
            self._next.pop(self.head, None)
            self._resumes.pop(self.head, None)
            self.head = link(record)
        return grown

    def _after(self, place: Link) -> Checked | None:
        found = [item for item in (self._next.get(place), self._resumes.get(place)) if item is not None]
        return min(found, key=lambda record: self._order[record.digest], default=None)
