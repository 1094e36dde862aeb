"""One holder at a time, and none for ever."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tacit.adapters import lock_file
from tacit.adapters.lock_file import LeaseError, LockFileLease
from tacit.aggregator.ports import Lease


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A lock file that does not exist yet."""
    return tmp_path / "lead.lock"


@pytest.fixture
def pair(file: Path) -> Iterator[tuple[LockFileLease, LockFileLease]]:
    """Two that want the same lease."""
    first, second = LockFileLease(file, "one"), LockFileLease(file, "two")
    yield first, second
    first.release()
    second.release()


def test_it_is_the_aggregators_port(file: Path) -> None:
    """The adapter fits the port."""
    assert isinstance(LockFileLease(file), Lease)


def test_one_holds_at_a_time(pair: tuple[LockFileLease, LockFileLease], file: Path) -> None:
    """Asking again renews; the other waits; a release hands over."""
    first, second = pair
    assert first.try_hold()
    assert first.try_hold()
    assert not second.try_hold()
    assert second.holder() == "one"
    first.release()
    assert second.holder() is None
    assert second.try_hold()
    assert not first.try_hold()
    assert file.read_text() == "two\n"


def test_a_shorter_name_leaves_nothing_of_a_longer_one(file: Path) -> None:
    """The content is the holder and nothing else."""
    file.write_text("a-much-longer-holder-that-was-killed\n")
    lease = LockFileLease(file, "b")
    assert lease.try_hold()
    assert lease.holder() == "b"
    lease.release()


def test_release_is_free_of_conditions(file: Path) -> None:
    """Before a hold or twice it does nothing, and never frees another's lock."""
    first, second = LockFileLease(file, "one"), LockFileLease(file, "two")
    second.release()
    assert first.try_hold()
    second.release()
    assert not second.try_hold()
    assert first.holder() == "one"
    first.release()
    first.release()


def test_a_deleted_file_is_a_lost_lease(pair: tuple[LockFileLease, LockFileLease], file: Path) -> None:
    """A lock on a file that nobody else can open binds nobody: the new file decides."""
    first, second = pair
    assert first.try_hold()
    file.unlink()
    assert second.try_hold()
    assert not first.try_hold()
    assert first.holder() == "two"


def test_nobody_holds_before_the_first_file(file: Path) -> None:
    """A missing file is no holder."""
    assert LockFileLease(file).holder() is None


def test_ids_differ_and_name_the_process(file: Path) -> None:
    """Two aggregators on one machine are told apart."""
    first, second = LockFileLease(file), LockFileLease(file)
    assert first.holder_id != second.holder_id
    assert f":{os.getpid()}:" in first.holder_id


def test_the_file_is_private(file: Path) -> None:
    """Mode 0600."""
    lease = LockFileLease(file)
    lease.try_hold()
    assert file.stat().st_mode & 0o777 == 0o600
    lease.release()


def test_a_path_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(LeaseError, match=r"none/lead\.lock cannot be opened: No such file"):
        LockFileLease(tmp_path / "none" / "lead.lock").try_hold()


def test_network_file_systems_are_refused(tmp_path: Path) -> None:
    """A lock that does not hold elsewhere is worse than none."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"2 1 0:2 / {tmp_path.resolve()} rw - nfs4 server:/x rw\n")
    with pytest.raises(LeaseError, match="network file system"):
        LockFileLease(tmp_path / "lead.lock", mount_table=mounts)


@pytest.mark.integration
def test_a_killed_holder_frees_the_lease(file: Path) -> None:
    """SIGKILL is a release, and children that a holder started do not keep the lock."""
    code = (
        "import sys, pathlib, subprocess; from tacit.adapters.lock_file import LockFileLease;"
        f"lease = LockFileLease(pathlib.Path({str(file)!r}), 'child');"
        "print(lease.try_hold(), flush=True); sys.stdin.read()"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(  # noqa: S603  this interpreter
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        lease = LockFileLease(file, "next")
        assert not lease.try_hold()
        assert lease.holder() == "child"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert lease.try_hold()
        lease.release()


def test_a_file_replaced_while_it_is_locked_is_not_held(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking another may take the file away: the next try takes the new one."""
    lock = lock_file._lock

    def late(descriptor: int) -> bool:
        file.unlink()
        return lock(descriptor)

    lease = LockFileLease(file)
    monkeypatch.setattr(lock_file, "_lock", late)
    assert not lease.try_hold()
    monkeypatch.undo()
    assert lease.try_hold()
    lease.release()
