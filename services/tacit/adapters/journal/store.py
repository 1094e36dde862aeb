"""The journal's file: one SQLite database, one writer, one hash chain of entries (formats 3).

Rollback journal instead of a write-ahead log: a committed entry lies in the file itself, so that losing a second file
cannot silently take a spend with it.
"""

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import rfc8785

from tacit.adapters.journal.schema import APPLICATION_ID, SCHEMA, VERSION, EntryKind
from tacit.adapters.mounts import network_file_system
from tacit.rounds.ledger import JournalBusyError, JournalCorruptError, JournalError, JournalFullError
from tacit.runtime import faults

GENESIS = bytes(32)
"""`prev` of the first entry."""

_FILE_MODE = 0o600
_PRAGMAS = (
    "locking_mode = EXCLUSIVE",
    "journal_mode = TRUNCATE",
    "synchronous = FULL",
    "secure_delete = ON",
    "temp_store = MEMORY",
    "cell_size_check = ON",
)
_MARKS = (f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {VERSION}")
_REBUILD = "stop, keep the file, and run `tacit ledger rebuild`"
# An EFBIG or EDQUOT reaches us as a failed write: SQLite says FULL for ENOSPC alone.
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Store:
    """Entries and side tables, behind one lock. Use `open_store`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        self._lock = threading.RLock()
        self._usable = True

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on the disk when it returns.

        Raises:
            JournalFullError: If there is no room; nothing was written.
            JournalError: If the disk fails otherwise; the journal then refuses everything until it is opened again.
        """
        with self._lock, self.errors():
            self._check_usable()
            if self._db.in_transaction:
                raise JournalError("`compose` and `draw` have no side effects: neither may write to the journal")
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                faults.hit("before-commit")
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            faults.hit("after-commit")

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Keeps other threads from writing, so that several queries see one state."""
        with self._lock:
            yield

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Rows of a query; of the running transaction, if there is one on this thread."""
        with self._lock, self.errors():
            self._check_usable()
            return self._db.execute(sql, values).fetchall()

    def write(self, sql: str, *values: object) -> int:
        """Changes side tables within the running transaction; returns how many rows it changed."""
        return self._db.execute(sql, values).rowcount

    def append(self, kind: EntryKind, body: Mapping[str, Any]) -> None:
        """Appends an entry within the running transaction."""
        n, prev = self.tip()
        content = rfc8785.dumps({name: value for name, value in body.items() if value is not None})
        row = (n + 1, kind.value, content, prev, entry_hash(n + 1, kind.value, content, prev))
        self._db.execute("INSERT INTO entry(n, kind, body, prev, hash) VALUES (?, ?, ?, ?, ?)", row)

    def tip(self) -> tuple[int, bytes]:
        """Number and hash of the newest entry."""
        found = self.rows("SELECT n, hash FROM entry ORDER BY n DESC LIMIT 1")
        return found[0] if found else (0, GENESIS)

    def close(self) -> None:
        """Gives the file back; a second call does nothing."""
        with self._lock:
            self._usable = False
            self._db.close()

    def _check_usable(self) -> None:
        if not self._usable:
            raise JournalError(f"{self.path}: the journal is closed, or a write failed; open it again")

    def _roll_back(self) -> None:
        if not self._db.in_transaction:
            return
        try:
            self._db.execute("ROLLBACK")
        except sqlite3.Error:
            self._usable = False

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turns SQLite's errors into the journal's; after one that leaves the file in doubt, all calls fail."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            translated = translate(self.path, error)
            self._usable = self._usable and isinstance(translated, JournalFullError)
            raise translated from error


def entry_hash(n: int, kind: str, body: bytes, prev: bytes) -> bytes:
    """SHA-256 over number, kind, body and the hash before; lengths and the number as 8 bytes big-endian."""
    digest = hashlib.sha256(b"tacit.journal.v1")
    digest.update(n.to_bytes(8, "big"))
    for part in (kind.encode(), body, prev):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def translate(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> JournalError:
    """The journal's error for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", None)
    if code in _NO_ROOM:
        return JournalFullError(f"{path}: no room to write ({error}): nothing was spent; free space, then try again")
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalBusyError(f"{path}: another process holds this journal; one trainer per journal, stop the other")
    if code is None or code & 0xFF in _BROKEN:
        return JournalCorruptError(f"{path}: damaged ({error}); {_REBUILD}")
    return JournalError(f"{path}: {error}; the journal refuses writes until it is opened again")


def corrupt(path: Path, faults_found: list[str]) -> JournalCorruptError:
    """The error for a file whose content was changed."""
    more = f" and {len(faults_found) - 1} more" if len(faults_found) > 1 else ""
    return JournalCorruptError(f"{path}: {faults_found[0]}{more}; {_REBUILD}")


def open_store(path: Path) -> Store:
    """Opens the file, or creates it with mode 0600, and takes its lock until `Store.close`.

    Args:
        path: File on a disk of this machine.

    Raises:
        JournalBusyError: If another process has it open.
        JournalCorruptError: If it is not a journal, or damaged.
        JournalError: If it lies on a network file system, cannot be opened, or has a newer version.
    """
    kind = network_file_system(path)
    if kind is not None:
        raise JournalError(
            f"{path}: lies on {kind}; a journal needs a disk of this machine, whose locks and syncs hold"
        )
    try:
        _prepare(path)
    except OSError as error:
        raise JournalError(f"{path}: cannot open the journal: {error.strerror}") from error
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    store = Store(path, connection)
    try:
        with store.errors():
            _take(path, connection)
    except BaseException:
        store.close()
        raise
    return store


def _prepare(path: Path) -> None:
    created = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        # Volumes mounted with a group come up group-readable.
        os.fchmod(descriptor, _FILE_MODE)
    finally:
        os.close(descriptor)
    if created:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take(path: Path, connection: sqlite3.Connection) -> None:
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN EXCLUSIVE")
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
        for statement in (*_MARKS, *_statements(SCHEMA)):
            connection.execute(statement)
    found = tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if found[0] != APPLICATION_ID:
        raise JournalCorruptError(f"{path}: a database, but not a journal; name another file")
    if found[1] != VERSION:
        raise JournalError(f"{path}: journal format {found[1]}, expected {VERSION}; use the version that wrote it")
    connection.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def write_copy(source: Store, path: Path, settings: Mapping[str, bytes]) -> None:
    """Writes entries, outbox and settings into a new file; payloads and secrets never reach it.

    Args:
        source: An open store.
        path: A file that does not exist.
        settings: Further settings of the copy.

    Raises:
        JournalError: If the file exists or cannot be written.
    """
    if path.exists():
        raise JournalError(f"{path}: exists already; name a new file for the backup")
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    copy = open_store(partial)
    try:
        _copy_tables(source, copy, settings)
    finally:
        copy.close()
    partial.with_name(partial.name + "-journal").unlink(missing_ok=True)
    partial.rename(path)
    _sync_folder(path.parent)


def _copy_tables(source: Store, copy: Store, settings: Mapping[str, bytes]) -> None:
    with copy.transaction():
        for table, width in (("entry", 5), ("outbox", 3), ("setting", 2)):
            marks = ", ".join("?" * width)
            for row in source.rows(f"SELECT * FROM {table}"):  # noqa: S608  names are the constants above
                copy.write(f"INSERT INTO {table} VALUES ({marks})", *row)  # noqa: S608
        for name, value in settings.items():
            copy.write("INSERT INTO setting(name, value) VALUES (?, ?)", name, value)
