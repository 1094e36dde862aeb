"""The two exits of protocol 5, both by a RESUME that the bank's governance key signs."""

from collections.abc import Iterable, Sequence

from tacit.adapters.journal import topic
from tacit.adapters.journal.entries import Entries
from tacit.adapters.journal.ledger import EVERY, Account
from tacit.rounds.chain import ORIGIN, Link, chain
from tacit.rounds.ledger import (
    MAX_NANO,
    ComposeResume,
    JournalError,
    Position,
    Reservation,
    ResumePoint,
    RunState,
    Stored,
    Verdict,
)
from tacit.rounds.types import Checked, Kind


def resume(entries: Entries, records: Sequence[Checked], compose: ComposeResume) -> Stored:
    """Starts the chain again from a complete journal; see `Journal.resume`."""
    with entries.store.transaction():
        report = topic.judge(entries.store, records, ())
        if report.verdict in (Verdict.BEHIND, Verdict.CLONED):
            raise JournalError(f"the journal is {report.verdict}, `resume` is not enough: {report.reason}")
        head = topic.own_chain(entries.store, records).head
        return _sign(entries, topic.newest(entries.store), head, compose, rebuilt=False)


def rebuild(
    entries: Entries,
    account: Account,
    records: Sequence[Checked],
    reservations: Sequence[Reservation],
    compose: ComposeResume,
    *,
    to_cap: bool = False,
    closed: Iterable[bytes] = (),
) -> Stored:
    """Fills a fresh journal from the topic; see `Journal.rebuild`."""
    with entries.store.transaction():
        if entries.store.rows("SELECT 1 FROM entry WHERE kind != 'ACCEPT' LIMIT 1"):
            raise JournalError(f"{entries.store.path}: not a fresh journal; move it away and rebuild into a new file")
        found = chain(records)
        for record in found.records:
            entries.take_over(record)
        known = {reservation.run: reservation for reservation in reservations}
        for reservation in known.values():
            _charge(entries, reservation.run.hex(), reservation.buckets, reservation.rho_nano)
        if to_cap or found.gap or not _joined(records) <= known.keys():
            _charge_to_cap(entries, account)
        for run in sorted(_joined(records) | set(closed)):
            if run not in known:
                entries.release(run.hex(), RunState.LEFT, 0)
        return _sign(entries, ORIGIN, found.head, compose, rebuilt=True)


def _sign(entries: Entries, own: Link, head: Link, compose: ComposeResume, *, rebuilt: bool) -> Stored:
    point = ResumePoint(own.seq, own.digest, head.seq, head.digest, rebuilt)
    higher = own if own.seq > head.seq else head
    position = Position(higher.seq + 1, higher.digest, entries.store.tip()[1])
    # What lies before a RESUME is never sent any more.
    entries.store.write("UPDATE outbox SET seen = 1")
    return entries.put(Kind.RESUME, b"", lambda at: compose(at, point), position, {})


def _joined(records: Iterable[Checked]) -> frozenset[bytes]:
    """Runs whose JOIN is among the records, off the chain as well: a copy of this bank may have spent there."""
    return frozenset(record.header.run for record in records if record.header.kind is Kind.JOIN)


def _charge(entries: Entries, run: str, buckets: tuple[str, ...], rho_nano: int) -> None:
    entries.append_reserve(run, buckets, rho_nano)
    entries.release(run, RunState.LEFT, rho_nano)


def _charge_to_cap(entries: Entries, account: Account) -> None:
    most = max(account.bucket_cap_nano, account.lifetime_cap_nano)
    _charge(entries, "", (EVERY,), min(most, MAX_NANO))
