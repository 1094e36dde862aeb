"""What the account is charged, against its two caps (protocol 5). Integer nano-rho throughout.

A run counts in full in every month that its rows touch: with its reservation while it is open, with the sum of its
spends once it is done or left.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from tacit.adapters.journal.store import Store
from tacit.privacy import accounting
from tacit.privacy.types import Unit
from tacit.rounds.ledger import (
    BucketCharge,
    BudgetExceededError,
    JournalError,
    LedgerReport,
    Reservation,
    RunCharge,
    RunState,
)

EVERY = "*"
"""Bucket of a charge that counts in every month: what a rebuild books when the history has a gap."""

LIFETIME = "lifetime"
_MONTHS_A_YEAR = 12


def months(first_day: dt.date, last_day: dt.date) -> tuple[str, ...]:
    """The calendar months that a range of days touches, both ends included.

    Args:
        first_day: First day of the rows, look-back included.
        last_day: Last day of the rows, label delay and quality rows included.

    Returns:
        Months as ``YYYY-MM``, in order.

    Raises:
        JournalError: If the range is empty.
    """
    if last_day < first_day:
        raise JournalError(f"expected a range of days, got {first_day} to {last_day}")
    first = first_day.year * _MONTHS_A_YEAR + first_day.month - 1
    last = last_day.year * _MONTHS_A_YEAR + last_day.month - 1
    pairs = (divmod(month, _MONTHS_A_YEAR) for month in range(first, last + 1))
    return tuple(f"{year:04d}-{month + 1:02d}" for year, month in pairs)


@dataclass(frozen=True)
class Account:
    """Whose budget it is: name, unit, caps in nano-rho, and the delta at which epsilons are put into words."""

    name: str
    unit: Unit
    bucket_cap_nano: int
    lifetime_cap_nano: int
    delta: Fraction

    def __post_init__(self) -> None:
        """Refuses an account without a name, caps or delta."""
        if not self.name:
            raise JournalError("account: expected a name, got ''")
        for name in ("bucket_cap_nano", "lifetime_cap_nano"):
            if getattr(self, name) < 0:
                raise JournalError(f"{name}: expected 0 or more nano-rho, got {getattr(self, name)}")
        if not 0 < self.delta < 1:
            raise JournalError(f"delta: expected above 0 and below 1, got {self.delta}")

    def words(self, rho_nano: int) -> str:
        """An amount in both currencies."""
        return f"{rho_nano} nano-rho (epsilon {accounting.epsilon(rho_nano, self.delta):.4g} at delta {self.delta})"


class Ledger:
    """Reads the account's standing from the entries."""

    def __init__(self, store: Store, account: Account) -> None:
        self.account = account
        self._store = store

    def check_reservation(self, wanted: Reservation) -> None:
        """Refuses a reservation that one of the caps does not cover.

        Raises:
            BudgetExceededError: With the first cap, in order of months and then lifetime, that is too small.
        """
        charged = self._charged()
        for bucket in sorted(wanted.buckets):
            self._check(bucket, self.account.bucket_cap_nano, charged[bucket] + charged[EVERY], wanted.rho_nano)
        self._check(LIFETIME, self.account.lifetime_cap_nano, charged[LIFETIME], wanted.rho_nano)

    def check_spend(self, run: bytes, rho_nano: int) -> tuple[str, ...]:
        """Refuses a spend beyond the run's reservation; returns the months that it is charged to.

        Raises:
            BudgetExceededError: If reserved - spent is less than what is asked.
        """
        ((reserved, buckets),) = self._store.rows("SELECT rho_nano, buckets FROM reserve WHERE run = ?", run.hex())
        self._check("run", reserved, self.spent(run), rho_nano)
        return tuple(json.loads(buckets))

    def spent(self, run: bytes) -> int:
        """Sum of the run's spends."""
        return int(self._store.rows("SELECT coalesce(sum(rho_nano), 0) FROM spend WHERE run = ?", run.hex())[0][0])

    def report(self) -> LedgerReport:
        """The whole account."""
        runs = tuple(self._runs())
        charged = self._charged()
        months_charged = sorted(name for name in charged if name not in (LIFETIME, EVERY) or charged[EVERY])
        cap = self.account.bucket_cap_nano
        return LedgerReport(
            account=self.account.name,
            unit=self.account.unit.value,
            delta=self.account.delta,
            lifetime=self._bucket(LIFETIME, charged[LIFETIME], self.account.lifetime_cap_nano),
            buckets=tuple(
                self._bucket(name, charged[name] + (charged[EVERY] if name != EVERY else 0), cap)
                for name in months_charged
                if name != LIFETIME
            ),
            runs=runs,
        )

    def _charged(self) -> Counter[str]:
        charged: Counter[str] = Counter()
        for buckets, amount in self._store.rows("SELECT buckets, charged_nano FROM reserve"):
            for bucket in json.loads(buckets):
                charged[bucket] += amount
            charged[LIFETIME] += amount
        return charged

    def _check(self, scope: str, cap: int, spent: int, asked: int) -> None:
        if spent + asked <= cap:
            return
        names = {LIFETIME: "lifetime cap", "run": "reservation of the run"}
        words = self.account.words
        raise BudgetExceededError(
            f"account {self.account.name!r}: {names.get(scope, f'cap of {scope}')} is {words(cap)}, "
            f"of which {words(spent)} is taken; asked {words(asked)}",
            scope,
            cap,
            spent,
            asked,
        )

    def _bucket(self, name: str, charged: int, cap: int) -> BucketCharge:
        return BucketCharge(name, charged, cap, accounting.epsilon(charged, self.account.delta))

    def _runs(self) -> Iterator[RunCharge]:
        columns = "run, state, buckets, rho_nano, charged_nano, time_ms"
        for run, state, buckets, reserved, charged, joined in self._store.rows(f"SELECT {columns} FROM reserve"):  # noqa: S608  a constant
            run_id = bytes.fromhex(run)
            yield RunCharge(
                run=run_id,
                state=RunState(state),
                buckets=tuple(json.loads(buckets)),
                reserved_nano=reserved,
                spent_nano=self.spent(run_id),
                charged_nano=charged,
                epsilon=accounting.epsilon(charged, self.account.delta),
                joined_ms=joined,
            )
