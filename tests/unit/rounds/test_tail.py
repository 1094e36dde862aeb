"""The growing end of a chain: equal to the chain of the whole topic, whatever the order, and bounded in memory."""

from hypothesis import given
from hypothesis import strategies as st

from journal_cases import checked
from tacit.rounds.chain import ORIGIN, Link, chain, link
from tacit.rounds.tail import Tail
from tacit.rounds.types import Checked, Kind, ResumeBody


def line(count: int, start: Link = ORIGIN) -> list[Checked]:
    """Records that follow each other from a place on."""
    records: list[Checked] = []
    place = start
    for _ in range(count):
        records.append(checked(Kind.ACK, place.seq + 1, place.digest))
        place = link(records[-1])
    return records


def resume(journal: Link, topic: Link) -> Checked:
    """A RESUME at the higher place + 1."""
    body = ResumeBody(journal.seq, journal.digest, topic.seq, topic.digest, rebuilt=False, signature=b"s")
    higher = max(journal, topic, key=lambda place: place.seq)
    return checked(Kind.RESUME, higher.seq + 1, higher.digest, body)


def grown(records: list[Checked]) -> tuple[list[Checked], Link]:
    """What a tail says of a topic: every record that joined, in order, and the head."""
    tail = Tail()
    joined = [record for item in records for record in tail.extend(item)]
    return joined, tail.head


def test_nothing_yet() -> None:
    """A tail begins at the origin."""
    assert Tail().head == ORIGIN


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=6))
def test_any_order_with_the_first_in_front_gives_the_chain(order: list[int], again: list[int]) -> None:
    """Records that wait for an earlier one join as soon as it is there; repeats change nothing."""
    records = line(7)
    topic = [records[0], *(records[1 + number] for number in order), *(records[number] for number in again)]
    joined, head = grown(topic)
    assert joined == records == list(chain(topic).records)
    assert head == link(records[-1])


def test_the_first_of_two_at_one_place_wins() -> None:
    """A fork: the record that came first is on the chain, the other never."""
    trunk = line(2)
    first, second = (checked(Kind.START, 3, trunk[-1].digest) for _ in range(2))
    joined, head = grown([*trunk, first, second])
    assert joined == [*trunk, first]
    assert head == link(first)


def test_a_late_fork_does_not_join() -> None:
    """A second record for a place that the chain has passed is void for ever."""
    trunk = line(4)
    late = checked(Kind.START, 2, trunk[0].digest)
    tail = Tail()
    for record in trunk:
        tail.extend(record)
    assert tail.extend(late) == []
    assert tail.head == link(trunk[-1])


def test_a_trimmed_topic_begins_where_it_begins() -> None:
    """The first record kept names the base."""
    records = line(6)[3:]
    assert grown(records) == (records, link(records[-1]))


def test_a_resume_goes_on_from_the_place_on_the_topic() -> None:
    """After records were lost the chain goes on with the RESUME, at its higher number."""
    trunk = line(3)
    again = resume(Link(7, b"j" * 32), link(trunk[-1]))
    after = checked(Kind.START, 9, again.digest)
    joined, head = grown([*trunk, again, after])
    assert [record.header.seq for record in joined] == [1, 2, 3, 8, 9]
    assert head == link(after)


def test_a_resume_of_another_place_waits() -> None:
    """A RESUME that names a place the chain never had is not on it."""
    trunk = line(3)
    assert grown([*trunk, resume(Link(9, b"j" * 32), Link(5, b"t" * 32))])[0] == trunk


def test_what_was_read_is_known() -> None:
    """Every record is known by digest once it was taken in, on the chain or not."""
    trunk = line(2)
    tail = Tail()
    tail.extend(trunk[0])
    assert tail.read(trunk[0].digest)
    assert not tail.read(trunk[1].digest)


def test_joined_records_are_not_kept() -> None:
    """Only what may still join stays in memory: a long topic does not grow the tail by its records."""
    tail = Tail()
    for record in line(50):
        tail.extend(record)
    assert len(tail._next) == 0
    tail.extend(checked(Kind.START, 3, b"x" * 32))
    assert len(tail._next) == 0


@given(st.lists(st.integers(0, 9), min_size=1, max_size=25))
def test_a_tail_is_the_chain_of_what_was_read(picks: list[int]) -> None:
    """Forks, repeats and gaps in any order: the same records as judged over the whole topic."""
    trunk = line(5)
    forks = [checked(Kind.START, record.header.seq + 1, record.digest) for record in trunk]
    pool = [*trunk, *forks]
    topic = [trunk[0], *(pool[pick] for pick in picks)]
    assert tuple(grown(topic)[0]) == chain(topic).records
