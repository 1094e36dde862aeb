"""The file itself: who may open it, what a full disk does, and that no changed byte goes unnoticed."""

import errno
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal_cases import EVENT, RUN, Bank, open_journal, reservation
from tacit.adapters.journal import (
    RUN_SLOT,
    JournalBusyError,
    JournalCorruptError,
    JournalError,
    JournalFullError,
    Secret,
    Spend,
    store,
)
from tacit.adapters.journal.store import GENESIS, Store, entry_hash, open_store
from tacit.rounds.types import Kind

OPENER = """
import sys
from pathlib import Path
from journal_cases import open_journal
from tacit.adapters.journal import JournalError
try:
    open_journal(Path(sys.argv[1])).close()
except JournalError as error:
    print(type(error).__name__, error)
else:
    print("opened")
"""
FILLER = """
import resource, sys
from pathlib import Path
from journal_cases import Bank, open_journal
from tacit.adapters.journal import JournalFullError
path = Path(sys.argv[1])
bank = Bank(open_journal(path)).ready()
before = (bank.journal.position(), bank.journal.ledger())
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
filled = 0
try:
    for slot in range(5):
        at = bank.journal.position()
        bank.spend(slot)
        filled += 1
except JournalFullError as error:
    print("no room" in str(error), bank.journal.position() == at, bank.journal.spent(b"\\1" * 32, filled))
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
for slot in range(5):
    bank.spend(slot)
print(bank.journal.verify(), bank.journal.ledger().runs[0].spent_nano)
"""


def run_child(code: str, path: Path) -> str:
    """Runs code in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(path)]
    # The command is this interpreter and a script above.
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout


def fill(path: Path) -> None:
    """A journal with one of everything, closed."""
    bank = Bank(open_journal(path))
    bank.start()
    secrets = [Secret(RUN_SLOT, b"run key", b"salt"), Secret(0, bytes(6000), b"seed")]
    bank.journal.reserve(reservation(), bank.compose(Kind.JOIN, RUN), secrets)
    bank.send()
    bank.journal.bind(RUN, 0, bytes(32))
    bank.spend(0)
    bank.spend(1)
    bank.journal.accept(1, bytes(32))
    bank.journal.close()


def content(path: Path) -> list[object]:
    """All that the journal says; whether records were seen is no part of the chain."""
    opened = open_journal(path)
    tables = ("entry", "setting", "payload", "secret")
    rows: list[object] = [opened._store.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]  # noqa: S608  names are the constants above
    rows.append(opened._store.rows("SELECT seq, bytes FROM outbox ORDER BY seq"))
    opened.close()
    return rows


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled journal that is only read."""
    path = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    fill(path)
    return path


@pytest.fixture
def filled(original: Path) -> bytes:
    """Its bytes."""
    return original.read_bytes()


@pytest.fixture
def raw(path: Path) -> Callable[[str], None]:
    """Changes a closed, filled journal behind its back; triggers do not bind an attacker."""
    fill(path)

    def change(sql: str) -> None:
        connection = sqlite3.connect(path)
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.executescript(sql)
        for _, statement in triggers:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return change


def test_the_file_is_the_owners_alone(bank: Bank, path: Path) -> None:
    """Mode 0600 for the file and its rollback journal, whatever the umask or the volume says."""
    bank.start()
    files = [path, Path(f"{path}-journal")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_file_that_became_readable_is_closed_again(path: Path) -> None:
    """Volumes mounted with a group change modes."""
    open_journal(path).close()
    path.chmod(0o664)
    open_journal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_settings_of_the_file(bank: Bank) -> None:
    """Full synchronisation, overwritten deletions, a rollback journal."""
    names = ("synchronous", "secure_delete", "journal_mode", "locking_mode")
    found = [bank.journal._store.rows(f"PRAGMA {name}")[0][0] for name in names]
    assert found == [2, 1, "truncate", "exclusive"]


def test_a_second_process_is_refused(bank: Bank, path: Path) -> None:
    """It learns the file's name at once, and gets in after the first has closed."""
    assert run_child(OPENER, path).startswith(f"JournalBusyError {path}")
    bank.journal.close()
    assert run_child(OPENER, path) == "opened\n"


def test_a_second_journal_in_the_process_is_refused(bank: Bank, path: Path) -> None:
    """The lock holds for threads, too; the first goes on."""
    with pytest.raises(JournalBusyError, match="stop the other"):
        open_journal(path)
    assert bank.start().seq == 1


def test_a_closed_journal_refuses(bank: Bank) -> None:
    """Closing twice is fine, using it is an error of ours."""
    bank.journal.close()
    bank.journal.close()
    with pytest.raises(JournalError, match="open it again"):
        bank.start()


def test_a_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is created there."""
    monkeypatch.setattr(store, "network_file_system", lambda _: "nfs4")
    with pytest.raises(JournalError, match="lies on nfs4"):
        open_journal(path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["missing/journal.sqlite", "."])
def test_an_impossible_path_is_refused(tmp_path: Path, name: str) -> None:
    """The system's own words."""
    with pytest.raises(JournalError, match=r"No such file|directory"):
        open_journal(tmp_path / name)


def test_another_file_is_refused(tmp_path: Path) -> None:
    """Text is not a database, a database is not a journal."""
    text = tmp_path / "text"
    text.write_text("no journal\n" * 200)
    with pytest.raises(JournalCorruptError, match="ledger rebuild"):
        open_journal(text)
    other = tmp_path / "other.sqlite"
    sqlite3.connect(other).executescript("CREATE TABLE t(x)").connection.close()
    with pytest.raises(JournalCorruptError, match="not a journal"):
        open_journal(other)
    assert text.read_text().startswith("no journal")


def test_a_newer_format_is_refused(path: Path) -> None:
    """An older version must not write into it."""
    open_journal(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(JournalError, match="format 2, expected 1"):
        open_journal(path)


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    """A process killed between creating and filling leaves one; the topic tells a lost journal from a new one."""
    path.touch()
    opened = open_journal(path)
    assert opened.position().seq == 1
    opened.close()


def test_entries_never_change(bank: Bank) -> None:
    """Not even by a mistake in our own code: the write is refused, and then the journal is closed to all calls."""
    bank.start()
    with pytest.raises(JournalError, match="never change"), bank.journal._store.transaction():
        bank.journal._store.write("UPDATE entry SET kind = 'SPEND'")
    with pytest.raises(JournalError, match="open it again"):
        bank.start()


def test_a_full_disk_spends_nothing(path: Path) -> None:
    """Under a limit of the file's size: the call fails, nothing is spent; with room again the same calls succeed."""
    assert run_child(FILLER, path) == "True True None\n[] 500\n"


def test_a_full_database_spends_nothing(bank: Bank) -> None:
    """The same where SQLite itself runs out of pages."""
    bank.ready()
    rows = bank.journal._store.rows
    pages = rows("PRAGMA page_count")[0][0]
    rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(JournalFullError, match="nothing was spent"):
        [bank.spend(slot) for slot in range(5)]
    rows("PRAGMA max_page_count = 100000")
    for slot in range(5):
        bank.spend(slot)
    assert (bank.journal.verify(), bank.journal.ledger().runs[0].spent_nano) == ([], 500)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, JournalFullError),
        (sqlite3.SQLITE_IOERR_WRITE, JournalFullError),
        (sqlite3.SQLITE_BUSY, JournalBusyError),
        (sqlite3.SQLITE_CORRUPT, JournalCorruptError),
        (sqlite3.SQLITE_NOTADB, JournalCorruptError),
        (None, JournalCorruptError),
        (sqlite3.SQLITE_IOERR_FSYNC, JournalError),
        (sqlite3.SQLITE_CONSTRAINT, JournalError),
    ],
)
def test_errors_of_the_file_get_names(path: Path, code: int | None, expected: type[JournalError]) -> None:
    """Each says the file, and what helps."""
    error = sqlite3.OperationalError("as SQLite said")
    if code is not None:
        error.sqlite_errorcode = code
    found = store.translate(path, error)
    assert type(found) is expected
    assert str(found).startswith(f"{path}: ")


def test_a_failed_sync_stops_the_journal(bank: Bank) -> None:
    """Whether the last write is on the disk is unknown: nothing more is done before it is opened again."""
    error = sqlite3.OperationalError(os.strerror(errno.EIO))
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    with pytest.raises(JournalError, match="refuses writes"), bank.journal._store.transaction():
        raise error
    with pytest.raises(JournalError, match="open it again"):
        bank.journal.position()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE entry SET body = CAST(replace(body, ':100,', ':101,') AS BLOB) WHERE kind = 'SPEND'", "entry"),
        ("UPDATE entry SET kind = 'ACCEPT' WHERE kind = 'BIND'", "entry"),
        ("DELETE FROM entry WHERE kind = 'BIND'", "missing"),
        ("DELETE FROM entry WHERE kind = 'SPEND'", "missing"),
        ("UPDATE entry SET prev = zeroblob(32) WHERE n = 3", "entry 3"),
        ("UPDATE entry SET hash = zeroblob(32) WHERE n = 4", "entry 4"),
        ("UPDATE outbox SET bytes = CAST('other' AS BLOB) WHERE seq = 3", "record 3: its bytes were changed"),
        ("DELETE FROM outbox WHERE seq = 3", "record 3: its bytes are missing"),
        ("INSERT INTO outbox VALUES (99, zeroblob(1), 0)", "record 99: bytes without an entry"),
        ("UPDATE payload SET bytes = zeroblob(64) WHERE slot = 1", "slot 1: missing, changed"),
        ("DELETE FROM payload WHERE slot = 0", "slot 0: missing"),
        ("INSERT INTO payload VALUES ('ff', 0, zeroblob(1))", "never booked"),
        ("UPDATE secret SET sk = zeroblob(5) WHERE slot = 0", "secret"),
        ("UPDATE secret SET salt = zeroblob(32) WHERE slot = -1", "secret"),
        ("DELETE FROM secret", "secret"),
        ("UPDATE setting SET value = zeroblob(32)", "row sample"),
        ("DELETE FROM setting", "row sample"),
        ("DROP VIEW spend", "schema"),
        ("DROP INDEX entry_key", "schema"),
        ("CREATE TABLE more(x)", "schema"),
    ],
)
def test_a_changed_journal_is_refused(raw: Callable[[str], None], path: Path, sql: str, said: str) -> None:
    """Whatever was changed is named, together with the command that helps."""
    raw(sql)
    with pytest.raises(JournalCorruptError, match=said) as caught:
        open_journal(path)
    assert "tacit ledger rebuild" in str(caught.value)


def test_an_unchanged_journal_opens(raw: Callable[[str], None], path: Path) -> None:
    """The test's own way of changing it does no harm."""
    raw("")
    open_journal(path).close()


def test_a_lost_head_is_refused(path: Path) -> None:
    """Entries without the account's first one are no journal."""
    open_journal(path).close()
    connection = sqlite3.connect(path)
    connection.executescript("DROP TRIGGER entry_delete; DELETE FROM entry")
    connection.close()
    with pytest.raises(JournalCorruptError):
        open_journal(path)


def test_an_overspent_run_is_refused(path: Path) -> None:
    """Should the chain itself hold more spends than were reserved, the audit says so."""
    fill(path)
    opened = open_journal(path)
    with opened._store.transaction():
        opened._entries.append_spend(Spend(RUN, 9, bytes(32), 900, 900, bytes(32)), EVENT, ("2018-05",))
    assert any("1100 nano-rho spent, 500 reserved" in fault for fault in opened.verify())
    opened.close()
    with pytest.raises(JournalCorruptError, match="spent"):
        open_journal(path)


def flipped(before: bytes, place: int, mask: int) -> bytes:
    """The bytes with one of them changed."""
    changed = bytearray(before)
    changed[place % len(before)] ^= mask
    return bytes(changed)


def refused_or_unharmed(path: Path, changed: bytes, expected: list[object]) -> bool:
    """Whether a changed file is refused; if it opens, it says exactly what it said before."""
    path.write_bytes(changed)
    try:
        assert content(path) == expected
    except JournalError:
        return True
    return False


@settings(max_examples=100)
@given(place=st.integers(0, 2**20), mask=st.integers(1, 255))
def test_no_changed_byte_changes_what_the_journal_says(original: Path, place: int, mask: int) -> None:
    """Any byte of any page: the journal is refused, or the byte held nothing."""
    path = original.with_name("changed.sqlite")
    refused_or_unharmed(path, flipped(original.read_bytes(), place, mask), content(original))


@pytest.mark.parametrize("part", ["run key", '"kind":', '"rho_nano":', "record ", '"digest":"', '"payload_digest":"'])
def test_a_flip_in_what_is_stored_is_refused(filled: bytes, path: Path, part: str) -> None:
    """Bodies, record bytes and secrets: the byte after a known place."""
    if part.encode() not in filled:
        part = '"record":'
    path.write_bytes(filled)
    expected = content(path)
    place = filled.index(part.encode()) + len(part) - 1
    assert refused_or_unharmed(path, flipped(filled, place, 1), expected)


def test_a_flip_in_every_page_is_refused(filled: bytes, path: Path) -> None:
    """Each page in use, whatever kind it is: its first bytes, which say what it is."""
    path.write_bytes(filled)
    expected = content(path)
    size = 4096
    for page in range(len(filled) // size):
        place = page * size if page else 0
        assert refused_or_unharmed(path, flipped(filled, place, 0xFF), expected), f"page {page + 1}"


@pytest.mark.parametrize("pages", [1, 3])
def test_a_shortened_file_is_refused(filled: bytes, path: Path, pages: int) -> None:
    """Its last pages are gone."""
    path.write_bytes(filled[: -4096 * pages])
    with pytest.raises(JournalCorruptError):
        open_journal(path)


@given(st.integers(1, 2**40), st.sampled_from(["SPEND", "BIND"]), st.binary(min_size=1, max_size=80), st.data())
def test_any_change_of_an_entry_changes_its_hash(n: int, kind: str, body: bytes, data: st.DataObject) -> None:
    """Number, kind, every byte of the body, and the hash before."""
    place = data.draw(st.integers(0, len(body) - 1))
    changed = flipped(body, place, data.draw(st.integers(1, 255)))
    said = entry_hash(n, kind, body, GENESIS)
    others = [
        entry_hash(n + 1, kind, body, GENESIS),
        entry_hash(n, kind + "X", body, GENESIS),
        entry_hash(n, kind, changed, GENESIS),
        entry_hash(n, kind, body, bytes(31) + b"\1"),
        entry_hash(n, kind + chr(body[0] & 0x7F), body[1:], GENESIS),
    ]
    assert said not in others


def test_the_first_entry_follows_nothing(path: Path) -> None:
    """A store without entries stands at the genesis hash."""
    opened: Store = open_store(path)
    assert opened.tip() == (0, GENESIS)
    opened.close()
