"""A journal as the bank's policy says: account, unit, caps and the delta of its reports."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from fake_clock import FakeClock
from tacit.adapters.journal import JournalBusyError, JournalError, open_for
from tacit.federation import Cap, Policy
from tacit.privacy import accounting
from tacit.privacy.types import Mode, Unit

POLICY = Policy(
    bank="ash",
    account="rows",
    unit=Unit.CUSTOMER,
    bucket_cap=Cap(Fraction(2), Fraction(1, 10**5)),
    lifetime_cap=Cap(Fraction(8), Fraction(1, 10**6)),
    root="sha256:" + "0" * 64,
    peers={},
    contracts=(),
    modes=(Mode.LOCAL,),
)


def test_the_policy_says_what_the_account_is(tmp_path: Path) -> None:
    """Nothing of the report is a default: month and lifetime have caps of their own."""
    journal = open_for(tmp_path / "journal.sqlite", POLICY, FakeClock())
    found = journal.ledger()
    assert (found.account, found.unit, found.delta) == ("rows", Unit.CUSTOMER, Fraction(1, 10**6))
    assert found.lifetime.cap_nano == accounting.cap_nano(Fraction(8), Fraction(1, 10**6))
    assert accounting.epsilon(found.lifetime.cap_nano, Fraction(1, 10**6)) <= 8
    assert journal._ledger.account.bucket_cap_nano == accounting.cap_nano(Fraction(2), Fraction(1, 10**5))
    journal.close()


def test_a_held_journal_is_busy(tmp_path: Path) -> None:
    """One process, and one opening, at a time."""
    journal = open_for(tmp_path / "journal.sqlite", POLICY, FakeClock())
    with pytest.raises(JournalBusyError):
        open_for(tmp_path / "journal.sqlite", POLICY, FakeClock())
    journal.close()


@pytest.mark.parametrize("changes", [{"account": "other"}, {"unit": Unit.RECORD}])
def test_another_account_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    """A journal serves one account with one unit, whatever a new policy says."""
    open_for(tmp_path / "journal.sqlite", POLICY, FakeClock()).close()
    with pytest.raises(JournalError):
        open_for(tmp_path / "journal.sqlite", replace(POLICY, **changes), FakeClock())  # type: ignore[arg-type]
