"""The two exits of protocol 5 at their edges: places in the chain, what is never sent again, what is charged."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from journal_cases import BUCKET_CAP, LIFETIME_CAP, OTHER_RUN, RUN, Bank, open_journal, reservation
from tacit.adapters.journal import EVERY, JournalError, Reservation, RunState, Stored
from tacit.rounds.types import Checked, Kind, ResumeBody

MONTHS = ("2018-05", "2018-06")


@pytest.fixture
def rebuilt(bank: Bank, tmp_path: Path) -> Iterator[Callable[..., Bank]]:
    """Loses the bank's disk and fills a new journal from its topic."""
    made: list[Bank] = []

    def rebuild(*reservations: Reservation, **changes: object) -> Bank:
        bank.journal.close()
        path = tmp_path / f"new-{len(made)}.sqlite"
        fresh = Bank(open_journal(path), bank.topic, bank.composed)
        made.append(fresh)
        fresh.journal.rebuild(bank.topic, list(reservations), fresh.compose_resume, **changes)  # type: ignore[arg-type]
        return fresh

    yield rebuild
    for fresh in made:
        fresh.journal.close()


def resumed(bank: Bank) -> Stored:
    """Starts the chain again."""
    return bank.journal.resume(bank.topic, bank.compose_resume)


def said(bank: Bank, stored: Stored) -> ResumeBody:
    """What a RESUME says."""
    body = bank.composed[stored.digest].body
    assert isinstance(body, ResumeBody)
    return body


def header_of(bank: Bank, stored: Stored) -> Checked:
    """The record that was composed."""
    return bank.composed[stored.digest]


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_resume_goes_beyond_both_ends(bank: Bank, kept: int) -> None:
    """Of a topic that lost its end: the next number after the journal's, after its newest record."""
    bank.ready()
    bank.spend(0)
    bank.send()
    newest = bank.topic[-1]
    del bank.topic[kept:]
    stored = resumed(bank)
    assert stored.seq == newest.header.seq + 1 == 4
    assert header_of(bank, stored).header.previous == newest.digest
    body = said(bank, stored)
    assert (body.journal_seq, body.topic_seq, body.rebuilt) == (3, kept, False)


def test_what_was_unsent_is_never_sent_after_a_resume(bank: Bank) -> None:
    """Only the RESUME is, so that no record stands twice at one number."""
    bank.ready()
    bank.spend(0)
    assert len(bank.journal.unsent()) == 1
    stored = resumed(bank)
    assert bank.journal.unsent() == [stored]
    assert stored.kind is Kind.RESUME


def test_a_second_resume_follows_the_first(bank: Bank) -> None:
    """An operator who runs the command twice harms nothing."""
    bank.ready()
    first, second = resumed(bank), resumed(bank)
    assert second.seq == first.seq + 1
    assert header_of(bank, second).header.previous == first.digest
    assert bank.journal.unsent() == [second]


def test_a_resume_keeps_the_open_run_and_its_money(bank: Bank) -> None:
    """A complete journal knows what was spent, so nothing is charged beyond it."""
    bank.ready()
    bank.spend(0)
    before = bank.journal.ledger()
    resumed(bank)
    assert bank.journal.ledger() == before
    assert bank.journal.state(RUN) is RunState.OPEN
    assert bank.journal.verify() == []


def test_a_failed_resume_leaves_everything_unsent(bank: Bank) -> None:
    """A signature that is not had changes nothing."""
    bank.ready()
    stored = bank.spend(0)
    before = bank.journal.position()

    def refused(*_: object) -> None:
        raise PermissionError("no governance key")

    with pytest.raises(PermissionError):
        bank.journal.resume(bank.topic, refused)  # type: ignore[arg-type]
    assert bank.journal.unsent() == [stored]
    assert bank.journal.position() == before


def test_a_rebuild_takes_over_every_record(bank: Bank, rebuilt: Callable[..., Bank]) -> None:
    """With number and digest, as seen; the bytes stay on the topic. Then comes its RESUME."""
    bank.ready()
    bank.spend(0)
    bank.send()
    records = list(bank.topic)
    fresh = rebuilt(reservation())
    (resume,) = fresh.journal.unsent()
    assert (resume.kind, resume.seq) == (Kind.RESUME, 4)
    body = said(fresh, resume)
    assert (body.journal_seq, body.journal_digest, body.topic_seq, body.rebuilt) == (0, b"", 3, True)
    assert body.topic_digest == records[-1].digest == header_of(fresh, resume).header.previous
    assert fresh.journal.verify() == []


def test_an_empty_topic_is_rebuilt_too(bank: Bank, rebuilt: Callable[..., Bank]) -> None:
    """A bank that lost its disk before its first record: nothing is charged."""
    assert bank.topic == []
    fresh = rebuilt()
    (resume,) = fresh.journal.unsent()
    assert resume.seq == 1
    assert fresh.journal.ledger().lifetime.charged_nano == 0


@pytest.mark.parametrize("spent", [0, 1, 2])
def test_a_rebuilt_run_is_charged_what_it_reserved(bank: Bank, rebuilt: Callable[..., Bank], spent: int) -> None:
    """Whatever was spent of it: vectors may have been drawn that nobody saw; and it is left for ever."""
    bank.ready()
    for slot in range(spent):
        bank.spend(slot)
    bank.send()
    fresh = rebuilt(reservation(rho_nano=500))
    assert fresh.journal.ledger().lifetime.charged_nano == 500
    assert {bucket.name: bucket.charged_nano for bucket in fresh.journal.ledger().buckets} == dict.fromkeys(MONTHS, 500)
    assert fresh.journal.state(RUN) is RunState.LEFT
    with pytest.raises(JournalError):
        fresh.join()


def test_a_reservation_named_twice_is_charged_once(bank: Bank, rebuilt: Callable[..., Bank]) -> None:
    """Archives may overlap."""
    bank.ready()
    fresh = rebuilt(reservation(), reservation())
    assert fresh.journal.ledger().lifetime.charged_nano == 500


def test_a_run_whose_plan_is_lost_takes_all(bank: Bank, rebuilt: Callable[..., Bank]) -> None:
    """A JOIN without its reservation may have cost anything: every month is charged to the larger cap."""
    bank.ready()
    ledger = rebuilt().journal.ledger()
    assert ledger.lifetime.charged_nano == max(BUCKET_CAP, LIFETIME_CAP)
    assert EVERY in {bucket.name for bucket in ledger.buckets}
    assert all(bucket.left_nano <= 0 for bucket in ledger.buckets)


def test_the_operator_may_charge_all_of_it(bank: Bank, rebuilt: Callable[..., Bank]) -> None:
    """On top of what the known runs reserved; nothing can be joined afterwards."""
    bank.ready()
    fresh = rebuilt(reservation(), to_cap=True)
    assert fresh.journal.ledger().lifetime.charged_nano == 500 + LIFETIME_CAP
    for run, months in ((OTHER_RUN, MONTHS), (bytes(32), ("2030-01",))):
        with pytest.raises(JournalError, match="cap"):
            fresh.join(run, 1, months)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(amounts=st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_a_rebuild_charges_the_sum_of_its_reservations(
    tmp_path_factory: pytest.TempPathFactory, amounts: list[int]
) -> None:
    """Run by run and month by month."""
    folder = tmp_path_factory.mktemp("sums")
    bank = Bank(open_journal(folder / "old.sqlite", bucket_cap_nano=5_000))
    runs = [bytes([number + 1]) * 32 for number in range(len(amounts))]
    bank.start()
    for run, amount in zip(runs, amounts, strict=True):
        bank.join(run, amount)
        bank.journal.finish(run, RunState.DONE)
    bank.send()
    bank.journal.close()
    fresh = Bank(open_journal(folder / "new.sqlite", bucket_cap_nano=5_000), bank.topic, bank.composed)
    known = [reservation(run, amount) for run, amount in zip(runs, amounts, strict=True)]
    fresh.journal.rebuild(bank.topic, known, fresh.compose_resume)
    ledger = fresh.journal.ledger()
    fresh.journal.close()
    assert ledger.lifetime.charged_nano == sum(amounts)
    assert [bucket.charged_nano for bucket in ledger.buckets] == [sum(amounts)] * 2
    assert {run.run: run.charged_nano for run in ledger.runs} == dict(zip(runs, amounts, strict=True))
