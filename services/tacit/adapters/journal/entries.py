"""Entries of the journal, one method a kind; what is read back from them. Writes run within a transaction."""

import hashlib
import secrets as randomness
from collections.abc import Sequence
from typing import Any

from tacit.adapters.journal import audit
from tacit.adapters.journal.schema import EntryKind
from tacit.adapters.journal.store import Store
from tacit.adapters.journal.topic import newest
from tacit.privacy.types import ReleaseEvent, Unit
from tacit.rounds.ledger import (
    Compose,
    JournalError,
    Position,
    RequestConflictError,
    RunClosedError,
    RunState,
    Secret,
    Spend,
    Stored,
    check_digest,
    check_run,
    check_slot,
)
from tacit.rounds.types import ATTEMPT_KINDS, RUN_KINDS, Checked, Kind
from tacit.runtime.clock import Clock
from tacit.runtime.log import MAX_VALUE_BYTES

GAP = "gap"
"""Key of the charge that a rebuild books for a history with a gap."""

_SALT_BYTES = 32


class Entries:
    """The account's entries in a store."""

    def __init__(self, store: Store, account: str, clock: Clock) -> None:
        self.store = store
        self._account = account
        self._clock = clock

    def position(self) -> Position:
        """What the next record's header carries."""
        last = newest(self.store)
        return Position(last.seq + 1, last.digest, self.store.tip()[1])

    def state(self, run: bytes) -> RunState:
        """Where this bank stands in a run; a run that is done or left is never joined again."""
        released = self.store.rows("SELECT state FROM released WHERE run = ?", run.hex())
        if released:
            return RunState(released[0][0])
        return RunState.OPEN if self.store.rows("SELECT 1 FROM reserve WHERE run = ?", run.hex()) else RunState.NONE

    def require_open(self, run: bytes) -> None:
        """Refuses a run that is not open.

        Raises:
            RunClosedError: If it was never joined, is done or left.
        """
        check_run(run)
        state = self.state(run)
        if state is not RunState.OPEN:
            raise RunClosedError(f"run {run.hex()}: expected an open run, it is {state}")

    def spent(self, run: bytes, slot: int) -> Spend | None:
        """The ledger's entry for a slot, or None while it is unspent."""
        columns = "request, rho_nano, rho_alone_nano, payload_digest"
        rows = self.store.rows(f"SELECT {columns} FROM spend WHERE run = ? AND slot = ?", run.hex(), slot)  # noqa: S608  a constant
        if not rows:
            return None
        request, rho_nano, alone, payload = rows[0]
        return Spend(run, slot, bytes.fromhex(request), rho_nano, alone, bytes.fromhex(payload))

    def bound(self, run: bytes, slot: int) -> bytes | None:
        """The context that a slot serves, or None while it is free."""
        rows = self.store.rows("SELECT context FROM bind WHERE run = ? AND slot = ?", run.hex(), slot)
        return bytes.fromhex(rows[0][0]) if rows else None

    def secrets(self, run: bytes) -> tuple[Secret, ...]:
        """The run's secrets by slot, `RUN_SLOT` first; empty once erased."""
        sql = "SELECT slot, sk, b, shares FROM secret WHERE run = ? ORDER BY slot"
        return tuple(Secret(*row) for row in self.store.rows(sql, run.hex()))

    def find(self, key: str | None) -> Stored | None:
        """The record with a key of `record_key`; None if there is none yet, or the kind has no key."""
        found = self._select("key = ?", key) if key is not None else []
        return found[0] if found else None

    def unsent(self) -> list[Stored]:
        """Records that were not read back from the topic, oldest first."""
        return self._select("seen = 0")

    def _select(self, condition: str, *values: object) -> list[Stored]:
        columns = "seq, kind, digest, bytes, seen"
        # Conditions are the two constants of this class.
        sql = f"SELECT {columns} FROM record JOIN outbox USING (seq) WHERE {condition} ORDER BY seq"  # noqa: S608
        rows = self.store.rows(sql, *values)
        return [
            Stored(seq, Kind[kind], bytes.fromhex(digest), value, bool(seen)) for seq, kind, digest, value, seen in rows
        ]

    def append(self, kind: EntryKind, body: dict[str, Any]) -> None:
        """Appends an entry with the time of day, which is advisory."""
        self.store.append(kind, {**body, "time_ms": int(self._clock.now() * 1000)})

    def accept_account(self, unit: Unit) -> None:
        """The first entry: whose journal this is; draws the key of the row sample."""
        key = randomness.token_bytes(_SALT_BYTES)
        self.store.write("INSERT INTO setting(name, value) VALUES (?, ?)", audit.SAMPLE_KEY, key)
        body = {"account": self._account, "unit": unit.value, "sample_key": sha(key).hex()}
        self.append(EntryKind.ACCEPT, {"key": "account", **body})

    def append_reserve(self, run: str, buckets: tuple[str, ...], rho_nano: int) -> None:
        """RESERVE; an empty run is the charge for a gap."""
        body = {"run": run, "account": self._account, "buckets": list(buckets), "rho_nano": rho_nano}
        self.append(EntryKind.RESERVE, {"key": run or GAP, **body})

    def append_spend(self, spend: Spend, event: ReleaseEvent, buckets: tuple[str, ...]) -> None:
        """SPEND."""
        self.append(
            EntryKind.SPEND,
            {
                "key": f"{spend.run.hex()}:{spend.slot}",
                "run": spend.run.hex(),
                "slot": spend.slot,
                "account": self._account,
                "buckets": list(buckets),
                "request": spend.request.hex(),
                "mode": event.mode.value,
                "variance": str(event.variance),
                "rho_nano": spend.rho_nano,
                "rho_alone_nano": spend.rho_alone_nano,
                "payload_digest": spend.payload_digest.hex(),
            },
        )

    def sign(self, kind: Kind, run: bytes, key: str | None, compose: Compose, secrets: Sequence[Secret] = ()) -> Stored:
        """RECORD at the next position, with its bytes and the secrets that it commits to."""
        digests = {str(secret.slot): self._keep(run, secret) for secret in secrets}
        return self.put(kind, run, compose, self.position(), {"key": key, "secrets": digests or None})

    def put(self, kind: Kind, run: bytes, compose: Compose, at: Position, more: dict[str, Any]) -> Stored:
        """RECORD at a given position; `more` is added to the entry's body.

        Raises:
            JournalError: If what was composed has no digest of 32 bytes, no bytes, or too many for a log.
        """
        sealed = compose(at)
        digest, value = sealed.digest, sealed.value
        check_digest(f"digest of {kind.name}", digest)
        if not 1 <= len(value) <= MAX_VALUE_BYTES:
            raise JournalError(f"{kind.name}: {len(value)} bytes, expected 1 to {MAX_VALUE_BYTES}")
        body = {"seq": at.seq, "record": kind.name, "run": run.hex(), "digest": digest.hex()}
        self.append(EntryKind.RECORD, {**body, **more, "bytes_digest": sha(value).hex()})
        self.store.write("INSERT INTO outbox(seq, bytes, seen) VALUES (?, ?, 0)", at.seq, value)
        return Stored(at.seq, kind, digest, value, seen=False)

    def _keep(self, run: bytes, secret: Secret) -> str:
        held = {found.slot: found for found in self.secrets(run)}.get(secret.slot, Secret(secret.slot))
        merged = Secret(secret.slot, *(_filled(held, secret, name) for name in ("sk", "b", "shares")))
        salt = randomness.token_bytes(_SALT_BYTES)
        columns = (run.hex(), merged.slot, merged.sk, merged.b, merged.shares, salt)
        self.store.write(
            "INSERT OR REPLACE INTO secret(run, slot, sk, b, shares, salt) VALUES (?, ?, ?, ?, ?, ?)", *columns
        )
        return audit.secret_digest(merged, salt)

    def release(self, run: str, how: RunState, charged_nano: int) -> None:
        """RELEASED and ERASED: what the run is charged for good; its side tables are emptied."""
        self.append(
            EntryKind.RELEASED, {"key": run or GAP, "run": run, "state": how.value, "charged_nano": charged_nano}
        )
        payloads = self.store.write("DELETE FROM payload WHERE run = ?", run)
        secrets = self.store.write("DELETE FROM secret WHERE run = ?", run)
        self.append(EntryKind.ERASED, {"key": run or GAP, "run": run, "payloads": payloads, "secrets": secrets})

    def take_over(self, record: Checked) -> None:
        """RECORD of what the topic holds already; its bytes stay there."""
        header = record.header
        body = {"seq": header.seq, "record": header.kind.name, "run": header.run.hex(), "digest": record.digest.hex()}
        self.append(EntryKind.RECORD, body)
        self.store.write("INSERT INTO outbox(seq, bytes, seen) VALUES (?, ?, 1)", header.seq, b"")


def sha(value: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(value).digest()


def record_key(kind: Kind, run: bytes, slot: int | None, about: str = "") -> str | None:
    """What a record of this kind may exist once for; None for kinds that are new every time.

    Raises:
        JournalError: If kind, slot and dealer do not fit.
    """
    if kind not in ATTEMPT_KINDS | RUN_KINDS:
        return None
    check_run(run)
    if (slot is not None) != (kind in ATTEMPT_KINDS):
        raise JournalError(f"{kind.name}: got slot {slot}; attempt kinds name a slot, others do not")
    if bool(about) != (kind is Kind.COMPLAINT):
        raise JournalError(f"{kind.name}: got about = {about!r}; a COMPLAINT names its dealer, others nobody")
    if slot is not None:
        check_slot(slot)
    return f"{run.hex()}:{'' if slot is None else slot}:{kind.name}:{about}"


def _filled(held: Secret, wanted: Secret, name: str) -> bytes:
    old: bytes = getattr(held, name)
    new: bytes = getattr(wanted, name)
    if old and new and old != new:
        raise RequestConflictError(f"slot {held.slot}: its {name} is drawn once and stays")
    return new or old
