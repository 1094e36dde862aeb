"""Strict documents: what reads back, what is refused, and how the refusal reads."""

import datetime as dt
import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wire_cases as cases
from tacit import canonical
from tacit.federation import Cap, FederationError, Manifest, Policy
from tacit.privacy.types import Mode, Unit
from tacit.rounds.plan import Plan, PlanError
from tacit.wire import documents
from tacit.wire.documents import DocumentError, parse, parse_canonical

fractions = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**9)
MOMENTA = st.fractions(0, Fraction(99, 100))
dates = st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))


class Colour(enum.StrEnum):
    """An enum of text."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Leaf:
    """The inner class."""

    number: Fraction
    name: str = "leaf"


@dataclass(frozen=True)
class Tree:
    """A class with every kind of field that documents use."""

    count: int
    day: dt.date
    leaves: tuple[Leaf, ...]
    pair: tuple[str, Fraction]
    table: Mapping[str, Fraction]
    colour: Colour = Colour.RED
    best: Leaf | None = None
    flag: bool = False


TREE = Tree(3, dt.date(2018, 8, 1), (Leaf(Fraction(1, 3)),), ("a", Fraction(1, 2)), {"x": Fraction(7)})
leaves = st.builds(Leaf, fractions, st.text(st.characters(codec="utf-8"), max_size=5))
tables = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), fractions, max_size=3)
trees = st.builds(
    Tree,
    st.integers(-(2**53) + 1, 2**53 - 1),
    dates,
    st.lists(leaves, max_size=3).map(tuple),
    st.tuples(st.text(st.characters(codec="utf-8"), max_size=5), fractions),
    tables,
    st.sampled_from(Colour),
    st.none() | leaves,
    st.booleans(),
)


def changed(**changes: object) -> bytes:
    """The tree's JSON with some keys changed."""
    return json.dumps(canonical.plain(TREE) | changes).encode()


def refusal(data: bytes | Mapping[str, Any], cls: type = Tree) -> str:
    """The message of a refusal."""
    with pytest.raises(DocumentError) as caught:
        parse(cls, data)
    return str(caught.value)


@given(tree=trees)
def test_canonical_form_reads_back(tree: Tree) -> None:
    """Every document equals what its canonical bytes give, in both strictnesses."""
    assert parse(Tree, canonical.encode(tree)) == tree
    assert parse_canonical(Tree, canonical.encode(tree)) == tree


@given(tree=trees)
def test_plain_data_reads_back(tree: Tree) -> None:
    """A YAML reader's data gives the same document as JSON."""
    assert parse(Tree, canonical.plain(tree)) == tree


@given(
    rounds=st.integers(1, 256), momentum=st.fractions(0, Fraction(99, 100)), epsilon=st.fractions(Fraction(1, 9), 64)
)
def test_plan_reads_back(rounds: int, momentum: Fraction, epsilon: Fraction) -> None:
    """Plans survive, thirds and all."""
    learner = replace(cases.PLAN.learner, rounds=rounds, momentum=momentum, average=1)
    plan = replace(cases.PLAN, learner=learner, epsilon=epsilon)
    assert parse(Plan, canonical.encode(plan)) == plan


def test_manifest_and_policy_read_back() -> None:
    """Signatures, statuses and pins survive; the digest is the same."""
    found = parse(Manifest, canonical.encode(cases.MANIFEST))
    assert found == cases.MANIFEST
    assert found.digest == cases.MANIFEST.digest
    cap = Cap(Fraction(2), Fraction(1, 10**5))
    label = canonical.label(bytes(32))
    policy = Policy("ash", "cards", Unit.CUSTOMER, cap, cap, label, {"birch": label}, (label,), (Mode.LOCAL,))
    assert parse(Policy, canonical.encode(policy)) == policy


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", Fraction(1)),
        ('"0.5"', Fraction(1, 2)),
        ('"1/3"', Fraction(1, 3)),
        ('"-2"', Fraction(-2)),
        ("-3", Fraction(-3)),
    ],
)
def test_spellings_of_a_number(text: str, value: Fraction) -> None:
    """Whole numbers, decimal strings and a/b."""
    assert parse(Leaf, b'{"number":%s}' % text.encode()).number == value


@pytest.mark.parametrize(
    "text",
    [
        *("0.5", "1e3", "NaN", "Infinity", "-Infinity", "true", "null", "[]", "{}", "9" * 5000),
        *('"1e3"', '"1e999999999"', '"1/0"', '""', '" 1"', '"1_0"', '"+1"', '".5"', '"1."'),
        *(f'"{"9" * 41}"', f'"0.{"9" * 41}"'),
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    """Floats, exponents, signs, spaces and endless digits are refused with a hint."""
    message = refusal(b'{"number":%s}' % text.encode(), Leaf)
    assert any(hint in message for hint in ("as a string", "a string such as", "expected a whole number", "fraction"))


def test_refusal_names_every_value() -> None:
    """One line per value: path, value, what is expected."""
    message = refusal(changed(count="3", colour="green", leaves=[{"number": 1, "name": 5}], surprise=1))
    assert message.splitlines()[0] == "Tree has 4 wrong value(s):"
    assert '  count = "3": expected a valid integer' in message
    assert "  colour = \"green\": expected 'red' or 'blue'" in message
    assert "  leaves.0.name = 5: expected a valid string" in message
    assert "  surprise: unknown key; known are count, day, leaves, pair, table, colour, best, flag" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leaves": [{"number": 1, "nmae": "x"}]}, "leaves.0.nmae: unknown key; known are number, name"),
        ({"best": {"number": 1, "x": 1}}, "best.x: unknown key; known are number, name"),
        ({"leaves": [{}]}, "leaves.0.number: missing"),
        ({"leaves": [{"number": "half"}]}, 'leaves.0.number = "half": expected a whole number'),
        ({"table": {"x": "1e5"}}, 'table.x = "1e5"'),
        ({"pair": ["a", "b"]}, 'pair.1 = "b"'),
        ({"pair": ["a"]}, "pair.1: missing"),
        ({"best": {"number": "1e9"}}, 'best.number = "1e9"'),
        ({"day": "1 August"}, 'day = "1 August"'),
        ({"day": 17}, "day = 17"),
        ({"flag": 1}, "flag = 1"),
        ({"count": True}, "count = true"),
        ({"count": 2**53}, "expected a whole number from -9007199254740991"),
        ({"leaves": "none"}, 'leaves = "none"'),
    ],
)
def test_refusal_says_where(changes: dict[str, object], message: str) -> None:
    """Path, value and expectation stand in the message, at any depth."""
    assert message in refusal(changed(**changes))


@pytest.mark.parametrize("where", [b'{"number":1,"number":1}', b'{"number":1,"name":"a","name":"a"}'])
def test_duplicate_keys_are_refused(where: bytes) -> None:
    """Two readers must not see two documents."""
    assert "stands twice" in refusal(where, Leaf)


def test_duplicate_keys_are_refused_at_depth() -> None:
    """Inside a list inside an object as well."""
    assert '"number" stands twice' in refusal(changed().replace(b'"number"', b'"number": 2, "number"'))


@pytest.mark.parametrize("data", [b"", b"{", b"nonsense", b"\xff\xfe", b"{}x", b'"\\ud800"'])
def test_bytes_that_are_no_document_are_refused(data: bytes) -> None:
    """Broken JSON and broken text end in one kind of error."""
    assert "Tree" in refusal(data)


@pytest.mark.parametrize("opening", [b"[", b'{"leaves":', b'{"a":['])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    """Fifty thousand brackets are refused, not followed."""
    assert "nested too deeply" in refusal(opening * 50_000)


@pytest.mark.parametrize("depth", range(800, 1000, 7))
def test_depth_near_the_interpreters_limit_is_refused(depth: int) -> None:
    """Wherever the stack ends, the outcome is a refusal."""
    assert refusal(b"[" * depth + b"]" * depth)
    nested: dict[str, Any] = {}
    for _ in range(depth):
        nested = {"a": nested}
    assert refusal(nested)


def test_long_document_is_refused() -> None:
    """Over 960 KiB nothing is parsed."""
    assert "expected at most 983040" in refusal(b" " * 983_041)


def test_long_value_is_shortened() -> None:
    """A refusal stays readable whatever the value."""
    assert len(refusal(changed(colour="x" * 100_000))) < 300


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"number": 0.5}, "number = 0.5: not a whole number"),
        ({"number": 1, "name": dt.datetime(2018, 8, 1, tzinfo=dt.UTC)}, "expected text, a whole number, a date"),
        ({"number": 1, 5: "x"}, "key 5 is not text"),
        ({"number": {"a": {None: 1}}}, "number.a: key null is not text"),
        ({"number": 1, "name": b"x"}, "expected text"),
        ({"number": 2**60}, "expected a whole number from"),
    ],
)
def test_plain_data_out_of_form_is_refused(data: Mapping[str, object], message: str) -> None:
    """What a YAML reader may give and JSON has not is refused with its path."""
    assert message in refusal(data, Leaf)


def test_dates_of_a_yaml_reader_are_dates() -> None:
    """An unquoted date reads like a quoted one."""
    data = canonical.plain(TREE) | {"day": dt.date(2018, 8, 1)}
    assert parse(Tree, data) == TREE


def test_errors_of_the_class_surface_unchanged() -> None:
    """A plan out of range is a PlanError, a policy out of range a FederationError."""
    plan = canonical.plain(cases.PLAN)
    with pytest.raises(PlanError, match="epsilon = 900"):
        parse(Plan, plan | {"epsilon": 900})
    cap = {"epsilon": 1, "delta": "0.00001"}
    label = canonical.label(bytes(32))
    policy = {"bank": "Ash", "account": "cards", "unit": "customer", "bucket_cap": cap, "lifetime_cap": cap}
    with pytest.raises(FederationError, match="bank = 'Ash'"):
        parse(Policy, policy | {"root": label, "peers": {}, "contracts": [label], "modes": ["local"]})


@pytest.mark.parametrize("spoil", [b" ", b"\n"])
def test_canonical_bytes_are_asked_for(spoil: bytes) -> None:
    """What is signed has one spelling."""
    data = canonical.encode(TREE)
    with pytest.raises(DocumentError, match="RFC 8785"):
        parse_canonical(Tree, data + spoil)
    with pytest.raises(DocumentError, match="RFC 8785"):
        parse_canonical(Tree, json.dumps(canonical.plain(TREE)).encode())


def test_adapter_is_made_once_per_class() -> None:
    """Building a validator costs more than using it."""
    documents._adapter.cache_clear()
    for _ in range(5):
        parse(Leaf, b'{"number":1}')
    assert documents._adapter.cache_info().misses == 1
