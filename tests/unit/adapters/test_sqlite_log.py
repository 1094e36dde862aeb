"""The SQLite log's own promises: processes, kills, damage, other files; the port's stand in tests/contract."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tacit.adapters.sqlite_log import APPLICATION_ID, SCHEMA_VERSION, LogFileError, SqliteLog
from tacit.runtime.log import Entry, LogDeniedError, LogError, LogUnavailableError, TopicMissingError

WAIT = 60.0
WRITER = """
import sys
from pathlib import Path
from tacit.adapters.sqlite_log import SqliteLog

log = SqliteLog(Path(sys.argv[1]), busy_timeout=60.0)
log.create(["a"])
for number in range(int(sys.argv[3])):
    value = f"{sys.argv[2]}/{number}"
    print(log.append("a", sys.argv[2].encode(), value.encode()), value, flush=True)
"""


def start_writer(path: Path, name: str, count: int) -> "subprocess.Popen[str]":
    """A process of its own that appends and prints what was acknowledged."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603  own command


def acknowledged(output: str) -> dict[int, str]:
    """Offset to value, from a writer's complete lines."""
    lines = [line.split() for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return {int(offset): value for offset, value in lines}


def contents(log: SqliteLog, topic: str = "a") -> dict[int, str]:
    """Offset to value of a whole topic."""
    found: dict[int, str] = {}
    while len(found) < log.end(topic):
        found |= {entry.offset: entry.value.decode() for entry in log.read({topic: len(found)})}
    return found


@pytest.fixture
def log(log_file: Path) -> Iterator[SqliteLog]:
    """A new log with the topic a."""
    made = SqliteLog(log_file, busy_timeout=0.05)
    made.create(["a"])
    yield made
    made.close()


@pytest.mark.integration
def test_processes_share_one_file(log_file: Path) -> None:
    """Three writing processes and a reader: every acknowledged entry is there once, in each writer's order."""
    writers = [start_writer(log_file, name, 120) for name in ("x", "y", "z")]
    told = {offset: value for writer in writers for offset, value in acknowledged(writer.communicate()[0]).items()}
    log = SqliteLog(log_file)
    found = contents(log)
    log.close()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert found == told
    assert list(found) == list(range(360))


@pytest.mark.integration
def test_killed_writer_loses_nothing_acknowledged(log_file: Path) -> None:
    """Kill -9 in the middle of the load: what was told is there, the rest is at most one entry, and others go on."""
    writer = start_writer(log_file, "x", 1_000_000)
    assert writer.stdout is not None
    heard = "".join(writer.stdout.readline() for _ in range(150))
    writer.kill()
    heard += writer.communicate()[0]
    log = SqliteLog(log_file)
    told, found = acknowledged(heard), contents(log)
    assert len(told) >= 150
    assert {offset: found.get(offset) for offset in told} == told
    assert len(found) - len(told) in {0, 1}
    assert log.append("a", b"", b"next") == len(found)
    log.close()


@pytest.mark.integration
def test_reader_is_woken_by_another_process(log: SqliteLog, log_file: Path) -> None:
    """A commit of another process ends the wait."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(log.read, {"a": 0}, 500, WAIT)
        with start_writer(log_file, "x", 1) as writer:
            writer.communicate()
        assert [entry.value for entry in waiting.result(WAIT)] == [b"x/0"]


def test_new_file_is_private_and_durable(log: SqliteLog, log_file: Path) -> None:
    """Nobody else may read the file; every commit is synced, in write-ahead mode."""
    assert stat.S_IMODE(log_file.stat().st_mode) == 0o600
    assert log._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert log._writer.execute("PRAGMA synchronous").fetchone() == (2,)


def test_file_names_its_format(log: SqliteLog, log_file: Path) -> None:
    """The header carries the application id and the schema version."""
    assert log._writer.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert log._writer.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert log_file.read_bytes()[:15] == b"SQLite format 3"


def test_empty_file_becomes_a_log(log_file: Path) -> None:
    """A process killed between making the file and its tables leaves an empty one, which the next start takes."""
    log_file.touch(mode=0o600)
    log = SqliteLog(log_file)
    log.create(["a"])
    assert log.append("a", b"", b"x") == 0
    log.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 50, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_file_that_is_no_database_is_refused_and_kept(log_file: Path, content: bytes) -> None:
    """Another file is neither read nor written over."""
    log_file.write_bytes(content)
    with pytest.raises(LogFileError, match=log_file.name):
        SqliteLog(log_file)
    assert log_file.read_bytes() == content


def test_database_of_another_program_is_refused_untouched(log_file: Path) -> None:
    """A database without our application id keeps its tables and its journal mode."""
    with sqlite3.connect(log_file) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    before = log_file.read_bytes()
    with pytest.raises(LogFileError, match="not a Tacit log"):
        SqliteLog(log_file)
    assert log_file.read_bytes() == before


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_other_schema_version_is_refused(log_file: Path, version: int) -> None:
    """A log of an older or newer release is named with its version."""
    SqliteLog(log_file).close()
    connection = sqlite3.connect(log_file)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(LogFileError, match=f"schema version {version}.*reads {SCHEMA_VERSION}"):
        SqliteLog(log_file)


def test_damaged_file_is_refused(log: SqliteLog, log_file: Path) -> None:
    """Overwritten pages end in an error that names the file, not in wrong entries."""
    for number in range(200):
        log.append("a", b"", b"%d" % number * 50)
    log.close()
    size = log_file.stat().st_size
    with log_file.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(LogFileError, match=log_file.name), closing(SqliteLog(log_file)) as damaged:
        contents(damaged)


def test_network_file_system_is_refused(log_file: Path, tmp_path: Path) -> None:
    """On a share nothing is created, and the message says what to use instead."""
    table = tmp_path / "mountinfo"
    table.write_text(f"1 1 0:1 / {tmp_path.resolve()} rw - nfs4 server:/x rw\n", encoding="utf-8")
    with pytest.raises(LogFileError, match=r"nfs4.*disk of this machine"):
        SqliteLog(log_file, mount_table=table)
    assert not log_file.exists()


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_refuses_a_busy_timeout_that_is_none(log_file: Path, seconds: float) -> None:
    """The time to wait for other writers is above 0."""
    with pytest.raises(ValueError, match="busy timeout"):
        SqliteLog(log_file, busy_timeout=seconds)


def test_missing_folder_is_denied(tmp_path: Path) -> None:
    """The folder is the operator's to make: the message names the path."""
    with pytest.raises(LogDeniedError, match="absent"):
        SqliteLog(tmp_path / "absent" / "log.sqlite")


def test_locked_file_is_unavailable_and_recovers(log: SqliteLog, log_file: Path) -> None:
    """A writer that holds the file too long makes appends fail for now; reading goes on, and so does writing later."""
    other = sqlite3.connect(log_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailableError, match="locked"):
        log.append("a", b"", b"x")
    assert log.read({"a": 0}) == []
    other.execute("ROLLBACK")
    other.close()
    assert log.append("a", b"", b"x") == 0


def test_full_disk_is_unavailable_and_recovers(log: SqliteLog) -> None:
    """No room: the append fails whole with the reason, and passes once there is room."""
    pages = log._writer.execute("PRAGMA page_count").fetchone()[0]
    log._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LogUnavailableError, match="full"):
        log.append("a", b"", bytes(200_000))
    assert log.end("a") == 0
    log._writer.execute("PRAGMA max_page_count = 1000000")
    assert log.append("a", b"", bytes(200_000)) == 0


def test_failed_append_takes_no_offset(log: SqliteLog) -> None:
    """A refused append leaves no gap and no open transaction."""
    with pytest.raises(TopicMissingError):
        log.append("absent", b"", b"x")
    assert not log._writer.in_transaction
    assert [log.append("a", b"", b"x"), log.append("a", b"", b"y")] == [0, 1]


def test_one_read_is_bounded_in_bytes(log: SqliteLog) -> None:
    """Large values come in several reads, in order and without loss."""
    for number in range(12):
        log.append("a", b"", bytes([number]) * 900_000)
    first = log.read({"a": 0})
    rest = log.read({"a": len(first)})
    assert 8 * 1024 * 1024 <= sum(len(entry.value) for entry in first) < 9 * 1024 * 1024 + 900_000
    assert [entry.value[0] for entry in first + rest] == list(range(12))


def test_closing_wakes_a_waiting_reader(log: SqliteLog) -> None:
    """A reader in another thread ends with an error and not with its timeout."""
    started = threading.Event()

    def wait_long() -> list[Entry]:
        log.read({"a": 0})
        started.set()
        return log.read({"a": 0}, timeout=WAIT)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_long)
        assert started.wait(WAIT)
        log.close()
        with pytest.raises(LogError, match="closed"):
            waiting.result(WAIT)
