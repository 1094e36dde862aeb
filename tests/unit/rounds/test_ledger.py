"""The ledger's values: what is refused, at every edge, before anything is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.rounds.ledger import (
    MAX_NANO,
    MAX_SLOT,
    RUN_SLOT,
    BucketCharge,
    BudgetExceededError,
    JournalBusyError,
    JournalCorruptError,
    JournalError,
    JournalFullError,
    RequestConflictError,
    Reservation,
    RunClosedError,
    RunState,
    Secret,
    Verdict,
    check_digest,
    check_nano,
    check_run,
    check_slot,
)

RUN = bytes(32)
MONTHS = st.builds(lambda year, month: f"{year:04d}-{month:02d}", st.integers(0, 9999), st.integers(1, 12))


def reservation(run: bytes = RUN, buckets: tuple[str, ...] = ("2018-05",), rho_nano: int = 1) -> Reservation:
    """A reservation with some changes."""
    return Reservation(run, "cards", buckets, rho_nano)


@given(slot=st.integers(-(2**40), 2**40))
def test_slots_are_31_bits(slot: int) -> None:
    """Refused exactly outside 0 to 2^31 - 1, with the value."""
    if 0 <= slot <= MAX_SLOT:
        check_slot(slot)
        return
    with pytest.raises(JournalError, match=f"slot {slot}: expected 0 to 2147483647"):
        check_slot(slot)


@pytest.mark.parametrize("slot", [RUN_SLOT, 0, MAX_SLOT])
def test_secrets_lie_under_slots_and_the_run(slot: int) -> None:
    """The run's own secrets have a number of their own."""
    assert Secret(slot, b"k").slot == slot


@pytest.mark.parametrize("slot", [RUN_SLOT - 1, MAX_SLOT + 1])
def test_secrets_lie_nowhere_else(slot: int) -> None:
    """Neither below the run's number nor above the last slot."""
    with pytest.raises(JournalError, match=f"slot {slot}: expected -1 to 2147483647"):
        Secret(slot)


def test_the_runs_number_is_no_slot() -> None:
    """No release can be booked under it."""
    with pytest.raises(JournalError, match="slot -1"):
        check_slot(RUN_SLOT)


@given(amount=st.integers(-5, 5) | st.integers(MAX_NANO - 5, MAX_NANO + 5))
def test_amounts_are_positive_and_fit_canonical_json(amount: int) -> None:
    """Nothing is free, and 2^53 would be rounded by a JSON reader."""
    if 1 <= amount <= MAX_NANO:
        check_nano("spend", amount)
        return
    with pytest.raises(JournalError, match=f"spend: {amount} nano-rho, expected 1 to 9007199254740991"):
        check_nano("spend", amount)


@given(value=st.binary(max_size=70))
def test_digests_are_32_bytes(value: bytes) -> None:
    """The error names what it is and how long it was; a run id is a digest."""
    if len(value) == 32:
        check_digest("request", value)
        check_run(value)
        return
    with pytest.raises(JournalError, match=f"request: expected 32 bytes, got {len(value)}"):
        check_digest("request", value)
    with pytest.raises(JournalError, match=f"run id: expected 32 bytes, got {len(value)}"):
        check_run(value)


@given(buckets=st.lists(MONTHS, min_size=1, max_size=20, unique=True), rho=st.integers(1, MAX_NANO))
def test_months_are_reserved_as_given(buckets: list[str], rho: int) -> None:
    """In their order."""
    made = reservation(buckets=tuple(buckets), rho_nano=rho)
    assert (made.buckets, made.rho_nano) == (tuple(buckets), rho)


@pytest.mark.parametrize(
    "bucket",
    ["", "2018", "2018-00", "2018-13", "2018-5", "18-05", "2018-05-01", "2018/05", "2018-05\n", " 2018-05", "2018-1x"],
)
def test_what_is_no_month_is_refused(bucket: str) -> None:
    """Also as the second of two: a charge to no month would be counted nowhere."""
    for buckets in ((bucket,), ("2018-05", bucket)):
        with pytest.raises(JournalError, match="expected a month such as '2018-05'"):
            reservation(buckets=buckets)


@pytest.mark.parametrize("buckets", [(), ("2018-05", "2018-05"), ("2018-05", "2018-06", "2018-05")])
def test_each_month_is_charged_once(buckets: tuple[str, ...]) -> None:
    """No month, or one twice, is a mistake of the caller."""
    with pytest.raises(JournalError, match="at least one month, each once"):
        reservation(buckets=buckets)


@pytest.mark.parametrize("rho", [0, -1, MAX_NANO + 1])
def test_a_reservation_costs_something(rho: int) -> None:
    """A run that reserves nothing could spend nothing."""
    with pytest.raises(JournalError, match=f"reservation: {rho} nano-rho"):
        reservation(rho_nano=rho)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_reservation_names_its_run(length: int) -> None:
    """By a whole id."""
    with pytest.raises(JournalError, match=f"run id: expected 32 bytes, got {length}"):
        reservation(run=bytes(length))


@given(charged=st.integers(0, MAX_NANO), cap=st.integers(0, MAX_NANO))
def test_what_is_left_may_be_below_zero(charged: int, cap: int) -> None:
    """A rebuild may charge more than the cap, and that is not hidden."""
    left = BucketCharge("lifetime", charged, cap, 1.0).left_nano
    assert left + charged == cap
    assert (left < 0) is (charged > cap)


@pytest.mark.parametrize(
    "kind",
    [
        JournalBusyError,
        JournalCorruptError,
        JournalFullError,
        RequestConflictError,
        RunClosedError,
        BudgetExceededError,
    ],
)
def test_every_error_of_the_journal_is_one(kind: type[JournalError]) -> None:
    """One handler is enough for a caller that stops on all of them; no kind hides another."""
    others = {JournalBusyError, JournalCorruptError, JournalFullError, RequestConflictError, RunClosedError}
    assert issubclass(kind, JournalError)
    assert not any(issubclass(kind, other) for other in others - {kind})


def test_an_exceeded_budget_says_which_and_by_how_much() -> None:
    """As numbers for the ledger page, as words for people."""
    error = BudgetExceededError("2018-05 is spent", "2018-05", 1000, 900, 101)
    assert str(error) == "2018-05 is spent"
    assert (error.scope, error.cap_nano, error.spent_nano, error.asked_nano) == ("2018-05", 1000, 900, 101)


def test_states_and_verdicts_are_written_as_words() -> None:
    """They stand in the journal and in documents, so a rename would break files."""
    assert [*RunState] == ["none", "open", "done", "left"]
    assert [*Verdict] == ["ok", "behind", "truncated", "cloned"]
