"""What the registry asks of the world besides the log and the clock."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from tacit.versions import AliasState, ModelVersion, Published


@runtime_checkable
class VersionStore(Protocol):
    """An index over the versions topic, and the one place where a version waits until it stands there.

    Every method is one transaction and raises `StoreError` if the database does not answer; all may be called from any
    thread.
    """

    def prepare(self, version: ModelVersion) -> ModelVersion:
        """Stores a version that is about to be published; gives the one that was stored first for its run."""

    def publish(self, entries: Iterable[Published], aliases: Iterable[AliasState]) -> None:
        """Writes what the topic says, over whatever was stored; a repeat changes nothing."""

    def get(self, digest: str) -> Published | None:
        """A published version."""

    def page(self, model: str | None, after: int, limit: int) -> Sequence[Published]:
        """At most `limit` published versions behind position `after`, in order; of one model, or all for None."""

    def positions(self) -> Mapping[str, int]:
        """Position of every published version, by digest."""

    def models(self) -> Mapping[str, int]:
        """How many published versions each model has, by name."""

    def aliases(self) -> Mapping[tuple[str, str], AliasState]:
        """Where every alias points, by model and alias."""


@runtime_checkable
class Artefacts(Protocol):
    """Model files by digest; every method may raise `ArtefactError` and be called from any thread."""

    def put(self, content: bytes) -> bytes:
        """Stores a file durably and returns its SHA-256; one that is there is left alone, a damaged one replaced."""

    def get(self, digest: bytes) -> bytes:
        """The file of a digest: `ArtefactMissingError` without one, `ArtefactCorruptError` if its bytes changed."""
