"""The audit in words: each kind of damage has its own sentence, an honest file has none."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal_cases import OTHER_RUN, RUN, Bank, open_journal
from tacit.adapters.journal import audit
from tacit.adapters.journal.audit import secret_digest
from tacit.adapters.journal.schema import APPLICATION_ID, SCHEMA, VERSION, EntryKind
from tacit.adapters.journal.store import Store
from tacit.rounds.ledger import RunState, Secret
from tacit.rounds.types import Kind

PART = st.binary(max_size=6)
NO_TRIGGERS = "DROP TRIGGER entry_update; DROP TRIGGER entry_delete;"
TRIGGERS = "".join(f"{line}\n" for line in SCHEMA.splitlines() if line.startswith("CREATE TRIGGER"))


@pytest.fixture
def damage(bank: Bank, path: Path) -> Iterator[Callable[..., list[str]]]:
    """A bank with one open and one finished run; damages its file and reads what the audit says."""
    secrets = [Secret(0, b"sk", b"seed", b"shares")]
    bank.start()
    bank.join(OTHER_RUN, 100)
    bank.spend(run=OTHER_RUN)
    bank.journal.finish(OTHER_RUN, RunState.DONE)
    bank.join(RUN)
    bank.spend(0)
    bank.journal.record(Kind.DEAL, RUN, None, bank.compose(Kind.DEAL, RUN), secrets=secrets)
    bank.journal.close()
    opened: list[sqlite3.Connection] = []

    def found(sql: str = "", *, triggers: bool = True) -> list[str]:
        connection = sqlite3.connect(path)
        opened.append(connection)
        connection.executescript(NO_TRIGGERS + sql + (TRIGGERS if triggers else ""))
        return audit.verify(Store(path, connection))

    yield found
    for connection in opened:
        connection.close()


def test_an_honest_file_has_no_faults(damage: Callable[..., list[str]]) -> None:
    """Open run, finished run, secrets and all; taking triggers off and on leaves no trace."""
    assert damage() == []


DAMAGES = {
    "entry changed": ("UPDATE entry SET body = CAST('{}' AS BLOB) WHERE n = 3", "entry 3 ("),
    "entry missing": ("DELETE FROM entry WHERE n = 2", "entry 2: missing"),
    "hash changed": ("UPDATE entry SET hash = zeroblob(32) WHERE n = 1", "entry 1 (ACCEPT): was changed"),
    "bytes missing": ("DELETE FROM outbox WHERE seq = 1", "record 1: its bytes are missing"),
    "bytes changed": ("UPDATE outbox SET bytes = CAST('x' AS BLOB) WHERE seq = 2", "record 2: its bytes were changed"),
    "bytes emptied": ("UPDATE outbox SET bytes = zeroblob(0) WHERE seq = 2", "record 2: its bytes were changed"),
    "bytes too many": ("INSERT INTO outbox VALUES (99, CAST('x' AS BLOB), 0)", "record 99: bytes without an entry"),
    "payload changed": ("UPDATE payload SET bytes = zeroblob(8)", f"payload of run {RUN.hex()[:16]} slot 0: missing"),
    "payload missing": ("DELETE FROM payload", f"payload of run {RUN.hex()[:16]} slot 0: missing"),
    "payload moved": ("UPDATE payload SET slot = 5", f"payload of run {RUN.hex()[:16]} slot 5: missing"),
    "secret changed": ("UPDATE secret SET sk = zeroblob(2)", f"secret of run {RUN.hex()[:16]} slot 0: missing"),
    "salt changed": ("UPDATE secret SET salt = zeroblob(32)", f"secret of run {RUN.hex()[:16]} slot 0: missing"),
    "secret missing": ("DELETE FROM secret", f"secret of run {RUN.hex()[:16]} slot 0: missing"),
    "sample key changed": ("UPDATE setting SET value = zeroblob(32)", "key of the row sample: missing or changed"),
    "sample key missing": ("DELETE FROM setting", "key of the row sample: missing or changed"),
    "table added": ("CREATE TABLE more(x INTEGER)", "schema: differs from the journal's"),
    "index gone": ("DROP INDEX entry_key", "schema: differs from the journal's"),
}


@pytest.mark.parametrize(("sql", "said"), DAMAGES.values(), ids=DAMAGES.keys())
def test_each_damage_is_named(damage: Callable[..., list[str]], sql: str, said: str) -> None:
    """With the entry, record, run or slot that it is about."""
    found = damage(sql + ";")
    assert any(sentence.startswith(said) for sentence in found), found


def test_a_journal_without_its_guards_is_noticed(damage: Callable[..., list[str]]) -> None:
    """The triggers that keep entries are part of the schema."""
    assert damage(triggers=False) == ["schema: differs from the journal's"]


def test_only_the_first_break_of_the_chain_is_named(damage: Callable[..., list[str]]) -> None:
    """What follows a changed entry cannot be judged."""
    found = damage("UPDATE entry SET prev = zeroblob(32) WHERE n >= 2;")
    broken = [sentence for sentence in found if sentence.startswith("entry ")]
    assert len(broken) == 1
    assert broken[0].startswith("entry 2 (")


def test_a_file_that_cannot_be_read_is_a_fault_not_an_error(damage: Callable[..., list[str]]) -> None:
    """A body that is no JSON does not stop the audit with a traceback."""
    found = damage("DROP INDEX entry_key; DROP INDEX entry_seq; DROP INDEX entry_run; UPDATE entry SET body = x'ff';")
    assert found
    assert all(isinstance(sentence, str) for sentence in found)


def test_a_run_that_overspent_is_named(bank: Bank) -> None:
    """By both numbers, also where the chain itself is whole."""
    bank.start()
    bank.join()
    entries = bank.journal._entries
    bank.spend(0)
    body = {"key": "forged", "run": RUN.hex(), "slot": 9, "rho_nano": 401, "payload_digest": "00"}
    with entries.store.transaction():
        entries.append(EntryKind.SPEND, body)
    found = bank.journal.verify()
    assert f"run {RUN.hex()[:16]}: 501 nano-rho spent, 500 reserved" in found


@given(one=st.tuples(PART, PART, PART), other=st.tuples(PART, PART, PART), salt=st.binary(min_size=32, max_size=32))
def test_a_secrets_digest_has_one_reading(one: tuple[bytes, ...], other: tuple[bytes, ...], salt: bytes) -> None:
    """Moving bytes between parts changes it; the slot number is the place's, not the digest's."""
    same = secret_digest(Secret(0, *one), salt) == secret_digest(Secret(1, *other), salt)
    assert same is (one == other)


@given(salt=st.binary(min_size=32, max_size=32), other=st.binary(min_size=32, max_size=32))
def test_a_secrets_digest_depends_on_its_salt(salt: bytes, other: bytes) -> None:
    """Else a short secret could be guessed from the chain after its erasure."""
    secret = Secret(0, b"sk")
    assert (secret_digest(secret, salt) == secret_digest(secret, other)) is (salt == other)


@pytest.mark.parametrize("change", ["UPDATE entry SET kind = 'SPEND'", "DELETE FROM entry"])
def test_the_file_itself_keeps_its_entries(bank: Bank, change: str) -> None:
    """Also against our own mistakes."""
    bank.start()
    with pytest.raises(sqlite3.IntegrityError, match=r"entries (never change|are never removed)"):
        bank.journal._store._db.execute(change)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO outbox VALUES (1, x'00', 2)",
        "INSERT INTO outbox VALUES (1, 'text', 0)",
        "INSERT INTO payload VALUES ('r', 'slot', x'00')",
        "INSERT INTO entry VALUES (1, 'ACCEPT', x'7b7d', x'00', NULL)",
        "INSERT INTO setting VALUES ('name', NULL)",
    ],
)
def test_tables_are_strict(statement: str) -> None:
    """A value of another type or range cannot be stored, by whatever code."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()


def test_the_file_says_what_it_is(bank: Bank, path: Path) -> None:
    """Its marks name product and format, for `file` and for later releases."""
    bank.start()
    bank.journal.close()
    connection = sqlite3.connect(path)
    marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    connection.close()
    assert marks == [APPLICATION_ID, VERSION]
    open_journal(path).close()
