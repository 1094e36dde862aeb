"""A `Log` in one SQLite file, for many processes on one machine: first run, tests, pilots (architecture D3)."""

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from tacit.adapters.mounts import MOUNT_TABLE, network_file_system
from tacit.runtime.log import (
    Entry,
    LogDeniedError,
    LogError,
    LogUnavailableError,
    TopicMissingError,
    check_append,
    check_read,
    check_topic,
)

_log = logging.getLogger(__name__)

APPLICATION_ID = 0x5443_4C47
"""Marks the file as a Tacit log in SQLite's header ("TCLG")."""

SCHEMA_VERSION = 1
"""Version of the tables below, kept as SQLite's `user_version`."""

_TABLES = (
    "CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, next INTEGER NOT NULL) STRICT",
    (
        "CREATE TABLE entries (topic INTEGER NOT NULL REFERENCES topics (id), position INTEGER NOT NULL, "
        "key BLOB NOT NULL, value BLOB NOT NULL, headers TEXT NOT NULL) STRICT"
    ),
    "CREATE UNIQUE INDEX entries_by_position ON entries (topic, position)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_TAKE_POSITION = "UPDATE topics SET next = next + 1 WHERE name = ? RETURNING id, next - 1"
_READ = (
    "SELECT position, key, value, headers FROM entries WHERE topic = (SELECT id FROM topics WHERE name = ?) "
    "AND position >= ? ORDER BY position LIMIT ?"
)
_SHORTEST_NAP, _LONGEST_NAP = 0.005, 0.040
_READ_BYTES = 8 * 1024 * 1024
_DENIED = frozenset({"SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_CANTOPEN"})
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


class LogFileError(LogError):
    """The file cannot serve as a log: another format or schema, damage, or a file system that cannot lock."""


class SqliteLog:
    """A log in one file of a local disk, shared by threads and processes.

    Every append is one transaction, on disk before the call returns (WAL, `synchronous=FULL`). A waiting reader looks
    at `PRAGMA data_version` every 5 to 40 ms, which reads a few bytes of shared memory.

    Args:
        path: The file; it is created with mode 0600 where it does not exist. Its folder must exist.
        busy_timeout: Seconds to wait for another writer before `LogUnavailableError`, above 0.
        mount_table: The kernel's list of mounts.

    Raises:
        LogFileError: If the file is no log of this schema, is damaged, or lies on a network file system.
        LogDeniedError: If the file may not be opened for writing.
        LogUnavailableError: If the file stays locked, or the disk is full.
        ValueError: If the timeout is not above 0.
    """

    def __init__(self, path: Path, busy_timeout: float = 10.0, mount_table: Path = MOUNT_TABLE) -> None:
        if busy_timeout <= 0.0:
            raise ValueError(f"busy timeout {busy_timeout} s: must be above 0")
        self._path = path
        self._busy_timeout = busy_timeout
        self._closed = threading.Event()
        self._writing, self._reading = threading.Lock(), threading.Lock()
        _refuse_network(path, mount_table)
        with self._translated("open"):
            _make_file(path)
            self._writer = self._connect()
            try:
                self._prepare()
                self._reader = self._connect()
            except BaseException:
                self._writer.close()
                raise

    def create(self, topics: Iterable[str]) -> None:
        """Creates the topics that do not exist yet."""
        names = list(topics)
        for name in names:
            check_topic(name)
        with self._transaction("create topics") as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO topics (name, next) VALUES (?, 0)", [(name,) for name in names]
            )

    def append(self, topic: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> int:
        """Appends one entry and returns its offset once it is on disk.

        Raises:
            TopicMissingError: If the topic was never created.
            RecordTooLargeError: If the value is longer than the port allows.
            LogUnavailableError: If another writer holds the file for too long, or the disk is full.
        """
        check_append(topic, value)
        encoded = json.dumps([[name, content.hex()] for name, content in headers])
        with self._transaction(f"append to {topic}") as connection:
            row = connection.execute(_TAKE_POSITION, (topic,)).fetchall()
            if not row:
                raise TopicMissingError(f"topic {topic} does not exist in {self._path}: create it first")
            number, position = row[0]
            connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (number, position, key, value, encoded))
        return int(position)

    def read(self, positions: Mapping[str, int], limit: int = 500, timeout: float = 0.0) -> list[Entry]:
        """Reads entries at or after the given offsets, at most about 8 MiB of them in one call."""
        check_read(positions, limit, timeout)
        deadline = time.monotonic() + timeout
        while True:
            seen = self._version()
            found = self._find(positions, limit)
            if found or not self._await_change(seen, deadline):
                return found

    def end(self, topic: str) -> int:
        """The offset that the next entry of a topic will have; 0 for one that does not exist."""
        check_topic(topic)
        with self._looking(f"look up the end of {topic}") as connection:
            row = connection.execute("SELECT next FROM topics WHERE name = ?", (topic,)).fetchone()
        return int(row[0]) if row is not None else 0

    def close(self) -> None:
        """Closes the file; a waiting reader ends with `LogError`."""
        self._closed.set()
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    def _connect(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        # Each connection is used by one thread at a time, under its lock.
        connection = sqlite3.connect(
            uri, timeout=self._busy_timeout, isolation_level=None, uri=True, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _prepare(self) -> None:
        """Checks whose file it is before anything is written to it, then makes the tables where it is empty."""
        if self._is_empty():
            self._make_tables()
        identity = self._pragma("application_id"), self._pragma("user_version")
        if identity[0] != APPLICATION_ID:
            raise LogFileError(f"{self._path} is a database, but not a Tacit log (application id {identity[0]})")
        if identity[1] != SCHEMA_VERSION:
            raise LogFileError(f"{self._path} has schema version {identity[1]}: this release reads {SCHEMA_VERSION}")

    def _is_empty(self) -> bool:
        count = self._writer.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        return count == 0 and self._pragma("application_id") == 0

    def _make_tables(self) -> None:
        self._use_write_ahead_log()
        self._writer.execute("BEGIN IMMEDIATE")
        with _committed(self._writer):
            if self._is_empty():
                for statement in _TABLES:
                    self._writer.execute(statement)

    def _use_write_ahead_log(self) -> None:
        # SQLite does not wait its busy timeout for a change of the journal mode, and several processes start at once.
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if _code(error) != "SQLITE_BUSY" or time.monotonic() > deadline:
                    raise
                time.sleep(_SHORTEST_NAP)
            else:
                return

    def _pragma(self, name: str) -> int:
        return int(self._writer.execute(f"PRAGMA {name}").fetchone()[0])

    def _version(self) -> int:
        with self._looking("look for changes") as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def _await_change(self, seen: int, deadline: float) -> bool:
        """Waits until another connection has committed; False when the time is up."""
        nap = _SHORTEST_NAP
        while (left := deadline - time.monotonic()) > 0.0:
            self._closed.wait(min(nap, left))
            if self._version() != seen:
                return True
            nap = min(nap * 1.5, _LONGEST_NAP)
        return False

    def _find(self, positions: Mapping[str, int], limit: int) -> list[Entry]:
        found: list[Entry] = []
        size = 0
        with self._looking("read") as connection:
            for topic, offset in positions.items():
                with closing(connection.execute(_READ, (topic, offset, limit - len(found)))) as rows:
                    for position, key, value, headers in rows:
                        found.append(Entry(topic, position, key, value, _decode_headers(headers)))
                        size += len(value)
                        if size >= _READ_BYTES:
                            return found
        return found

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[sqlite3.Connection]:
        with self._writing, self._translated(doing):
            self._refuse_closed()
            self._writer.execute("BEGIN IMMEDIATE")
            with _committed(self._writer):
                yield self._writer

    @contextmanager
    def _looking(self, doing: str) -> Iterator[sqlite3.Connection]:
        with self._reading, self._translated(doing):
            self._refuse_closed()
            yield self._reader

    def _refuse_closed(self) -> None:
        if self._closed.is_set():
            raise LogError(f"the log {self._path} is closed")

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """The one place where SQLite's errors get their meaning."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise _error_class(error)(f"cannot {doing} in {self._path}: {error}") from error


def _error_class(error: sqlite3.Error | OSError) -> Callable[[str], LogError]:
    if isinstance(error, OSError):
        return LogDeniedError if isinstance(error, PermissionError | FileNotFoundError) else LogUnavailableError
    code = _code(error)
    if code in _DENIED:
        return LogDeniedError
    return LogFileError if code in _DAMAGED else LogUnavailableError


def _code(error: sqlite3.Error) -> str:
    """The primary result code, such as SQLITE_BUSY for SQLITE_BUSY_SNAPSHOT; empty where there is none."""
    name: str = getattr(error, "sqlite_errorname", "")
    return "_".join(name.split("_")[:2])


def _refuse_network(path: Path, mount_table: Path) -> None:
    kind = network_file_system(path.parent, mount_table)
    if kind is not None:
        raise LogFileError(
            f"{path} lies on a network file system ({kind}), where SQLite's locks do not hold: "
            "use a disk of this machine, or the Kafka log"
        )


def _make_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        _log.debug("opening the log that exists at %s", path)


def _decode_headers(text: str) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, bytes.fromhex(content)) for name, content in json.loads(text)) if text != "[]" else ()


@contextmanager
def _committed(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits the transaction that is open, or rolls it back when anything goes wrong."""
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
