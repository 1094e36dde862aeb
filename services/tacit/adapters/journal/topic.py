"""The bank's own topic held against its journal (protocol 5): a backup, a clone or a lost topic is noticed here."""

from collections.abc import Iterable, Sequence

from tacit.adapters.journal.store import Store
from tacit.rounds.chain import Chain, Link, before, chain
from tacit.rounds.ledger import TopicReport, Verdict
from tacit.rounds.types import Checked, Kind

OK = TopicReport(Verdict.OK, "")
_REBUILD = "stop every copy of this bank, then run `tacit ledger rebuild`"
_RESUME = "run `tacit ledger resume` once the topic is the right one"


def own_chain(store: Store, records: Sequence[Checked]) -> Chain:
    """The chain of the own topic; a trimmed one begins before the first record that the journal holds."""
    if any(record.header.seq == 1 for record in records):
        return chain(records)
    held = held_digests(store)
    known = next((before(record) for record in records if record.digest in held), None)
    return chain(records, known)


def held_digests(store: Store) -> dict[bytes, int]:
    """Digests of all records in the journal, with their sequence numbers."""
    return {bytes.fromhex(digest): seq for digest, seq in store.rows("SELECT digest, seq FROM record")}


def newest(store: Store) -> Link:
    """The journal's newest record."""
    rows = store.rows("SELECT seq, digest FROM record ORDER BY seq DESC LIMIT 1")
    return Link(rows[0][0], bytes.fromhex(rows[0][1])) if rows else Link(0, b"")


def judge(store: Store, records: Sequence[Checked], named: Iterable[bytes]) -> TopicReport:
    """What the whole own topic says about this journal.

    Args:
        store: An open store.
        records: Every validly signed record of the own topic, in its order.
        named: Digests of own records that ROSTER, COHORT or SURVIVORS name.

    Returns:
        The verdict; anything but OK means: write nothing, tell the operator.
    """
    found = own_chain(store, records)
    held = held_digests(store)
    if _resume_waits(store):
        # It settles what is off the chain and starts beyond what is lost, as soon as it is sent.
        return _complete(found, held, named) or OK
    return _complete(found, held, named) or _unforked(found, held) or _reaches(store, found, held) or OK


def _resume_waits(store: Store) -> bool:
    return bool(store.rows("SELECT 1 FROM record JOIN outbox USING (seq) WHERE kind = 'RESUME' AND seen = 0"))


def _complete(found: Chain, held: dict[bytes, int], named: Iterable[bytes]) -> TopicReport | None:
    numbers = frozenset(held.values())
    for record in found.records:
        if record.digest in held:
            continue
        seq, kind = record.header.seq, record.header.kind.name
        if seq in numbers:
            return TopicReport(Verdict.CLONED, f"record {seq} ({kind}) on the topic is a copy's, not ours; {_REBUILD}")
        return TopicReport(Verdict.BEHIND, f"the topic holds record {seq} ({kind}), the journal does not; {_REBUILD}")
    for digest in named:
        if digest not in held:
            return TopicReport(Verdict.BEHIND, f"a control record names our record {digest.hex()}; {_REBUILD}")
    return None


def _unforked(found: Chain, held: dict[bytes, int]) -> TopicReport | None:
    for record in found.off_chain:
        if record.header.kind is not Kind.START and record.digest not in held:
            place = f"record {record.header.seq} ({record.header.kind.name})"
            return TopicReport(Verdict.CLONED, f"{place} on the topic is off our chain; {_REBUILD}")
    return None


def _reaches(store: Store, found: Chain, held: dict[bytes, int]) -> TopicReport | None:
    seen = store.rows("SELECT coalesce(max(seq), 0) FROM outbox WHERE seen = 1")[0][0]
    if found.highest < seen:
        return TopicReport(
            Verdict.TRUNCATED, f"record {seen} was on the topic, which now ends at {found.highest}; {_RESUME}"
        )
    loose = [record.header.seq for record in found.off_chain if record.digest in held]
    if loose:
        return TopicReport(Verdict.TRUNCATED, f"the topic lost what leads to our record {loose[0]}; {_RESUME}")
    return None
