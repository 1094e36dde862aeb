"""What the scorer asks of the world."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from tacit.rounds.types import Checked


class Records(Protocol):
    """The versions topic."""

    def poll(self, timeout: float) -> list[Checked]:
        """What is new on the topic, signatures checked, waiting at most `timeout` seconds for anything at all.

        Raises:
            LogUnavailableError: If the log is away, or refuses; nothing is skipped.
        """

    @property
    def invalid(self) -> Counter[str]:
        """Entries so far that are no valid record, by reason."""


class LocalModels(Protocol):
    """The bank's own trainer: its verdict, choice, local model and thresholds."""

    def fetch(self, etag: str | None) -> tuple[bytes, str] | None:
        """The document and its tag; None if it still has this tag, or there is none yet.

        Raises:
            OSError: If the trainer does not answer, or answers what is no document.
        """


class Cache(Protocol):
    """The last bundles that served, on a disk of this machine."""

    def load(self) -> Sequence[bytes]:
        """Stored bundles, newest first, at most two; damaged or absent ones are left out.

        Raises:
            OSError: If the disk refuses.
        """

    def save(self, data: bytes) -> None:
        """Stores a bundle durably in one step; the newest one so far becomes the one before.

        Raises:
            OSError: If the disk refuses; what was stored before is intact.
        """
