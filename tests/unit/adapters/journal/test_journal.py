"""The journal's promises: one record a key, one draw a slot, one context a slot, one end a run."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from journal_cases import (
    ACCOUNT,
    CONTEXT,
    EVENT,
    MASKED_EVENT,
    OTHER_RUN,
    REQUEST,
    RUN,
    Bank,
    Signed,
    draw,
    open_journal,
    reservation,
)
from tacit.adapters.journal import (
    DONE,
    LEFT,
    RUN_SLOT,
    BudgetExceededError,
    JournalError,
    RequestConflictError,
    Reservation,
    RunClosedError,
    RunState,
    Secret,
)
from tacit.privacy.types import Release, ReleaseEvent, Unit
from tacit.rounds.types import Kind
from tacit.runtime.log import MAX_VALUE_BYTES


class NoiseError(Exception):
    """A draw that failed."""


def test_a_fresh_journal_starts_at_one(bank: Bank) -> None:
    """Nothing precedes the first record, but the account's entry is there already."""
    position = bank.journal.position()
    assert (position.seq, position.previous, len(position.head)) == (1, b"", 32)
    assert bank.journal.unsent() == []


def test_records_follow_each_other(bank: Bank) -> None:
    """Each record names the one before and the journal's newest entry."""
    first = bank.start()
    at = bank.journal.position()
    assert (first.seq, at.seq, at.previous) == (1, 2, first.digest)
    second = bank.start()
    assert (second.seq, bank.journal.position().head != at.head) == (2, True)
    assert bank.composed[second.digest].header.previous == first.digest


def test_records_survive_a_restart(bank: Bank, path: Path) -> None:
    """What was stored is there again, byte for byte, unsent ones in order."""
    stored = [bank.start(), bank.join()]
    at = bank.journal.position()
    bank.journal.close()
    with_again = open_journal(path)
    assert (with_again.unsent(), with_again.position()) == (stored, at)
    with_again.close()


def test_seen_records_are_not_sent_again(bank: Bank) -> None:
    """Marking takes a record out of the outbox's queue, and keeps its bytes."""
    first, second = bank.start(), bank.join()
    bank.journal.mark_seen(first.seq)
    assert bank.journal.unsent() == [second]
    bank.journal.mark_seen(second.seq)
    bank.journal.mark_seen(second.seq)
    assert bank.journal.stored(RUN, None, Kind.JOIN) == replace(second, seen=True)


@pytest.mark.parametrize("seq", [0, 2, -1])
def test_an_unknown_record_cannot_be_seen(bank: Bank, seq: int) -> None:
    """The number is named."""
    bank.start()
    with pytest.raises(JournalError, match=f"record {seq}: not in this journal"):
        bank.journal.mark_seen(seq)


@pytest.mark.parametrize(("kind", "slot"), [(Kind.DEAL, None), (Kind.SHARES, None), (Kind.ACK, 3), (Kind.UNMASK, 3)])
def test_a_second_record_of_a_key_is_the_first(bank: Bank, kind: Kind, slot: int | None) -> None:
    """A restarted machine gets the stored bytes; nothing is signed twice."""
    bank.join()
    first = bank.journal.record(kind, RUN, slot, bank.compose(kind, RUN))
    signed = len(bank.composed)
    assert bank.journal.record(kind, RUN, slot, bank.compose(kind, RUN)) == first
    assert (len(bank.composed), bank.journal.stored(RUN, slot, kind)) == (signed, first)


def test_keys_hold_apart_slots_runs_kinds_and_dealers(bank: Bank) -> None:
    """Another slot, run, kind or dealer is another record."""
    bank.join()
    bank.join(OTHER_RUN, 100)
    record = bank.journal.record
    stored = [
        record(Kind.ACK, RUN, 0, bank.compose(Kind.ACK)),
        record(Kind.ACK, RUN, 1, bank.compose(Kind.ACK)),
        record(Kind.ACK, OTHER_RUN, 0, bank.compose(Kind.ACK)),
        record(Kind.UNMASK, RUN, 0, bank.compose(Kind.UNMASK)),
        record(Kind.COMPLAINT, RUN, None, bank.compose(Kind.COMPLAINT), about="bank-2"),
        record(Kind.COMPLAINT, RUN, None, bank.compose(Kind.COMPLAINT), about="bank-3"),
    ]
    assert len({item.seq for item in stored}) == len(stored)
    assert bank.journal.stored(RUN, None, Kind.COMPLAINT, "bank-3") == stored[-1]
    assert bank.journal.stored(RUN, None, Kind.COMPLAINT, "bank-4") is None


@pytest.mark.parametrize("kind", [Kind.JOIN, Kind.RELEASE, Kind.MASKED, Kind.RESUME, Kind.ROSTER, Kind.VERSION])
def test_kinds_with_rules_of_their_own_are_refused(bank: Bank, kind: Kind) -> None:
    """A JOIN without reservation or a RELEASE without spend cannot be stored by the side door."""
    with pytest.raises(JournalError, match=f"{kind.name} is not stored by `record`"):
        bank.journal.record(kind, RUN, None, bank.compose(kind))


@pytest.mark.parametrize(
    ("kind", "run", "slot", "about"),
    [
        (Kind.ACK, RUN, None, ""),
        (Kind.ACK, RUN, -1, ""),
        (Kind.ACK, RUN, 2**31, ""),
        (Kind.DEAL, RUN, 0, ""),
        (Kind.DEAL, b"short", None, ""),
        (Kind.COMPLAINT, RUN, None, ""),
        (Kind.DEAL, RUN, None, "bank-2"),
    ],
)
def test_places_that_do_not_fit_are_refused(bank: Bank, kind: Kind, run: bytes, slot: int | None, about: str) -> None:
    """Slot, run id and dealer belong to the kind, or nothing is written."""
    bank.join()
    at = bank.journal.position()
    with pytest.raises(JournalError, match=r"slot|run id|about"):
        bank.journal.record(kind, run, slot, bank.compose(kind), about=about)
    assert bank.journal.position() == at


@pytest.mark.parametrize("kind", [Kind.DEAL, Kind.SHARES, Kind.ACK, Kind.UNMASK])
def test_a_run_that_is_not_open_signs_nothing_new(bank: Bank, kind: Kind) -> None:
    """Neither before JOIN nor after the end; LEFT and VERDICT may still follow."""
    slot = 0 if kind in (Kind.ACK, Kind.UNMASK) else None
    with pytest.raises(RunClosedError, match="none"):
        bank.journal.record(kind, RUN, slot, bank.compose(kind))
    bank.join()
    bank.journal.finish(RUN, LEFT)
    with pytest.raises(RunClosedError, match="left"):
        bank.journal.record(kind, RUN, slot, bank.compose(kind))
    assert bank.journal.record(Kind.LEFT, RUN, None, bank.compose(Kind.LEFT)).kind is Kind.LEFT
    assert bank.journal.record(Kind.VERDICT, RUN, None, bank.compose(Kind.VERDICT)).seq == 3


@pytest.mark.parametrize(
    "signed",
    [Signed(b"", b"d" * 32), Signed(b"v", b"d" * 31), Signed(bytes(MAX_VALUE_BYTES + 1), b"d" * 32)],
    ids=["empty", "digest", "large"],
)
def test_a_record_that_no_log_takes_is_not_stored(bank: Bank, signed: Signed) -> None:
    """It would block all that follow it."""
    with pytest.raises(JournalError, match=r"expected (1 to|32)"):
        bank.journal.record(Kind.START, b"", None, lambda _: signed)
    assert bank.journal.position().seq == 1


def test_compose_may_not_write(bank: Bank) -> None:
    """A record composed inside another would take its place in the chain."""
    with pytest.raises(JournalError, match="no side effects"):
        bank.journal.record(Kind.START, b"", None, lambda _: bank.start())
    assert bank.journal.position().seq == 1
    assert bank.start().seq == 1


def test_a_spend_is_drawn_once(bank: Bank) -> None:
    """The same request gets the stored bytes; the second draw is never asked."""
    bank.ready()
    first = bank.spend()

    def never() -> Release:
        raise NoiseError

    again = bank.journal.spend(RUN, 0, request=REQUEST, rho=EVENT, draw=never, compose=bank.compose(Kind.RELEASE, RUN))
    assert again == first
    assert bank.journal.ledger().lifetime.charged_nano == 500


def test_another_request_for_a_spent_slot_is_refused(bank: Bank) -> None:
    """A slot answers one question, ever, also after a restart."""
    bank.ready()
    first = bank.spend()
    with pytest.raises(RequestConflictError, match="was spent on request"):
        bank.spend(request=bytes(32))
    assert bank.journal.stored(RUN, 0, Kind.RELEASE) == first


def test_a_spent_slot_keeps_its_mode(bank: Bank) -> None:
    """The same request under another mode finds no record of that kind."""
    bank.ready()
    bank.journal.bind(RUN, 0, CONTEXT)
    bank.spend()
    with pytest.raises(RequestConflictError):
        bank.spend(event=MASKED_EVENT)


def test_a_failed_draw_spends_nothing(bank: Bank) -> None:
    """The error comes through, and the slot is free for the next try."""
    bank.ready()
    at = bank.journal.position()

    def broken() -> Release:
        raise NoiseError

    with pytest.raises(NoiseError):
        bank.journal.spend(RUN, 0, request=REQUEST, rho=EVENT, draw=broken, compose=bank.compose(Kind.RELEASE))
    assert (bank.journal.spent(RUN, 0), bank.journal.position()) == (None, at)
    assert bank.spend().seq == at.seq


def test_a_failed_signature_spends_nothing(bank: Bank) -> None:
    """Noise that was drawn but never signed is thrown away with the transaction."""
    bank.ready()

    def unsigned(*_: object) -> Signed:
        raise NoiseError

    with pytest.raises(NoiseError):
        bank.journal.spend(RUN, 0, request=REQUEST, rho=EVENT, draw=draw(), compose=unsigned)
    assert (bank.journal.spent(RUN, 0), bank.journal.release(RUN, 0)) == (None, None)


def test_noise_that_costs_more_than_booked_is_refused(bank: Bank) -> None:
    """The ledger books what was drawn, or nothing."""
    bank.ready()
    dearer = draw(replace(EVENT, rho_nano=101))
    with pytest.raises(JournalError, match="booked is"):
        bank.journal.spend(RUN, 0, request=REQUEST, rho=EVENT, draw=dearer, compose=bank.compose(Kind.RELEASE))
    assert bank.journal.spent(RUN, 0) is None


def test_a_spend_is_two_entries_of_one_transaction(bank: Bank) -> None:
    """The record's journal head is the spend's own hash; its kind follows from the mode."""
    bank.ready()
    heads: list[bytes] = []
    signed = bank.compose(Kind.RELEASE, RUN)

    def compose(at: object, release: Release) -> Signed:
        heads.append(at.head)  # type: ignore[attr-defined]
        return signed(at, release)

    stored = bank.journal.spend(RUN, 0, request=REQUEST, rho=EVENT, draw=draw(), compose=compose)
    rows = bank.journal._store.rows("SELECT kind, hash FROM entry ORDER BY n DESC LIMIT 2")
    assert [kind for kind, _ in rows] == ["RECORD", "SPEND"]
    assert (heads, stored.kind) == ([rows[1][1]], Kind.RELEASE)


def test_the_stored_release_is_what_was_drawn(bank: Bank) -> None:
    """Values, order, sign and event come back from the payload."""
    bank.ready()
    values = np.array([0, -1, 2**62, -(2**62)], dtype=np.int64)
    drawn = Release(values, EVENT)
    bank.journal.spend(RUN, 0, request=REQUEST, rho=EVENT, draw=lambda: drawn, compose=bank.compose(Kind.RELEASE))
    stored = bank.journal.release(RUN, 0)
    assert stored is not None
    assert (stored.values.tolist(), stored.event) == (values.tolist(), EVENT)


def test_masks_need_a_bound_slot(bank: Bank) -> None:
    """Mode `distributed` spends only in a slot whose context is fixed; the draw is not asked."""
    bank.ready()
    with pytest.raises(JournalError, match="bind the slot"):
        bank.spend(event=MASKED_EVENT)
    bank.journal.bind(RUN, 0, CONTEXT)
    assert bank.spend(event=MASKED_EVENT).kind is Kind.MASKED
    spend = bank.journal.spent(RUN, 0)
    assert spend is not None
    assert (spend.rho_nano, spend.rho_alone_nano, spend.request) == (100, 300, REQUEST)


def test_a_reservation_bounds_its_spends(bank: Bank) -> None:
    """Five slots of 100 fit into 500; the sixth is refused before it is drawn."""
    bank.ready()
    for slot in range(5):
        bank.spend(slot)
    with pytest.raises(BudgetExceededError, match="reservation of the run") as caught:
        bank.spend(5)
    assert (caught.value.scope, caught.value.cap_nano, caught.value.spent_nano) == ("run", 500, 500)
    assert bank.journal.spent(RUN, 5) is None


@pytest.mark.parametrize(
    ("event", "message"),
    [(replace(EVENT, rho_nano=0), "rho_nano: 0"), (replace(EVENT, rho_alone_nano=2**53), "rho_alone_nano")],
)
def test_costs_outside_the_ledger_are_refused(bank: Bank, event: ReleaseEvent, message: str) -> None:
    """A free spend, or one that canonical JSON cannot hold, is no spend."""
    bank.ready()
    with pytest.raises(JournalError, match=message):
        bank.spend(event=event)


def test_spending_needs_an_open_run(bank: Bank) -> None:
    """Not before JOIN, not after the end; what was spent before still comes back."""
    with pytest.raises(RunClosedError, match="none"):
        bank.spend()
    bank.ready()
    first = bank.spend()
    bank.journal.finish(RUN, DONE)
    with pytest.raises(RunClosedError, match="done"):
        bank.spend(1)
    assert bank.spend() == first


def test_a_slot_serves_one_context(bank: Bank) -> None:
    """The same again is fine, another is refused for ever, other slots and runs are free."""
    bank.join()
    bank.join(OTHER_RUN, 100)
    assert bank.journal.bound(RUN, 0) is None
    bank.journal.bind(RUN, 0, CONTEXT)
    bank.journal.bind(RUN, 0, CONTEXT)
    with pytest.raises(RequestConflictError, match="serves context"):
        bank.journal.bind(RUN, 0, bytes(32))
    bank.journal.bind(RUN, 1, bytes(32))
    bank.journal.bind(OTHER_RUN, 0, bytes(32))
    assert (bank.journal.bound(RUN, 0), bank.journal.bound(RUN, 1)) == (CONTEXT, bytes(32))


def test_a_binding_survives_a_restart(bank: Bank, path: Path) -> None:
    """A retry after a crash meets the old context."""
    bank.join()
    bank.journal.bind(RUN, 0, CONTEXT)
    bank.journal.close()
    again = open_journal(path)
    with pytest.raises(RequestConflictError):
        again.bind(RUN, 0, bytes(32))
    again.close()


@pytest.mark.parametrize(("slot", "context"), [(-1, CONTEXT), (2**31, CONTEXT), (0, b""), (0, bytes(31))])
def test_a_binding_out_of_range_is_refused(bank: Bank, slot: int, context: bytes) -> None:
    """Slot and digest are checked."""
    bank.join()
    with pytest.raises(JournalError, match="expected"):
        bank.journal.bind(RUN, slot, context)


def test_binding_needs_an_open_run(bank: Bank) -> None:
    """No run, no slot."""
    with pytest.raises(RunClosedError):
        bank.journal.bind(RUN, 0, CONTEXT)


def test_a_run_goes_from_none_to_open_to_its_end(bank: Bank) -> None:
    """The four states, and that the end is one of two."""
    assert bank.journal.state(RUN) is RunState.NONE
    bank.join()
    assert bank.journal.state(RUN) is RunState.OPEN
    bank.journal.finish(RUN, DONE)
    bank.journal.finish(RUN, DONE)
    assert bank.journal.state(RUN) is RunState.DONE
    with pytest.raises(RequestConflictError, match="done already"):
        bank.journal.finish(RUN, LEFT)
    with pytest.raises(JournalError, match="done or left"):
        bank.journal.finish(OTHER_RUN, RunState.OPEN)


@pytest.mark.parametrize("how", [DONE, LEFT])
def test_join_is_refused_for_ever_after_the_end(bank: Bank, how: RunState) -> None:
    """The run id never costs a second time, not even if it was never joined."""
    bank.join()
    bank.journal.finish(RUN, how)
    bank.journal.finish(OTHER_RUN, how)
    for run in (RUN, OTHER_RUN):
        with pytest.raises(RunClosedError, match="never joined again"):
            bank.join(run)


def test_open_runs_know_when_they_were_joined(bank: Bank) -> None:
    """A restarted trainer finds its runs, and which are older than seven days."""
    bank.join()
    bank.join(OTHER_RUN, 100)
    assert bank.journal.open_runs() == {RUN: 1_530_000_000_500, OTHER_RUN: 1_530_000_000_500}
    bank.journal.finish(RUN, DONE)
    assert list(bank.journal.open_runs()) == [OTHER_RUN]


def test_a_second_join_is_the_first(bank: Bank) -> None:
    """The same reservation is charged once; another for the same run is refused."""
    first = bank.join()
    assert bank.join() == first
    assert bank.journal.ledger().lifetime.charged_nano == 500
    with pytest.raises(RequestConflictError, match="reserved 500"):
        bank.join(rho_nano=501)
    with pytest.raises(RequestConflictError, match="2018-05"):
        bank.join(buckets=("2018-05",))


def test_a_failed_join_reserves_nothing(bank: Bank) -> None:
    """Reservation and JOIN are one transaction."""

    def unsigned(_: object) -> Signed:
        raise NoiseError

    with pytest.raises(NoiseError):
        bank.journal.reserve(reservation(), unsigned)
    assert bank.journal.state(RUN) is RunState.NONE
    assert bank.journal.ledger().lifetime.charged_nano == 0


def test_a_reservation_of_another_account_is_refused(bank: Bank) -> None:
    """One journal charges one account."""
    with pytest.raises(JournalError, match="account 'loans'"):
        bank.journal.reserve(Reservation(RUN, "loans", ("2018-05",), 1), bank.compose(Kind.JOIN))


def test_secrets_are_durable_with_their_record(bank: Bank, path: Path) -> None:
    """Keys that JOIN commits to are there after a restart; shares may be filled in by DEAL."""
    keys = [Secret(RUN_SLOT, b"run key", b"salt"), Secret(0, b"slot key", b"seed")]
    bank.journal.reserve(reservation(), bank.compose(Kind.JOIN), keys)
    bank.journal.record(Kind.DEAL, RUN, None, bank.compose(Kind.DEAL), secrets=[Secret(0, shares=b"shares")])
    bank.journal.close()
    again = open_journal(path)
    assert again.secrets(RUN) == (keys[0], replace(keys[1], shares=b"shares"))
    assert again.secrets(OTHER_RUN) == ()
    again.close()


def test_a_secret_is_drawn_once(bank: Bank) -> None:
    """Another key for a slot is refused, and the record with it."""
    bank.journal.reserve(reservation(), bank.compose(Kind.JOIN), [Secret(0, b"slot key")])
    with pytest.raises(RequestConflictError, match="sk is drawn once"):
        bank.journal.record(Kind.DEAL, RUN, None, bank.compose(Kind.DEAL), secrets=[Secret(0, b"another")])
    assert bank.journal.stored(RUN, None, Kind.DEAL) is None


@pytest.mark.parametrize("slot", [-2, 2**31])
def test_a_secret_of_no_slot_is_refused(slot: int) -> None:
    """`RUN_SLOT` is the lowest."""
    with pytest.raises(JournalError, match=f"slot {slot}"):
        Secret(slot)


@pytest.mark.parametrize("how", [DONE, LEFT])
def test_the_end_erases_secrets_and_vectors(bank: Bank, path: Path, how: RunState) -> None:
    """Their bytes are nowhere in the file; the record's bytes, which are on the log, stay."""
    secret, other = b"a very secret slot key, 32 bytes", b"a key of another run, which stays"
    bank.journal.reserve(reservation(), bank.compose(Kind.JOIN), [Secret(0, secret * 200)])
    bank.journal.reserve(reservation(OTHER_RUN, 100), bank.compose(Kind.JOIN), [Secret(0, other)])
    stored = bank.spend()
    release = bank.journal.release(RUN, 0)
    assert release is not None
    assert secret in path.read_bytes()
    bank.journal.finish(RUN, how)
    assert (bank.journal.secrets(RUN), bank.journal.release(RUN, 0)) == ((), None)
    content = path.read_bytes() + Path(f"{path}-journal").read_bytes()
    assert secret not in content
    assert release.values.tobytes() not in content
    assert (stored.value in content, other in content) == (True, True)


def test_the_end_frees_what_was_not_spent(bank: Bank) -> None:
    """While open the reservation counts, then the spends alone."""
    bank.ready()
    bank.spend(0)
    bank.spend(1)
    assert bank.journal.ledger().lifetime.charged_nano == 500
    bank.journal.finish(RUN, LEFT)
    assert bank.journal.ledger().lifetime.charged_nano == 200


def test_accepted_epochs_only_rise(bank: Bank) -> None:
    """The same epoch again is fine; a lower or another of its number is refused."""
    assert bank.journal.accepted() is None
    bank.journal.accept(2, CONTEXT)
    bank.journal.accept(2, CONTEXT)
    for epoch, digest in ((1, CONTEXT), (2, bytes(32)), (0, CONTEXT)):
        with pytest.raises(RequestConflictError, match=f"epoch {epoch}"):
            bank.journal.accept(epoch, digest)
    bank.journal.accept(5, REQUEST)
    assert bank.journal.accepted() == (5, REQUEST)


def test_the_sample_key_stays(bank: Bank, path: Path, tmp_path: Path) -> None:
    """Fixed with the journal, different in another."""
    key = bank.journal.sample_key()
    bank.journal.close()
    again, other = open_journal(path), open_journal(tmp_path / "other.sqlite")
    assert (len(key), again.sample_key() == key, other.sample_key() == key) == (32, True, False)
    again.close()
    other.close()


@pytest.mark.parametrize(("change", "said"), [({"account": "loans"}, "account"), ({"unit": Unit.RECORD}, "unit")])
def test_an_account_has_one_journal_and_one_unit(bank: Bank, path: Path, change: dict[str, str], said: str) -> None:
    """Opening it as something else is refused, whatever the policy says now."""
    bank.journal.close()
    with pytest.raises(JournalError, match=f"{said} is .* for ever"):
        open_journal(path, **change)


def test_caps_come_from_the_policy_of_the_day(bank: Bank, path: Path) -> None:
    """A bank may raise its own caps; what was charged stays."""
    bank.join(rho_nano=1000)
    bank.journal.close()
    again = open_journal(path, bucket_cap_nano=5000, lifetime_cap_nano=6000)
    lifetime = again.ledger().lifetime
    assert (lifetime.cap_nano, lifetime.charged_nano, lifetime.left_nano) == (6000, 1000, 5000)
    again.close()


@pytest.mark.parametrize(
    "change",
    [{"account": ""}, {"bucket_cap_nano": -1}, {"lifetime_cap_nano": -1}, {"delta": 0}, {"delta": 1}],
    ids=str,
)
def test_an_impossible_account_is_refused(path: Path, change: dict[str, object]) -> None:
    """The message names the field and its range, and the file is free again."""
    with pytest.raises(JournalError, match="expected"):
        open_journal(path, **change)
    open_journal(path).close()


def test_threads_share_a_journal(bank: Bank) -> None:
    """Spends of many threads land one after the other, each once."""
    bank.ready()
    threads = [threading.Thread(target=bank.spend, args=(slot % 4,)) for slot in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bank.journal.ledger().runs[0].spent_nano == 400
    assert bank.journal.verify() == []


def test_an_audit_beside_a_writer_finds_nothing(bank: Bank) -> None:
    """What the command line asks sees one state, however many threads write."""
    bank.ready()
    writer = threading.Thread(target=lambda: [bank.spend(slot) for slot in range(5)])
    writer.start()
    found = [bank.journal.verify() for _ in range(5)]
    writer.join()
    assert found == [[]] * 5


def test_the_account_is_named_in_the_report(bank: Bank) -> None:
    """Account and unit, for the operator."""
    report = bank.journal.ledger()
    assert (report.account, report.unit) == (ACCOUNT, "customer")
