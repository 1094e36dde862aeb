"""Keys of records, what an entry says, secrets that are filled in once, and what the end erases."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal_cases import ACCOUNT, EVENT, OTHER_RUN, RUN, Bank, FixedClock, Signed
from tacit.adapters.journal.entries import GAP, Entries, record_key, sha
from tacit.adapters.journal.store import Store
from tacit.privacy.types import Unit
from tacit.rounds.ledger import RUN_SLOT, JournalError, Position, RequestConflictError, RunState, Secret
from tacit.rounds.types import ATTEMPT_KINDS, RUN_KINDS, Kind
from tacit.runtime.log import MAX_VALUE_BYTES

NEW_EVERY_TIME = sorted(set(Kind) - ATTEMPT_KINDS - RUN_KINDS)
ONCE = sorted((ATTEMPT_KINDS | RUN_KINDS) - {Kind.COMPLAINT})
SECRET = st.binary(max_size=4)


@pytest.fixture
def entries(bank: Bank) -> Entries:
    """The entries of a bank that joined a run."""
    bank.ready()
    return bank.journal._entries


@pytest.fixture
def store(entries: Entries) -> Iterator[Store]:
    """Its store, within a transaction."""
    with entries.store.transaction():
        yield entries.store


def bodies(store: Store, kind: str) -> list[dict[str, Any]]:
    """Bodies of the entries of a kind."""
    return [json.loads(body) for (body,) in store.rows("SELECT body FROM entry WHERE kind = ? ORDER BY n", kind)]


def slot_of(kind: Kind, slot: int = 3) -> int | None:
    """A slot for a kind that names one."""
    return slot if kind in ATTEMPT_KINDS else None


@pytest.mark.parametrize("kind", NEW_EVERY_TIME)
def test_some_kinds_are_new_every_time(kind: Kind) -> None:
    """They have no key, whatever else is given."""
    assert record_key(kind, b"", None) is None
    assert record_key(kind, RUN, 7, "birch") is None


def test_keys_are_told_apart_by_run_slot_kind_and_dealer() -> None:
    """No two places share a key, so nothing is signed in another's stead."""
    keys = [record_key(kind, run, slot_of(kind, slot)) for kind in ONCE for run in (RUN, OTHER_RUN) for slot in (0, 1)]
    keys += [record_key(Kind.COMPLAINT, RUN, slot_of(Kind.COMPLAINT), about) for about in ("ash", "birch")]
    per_attempt = sum(kind in ATTEMPT_KINDS for kind in ONCE)
    assert None not in keys
    assert len(set(keys)) == 4 * per_attempt + 2 * (len(ONCE) - per_attempt) + 2


@pytest.mark.parametrize("kind", ONCE)
def test_a_slot_stands_where_the_kind_has_one(kind: Kind) -> None:
    """Missing or superfluous, it is refused by name."""
    wrong = None if kind in ATTEMPT_KINDS else 0
    with pytest.raises(JournalError, match=f"{kind.name}: got slot {wrong}; attempt kinds name a slot"):
        record_key(kind, RUN, wrong)


@pytest.mark.parametrize("kind", ONCE)
def test_only_a_complaint_is_about_somebody(kind: Kind) -> None:
    """Others with a dealer, and a complaint without one, are refused."""
    with pytest.raises(JournalError, match="a COMPLAINT names its dealer, others nobody"):
        record_key(kind, RUN, slot_of(kind), "birch")
    with pytest.raises(JournalError, match="COMPLAINT: got about = ''"):
        record_key(Kind.COMPLAINT, RUN, slot_of(Kind.COMPLAINT))


@pytest.mark.parametrize("run", [b"", bytes(31), bytes(33)])
def test_a_key_needs_a_whole_run_id(run: bytes) -> None:
    """JOIN of no run is refused."""
    with pytest.raises(JournalError, match="run id: expected 32 bytes"):
        record_key(Kind.JOIN, run, None)


@pytest.mark.parametrize("slot", [-1, 2**31])
def test_a_key_needs_a_slot_in_range(slot: int) -> None:
    """The run's own number is none."""
    with pytest.raises(JournalError, match=f"slot {slot}: expected 0 to"):
        record_key(Kind.RELEASE, RUN, slot)


def test_the_first_entry_commits_to_the_sample_key(entries: Entries) -> None:
    """Account, unit and a digest; the key itself lies beside the chain."""
    (accept,) = bodies(entries.store, "ACCEPT")
    ((key,),) = entries.store.rows("SELECT value FROM setting WHERE name = 'sample_key'")
    assert len(key) == 32
    assert (accept["account"], accept["unit"]) == (ACCOUNT, Unit.CUSTOMER.value)
    assert accept["sample_key"] == hashlib.sha256(key).hexdigest() == sha(key).hex()


def test_every_entry_has_the_time_of_day(entries: Entries) -> None:
    """In whole milliseconds."""
    times = {json.loads(body)["time_ms"] for (body,) in entries.store.rows("SELECT body FROM entry")}
    assert times == {int(FixedClock().now() * 1000)}


def test_a_spend_is_written_with_all_that_it_costs(bank: Bank, entries: Entries) -> None:
    """Mode, variance, both costs, months, request and the digest of what was drawn; never the values."""
    bank.spend(slot=4)
    (spend,) = bodies(entries.store, "SPEND")
    stored = bank.journal.spent(RUN, 4)
    assert stored is not None
    assert (spend["key"], spend["slot"], spend["account"]) == (f"{RUN.hex()}:4", 4, ACCOUNT)
    assert (spend["mode"], spend["variance"]) == ("local", str(EVENT.variance))
    assert (spend["rho_nano"], spend["rho_alone_nano"]) == (EVENT.rho_nano, EVENT.rho_alone_nano)
    assert spend["buckets"] == ["2018-05", "2018-06"]
    assert (spend["request"], spend["payload_digest"]) == (stored.request.hex(), stored.payload_digest.hex())


def test_a_record_commits_to_its_bytes(bank: Bank, entries: Entries) -> None:
    """The entry names kind, place, digest and the digest of what is sent."""
    sent = bank.spend(slot=0)
    last = bodies(entries.store, "RECORD")[-1]
    assert (last["seq"], last["record"], last["run"]) == (sent.seq, "RELEASE", RUN.hex())
    assert last["digest"] == sent.digest.hex()
    assert last["bytes_digest"] == hashlib.sha256(sent.value).hexdigest()


@pytest.mark.parametrize(
    ("signed", "message"),
    [
        (Signed(b"v", bytes(31)), "digest of START: expected 32 bytes, got 31"),
        (Signed(b"", bytes(32)), "START: 0 bytes, expected 1 to"),
        (Signed(bytes(MAX_VALUE_BYTES + 1), bytes(32)), f"START: {MAX_VALUE_BYTES + 1} bytes"),
    ],
)
def test_what_no_log_takes_is_refused(entries: Entries, store: Store, signed: Signed, message: str) -> None:
    """Before anything is written."""
    before = store.tip()
    with pytest.raises(JournalError, match=message):
        entries.put(Kind.START, b"", lambda _: signed, entries.position(), {})
    assert store.tip() == before


def test_the_longest_value_is_taken(entries: Entries, store: Store) -> None:
    """At the given position, unsent."""
    value = bytes(MAX_VALUE_BYTES)
    at = Position(40, b"p", b"h")
    made = entries.put(Kind.START, b"", lambda _: Signed(value, b"d" * 32), at, {})
    assert (made.seq, made.seen) == (40, False)
    assert entries.unsent()[-1].value == value
    assert entries.position().seq == 41
    assert store.tip()[1] == entries.position().head


@given(parts=st.tuples(SECRET, SECRET, SECRET), more=st.tuples(SECRET, SECRET, SECRET))
def test_a_secret_is_filled_in_but_never_replaced(parts: tuple[bytes, ...], more: tuple[bytes, ...]) -> None:
    """Part by part: what is empty may be given, what is there stays."""
    held = dict[tuple[str, int], Secret]()
    fake = _Secrets(held)
    fake._keep(RUN, Secret(0, *parts))
    clash = any(old and new and old != new for old, new in zip(parts, more, strict=True))
    if clash:
        with pytest.raises(RequestConflictError, match="is drawn once and stays"):
            fake._keep(RUN, Secret(0, *more))
        assert held[RUN.hex(), 0] == Secret(0, *parts)
        return
    fake._keep(RUN, Secret(0, *more))
    assert held[RUN.hex(), 0] == Secret(0, *(new or old for old, new in zip(parts, more, strict=True)))


class _Secrets(Entries):
    """Entries whose secrets lie in a dict, so that many examples need no file."""

    def __init__(self, held: dict[tuple[str, int], Secret]) -> None:
        self._held = held
        self.store = self  # type: ignore[assignment]

    def secrets(self, run: bytes) -> tuple[Secret, ...]:
        """Of a run."""
        return tuple(secret for (name, _), secret in self._held.items() if name == run.hex())

    def write(self, _sql: str, run: str, slot: int, *values: bytes) -> int:
        """Keeps a secret; its salt is the last value."""
        assert len(values[-1]) == 32
        self._held[run, slot] = Secret(slot, *values[:-1])
        return 1


def test_secrets_are_read_by_slot_the_runs_own_first(entries: Entries, store: Store) -> None:
    """Another run's are not among them."""
    for run, slot in ((RUN, 2), (RUN, RUN_SLOT), (OTHER_RUN, 0), (RUN, 0)):
        entries._keep(run, Secret(slot, b"sk%d" % slot))
    assert [secret.slot for secret in entries.secrets(RUN)] == [RUN_SLOT, 0, 2]
    assert entries.secrets(OTHER_RUN) == (Secret(0, b"sk0"),)
    assert len(store.rows("SELECT 1 FROM secret")) == 4


def test_the_same_secret_has_another_digest_each_time(entries: Entries, store: Store) -> None:
    """It is salted: the chain says nothing about a secret that could be guessed."""
    assert entries._keep(RUN, Secret(0, b"sk")) != entries._keep(RUN, Secret(0, b"sk"))
    assert store.rows("SELECT sk FROM secret") == [(b"sk",)]


@pytest.mark.parametrize("how", [RunState.DONE, RunState.LEFT])
def test_the_end_of_a_run_says_what_it_erased(entries: Entries, store: Store, bank: Bank, how: RunState) -> None:
    """Counts of vectors and secrets, and what is charged for good."""
    entries._keep(RUN, Secret(0, b"sk"))
    entries._keep(OTHER_RUN, Secret(0, b"sk"))
    entries.release(RUN.hex(), how, 123)
    assert entries.state(RUN) is how
    (released,), (erased,) = bodies(store, "RELEASED"), bodies(store, "ERASED")
    assert (released["state"], released["charged_nano"]) == (how.value, 123)
    assert (erased["payloads"], erased["secrets"]) == (0, 1)
    assert entries.secrets(RUN) == ()
    assert entries.secrets(OTHER_RUN) != ()
    assert bank.journal.ledger().lifetime.charged_nano == 123


def test_the_charge_for_a_gap_belongs_to_no_run(entries: Entries, store: Store) -> None:
    """It has a key of its own, so that it is booked once."""
    entries.append_reserve("", ("*",), 77)
    entries.release("", RunState.LEFT, 77)
    assert [body["key"] for body in bodies(store, "RESERVE")] == [RUN.hex(), GAP]
    with pytest.raises(Exception, match="UNIQUE"):
        entries.append_reserve("", ("*",), 78)


def test_an_unknown_run_is_neither_open_nor_spent(entries: Entries, path: Path) -> None:
    """Reads of what is not there say so."""
    assert path.exists()
    assert entries.state(OTHER_RUN) is RunState.NONE
    assert entries.spent(OTHER_RUN, 0) is entries.bound(OTHER_RUN, 0) is entries.find(None) is None
    assert entries.secrets(OTHER_RUN) == ()
    with pytest.raises(JournalError, match="expected an open run, it is none"):
        entries.require_open(OTHER_RUN)
