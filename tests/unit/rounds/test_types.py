"""Kinds, their families, and the nine-field context."""

import hashlib
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.rounds import types as subject
from tacit.rounds.types import Kind, Outcome, Place, Reason, Refusal, context, header_at

PLACE = Place("demo", b"m" * 32, b"r" * 32, b"o" * 32, b"c" * 32, 3, 4, b"p" * 32, b"q" * 32)


def test_numbers_of_kinds_never_change() -> None:
    """The numbers are those of the wire: 29 kinds without a gap, each under its own."""
    assert [kind.value for kind in Kind] == list(range(1, 30))
    assert (Kind.PLAN, Kind.RELEASE, Kind.END, Kind.CHECKPOINT) == (3, 17, 24, 29)


def test_families_cover_every_kind_once() -> None:
    """A kind belongs to control, banks or versions; only ORDER may stand on two."""
    families = (subject.CONTROL_KINDS, subject.BANK_KINDS, subject.VERSION_KINDS)
    assert frozenset().union(*families) == frozenset(Kind)
    assert {Kind.ORDER} == subject.CONTROL_KINDS & subject.BANK_KINDS
    assert not subject.VERSION_KINDS & (subject.CONTROL_KINDS | subject.BANK_KINDS)


def test_attempt_and_run_kinds_do_not_meet() -> None:
    """A kind is unique per slot or per run, never both."""
    assert not subject.ATTEMPT_KINDS & subject.RUN_KINDS


def test_what_needs_no_fence() -> None:
    """Epochs, leads, plans and orders are valid by their own signatures."""
    assert {Kind.MANIFEST, Kind.LEAD, Kind.PLAN, Kind.ORDER} == subject.CONTROL_KINDS - subject.FENCED_KINDS


@pytest.mark.parametrize(("enum", "count"), [(Refusal, 6), (Outcome, 3), (Reason, 9)])
def test_codes_are_closed_and_count_from_one(enum: type, count: int) -> None:
    """Zero is no code: an absent field of the wire cannot be read as one."""
    assert sorted(enum) == list(range(1, count + 1))  # type: ignore[type-var]


def test_a_context_has_nine_fields() -> None:
    """Protocol 2: always nine, in its order."""
    names = [field.name for field in fields(Place)]
    assert names == ["federation", "manifest", "run", "roster", "cohort", "round", "slot", "parent", "query"]


def test_a_context_as_the_page_writes_it() -> None:
    """Length-prefixed fields, integers of 8 bytes big-endian, recomputed by hand."""
    numbers = ((3).to_bytes(8, "big"), (4).to_bytes(8, "big"))
    parts = [b"demo", b"m" * 32, b"r" * 32, b"o" * 32, b"c" * 32, *numbers, b"p" * 32, b"q" * 32]
    data = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert context(PLACE) == hashlib.sha256(data).digest()


@pytest.mark.parametrize("name", [field.name for field in fields(Place)])
def test_every_field_is_in_the_context(name: str) -> None:
    """A record of another federation, epoch, run, roster, cohort, round, slot, parent or query has another context."""
    value = getattr(PLACE, name)
    other = value + 1 if isinstance(value, int) else value[:-1] + (b"!" if isinstance(value, bytes) else "!")
    assert context(replace(PLACE, **{name: other})) != context(PLACE)


def test_round_zero_is_not_no_round() -> None:
    """Slot 0 and round 0 are places of their own."""
    bare = Place("demo", b"m" * 32)
    assert len({context(bare), context(replace(bare, round=0)), context(replace(bare, slot=0))}) == 3


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_bytes_do_not_move_between_fields(first: bytes, second: bytes) -> None:
    """Lengths keep neighbours apart: the same bytes in other fields are another context."""
    one, two = Place("f", b"", first, second), Place("f", b"", first + second, b"")
    assert (context(one) == context(two)) == (second == b"")


def test_a_header_says_where_its_record_stands() -> None:
    """Numbers are the place's, absent ones are 0, and the context is that of the very place."""
    place = Place("sim", bytes(32), b"r" * 32, round=2, slot=3)
    made = header_at(Kind.OPEN, "aggregator", place, 1.2345, fence=b"f" * 32)
    assert (made.federation, made.manifest, made.run, made.round, made.slot) == ("sim", bytes(32), b"r" * 32, 2, 3)
    assert (made.kind, made.sender, made.fence, made.create_time_ms) == (Kind.OPEN, "aggregator", b"f" * 32, 1234)
    assert (made.context, made.body) == (context(place), b"")
    bare = header_at(Kind.JOIN, "ash", Place("sim", bytes(32)), 0.0)
    assert (bare.run, bare.round, bare.slot, bare.seq, bare.previous, bare.journal_head) == (b"", 0, 0, 0, b"", b"")


def test_a_bank_s_header_carries_its_place_in_the_chain() -> None:
    """Seq, previous and journal head are those of the position."""
    made = header_at(Kind.JOIN, "ash", Place("sim", bytes(32)), 0.0, position=(7, b"p" * 32, b"h" * 32))
    assert (made.seq, made.previous, made.journal_head) == (7, b"p" * 32, b"h" * 32)
