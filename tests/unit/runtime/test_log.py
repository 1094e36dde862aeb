"""The checks that every adapter of the log shares."""

import pytest

from tacit.runtime.log import MAX_VALUE_BYTES, Entry, RecordTooLargeError, check_append, check_read, check_topic


@pytest.mark.parametrize("topic", ["a", "tacit.bank.v1.bank-a", "A_0", "...", "a" * 249])
def test_takes_kafka_names(topic: str) -> None:
    """Whatever Kafka takes as a topic's name passes."""
    check_topic(topic)


@pytest.mark.parametrize("topic", ["", ".", "..", "a b", "a\n", "a/b", "a" * 250, "ä"])
def test_refuses_other_names(topic: str) -> None:
    """The message shows the name."""
    with pytest.raises(ValueError, match="is not 1 to 249 characters") as raised:
        check_topic(topic)
    assert repr(topic) in str(raised.value)


def test_value_may_be_as_long_as_the_limit() -> None:
    """The limit itself passes, one byte more does not, and the message names both lengths."""
    check_append("a", bytes(MAX_VALUE_BYTES))
    with pytest.raises(RecordTooLargeError, match=f"{MAX_VALUE_BYTES + 1} bytes .* at most {MAX_VALUE_BYTES}"):
        check_append("a", bytes(MAX_VALUE_BYTES + 1))


def test_limit_is_960_kib() -> None:
    """The protocol names the number."""
    assert MAX_VALUE_BYTES == 983_040


@pytest.mark.parametrize(
    ("positions", "limit", "timeout", "named"),
    [
        ({"a": -1}, 1, 0.0, "offset -1"),
        ({"a": 0}, 0, 0.0, "limit 0"),
        ({"a": 0}, 1, -0.5, "timeout -0.5"),
        ({"a": 0}, 1, float("inf"), "timeout inf"),
        ({"a": 0}, 1, float("nan"), "timeout nan"),
        ({"a": 0, "": 0}, 1, 0.0, "topic ''"),
    ],
)
def test_refuses_bad_reads(positions: dict[str, int], limit: int, timeout: float, named: str) -> None:
    """Each bad argument is named with its value."""
    with pytest.raises(ValueError, match=named):
        check_read(positions, limit, timeout)


def test_takes_good_reads() -> None:
    """No topic, no waiting and one entry are all fine."""
    check_read({}, 1, 0.0)
    check_read({"a": 0, "b": 10**12}, 10_000, 3600.0)


def test_entries_compare_by_content() -> None:
    """Two entries with the same content are equal, whatever log they came from."""
    assert Entry("a", 1, b"k", b"v") == Entry("a", 1, b"k", b"v", ())
    assert Entry("a", 1, b"k", b"v") != Entry("a", 2, b"k", b"v")
