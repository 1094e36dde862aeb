"""The bank's journal: what it signed, what it spent, and the exact noised bytes, in one file (protocol 5).

Guarantee for the account's unit, add/remove neighbours: noise is drawn once for a (run, slot), ever. What was drawn is
durable together with its cost and its signed record before any of it can be sent; the same question gets the same
bytes, another question for the same slot is refused; no spend exceeds its run's reservation, no reservation a cap.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np

from tacit.adapters.journal import audit, recovery, topic
from tacit.adapters.journal.entries import Entries, record_key, sha
from tacit.adapters.journal.ledger import Account, Ledger
from tacit.adapters.journal.schema import EntryKind
from tacit.adapters.journal.store import Store, corrupt, open_store, write_copy
from tacit.privacy.types import Mode, Release, ReleaseEvent, Unit
from tacit.rounds.ledger import (
    Compose,
    ComposeResume,
    JournalError,
    LedgerReport,
    Position,
    RequestConflictError,
    Reservation,
    RunClosedError,
    RunState,
    Sealed,
    Secret,
    Spend,
    Stored,
    TopicReport,
    Verdict,
    check_digest,
    check_nano,
    check_run,
    check_slot,
)
from tacit.rounds.types import BANK_KINDS, Checked, Kind
from tacit.runtime import faults
from tacit.runtime.clock import Clock

DELTA = Fraction(1, 10**5)
"""Delta at which epsilons are put into words unless the caller names the policy's."""

_OWN_WAY = {Kind.JOIN: "reserve", Kind.RELEASE: "spend", Kind.MASKED: "spend", Kind.RESUME: "resume or rebuild"}
_OPEN_RUN_KINDS = frozenset({Kind.DEAL, Kind.SHARES, Kind.COMPLAINT, Kind.ACK, Kind.UNMASK})


class Journal:
    """One bank's journal; one process holds it at a time, any of its threads may call it."""

    def __init__(self, store: Store, account: Account, clock: Clock) -> None:
        self._store = store
        self._account = account
        self._ledger = Ledger(store, account)
        self._entries = Entries(store, account.name, clock)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        account: str,
        unit: Unit,
        bucket_cap_nano: int,
        lifetime_cap_nano: int,
        clock: Clock,
        delta: Fraction = DELTA,
    ) -> Self:
        """Opens a journal, or creates one, and verifies every entry before anything else.

        Args:
            path: The file, on a disk of this machine; it gets mode 0600.
            account: The account, named in the bank's policy; a journal serves one.
            unit: The account's privacy unit; one per account, ever.
            bucket_cap_nano: Cap per calendar month, nano-rho, 0 or more.
            lifetime_cap_nano: Cap over all runs, nano-rho, 0 or more.
            clock: Stamps entries, advisory.
            delta: Delta at which errors and reports name epsilons.

        Raises:
            JournalBusyError: If another process holds it.
            JournalCorruptError: If anything in it was changed.
            JournalError: If it belongs to another account or unit, or an argument is out of range.
        """
        store = open_store(Path(path))
        try:
            _require_intact(store)
            journal = cls(store, Account(account, unit, bucket_cap_nano, lifetime_cap_nano, delta), clock)
            journal._begin()
        except BaseException:
            store.close()
            raise
        return journal

    def close(self) -> None:
        """Gives the file back to other processes."""
        self._store.close()

    # What the chain says

    def position(self) -> Position:
        """What the next record's header carries."""
        return self._entries.position()

    def stored(self, run: bytes, slot: int | None, kind: Kind, about: str = "") -> Stored | None:
        """The record of this kind for a run, or for its slot; `about` is the dealer of a COMPLAINT."""
        return self._entries.find(record_key(kind, run, slot, about))

    def unsent(self) -> list[Stored]:
        """Records not yet read back from the topic, oldest first: to be appended in this order, same bytes."""
        return self._entries.unsent()

    def mark_seen(self, seq: int) -> None:
        """Notes durably that a record was read back from the topic.

        Raises:
            JournalError: If there is no such record.
        """
        faults.hit("before-seen")
        with self._store.transaction():
            if self._store.write("UPDATE outbox SET seen = 1 WHERE seq = ?", seq) != 1:
                raise JournalError(f"record {seq}: not in this journal")

    def state(self, run: bytes) -> RunState:
        """Where this bank stands in a run; a run that is done or left is never joined again."""
        return self._entries.state(run)

    def open_runs(self) -> Mapping[bytes, int]:
        """Runs that are open here, with the time of their JOIN by the bank's clock, milliseconds since 1970."""
        rows = self._store.rows("SELECT run, time_ms FROM reserve WHERE state = 'open' ORDER BY time_ms")
        return {bytes.fromhex(run): joined for run, joined in rows}

    # What is signed

    def record(
        self,
        kind: Kind,
        run: bytes,
        slot: int | None,
        compose: Compose,
        *,
        about: str = "",
        secrets: Sequence[Secret] = (),
    ) -> Stored:
        """Signs and stores a record in one transaction; a second call returns the stored one.

        Args:
            kind: A bank's kind, save JOIN, RELEASE, MASKED and RESUME, which have methods of their own. START and
                ORDER are new on every call.
            run: Run id; empty for START and ORDER where they name none.
            slot: Slot of an attempt kind, None for others.
            compose: Signs the record for the position that it is given.
            about: The dealer, for COMPLAINT.
            secrets: Secrets that this record commits to, made durable with it.

        Raises:
            RunClosedError: If the run is not open and the kind belongs to an open run.
            JournalError: If kind and arguments do not fit.
        """
        if kind in _OWN_WAY or kind not in BANK_KINDS:
            raise JournalError(f"{kind.name} is not stored by `record`: {_OWN_WAY.get(kind, 'not a kind of a bank')}")
        key = record_key(kind, run, slot, about)
        with self._store.transaction():
            found = self._entries.find(key)
            if found is not None:
                return found
            if kind in _OPEN_RUN_KINDS:
                self._entries.require_open(run)
            return self._entries.sign(kind, run, key, compose, secrets)

    def reserve(self, reservation: Reservation, compose: Compose, secrets: Sequence[Secret] = ()) -> Stored:
        """Reserves a run's whole cost and stores its JOIN, in one transaction; a second call returns the JOIN.

        Args:
            reservation: Months and total cost of the run, computed from the plan by this bank.
            compose: Signs the JOIN.
            secrets: Run key and slot keys that the JOIN commits to.

        Raises:
            BudgetExceededError: If a month's cap or the lifetime cap does not cover it; the months count in full.
            RequestConflictError: If the run was reserved with other months or another cost.
            RunClosedError: If the run is done or left.
        """
        self._require_account(reservation.account)
        run, key = reservation.run, record_key(Kind.JOIN, reservation.run, None)
        with self._store.transaction():
            state = self.state(run)
            if state in (RunState.DONE, RunState.LEFT):
                raise RunClosedError(f"run {run.hex()} is {state}: it is never joined again")
            if state is RunState.OPEN:
                return self._same_reservation(reservation, self._entries.find(key))
            self._ledger.check_reservation(reservation)
            self._entries.append_reserve(run.hex(), reservation.buckets, reservation.rho_nano)
            return self._entries.sign(Kind.JOIN, run, key, compose, secrets)

    def spend(
        self,
        run: bytes,
        slot: int,
        *,
        request: bytes,
        rho: ReleaseEvent,
        draw: Callable[[], Release],
        compose: Callable[[Position, Release], Sealed],
    ) -> Stored:
        """Draws noise once, books it, and stores noised bytes and signed record, in one transaction.

        Guarantee: `draw` is called at most once per (run, slot) whose transaction holds. If the process dies before
        that, the draw is lost and nothing was released or spent; afterwards every call returns the stored bytes.

        Args:
            run: An open run.
            slot: Its slot; in mode `distributed` bound to its context before.
            request: Digest of the question: query, parent, window, contract, Delta, sigma, mode, manifest.
            rho: The cost, known before the draw; the release must say the same.
            draw: Makes the release.
            compose: Signs RELEASE (mode `local`) or MASKED (mode `distributed`).

        Raises:
            RequestConflictError: If the slot was spent on another request; it stays spent, and nothing is drawn.
            BudgetExceededError: If the run's reservation does not cover it; nothing is drawn.
            RunClosedError: If the run is not open.
            JournalFullError: If there is no room; nothing was spent.
        """
        _check_spend(run, slot, request, rho)
        kind = Kind.RELEASE if rho.mode is Mode.LOCAL else Kind.MASKED
        key = record_key(kind, run, slot)
        with self._store.transaction():
            before = self.spent(run, slot)
            if before is not None:
                return self._same_request(before, request, self._entries.find(key))
            self._entries.require_open(run)
            self._require_bound(run, slot, rho.mode)
            buckets = self._ledger.check_spend(run, rho.rho_nano)
            release = _drawn(draw, rho)
            payload = release.values.astype("<i8").tobytes()
            self._entries.append_spend(
                Spend(run, slot, request, rho.rho_nano, rho.rho_alone_nano, sha(payload)), rho, buckets
            )
            self._store.write("INSERT INTO payload(run, slot, bytes) VALUES (?, ?, ?)", run.hex(), slot, payload)
            return self._entries.sign(kind, run, key, lambda position: compose(position, release))

    def spent(self, run: bytes, slot: int) -> Spend | None:
        """The ledger's entry for a slot, or None while it is unspent."""
        return self._entries.spent(run, slot)

    def release(self, run: bytes, slot: int) -> Release | None:
        """The stored release of a slot as it was drawn; None if unspent, or erased since."""
        from tacit.privacy.release import restore  # noqa: PLC0415  loads OpenDP; the ledger's commands never need it

        sql = "SELECT bytes, mode, variance, rho_nano, rho_alone_nano FROM payload JOIN spend USING (run, slot)"
        rows = self._store.rows(f"{sql} WHERE run = ? AND slot = ?", run.hex(), slot)
        if not rows:
            return None
        payload, mode, variance, rho_nano, alone = rows[0]
        event = ReleaseEvent(Mode(mode), int(variance), rho_nano, alone)
        return restore(np.frombuffer(payload, dtype="<i8").astype(np.int64), event)

    def bind(self, run: bytes, slot: int, context: bytes) -> None:
        """Gives a slot its context for ever; the same context again changes nothing.

        Raises:
            RequestConflictError: If the slot serves another context.
            RunClosedError: If the run is not open.
        """
        check_run(run)
        check_slot(slot)
        check_digest("context", context)
        with self._store.transaction():
            bound = self.bound(run, slot)
            if bound is not None and bound != context:
                raise RequestConflictError(
                    f"run {run.hex()} slot {slot} serves context {bound.hex()}, not {context.hex()}"
                )
            self._entries.require_open(run)
            if bound is None:
                body = {"key": f"{run.hex()}:{slot}", "run": run.hex(), "slot": slot, "context": context.hex()}
                self._entries.append(EntryKind.BIND, body)

    def bound(self, run: bytes, slot: int) -> bytes | None:
        """The context that a slot serves, or None while it is free."""
        return self._entries.bound(run, slot)

    def secrets(self, run: bytes) -> tuple[Secret, ...]:
        """The run's secrets by slot, `RUN_SLOT` first; empty once erased."""
        return self._entries.secrets(run)

    def finish(self, run: bytes, how: RunState) -> None:
        """Ends a run here for ever: frees what it did not spend, and erases its secrets and noised vectors.

        Overwritten in the file by SQLite's `secure_delete`; nothing is claimed for flash cells or snapshots.

        Args:
            run: Run id; one that was never joined may be left, too.
            how: `DONE` or `LEFT`.

        Raises:
            RequestConflictError: If it ended the other way before.
        """
        check_run(run)
        if how not in (RunState.DONE, RunState.LEFT):
            raise JournalError(f"a run ends as done or left, not as {how!r}")
        with self._store.transaction():
            state = self.state(run)
            if state in (RunState.DONE, RunState.LEFT):
                if state is not how:
                    raise RequestConflictError(f"run {run.hex()} is {state} already, not {how}")
                return
            self._entries.release(run.hex(), how, self._ledger.spent(run))

    # What the topic says

    def check_topic(self, records: Sequence[Checked], named: Iterable[bytes] = ()) -> Verdict:
        """Holds the whole own topic against the journal; at start, and before any JOIN, MASKED, RELEASE, ACK or UNMASK.

        Args:
            records: Every validly signed record of the own topic, in its order.
            named: Digests of own records that a ROSTER, COHORT or SURVIVORS names.

        Returns:
            OK, or why this bank has to stop and write nothing.
        """
        return self.judge_topic(records, named).verdict

    def judge_topic(self, records: Sequence[Checked], named: Iterable[bytes] = ()) -> TopicReport:
        """`check_topic` with the reason in words."""
        with self._store.still():
            return topic.judge(self._store, records, named)

    def resume(self, records: Sequence[Checked], compose: ComposeResume) -> Stored:
        """Starts the chain again after the topic was moved, emptied or truncated; charges nothing.

        What was stored but never sent is void from here on; its spends stay spent.

        Args:
            records: The own topic as it is now.
            compose: Signs RESUME with the point it is given, by the governance key and the record key.

        Raises:
            JournalError: If the topic holds what the journal does not: that needs `rebuild`.
        """
        return recovery.resume(self._entries, records, compose)

    def rebuild(
        self,
        records: Sequence[Checked],
        reservations: Sequence[Reservation],
        compose: ComposeResume,
        *,
        to_cap: bool = False,
        closed: Iterable[bytes] = (),
    ) -> Stored:
        """Fills a fresh journal after the old one was lost; every run ever joined is charged in full, none is freed.

        Args:
            records: The own topic, exported archives of finished runs before it.
            reservations: The reservation of each run whose JOIN is among the records, recomputed from its plan.
            compose: Signs RESUME.
            to_cap: Charge the account to its cap even if the records show no gap, for a topic that is known to have
                lost some; with a gap it is charged to the cap in any case.
            closed: Runs that this bank took part in, as far as anybody knows: never joined again, also where what they
                cost cannot be worked out.

        Raises:
            JournalError: If this journal is not fresh, or a reservation names another account.
        """
        for reservation in reservations:
            self._require_account(reservation.account)
        return recovery.rebuild(
            self._entries, self._account, records, reservations, compose, to_cap=to_cap, closed=closed
        )

    # What people ask

    def accept(self, epoch: int, digest: bytes) -> None:
        """Notes the manifest epoch that this bank accepts; the same one again changes nothing.

        Raises:
            RequestConflictError: If a higher epoch, or another one of this number, was accepted before.
        """
        check_digest("manifest digest", digest)
        with self._store.transaction():
            last = self.accepted()
            if last == (epoch, digest):
                return
            if epoch < 1 or (last is not None and epoch <= last[0]):
                raise RequestConflictError(f"epoch {epoch}: expected above {last[0] if last else 0}")
            self._entries.append(EntryKind.ACCEPT, {"key": f"epoch:{epoch}", "epoch": epoch, "manifest": digest.hex()})

    def accepted(self) -> tuple[int, bytes] | None:
        """Number and digest of the newest accepted epoch."""
        rows = self._store.rows("SELECT body FROM entry WHERE kind = 'ACCEPT' ORDER BY n DESC LIMIT 1")
        body = json.loads(rows[0][0])
        return (body["epoch"], bytes.fromhex(body["manifest"])) if "epoch" in body else None

    def sample_key(self) -> bytes:
        """The key that decides which rows a subsampled run keeps: 32 bytes, fixed with the journal."""
        return bytes(self._store.rows("SELECT value FROM setting WHERE name = ?", audit.SAMPLE_KEY)[0][0])

    def ledger(self) -> LedgerReport:
        """The account, for `tacit ledger show`."""
        with self._store.still():
            return self._ledger.report()

    def verify(self) -> list[str]:
        """Reads everything again, for `tacit ledger verify`; returns what is wrong, in words."""
        with self._store.still():
            return audit.verify(self._store)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Writes a copy without secrets and noised vectors; who restores it sits out the runs that are open now.

        Raises:
            JournalError: If the file exists already or cannot be written.
        """
        with self._store.transaction():
            write_copy(self._store, Path(path), {audit.RESTORED: b"1"})

    # Steps; each runs within a transaction

    def _begin(self) -> None:
        with self._store.transaction():
            first = self._store.rows("SELECT body FROM entry WHERE n = 1")
            if not first:
                self._entries.accept_account(self._account.unit)
            else:
                self._require_owner(json.loads(first[0][0]))
            if self._store.write("DELETE FROM setting WHERE name = ?", audit.RESTORED):
                # What was spent after the backup is unknown here, so nothing is freed.
                for run, amount in self._store.rows("SELECT run, rho_nano FROM reserve WHERE state = 'open'"):
                    self._entries.release(run, RunState.LEFT, amount)

    def _require_owner(self, body: dict[str, Any]) -> None:
        for name, wanted in (("account", self._account.name), ("unit", self._account.unit.value)):
            if body[name] != wanted:
                raise JournalError(
                    f"{self._store.path}: {name} is {body[name]!r} for ever, the policy says {wanted!r}; "
                    "an account has one unit and one journal"
                )

    def _require_account(self, account: str) -> None:
        if account != self._account.name:
            raise JournalError(f"account {account!r}: this journal charges {self._account.name!r}")

    def _require_bound(self, run: bytes, slot: int, mode: Mode) -> None:
        if mode is Mode.DISTRIBUTED and self.bound(run, slot) is None:
            raise JournalError(f"run {run.hex()} slot {slot}: bind the slot to its context before spending under masks")

    def _same_reservation(self, wanted: Reservation, join: Stored | None) -> Stored:
        rows = self._store.rows("SELECT rho_nano, buckets FROM reserve WHERE run = ?", wanted.run.hex())
        rho_nano, buckets = rows[0][0], tuple(json.loads(rows[0][1]))
        if join is None or (rho_nano, buckets) != (wanted.rho_nano, wanted.buckets):
            raise RequestConflictError(
                f"run {wanted.run.hex()} reserved {rho_nano} nano-rho in {list(buckets)}, "
                f"not {wanted.rho_nano} in {list(wanted.buckets)}"
            )
        return join

    def _same_request(self, before: Spend, request: bytes, stored: Stored | None) -> Stored:
        if stored is None or before.request != request:
            raise RequestConflictError(
                f"run {before.run.hex()} slot {before.slot} was spent on request {before.request.hex()}, "
                f"not {request.hex()}"
            )
        return stored


def _check_spend(run: bytes, slot: int, request: bytes, rho: ReleaseEvent) -> None:
    check_run(run)
    check_slot(slot)
    check_digest("request", request)
    check_nano("rho_nano", rho.rho_nano)
    check_nano("rho_alone_nano", rho.rho_alone_nano)


def _drawn(draw: Callable[[], Release], booked: ReleaseEvent) -> Release:
    faults.hit("before-draw")
    release = draw()
    faults.hit("after-draw")
    if release.event != booked:
        raise JournalError(f"the noise drawn is {release.event}, booked is {booked}; nothing was spent")
    return release


def _require_intact(store: Store) -> None:
    found = audit.verify(store)
    if found:
        raise corrupt(store.path, found)
