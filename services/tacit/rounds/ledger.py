"""The bank's ledger in values: positions, reservations, spends, charges, and the errors of its journal (protocol 5)."""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from tacit.rounds.types import DIGEST_BYTES, Kind

MAX_NANO = 2**53 - 1
"""Largest amount of nano-rho in one entry: the largest integer of canonical JSON."""

MAX_SLOT = 2**31 - 1
RUN_SLOT = -1
"""Slot number under which a run's own secrets (run key, salt) are kept."""

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


class JournalError(Exception):
    """The journal could not do what was asked; nothing was written."""


class JournalBusyError(JournalError):
    """Another process holds the journal."""


class JournalCorruptError(JournalError):
    """The file is not what was written to it."""


class JournalFullError(JournalError):
    """There is no room to write: nothing was spent, and the same call succeeds once there is room."""


class RequestConflictError(JournalError):
    """The same key was used before for something else."""


class RunClosedError(JournalError):
    """The run is not open here: never joined, done, or left for ever."""


class BudgetExceededError(JournalError):
    """A cap of the account, or a run's reservation, does not cover what was asked; nothing was written.

    Attributes:
        scope: ``lifetime``, a month such as ``2018-05``, or ``run``.
        cap_nano: The cap, in nano-rho.
        spent_nano: What counts against it already.
        asked_nano: What was asked on top.
    """

    def __init__(self, message: str, scope: str, cap_nano: int, spent_nano: int, asked_nano: int) -> None:
        super().__init__(message)
        self.scope = scope
        self.cap_nano = cap_nano
        self.spent_nano = spent_nano
        self.asked_nano = asked_nano


class RunState(enum.StrEnum):
    """Where this bank stands in a run."""

    NONE = "none"
    OPEN = "open"
    DONE = "done"
    LEFT = "left"


DONE = RunState.DONE
LEFT = RunState.LEFT


class Verdict(enum.StrEnum):
    """What the bank's own topic says about this journal (protocol 5).

    OK: go on. BEHIND: the topic holds a record that the journal lacks. TRUNCATED: the topic lost records that the
    journal saw there. CLONED: another copy of this journal wrote to the topic.
    """

    OK = "ok"
    BEHIND = "behind"
    TRUNCATED = "truncated"
    CLONED = "cloned"


@dataclass(frozen=True, slots=True)
class TopicReport:
    """A verdict with its reason, in words for the bank's operator; empty when OK."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Position:
    """What the header of the next record carries.

    Attributes:
        seq: Its sequence number, from 1.
        previous: Digest of the record before, empty at 1.
        head: Hash of the journal's newest entry, 32 bytes.
    """

    seq: int
    previous: bytes
    head: bytes


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where journal and topic stand when the chain starts again; fields of `ResumeBody`."""

    journal_seq: int
    journal_digest: bytes
    topic_seq: int
    topic_digest: bytes
    rebuilt: bool


class Sealed(Protocol):
    """A signed record: its bytes and its digest, as `wire.envelope.seal` makes them."""

    @property
    def value(self) -> bytes:
        """Bytes to append to the topic."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed input."""


Compose = Callable[[Position], Sealed]
"""Makes and signs a record for a place in the chain; has no other effect, since the transaction may fail."""

ComposeResume = Callable[[Position, ResumePoint], Sealed]
"""Makes and signs a RESUME."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as the journal keeps it.

    Attributes:
        seq: Its sequence number.
        kind: Its kind.
        digest: Its digest.
        value: The bytes to append, always the same; empty for a record taken over from the topic by a rebuild.
        seen: Whether it was read back from the topic.
    """

    seq: int
    kind: Kind
    digest: bytes
    value: bytes
    seen: bool


@dataclass(frozen=True, slots=True)
class Secret:
    """Secrets of one slot, or of the run under `RUN_SLOT`; erased at END or LEFT. Empty fields may be filled later.

    Attributes:
        slot: Slot number from 0, or `RUN_SLOT`.
        sk: Private key.
        b: Self seed of a slot, salt of the run.
        shares: Sealed or plain shares, in the caller's own form.
    """

    slot: int
    sk: bytes = b""
    b: bytes = b""
    shares: bytes = b""

    def __post_init__(self) -> None:
        """Refuses a slot number that cannot be."""
        if not RUN_SLOT <= self.slot <= MAX_SLOT:
            raise JournalError(f"slot {self.slot}: expected {RUN_SLOT} to {MAX_SLOT}")


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a run may cost at most: charged in full to every month that its rows touch.

    Attributes:
        run: Run id, 32 bytes.
        account: Name of the account.
        buckets: Months ``YYYY-MM`` of the window with look-back, label delay and quality rows; see `months`.
        rho_nano: Total zCDP with prepaid retries, nano-rho, 1 to 2^53 - 1.
    """

    run: bytes
    account: str
    buckets: tuple[str, ...]
    rho_nano: int

    def __post_init__(self) -> None:
        """Refuses a reservation that cannot be charged."""
        check_run(self.run)
        check_nano("reservation", self.rho_nano)
        if not self.buckets or len(set(self.buckets)) != len(self.buckets):
            raise JournalError(f"a reservation names at least one month, each once; got {list(self.buckets)}")
        for bucket in self.buckets:
            if _MONTH.fullmatch(bucket) is None:
                raise JournalError(f"bucket {bucket!r}: expected a month such as '2018-05'")


@dataclass(frozen=True, slots=True)
class Spend:
    """One release in the ledger.

    Attributes:
        run: Run id.
        slot: Slot number.
        request: Digest of the question.
        rho_nano: Cost under the mode's trust, nano-rho.
        rho_alone_nano: Cost of the bank's own noise alone, should masking fail.
        payload_digest: SHA-256 of the noised integers.
    """

    run: bytes
    slot: int
    request: bytes
    rho_nano: int
    rho_alone_nano: int
    payload_digest: bytes


@dataclass(frozen=True, slots=True)
class BucketCharge:
    """What counts against one cap; `left_nano` is below 0 after a rebuild that charges more than the cap."""

    name: str
    charged_nano: int
    cap_nano: int
    epsilon: float

    @property
    def left_nano(self) -> int:
        """What may still be reserved."""
        return self.cap_nano - self.charged_nano


@dataclass(frozen=True, slots=True)
class RunCharge:
    """What one run reserved, spent and is charged, in nano-rho; `epsilon` is of the charge."""

    run: bytes
    state: RunState
    buckets: tuple[str, ...]
    reserved_nano: int
    spent_nano: int
    charged_nano: int
    epsilon: float
    joined_ms: int


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """The account, for `tacit ledger show`: epsilons at `delta`, for add/remove of one `unit`."""

    account: str
    unit: str
    delta: Fraction
    lifetime: BucketCharge
    buckets: tuple[BucketCharge, ...]
    runs: tuple[RunCharge, ...]


def check_run(run: bytes) -> None:
    """Refuses what is not a run id.

    Raises:
        JournalError: If it is not 32 bytes.
    """
    check_digest("run id", run)


def check_digest(name: str, value: bytes) -> None:
    """Refuses what is not a SHA-256 digest.

    Raises:
        JournalError: If it is not 32 bytes.
    """
    if len(value) != DIGEST_BYTES:
        raise JournalError(f"{name}: expected {DIGEST_BYTES} bytes, got {len(value)}")


def check_slot(slot: int) -> None:
    """Refuses what is not a slot number.

    Raises:
        JournalError: If it is outside 0 to 2^31 - 1.
    """
    if not 0 <= slot <= MAX_SLOT:
        raise JournalError(f"slot {slot}: expected 0 to {MAX_SLOT}")


def check_nano(name: str, amount: int) -> None:
    """Refuses an amount that the ledger cannot hold.

    Raises:
        JournalError: If it is outside 1 to 2^53 - 1 nano-rho.
    """
    if not 1 <= amount <= MAX_NANO:
        raise JournalError(f"{name}: {amount} nano-rho, expected 1 to {MAX_NANO}")
