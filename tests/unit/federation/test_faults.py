"""What broken rules say: the value, the allowed range, nothing when the rule holds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import canonical
from tacit.federation import ID, ROLES, FederationError
from tacit.federation.faults import listed, outside, refuse, twice, wrong_ids, wrong_labels

INTS = st.integers(-1000, 1000)


def test_nothing_is_refused_without_faults() -> None:
    """An empty list passes."""
    refuse("epoch 1", [])


def test_every_fault_is_in_the_message() -> None:
    """With the subject before them, in their order."""
    with pytest.raises(FederationError) as caught:
        refuse("epoch 7", ["t = 1", "q = 2"])
    assert str(caught.value) == "epoch 7: t = 1; q = 2"


@pytest.mark.parametrize(("values", "expected"), [([], "none"), (["a"], "a"), (["b", "a"], "b, a")])
def test_lists_for_people(values: list[str], expected: str) -> None:
    """An empty list is said, not left blank."""
    assert listed(values) == expected


@given(value=INTS, low=INTS, high=INTS)
def test_both_ends_of_a_range_are_inside(value: int, low: int, high: int) -> None:
    """A fault exactly where the value is below low or above high."""
    found = list(outside("x", value, low, high))
    assert bool(found) is (value < low or value > high)
    assert found in ([], [f"x = {value}: expected {low} to {high}"])


@pytest.mark.parametrize(
    ("value", "text"),
    [(Fraction(-1, 2), "-0.5"), (Fraction(7, 3), "7/3"), (Fraction(-4), "-4"), (Fraction(21, 2), "10.5")],
)
def test_fractions_are_printed_as_documents_write_them(value: Fraction, text: str) -> None:
    """The operator finds the very text in the document."""
    assert list(outside("x", value, 0, 2)) == [f"x = {text}: expected 0 to 2"]


@given(st.lists(st.sampled_from("abcde"), max_size=12))
def test_each_repeated_value_is_named_once(values: list[str]) -> None:
    """With how often it stands."""
    repeated = {value for value in values if values.count(value) > 1}
    assert sorted(twice("id", values)) == sorted(
        f"id {value} stands {values.count(value)} times: expected once" for value in repeated
    )


@given(st.from_regex(ID, fullmatch=True))
def test_every_id_that_is_no_role_passes(value: str) -> None:
    """The pattern is the rule."""
    assert list(wrong_ids("id", [value])) == [] or value in ROLES


@pytest.mark.parametrize(
    "value", ["", "A", "a_b", "-a", "a-", "a.b", "a b", "a" * 41, "a\n", "\u00e4", "aggregator", "registry"]
)
def test_what_is_no_id_is_named(value: str) -> None:
    """Upper case, outer dashes, 41 characters, roles."""
    (message,) = wrong_ids("peers", [value])
    assert message.startswith(f"peers = {value!r}: expected ")
    assert "aggregator, registry" in message


@pytest.mark.parametrize("value", ["a", "0", "a-b", "a" * 40, "aggregator-1"])
def test_ids_at_their_edges(value: str) -> None:
    """One character, forty, a role with something behind it."""
    assert list(wrong_ids("id", [value])) == []


@given(st.binary(min_size=32, max_size=32))
def test_digests_pass(value: bytes) -> None:
    """Any 32 bytes, as `canonical.label` writes them."""
    assert list(wrong_labels("root", [canonical.label(value)])) == []


@pytest.mark.parametrize(
    "value", ["", "sha256:", "sha256:" + "A" * 64, "sha256:" + "0" * 63, "md5:" + "0" * 64, "0" * 64]
)
def test_what_is_no_digest_is_named(value: str) -> None:
    """One message per value, good ones in between left out."""
    good = canonical.label(bytes(32))
    (message,) = wrong_labels("contracts", [good, value, good])
    assert message.startswith("contracts: expected a digest")
    assert repr(value) in message
