"""Canonical JSON, numbers and digest labels."""

import datetime as dt
import enum
import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import canonical

fractions = st.fractions(min_value=-(10**12), max_value=10**12, max_denominator=10**12)


class Colour(enum.StrEnum):
    """An enum of text."""

    RED = "red"


@dataclass(frozen=True)
class Leaf:
    """A document with an optional field."""

    number: Fraction
    note: str | None = None


@dataclass(frozen=True)
class Tree:
    """A document of documents."""

    leaves: tuple[Leaf, ...]
    colour: Colour
    day: dt.date
    table: dict[str, Fraction]


TREE = Tree(
    (Leaf(Fraction(1, 2)), Leaf(Fraction(3), "x")),
    Colour.RED,
    dt.date(2018, 8, 1),
    {"b": Fraction(1), "a": Fraction(0)},
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Fraction(0), 0),
        (Fraction(-7), -7),
        (Fraction(1, 2), "0.5"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(1, 10**5), "0.00001"),
        (Fraction(12345, 100), "123.45"),
        (Fraction(1, 3), "1/3"),
        (Fraction(-22, 7), "-22/7"),
        (Fraction(1, 6), "1/6"),
        (Fraction(1, 1024), "0.0009765625"),
        (Fraction(10**30, 1), 10**30),
    ],
)
def test_number(value: Fraction, expected: int | str) -> None:
    """Whole, decimal where exact, else a/b."""
    assert canonical.number(value) == expected


@given(value=fractions)
def test_number_is_exact(value: Fraction) -> None:
    """The text reads back to the same rational."""
    assert Fraction(canonical.number(value)) == value


@given(value=fractions)
def test_number_is_shortest(value: Fraction) -> None:
    """A decimal has no trailing zero and a digit before the point."""
    text = str(canonical.number(value))
    if "." in text:
        assert not text.endswith("0")
        assert text.lstrip("-").split(".")[0].isdigit()


def test_document_is_sorted_and_tight() -> None:
    """RFC 8785: keys sorted, no spaces, no absent fields."""
    assert canonical.encode(TREE) == (
        b'{"colour":"red","day":"2018-08-01","leaves":[{"number":"0.5"},{"note":"x","number":3}],"table":{"a":0,"b":1}}'
    )


def test_absent_field_leaves_no_trace() -> None:
    """A later optional field does not change old digests; None inside a mapping stays."""
    assert canonical.plain(Leaf(Fraction(1))) == {"number": 1}
    assert canonical.plain({"a": None}) == {"a": None}


def test_digest_is_sha256_of_the_bytes() -> None:
    """Nothing else goes in."""
    assert canonical.digest(TREE) == hashlib.sha256(canonical.encode(TREE)).digest()


@given(table=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), st.integers(-(2**53) + 1, 2**53 - 1)))
def test_order_of_a_mapping_does_not_matter(table: dict[str, int]) -> None:
    """Two mappings that are equal have one digest, and the bytes are JSON."""
    turned = dict(reversed(table.items()))
    assert canonical.encode(table) == canonical.encode(turned)
    assert json.loads(canonical.encode(table)) == table


@pytest.mark.parametrize("value", [0.5, b"bytes", {1, 2}, object(), complex(1), Leaf])
def test_value_without_canonical_form_is_refused(value: object) -> None:
    """Floats above all: they would travel rounded."""
    with pytest.raises(TypeError, match="no canonical form"):
        canonical.encode({"a": [value]})


@pytest.mark.parametrize("value", [True, None, "text", 5, [1, (2, 3)]])
def test_plain_values_stay(value: object) -> None:
    """JSON's own types pass."""
    assert json.loads(canonical.encode({"a": value}))["a"] == json.loads(json.dumps(value))


@given(value=st.binary(min_size=32, max_size=32))
def test_label_reads_back(value: bytes) -> None:
    """A digest's text form and back."""
    assert canonical.parse_label(canonical.label(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "sha256:", "sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha256:" + "G" * 64, "0" * 64, "SHA256:" + "0" * 64],
)
def test_malformed_label_is_refused(text: str) -> None:
    """The text as it was given stands in the error."""
    with pytest.raises(ValueError, match="expected a digest"):
        canonical.parse_label(text)


def test_upper_case_digits_are_refused() -> None:
    """One digest has one spelling."""
    with pytest.raises(ValueError, match="expected a digest"):
        canonical.parse_label("sha256:" + "A" * 64)
