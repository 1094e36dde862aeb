"""Two files in one folder: the bundle that serves and the one before it."""

import os
from pathlib import Path

CURRENT = "current.bundle"
PREVIOUS = "previous.bundle"
MAX_BYTES = 256 * 2**20


class BundleFolder:
    """Keeps the last two bundles on a disk of this machine.

    Args:
        folder: Made where missing; it must belong to the scorer alone.

    Raises:
        OSError: If the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def load(self) -> list[bytes]:
        """What is stored, newest first; files that are absent or beyond 256 MiB are left out.

        Raises:
            OSError: If a file cannot be read.
        """
        paths = [self._folder / name for name in (CURRENT, PREVIOUS)]
        return [path.read_bytes() for path in paths if path.is_file() and path.stat().st_size <= MAX_BYTES]

    def save(self, data: bytes) -> None:
        """Stores a bundle durably; the newest one so far becomes the one before.

        A crash at any point leaves the old bundle or the new one under a name that `load` reads.

        Raises:
            OSError: If the disk refuses.
        """
        current, partial = self._folder / CURRENT, self._folder / "partial"
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if current.is_file():
            current.replace(self._folder / PREVIOUS)
        partial.replace(current)
        self._sync_folder()

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
