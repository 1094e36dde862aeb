"""Own records that the control topic names: what a lost journal cannot hide, and where a leader lies (protocol 5)."""

from dataclasses import dataclass

from tacit.rounds.ledger import MAX_SLOT, RunState
from tacit.rounds.state import Run
from tacit.rounds.types import DIGEST_BYTES, Checked, Kind, ResultBody, RosterBody
from tacit.trainer.ports import Journal


@dataclass(frozen=True, slots=True)
class _Name:
    """What a digest is said to be."""

    run: bytes
    kind: Kind
    slot: int | None


class Named:
    """Collects every ROSTER's JOIN and every RESULT's RELEASE of one bank, of any epoch and under any fence.

    Args:
        bank: The bank.
        journal: Its journal.
    """

    def __init__(self, bank: str, journal: Journal) -> None:
        self._bank = bank
        self._journal = journal
        self._open: set[tuple[bytes, _Name]] = set()

    def read(self, record: Checked) -> None:
        """Takes in a record of the control topic; other kinds name nothing."""
        header, body = record.header, record.body
        if len(header.run) != DIGEST_BYTES or not 0 <= header.slot <= MAX_SLOT:
            return
        if isinstance(body, RosterBody) and self._bank in body.joins:
            self._open.add((body.joins[self._bank], _Name(header.run, Kind.JOIN, None)))
        if isinstance(body, ResultBody) and self._bank in body.used:
            self._open.add((body.used[self._bank], _Name(header.run, Kind.RELEASE, header.slot)))

    def unknown(self) -> tuple[bytes, ...]:
        """Digests that the journal would hold, were it not behind; looked at in full before every JOIN and RELEASE.

        A run that is done or left here is charged and never answered again. A record that the journal holds under
        another digest, or of a run that it refused, proves that the leader lies, not that the journal is behind.
        """
        self._open = {(digest, name) for digest, name in self._open if not self._settled(digest, name)}
        return tuple(sorted(digest for digest, _ in self._open))

    def contradicts(self, run: Run) -> bool:
        """Whether the run's ROSTER names a JOIN of this bank that its journal knows to be another, or refused."""
        body = run.roster.body if run.roster is not None else None
        digest = body.joins.get(self._bank) if isinstance(body, RosterBody) else None
        return digest is not None and self._lie(digest, _Name(run.id, Kind.JOIN, None))

    def _settled(self, digest: bytes, name: _Name) -> bool:
        stored = self._journal.stored(name.run, name.slot, name.kind)
        if stored is not None and stored.digest == digest:
            return True
        return self._journal.state(name.run) in (RunState.DONE, RunState.LEFT) or self._lie(digest, name)

    def _lie(self, digest: bytes, name: _Name) -> bool:
        stored = self._journal.stored(name.run, name.slot, name.kind)
        if stored is not None:
            return stored.digest != digest
        return self._journal.stored(name.run, None, Kind.REFUSED) is not None
