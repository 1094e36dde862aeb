"""Whether a journal's file is what was written to it: recomputes the chain and every digest in it."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator

from tacit.adapters.journal.schema import SCHEMA
from tacit.adapters.journal.store import GENESIS, Store, entry_hash
from tacit.rounds.ledger import JournalBusyError, JournalError, JournalFullError, Secret

RESTORED = "restored"
"""Setting that marks a copy made by `tacit ledger backup` until it is opened."""

SAMPLE_KEY = "sample_key"


def verify(store: Store) -> list[str]:
    """Checks pages, schema, hash chain, records, side tables and budgets.

    Args:
        store: An open store.

    Returns:
        What is wrong, in words; empty if nothing is.
    """
    try:
        found = list(_pages(store))
        return found or [*_entries(store), *_records(store), *_payloads(store), *_secrets(store), *_budgets(store)]
    except (JournalBusyError, JournalFullError):
        raise
    except (JournalError, ValueError, KeyError, TypeError) as error:
        return [f"cannot be read to its end: {error}"]


def secret_digest(secret: Secret, salt: bytes) -> str:
    """Salted SHA-256 of a secret, hexadecimal: what the chain keeps once the secret is erased."""
    digest = hashlib.sha256(salt)
    for part in (secret.sk, secret.b, secret.shares):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _pages(store: Store) -> Iterator[str]:
    for (line,) in store.rows("PRAGMA integrity_check(5)"):
        if line != "ok":
            yield f"pages: {line}"
    expected = sqlite3.connect(":memory:")
    try:
        expected.executescript(SCHEMA)
        query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
        if expected.execute(query).fetchall() != store.rows(query):
            yield "schema: differs from the journal's"
    finally:
        expected.close()


def _entries(store: Store) -> Iterator[str]:
    prev = GENESIS
    rows = store.rows("SELECT n, kind, body, prev, hash FROM entry ORDER BY n")
    for expected, (n, kind, body, said, stored) in enumerate(rows, start=1):
        if n != expected:
            yield f"entry {expected}: missing"
            return
        if said != prev or stored != entry_hash(n, kind, body, prev):
            yield f"entry {n} ({kind}): was changed, its hash does not follow from entry {n - 1}"
            return
        prev = stored


def _records(store: Store) -> Iterator[str]:
    outbox = {seq: value for seq, value in store.rows("SELECT seq, bytes FROM outbox")}  # noqa: C416  rows have no type
    for seq, digest in store.rows("SELECT seq, bytes_digest FROM record"):
        value = outbox.pop(seq, None)
        if value is None:
            yield f"record {seq}: its bytes are missing"
        elif (hashlib.sha256(value).hexdigest() if value else None) != digest:
            yield f"record {seq}: its bytes were changed"
    yield from (f"record {seq}: bytes without an entry" for seq in outbox)


def _open_runs(store: Store) -> frozenset[str]:
    return frozenset(run for (run,) in store.rows("SELECT run FROM reserve WHERE state = 'open'"))


def _restored(store: Store) -> bool:
    return bool(store.rows("SELECT 1 FROM setting WHERE name = ?", RESTORED))


def _payloads(store: Store) -> Iterator[str]:
    held = {(run, slot): value for run, slot, value in store.rows("SELECT run, slot, bytes FROM payload")}
    expected = {} if _restored(store) else _expected_payloads(store)
    for place in held.keys() | expected.keys():
        value = held.get(place)
        if value is None or hashlib.sha256(value).hexdigest() != expected.get(place):
            yield f"payload of run {place[0][:16]} slot {place[1]}: missing, changed or never booked"


def _expected_payloads(store: Store) -> dict[tuple[str, int], str]:
    spends = store.rows("SELECT run, slot, payload_digest FROM spend")
    running = _open_runs(store)
    return {(run, slot): digest for run, slot, digest in spends if run in running}


def _secrets(store: Store) -> Iterator[str]:
    held = {
        (run, slot): secret_digest(Secret(slot, sk, b, shares), salt)
        for run, slot, sk, b, shares, salt in store.rows("SELECT run, slot, sk, b, shares, salt FROM secret")
    }
    expected = {} if _restored(store) else _expected_secrets(store)
    for place in held.keys() | expected.keys():
        if held.get(place) != expected.get(place):
            yield f"secret of run {place[0][:16]} slot {place[1]}: missing, changed or never booked"
    yield from _sample_key(store)


def _expected_secrets(store: Store) -> dict[tuple[str, int], str]:
    running = _open_runs(store)
    expected: dict[tuple[str, int], str] = {}
    for (content,) in store.rows("SELECT body FROM entry WHERE kind = 'RECORD' ORDER BY n"):
        body = json.loads(content)
        if body.get("run") in running:
            expected |= {(body["run"], int(slot)): digest for slot, digest in body.get("secrets", {}).items()}
    return expected


def _sample_key(store: Store) -> Iterator[str]:
    first = store.rows("SELECT body FROM entry WHERE n = 1")
    keys = store.rows("SELECT value FROM setting WHERE name = ?", SAMPLE_KEY)
    if not first and not keys:
        return
    said = json.loads(first[0][0]).get("sample_key") if first else None
    if not keys or hashlib.sha256(keys[0][0]).hexdigest() != said:
        yield "key of the row sample: missing or changed"


def _budgets(store: Store) -> Iterator[str]:
    reserved = dict(store.rows("SELECT run, rho_nano FROM reserve"))
    for run, spent in store.rows("SELECT run, sum(rho_nano) FROM spend GROUP BY run"):
        if spent > reserved.get(run, 0):
            yield f"run {run[:16]}: {spent} nano-rho spent, {reserved.get(run, 0)} reserved"
