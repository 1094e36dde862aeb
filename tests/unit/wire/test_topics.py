"""Topics as data."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.rounds.types import Kind
from tacit.wire import topics
from tacit.wire.errors import WireError
from tacit.wire.topics import Family

PREFIXES = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,4})?(\.[a-z0-9]{1,8}){0,2}", fullmatch=True)
BANKS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)


def test_names() -> None:
    """Dots only, the version before the bank."""
    assert topics.control().name == "tacit.control.v1"
    assert topics.versions().name == "tacit.versions.v1"
    assert topics.bank("tacit", "ash").name == "tacit.bank.v1.ash"
    assert topics.control("eu.fraud").name == "eu.fraud.control.v1"


def test_each_topic_has_one_writer() -> None:
    """The aggregator, the registry, or the bank itself."""
    found = topics.federation("tacit", ["ash", "birch"])
    assert [topic.writer for topic in found] == ["aggregator", "registry", "ash", "birch"]


def test_kinds_of_each_family() -> None:
    """A question stands on control, an answer on a bank's topic, a model on versions."""
    control, versions, bank = topics.federation("tacit", ["ash"])
    assert {Kind.QUERY, Kind.RESULT, Kind.ORDER} <= control.kinds
    assert {Kind.RELEASE, Kind.MASKED, Kind.ORDER} <= bank.kinds
    assert versions.kinds == {Kind.VERSION, Kind.ARTEFACT, Kind.ALIAS, Kind.CHECKPOINT}
    assert control.kinds & bank.kinds == {Kind.ORDER}


@given(prefix=PREFIXES, bank=BANKS)
def test_topic_is_found_by_its_name(prefix: str, bank: str) -> None:
    """Name and topic tell each other, whatever prefix and bank."""
    for topic in topics.federation(prefix, [bank]):
        assert topics.find(topic.name) == topic
        assert topics.bank_of(topic.name) == (bank if topic.family is Family.BANK else None)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "control.v1",
        ".control.v1",
        "tacit.control.v2",
        "tacit.bank.v1.",
        "tacit.bank.v1.A",
        "tacit.bank.v1.a.b",
        "x",
    ],
)
def test_other_names_are_no_topics(name: str) -> None:
    """A wrong name is refused by `find` and belongs to no bank."""
    with pytest.raises(WireError):
        topics.find(name)
    assert topics.bank_of(name) is None


@pytest.mark.parametrize("prefix", ["", "Tacit", "a_b", "a..b", ".a", "a.", "-a", "a" * 101])
def test_bad_prefix_is_refused(prefix: str) -> None:
    """Underscores collide with dots in metric names; case and length are bounded."""
    for make in (topics.control, topics.versions, lambda text: topics.bank(text, "ash")):
        with pytest.raises(WireError, match="topic prefix"):
            make(prefix)


@pytest.mark.parametrize("bank", ["", "Ash", "a_b", "-a", "a-", "a.b", "a" * 41])
def test_bad_bank_id_is_refused(bank: str) -> None:
    """A bank's id is the one of the manifest."""
    with pytest.raises(WireError, match="bank id"):
        topics.bank("tacit", bank)


@settings(max_examples=30)
@given(PREFIXES, st.sets(BANKS, max_size=5))
def test_topics_of_a_federation_are_apart(prefix: str, banks: set[str]) -> None:
    """One name each, whatever the ids; each is found again with its writer, and only banks' own name a bank."""
    found = topics.federation(prefix, sorted(banks))
    assert len({topic.name for topic in found}) == len(found) == len(banks) + 2
    assert [topics.find(topic.name) for topic in found] == list(found)
    assert [topics.bank_of(topic.name) for topic in found] == [None, None, *sorted(banks)]


@given(st.text(max_size=40) | st.text("ab.-v1", max_size=12).map("{}.control.v1".format))
def test_any_name_has_one_reading_or_none(name: str) -> None:
    """What is found has exactly the name that was asked for; what is not found is no bank's."""
    found = None
    with contextlib.suppress(WireError):
        found = topics.find(name)
    assert found is None or found.name == name
    assert found is not None or topics.bank_of(name) is None


@pytest.mark.parametrize("length", [100, 101])
def test_prefixes_have_a_longest(length: int) -> None:
    """So that no bank's topic is longer than Kafka's 249 characters."""
    if length == 100:
        assert len(topics.bank("a" * length, "b" * 40).name) <= 249
        return
    with pytest.raises(WireError, match="at most 100 characters"):
        topics.control("a" * length)
