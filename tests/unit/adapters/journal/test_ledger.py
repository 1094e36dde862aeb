"""The two caps: every month a run touches pays in full, and the lifetime pays once."""

import datetime as dt
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal_cases import ACCOUNT, RUN, Bank
from tacit.adapters.journal import DONE, BudgetExceededError, JournalError, Reservation, RunState, months
from tacit.privacy import accounting


def run_id(number: int) -> bytes:
    """A run id."""
    return number.to_bytes(32, "big")


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2018-05-31", "2018-05-31", ("2018-05",)),
        ("2018-05-31", "2018-06-01", ("2018-05", "2018-06")),
        ("2017-11-01", "2018-02-28", ("2017-11", "2017-12", "2018-01", "2018-02")),
    ],
)
def test_months_of_a_range(first: str, last: str, expected: tuple[str, ...]) -> None:
    """Both ends count, years turn."""
    assert months(dt.date.fromisoformat(first), dt.date.fromisoformat(last)) == expected


@given(st.dates(dt.date(1990, 1, 1), dt.date(2100, 1, 1)), st.integers(0, 1500))
def test_months_are_those_of_the_days(first: dt.date, length: int) -> None:
    """The same as asking every day for its month."""
    days = [first + dt.timedelta(days=number) for number in range(length + 1)]
    assert months(first, days[-1]) == tuple(dict.fromkeys(day.isoformat()[:7] for day in days))


def test_an_empty_range_has_no_months() -> None:
    """The days are named."""
    with pytest.raises(JournalError, match="2018-05-02 to 2018-05-01"):
        months(dt.date(2018, 5, 2), dt.date(2018, 5, 1))


@pytest.mark.parametrize("buckets", [(), ("2018-05", "2018-05"), ("2018-13",), ("2018-5",), ("*",), ("2018-05-01",)])
def test_a_reservation_names_months(buckets: tuple[str, ...]) -> None:
    """Months as written in the ledger, each once."""
    with pytest.raises(JournalError, match="month"):
        Reservation(RUN, ACCOUNT, buckets, 1)


@pytest.mark.parametrize("amount", [0, -1, 2**53])
def test_a_reservation_costs_something(amount: int) -> None:
    """1 to 2^53 - 1 nano-rho."""
    with pytest.raises(JournalError, match=f"{amount} nano-rho"):
        Reservation(RUN, ACCOUNT, ("2018-05",), amount)


def test_a_reservation_belongs_to_a_run() -> None:
    """The run id is a digest."""
    with pytest.raises(JournalError, match="run id"):
        Reservation(b"run", ACCOUNT, ("2018-05",), 1)


def test_every_month_pays_in_full(bank: Bank) -> None:
    """A run over two months takes its whole cost from both, and once from the lifetime."""
    bank.join(rho_nano=600, buckets=("2018-05", "2018-06"))
    report = bank.journal.ledger()
    assert [(item.name, item.charged_nano) for item in report.buckets] == [("2018-05", 600), ("2018-06", 600)]
    assert report.lifetime.charged_nano == 600


def test_a_cap_may_be_reached_but_not_passed(bank: Bank) -> None:
    """Exactly the cap is allowed; one nano-rho more is not."""
    bank.join(run_id(1), 999, ("2018-05",))
    with pytest.raises(BudgetExceededError):
        bank.join(run_id(2), 2, ("2018-05",))
    assert bank.join(run_id(3), 1, ("2018-05",)).seq == 2
    assert bank.journal.ledger().buckets[0].left_nano == 0


def test_one_full_month_refuses_the_run(bank: Bank) -> None:
    """The error names the month, cap, spent and asked, also as epsilon; nothing is written."""
    bank.join(run_id(1), 700, ("2018-06",))
    with pytest.raises(BudgetExceededError, match=r"cap of 2018-06 is 1000 nano-rho \(epsilon") as caught:
        bank.join(run_id(2), 400, ("2018-05", "2018-06", "2018-07"))
    error = caught.value
    assert (error.scope, error.cap_nano, error.spent_nano, error.asked_nano) == ("2018-06", 1000, 700, 400)
    assert (bank.journal.state(run_id(2)), bank.journal.position().seq) == (RunState.NONE, 2)


def test_the_lifetime_cap_sums_all_runs(bank: Bank) -> None:
    """Runs on other months still count together."""
    for number in range(5):
        bank.join(run_id(number), 500, (f"2018-0{number + 1}",))
    with pytest.raises(BudgetExceededError, match="lifetime cap") as caught:
        bank.join(run_id(9), 1, ("2018-09",))
    assert (caught.value.scope, caught.value.spent_nano) == ("lifetime", 2500)


def test_a_finished_run_gives_back_to_every_month(bank: Bank) -> None:
    """What it did not spend may be reserved again."""
    bank.join(rho_nano=1000)
    bank.spend(0)
    with pytest.raises(BudgetExceededError):
        bank.join(run_id(7), 900)
    bank.journal.finish(RUN, DONE)
    bank.join(run_id(7), 900)
    assert {item.charged_nano for item in bank.journal.ledger().buckets} == {1000}


def test_the_report_puts_rho_into_epsilon(bank: Bank) -> None:
    """By the accountant, at the account's delta, for run, month and lifetime."""
    bank.join(rho_nano=500)
    bank.spend(0)
    report = bank.journal.ledger()
    expected = accounting.epsilon(500, Fraction(1, 10**5))
    assert report.delta == Fraction(1, 10**5)
    assert {report.lifetime.epsilon, report.runs[0].epsilon, report.buckets[0].epsilon} == {expected}
    run = report.runs[0]
    assert (run.run, run.state, run.buckets) == (RUN, RunState.OPEN, ("2018-05", "2018-06"))
    assert (run.reserved_nano, run.spent_nano, run.charged_nano, run.joined_ms) == (500, 100, 500, 1_530_000_000_500)


def test_an_empty_account_reports_nothing_taken(bank: Bank) -> None:
    """Zero, not an error."""
    report = bank.journal.ledger()
    assert (report.lifetime.charged_nano, report.lifetime.epsilon) == (0, 0.0)
    assert (report.buckets, report.runs) == ((), ())


def test_the_views_name_the_formats_columns(bank: Bank) -> None:
    """Whoever reads the file with SQL finds the documented columns."""
    bank.ready()
    bank.spend(0)
    bank.journal.bind(RUN, 0, bytes(32))
    rows = bank.journal._store.rows
    spend = rows("SELECT run, slot, account, buckets, request, rho_nano, rho_alone_nano, payload_digest FROM spend")
    assert spend[0][:4] == (RUN.hex(), 0, ACCOUNT, '["2018-05","2018-06"]')
    assert rows("SELECT seq, kind FROM record") == [(1, "START"), (2, "JOIN"), (3, "RELEASE")]
    assert rows("SELECT run, slot, context FROM bind") == [(RUN.hex(), 0, "00" * 32)]
    assert rows("SELECT run, rho_nano, state FROM reserve") == [(RUN.hex(), 500, "open")]
