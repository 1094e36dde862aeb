"""Rows of callers: every column named, finite numbers or null, and errors that name the field."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer_cases import CONTRACT, NAMES, ROW
from tacit.scorer.rows import LARGEST, MAX_FAULTS, RowError, RowReader

READER = RowReader(CONTRACT)


def body_of(**changes: object) -> bytes:
    """A sound row with changes."""
    return json.dumps({**ROW, **changes}).encode()


def faults_of(body: bytes) -> dict[str, str]:
    """The faults of a body that is refused."""
    with pytest.raises(RowError) as caught:
        READER.read(body)
    return dict(caught.value.faults)


def test_values_come_in_contract_order() -> None:
    """The order of the body does not matter; null is NaN; whole numbers are numbers."""
    first, second, third = READER.read(b'{"visits": null, "mean_amount": 3, "amount": -1.5}')
    assert (first, second) == (-1.5, 3.0)
    assert math.isnan(third)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("NaN", "finite"),
        ("Infinity", "finite"),
        ("-Infinity", "finite"),
        ("1e999", "finite"),
        ("3.5e38", "from"),
        ("-3.5e38", "from"),
        ('"12"', "number"),
        ("true", "number"),
        ("[1]", "number"),
        ("{}", "number"),
    ],
)
def test_a_bad_value_is_named(text: str, word: str) -> None:
    """The column and what is allowed are told, for every kind of bad value."""
    body = body_of().replace(b'"amount": 2.5', f'"amount": {text}'.encode())
    faults = faults_of(body)
    assert set(faults) == {"amount"}
    assert word in faults["amount"]


def test_a_missing_column_is_named() -> None:
    """Left out is not null: each absent column is told."""
    faults = faults_of(b'{"amount": 1}')
    assert set(faults) == {"mean_amount", "visits"}
    assert all("missing" in fault for fault in faults.values())


def test_an_unknown_column_is_named() -> None:
    """A renamed feature is an error, not a score on defaults."""
    assert faults_of(body_of(amuont=1)) == {"amuont": "not a column of the contract"}


def test_a_strange_name_does_not_travel_back() -> None:
    """What a caller sends is not repeated unless it looks like a column."""
    (place,) = faults_of(body_of(**{"<script>": 1}))
    assert "script" not in place


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"null", b'"x"', b"{", b"\xff\xfe", b"[" * 9999, b'{"a":1}{', b"9" * 9999, b"\x00"]
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """Anything but one JSON object is refused as a whole, deep nesting and long numbers included."""
    faults = faults_of(body)
    assert "body" in faults or set(faults) >= {"amount"}


def test_faults_are_limited() -> None:
    """A body of thousands of unknown names gives a short answer."""
    assert len(faults_of(body_of(**{f"x{number}": 1 for number in range(4000)}))) <= MAX_FAULTS


@given(st.binary(max_size=200))
def test_no_bytes_crash(data: bytes) -> None:
    """Any bytes are a row or a `RowError`."""
    try:
        told = len(READER.read(data)) == len(NAMES)
    except RowError as error:
        told = bool(error.faults)
    assert told


@given(st.lists(st.none() | st.floats(-LARGEST, LARGEST), min_size=3, max_size=3))
def test_every_float32_is_read_exactly(values: list[float | None]) -> None:
    """Whatever JSON can say within float32's range is read to the last bit."""
    row = READER.read(json.dumps(dict(zip(NAMES, values, strict=True))).encode())
    assert [None if math.isnan(value) else value for value in row] == values


def test_the_schema_says_the_same() -> None:
    """Every column is required, may be null, has float32's bounds, and nothing else may stand beside."""
    schema = READER.json_schema()
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    assert set(schema["required"]) == set(schema["properties"]) == set(NAMES)
    number, nothing = schema["properties"]["amount"]["anyOf"]
    assert number == {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
    assert nothing == {"type": "null"}
