"""Own records that the control topic names: held, missing, or a lie."""

from dataclasses import dataclass, field, replace

import pytest

from tacit.rounds.ledger import RunState, Stored
from tacit.rounds.types import Body, Checked, Header, Kind, ResultBody, RosterBody
from tacit.trainer.named import Named

BANK, RUN = "ash", b"r" * 32
OURS, OTHER = b"o" * 32, b"x" * 32


@dataclass
class Kept:
    """A journal of which two answers are needed."""

    records: dict[tuple[bytes, int | None, Kind], bytes] = field(default_factory=dict)
    states: dict[bytes, RunState] = field(default_factory=dict)

    def stored(self, run: bytes, slot: int | None, kind: Kind) -> Stored | None:
        """A record by its key."""
        digest = self.records.get((run, slot, kind))
        return None if digest is None else Stored(1, kind, digest, b"v", seen=True)

    def state(self, run: bytes) -> RunState:
        """Where the bank stands."""
        return self.states.get(run, RunState.NONE)


def named(kind: Kind, body: Body, run: bytes = RUN, slot: int = 0) -> Checked:
    """A control record as it comes from the log."""
    header = Header("demo", b"m" * 32, run, 0, slot, kind, "aggregator", b"", b"")
    return Checked(header, body, b"d" * 32, "control")


ROSTER = named(Kind.ROSTER, RosterBody({BANK: OURS, "birch": OTHER}))
RESULT = named(Kind.RESULT, ResultBody({BANK: OURS}, (1,), 1, 1, None, None), slot=3)


@pytest.fixture
def kept() -> Kept:
    """An empty journal."""
    return Kept()


def after(kept: Kept, *records: Checked) -> Named:
    """What was named so far."""
    made = Named(BANK, kept)  # type: ignore[arg-type]
    for record in records:
        made.read(record)
    return made


@pytest.mark.parametrize("record", [ROSTER, RESULT], ids=["JOIN", "RELEASE"])
def test_an_own_record_that_the_journal_lacks_is_unknown(kept: Kept, record: Checked) -> None:
    """Every time it is asked, until the journal has it; other banks' records are no business of ours."""
    found = after(kept, record)
    assert found.unknown() == (OURS,)
    assert found.unknown() == (OURS,)
    kept.records = {(RUN, None, Kind.JOIN): OURS, (RUN, 3, Kind.RELEASE): OURS}
    assert found.unknown() == ()


def test_records_that_do_not_name_us_say_nothing(kept: Kept) -> None:
    """A roster without us, other kinds, and records whose place no journal could hold."""
    strange = replace(ROSTER, header=replace(ROSTER.header, run=b"short"))
    beyond = replace(RESULT, header=replace(RESULT.header, slot=2**31))
    assert after(kept, named(Kind.ROSTER, RosterBody({"birch": OTHER})), strange, beyond).unknown() == ()


@pytest.mark.parametrize("state", [RunState.DONE, RunState.LEFT])
def test_a_run_that_is_over_here_is_settled(kept: Kept, state: RunState) -> None:
    """It is charged and never answered again: a rebuilt journal goes on."""
    kept.states = {RUN: state}
    assert after(kept, ROSTER, RESULT).unknown() == ()


@pytest.mark.parametrize(
    ("record", "key"),
    [(ROSTER, (RUN, None, Kind.JOIN)), (RESULT, (RUN, 3, Kind.RELEASE)), (ROSTER, (RUN, None, Kind.REFUSED))],
)
def test_another_digest_of_a_known_record_is_a_lie(
    kept: Kept, record: Checked, key: tuple[bytes, int | None, Kind]
) -> None:
    """The journal is not behind: it holds what the leader misnames, or the refusal of that run."""
    kept.records = {key: OTHER}
    assert after(kept, record).unknown() == ()


def test_a_digest_named_again_for_a_refused_run_stays_unknown(kept: Kept) -> None:
    """A second ROSTER cannot talk a missing record away."""
    refused = b"s" * 32
    kept.records = {(refused, None, Kind.REFUSED): OTHER}
    again = named(Kind.ROSTER, RosterBody({BANK: OURS}), run=refused)
    assert after(kept, ROSTER, again).unknown() == (OURS,)
