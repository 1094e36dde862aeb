"""What the trainer's handlers need from the world."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import polars as pl

from tacit.features.spec import Contract
from tacit.privacy.types import Release, ReleaseEvent
from tacit.rounds.ledger import Compose, LedgerReport, Position, Reservation, RunState, Sealed, Stored, TopicReport
from tacit.rounds.types import Checked, Kind

T = TypeVar("T")


class Journal(Protocol):
    """The bank's journal (protocol 5); every method is one durable transaction or a read."""

    def record(self, kind: Kind, run: bytes, slot: int | None, compose: Compose) -> Stored:
        """Stores a signed record once per (run, slot, kind); a repeat gives the stored one."""

    def reserve(self, reservation: Reservation, compose: Compose) -> Stored:
        """Reserves a run's budget and stores its JOIN."""

    def spend(
        self,
        run: bytes,
        slot: int,
        *,
        request: bytes,
        rho: ReleaseEvent,
        draw: Callable[[], Release],
        compose: Callable[[Position, Release], Sealed],
    ) -> Stored:
        """Spends, draws and stores in one transaction; a repeat gives the stored bytes."""

    def bind(self, run: bytes, slot: int, context: bytes) -> None:
        """Binds a slot to its one context for ever."""

    def unsent(self) -> list[Stored]:
        """Records that were not read back yet, oldest first."""

    def mark_seen(self, seq: int) -> None:
        """Notes that a record was read back from the topic."""

    def stored(self, run: bytes, slot: int | None, kind: Kind) -> Stored | None:
        """A record stored before."""

    def finish(self, run: bytes, how: RunState) -> None:
        """Releases what is left of a reservation and erases the run's side tables."""

    def state(self, run: bytes) -> RunState:
        """Where the bank stands in a run."""

    def judge_topic(self, records: Sequence[Checked], named: Iterable[bytes] = ()) -> TopicReport:
        """Compares the whole own topic with the journal; `named` are own records that control records name."""

    def open_runs(self) -> Mapping[bytes, int]:
        """Runs that are open here, with the time of their JOIN, milliseconds since 1970."""

    def sample_key(self) -> bytes:
        """The key of the subsampling rule, fixed with the journal."""

    def ledger(self) -> LedgerReport:
        """What the account was charged."""

    def close(self) -> None:
        """Releases the file."""


class RowsUnusableError(Exception):
    """The bank's source does not fit, or cannot be read; for the bank's operator."""


class Rows(Protocol):
    """The bank's rows."""

    @property
    def zone(self) -> str:
        """IANA zone of midnights."""

    def check(self, contract: Contract) -> None:
        """Holds the columns of the source and of the feeds against mapping and contract; never looks at a row.

        Raises:
            RowsUnusableError: If a column or a feed is missing or of a wrong type.
        """

    def read(self, first: int, last: int) -> pl.DataFrame:
        """Usable normalised rows with first <= time < last, seconds since 1970 UTC; faulty ones go to the operator.

        Raises:
            RowsUnusableError: If they cannot be read.
        """

    def feeds(self, names: Collection[str]) -> Mapping[str, pl.DataFrame]:
        """Feed frames by name, of those that are asked for.

        Raises:
            RowsUnusableError: If one cannot be read.
        """


class Worker(Protocol):
    """Runs long work beside the loop."""

    def done(self, key: Hashable, work: Callable[[], T]) -> T | None:
        """Starts the work on the first call for a key; its result once it is there, None before.

        Raises:
            Exception: What the work raised.
        """

    def forget(self, key: Hashable) -> None:
        """Drops a key's result."""

    @property
    def busy(self) -> bool:
        """Whether any work is under way."""
