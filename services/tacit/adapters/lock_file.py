"""A lease as a lock on a file, for aggregators that share one machine."""

import fcntl
import os
import secrets
import socket
from pathlib import Path

from tacit.adapters.mounts import MOUNT_TABLE, network_file_system


class LeaseError(Exception):
    """A lock file that cannot serve as a lease."""


class LockFileLease:
    """Holds an exclusive lock on a file until it is released or the process ends, however it ends.

    The file's content is the holder's id, for people to read; the lock alone decides.

    Args:
        path: The file, created with mode 0600 where it does not exist. Its folder must exist.
        holder_id: Name of this holder; host, process and a random part if None.
        mount_table: The kernel's list of mounts.

    Raises:
        LeaseError: If the file lies on a network file system, where such a lock does not hold.
    """

    def __init__(self, path: Path, holder_id: str | None = None, mount_table: Path = MOUNT_TABLE) -> None:
        kind = network_file_system(path.parent, mount_table)
        if kind is not None:
            raise LeaseError(f"lock file {path} lies on a network file system ({kind}): use a disk of this machine")
        self._path = path
        self._holder_id = holder_id or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._descriptor: int | None = None

    @property
    def holder_id(self) -> str:
        """This process's own name."""
        return self._holder_id

    def try_hold(self) -> bool:
        """Takes the lock if it is free; whether it is held now.

        A lock on a file that was deleted or replaced binds nobody: it is given up and the new file is tried.

        Raises:
            LeaseError: If the file cannot be opened.
        """
        if self._descriptor is not None and _names(self._path, self._descriptor):
            return True
        self.release()
        descriptor = self._open()
        if not _lock(descriptor) or not _names(self._path, descriptor):
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{self._holder_id}\n".encode(), 0)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Unlocks the file and leaves it in place; nothing happens if the lock is not held."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def holder(self) -> str | None:
        """The id that stands in the file, None if nobody released it later; for display only."""
        try:
            return self._path.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LeaseError(f"lock file {self._path} cannot be opened: {error.strerror}") from error


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _names(path: Path, descriptor: int) -> bool:
    """Whether the path still leads to the open file."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
