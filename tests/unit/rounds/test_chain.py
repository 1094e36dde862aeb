"""Chains of a bank's topic: what counts, what is void, and where a RESUME starts again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal_cases import checked
from tacit.rounds.chain import ORIGIN, Link, before, chain, link, resumed
from tacit.rounds.types import Checked, Kind, ResumeBody, RoundError


def line(count: int, start: Link = ORIGIN, kind: Kind = Kind.ACK) -> list[Checked]:
    """Records that follow each other from a place on."""
    records: list[Checked] = []
    place = start
    for _ in range(count):
        records.append(checked(kind, place.seq + 1, place.digest))
        place = link(records[-1])
    return records


def resume(journal: Link, topic: Link, seq: int | None = None) -> Checked:
    """A RESUME at the higher place + 1."""
    body = ResumeBody(journal.seq, journal.digest, topic.seq, topic.digest, rebuilt=False, signature=b"s")
    higher = journal if journal.seq > topic.seq else topic
    return checked(Kind.RESUME, higher.seq + 1 if seq is None else seq, higher.digest, body)


def test_an_empty_topic_has_an_empty_chain() -> None:
    """Nothing is nothing, without a gap."""
    found = chain([])
    assert (found.records, found.off_chain, found.highest, found.gap) == ((), (), 0, False)
    assert found.head == ORIGIN


@given(st.integers(min_value=1, max_value=12))
def test_a_straight_topic_is_its_chain(count: int) -> None:
    """Every record counts, in order."""
    records = line(count)
    found = chain(records)
    assert list(found.records) == records
    assert (found.highest, found.head, found.gap) == (count, link(records[-1]), False)


@given(st.lists(st.integers(min_value=0, max_value=4), max_size=10))
def test_repeats_change_nothing(again: list[int]) -> None:
    """The same records again, anywhere later, are neither on the chain nor off it."""
    records = line(5)
    assert chain([*records, *(records[number] for number in again)]) == chain(records)


@given(st.permutations(range(6)))
def test_order_on_the_topic_does_not_matter_without_forks(order: list[int]) -> None:
    """The chain follows digests, not offsets."""
    records = line(6)
    assert chain([records[number] for number in order]).records == tuple(records)


def test_the_first_at_a_number_wins() -> None:
    """Two records name the same place: the later one is void, and so is what follows it."""
    records = line(3)
    fork = line(2, link(records[1]))
    found = chain([*records, *fork])
    assert found.records == tuple(records)
    assert found.off_chain == tuple(fork)


def test_the_earlier_fork_takes_the_chain_along() -> None:
    """Whoever came first is followed, though the other line is longer."""
    records = line(2)
    first, second = line(1, link(records[1])), line(4, link(records[1]))
    found = chain([*records, *first, *second])
    assert found.records == (*records, *first)
    assert found.off_chain == tuple(second)


def test_a_wrong_previous_digest_is_off_chain() -> None:
    """The right number alone does not count."""
    records = line(2)
    stray = checked(Kind.ACK, 3, bytes(32))
    found = chain([*records, stray])
    assert (found.highest, found.off_chain) == (2, (stray,))


def test_a_hole_ends_the_chain() -> None:
    """What follows a lost record is off the chain."""
    records = line(5)
    found = chain([*records[:2], *records[3:]])
    assert (found.highest, len(found.off_chain)) == (2, 2)


def test_a_trimmed_topic_starts_where_it_starts() -> None:
    """The first kept record says where the chain begins; the front is missing, which is a gap."""
    records = line(6)
    found = chain(records[3:])
    assert found.records == tuple(records[3:])
    assert (found.base, found.gap) == (link(records[2]), True)


def test_a_given_base_is_used() -> None:
    """A bank that knows its own records says where the kept part begins."""
    records = line(6)
    void = checked(Kind.START, 4, bytes(32))
    assert chain([void, *records[4:]]).records == (void,)
    found = chain([void, *records[4:]], base=link(records[3]))
    assert (found.records, found.off_chain) == (tuple(records[4:]), (void,))


def test_an_archive_closes_the_gap() -> None:
    """Exported records before the kept ones make the chain whole."""
    records = line(6)
    assert not chain([*records[:4], *records[3:]]).gap


def test_a_resume_continues_an_intact_topic() -> None:
    """A lost journal: RESUME follows the topic's last record."""
    records = line(3)
    again = resume(ORIGIN, link(records[-1]))
    found = chain([*records, again, *line(1, link(again))])
    assert (found.highest, found.gap) == (5, False)


def test_a_resume_starts_again_after_lost_records() -> None:
    """A truncated topic: RESUME stands beyond what the journal knew, and leaves a gap."""
    records = line(6)
    again = resume(link(records[5]), link(records[3]))
    found = chain([*records[:4], again, *line(2, link(again))])
    assert [record.header.seq for record in found.records] == [1, 2, 3, 4, 7, 8, 9]
    assert found.gap


def test_a_resume_starts_an_emptied_topic() -> None:
    """The topic was moved: its first record is the RESUME."""
    old = line(4)
    again = resume(link(old[-1]), ORIGIN)
    found = chain([again, *line(1, link(again))])
    assert ([record.header.seq for record in found.records], found.gap) == ([5, 6], True)


def test_a_resume_settles_what_was_off_the_chain() -> None:
    """A fork before it is forgiven, one after it is not."""
    records = line(2)
    fork = checked(Kind.ACK, 2, b"x" * 32)
    again = resume(ORIGIN, link(records[-1]))
    late = checked(Kind.ACK, 3, b"y" * 32)
    found = chain([*records, fork, again, late])
    assert (found.settled, found.off_chain) == ((fork,), (late,))


def test_a_resume_from_another_place_is_void() -> None:
    """It names an end of the topic that the chain never had."""
    records = line(3)
    again = resume(Link(9, b"j" * 32), Link(2, b"z" * 32))
    found = chain([*records, again])
    assert (found.highest, found.off_chain) == (3, (again,))


def test_the_earlier_of_resume_and_successor_wins() -> None:
    """A stray record after the RESUME does not undo it; one before it does."""
    records = line(3)
    again = resume(link(records[2]), link(records[1]))
    assert chain([*records[:2], again, records[2]]).highest == 4
    assert chain([*records[:2], records[2], again]).records == (*records, again)
    other = resume(Link(7, b"j" * 32), link(records[1]))
    assert chain([*records, other]).off_chain == (other,)


def test_a_resume_with_a_wrong_number_restarts_nothing() -> None:
    """Its number is the higher one + 1, or it is void."""
    records = line(3)
    again = resume(Link(7, b"j" * 32), link(records[2]), seq=5)
    assert resumed(again) is None
    assert chain([*records, again]).highest == 3


def test_only_a_resume_resumes() -> None:
    """Other kinds name no place on the topic."""
    record = checked(Kind.ACK, 1, b"")
    assert resumed(record) is None
    assert resumed(replace(record, header=replace(record.header, kind=Kind.RESUME))) is None


def test_places_of_a_record() -> None:
    """Where it stands and what it follows."""
    record = checked(Kind.ACK, 4, b"p" * 32)
    assert link(record) == Link(4, record.digest)
    assert before(record) == Link(3, b"p" * 32)


def test_two_senders_are_refused() -> None:
    """A chain is one bank's."""
    one, two = line(2)
    two = replace(two, header=replace(two.header, sender="bank-2"))
    with pytest.raises(RoundError, match="one sender"):
        chain([one, two])


def test_a_record_without_number_is_refused() -> None:
    """Control records have no chain."""
    with pytest.raises(RoundError, match="sequence 0"):
        chain([checked(Kind.ROSTER, 0, b"")])


@given(st.integers(min_value=1, max_value=8), st.data())
def test_every_unrepeated_record_is_somewhere(count: int, data: st.DataObject) -> None:
    """Chain, void and settled records share out the topic, with nothing lost or doubled."""
    records = line(count)
    forks = [checked(Kind.START, data.draw(st.integers(1, count)), b"f" * 32) for _ in range(3)]
    mixed = data.draw(st.permutations([*records, *forks]))
    found = chain(mixed, base=ORIGIN)
    everything = [*found.records, *found.off_chain, *found.settled]
    assert sorted(record.digest for record in everything) == sorted(record.digest for record in mixed)
