"""The pieces of the simulation: time, a node's view of the log and its hazards, rows, leases, restarts."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import federation_cases as cases
from tacit import canonical
from tacit.adapters.memory import MemoryLog
from tacit.federation import check_manifest
from tacit.privacy.types import Mode
from tacit.rounds.plan import run_id
from tacit.runtime.log import LogUnavailableError
from tacit.sim import federation as subject
from tacit.sim.federation import AlwaysLease, FrameRows, Hazards, InlineWorker, Node, View, VirtualClock

TOPICS = ("first", "second")


@pytest.fixture
def log() -> MemoryLog:
    """A log with two topics."""
    made = MemoryLog()
    made.create(TOPICS)
    return made


def view(log: MemoryLog, seed: int = 0, **hazards: float) -> View:
    """A node's view of the log."""
    return View(log, Hazards(**hazards), random.Random(seed))


def texts(log: MemoryLog, topic: str = "first") -> list[bytes]:
    """What really is on a topic."""
    return [entry.value for entry in log.read({topic: 0})]


@given(st.lists(st.floats(0, 1e6), max_size=8))
def test_time_moves_by_what_is_slept(naps: list[float]) -> None:
    """And by nothing else; the wall clock is the start plus that."""
    clock = VirtualClock(1_600_000_000.0)
    for nap in naps:
        clock.sleep(nap)
    assert clock.monotonic() == pytest.approx(sum(naps))
    assert clock.now() == pytest.approx(1_600_000_000.0 + sum(naps))


def test_a_view_without_hazards_is_the_log(log: MemoryLog) -> None:
    """Offsets, entries, headers and ends pass through."""
    plain = view(log)
    plain.create(["third"])
    assert plain.append("first", b"k", b"one", (("h", b"v"),)) == 0
    assert plain.append("first", b"k", b"two") == 1
    plain.turn()
    (one, two) = plain.read({"first": 0})
    assert (one.value, two.value, one.key, one.headers) == (b"one", b"two", b"k", (("h", b"v"),))
    assert (plain.end("first"), plain.end("third")) == (2, 0)
    plain.close()
    assert plain.end("first") == 2


def test_nothing_is_drawn_for_hazards_that_are_off(log: MemoryLog) -> None:
    """So that a hazard does not change the schedule of a run without it."""
    draw = random.Random(3)
    before = draw.getstate()
    plain = View(log, Hazards(), draw)
    plain.turn()
    plain.append("first", b"", b"one")
    plain.read({"first": 0})
    assert draw.getstate() == before


@pytest.mark.parametrize(
    "call",
    [
        lambda away: away.append("first", b"", b"x"),
        lambda away: away.read({"first": 0}),
        lambda away: away.end("first"),
    ],
)
def test_an_absent_log_fails_every_call(log: MemoryLog, call: Callable[[View], object]) -> None:
    """For the whole turn, without an effect."""
    away = view(log, away=1.0)
    away.turn()
    with pytest.raises(LogUnavailableError, match="the log is away"):
        call(away)
    assert texts(log) == []


def test_a_log_comes_back_with_a_turn(log: MemoryLog) -> None:
    """Absence is drawn anew each turn."""
    sometimes = view(log, away=0.5)
    states = []
    for _ in range(200):
        sometimes.turn()
        states.append(sometimes.cut)
    assert 60 < sum(states) < 140


def test_before_its_first_turn_a_node_is_connected(log: MemoryLog) -> None:
    """A handler may look at the log while it starts."""
    assert view(log, away=1.0).end("first") == 0


def test_a_lost_acknowledgement_still_appends(log: MemoryLog) -> None:
    """The sender hears of a failure, the log has the entry once."""
    unlucky = view(log, lost_acknowledgement=1.0)
    with pytest.raises(LogUnavailableError, match="acknowledgement was lost"):
        unlucky.append("first", b"k", b"one")
    assert texts(log) == [b"one"]


def test_a_duplicate_is_the_same_entry_twice(log: MemoryLog) -> None:
    """The sender hears of the first offset."""
    doubled = view(log, duplicate=1.0)
    assert doubled.append("first", b"k", b"one") == 0
    assert doubled.append("first", b"k", b"two") == 2
    assert texts(log) == [b"one", b"one", b"two", b"two"]
    assert texts(log, "second") == []


def test_both_hazards_of_one_append(log: MemoryLog) -> None:
    """Twice on the log, and told as failed."""
    both = view(log, duplicate=1.0, lost_acknowledgement=1.0)
    with pytest.raises(LogUnavailableError):
        both.append("first", b"", b"one")
    assert texts(log) == [b"one", b"one"]


def test_a_delayed_reader_sees_the_old_end(log: MemoryLog) -> None:
    """What others append stays hidden as long as the delay hits."""
    late, other = view(log, delay=1.0), view(log)
    assert late.end("first") == 0
    other.append("first", b"", b"one")
    late.turn()
    assert late.end("first") == 0
    assert late.read({"first": 0}) == []


def test_a_reader_sees_new_entries_with_its_next_turn(log: MemoryLog) -> None:
    """Within a turn its view stands still."""
    reader, other = view(log), view(log)
    assert reader.end("first") == 0
    other.append("first", b"", b"one")
    assert reader.read({"first": 0}) == []
    reader.turn()
    assert [entry.value for entry in reader.read({"first": 0})] == [b"one"]


def test_topics_are_delayed_each_for_itself(log: MemoryLog) -> None:
    """So that a reader may see an answer before its question."""
    seen = set()
    for seed in range(40):
        late = view(log, seed, delay=0.5)
        before = [late.end(topic) for topic in TOPICS]
        for topic in TOPICS:
            log.append(topic, b"", b"x")
        late.turn()
        seen.add(tuple(late.end(topic) - was for topic, was in zip(TOPICS, before, strict=True)))
    assert seen == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_hidden_entries_are_read_later_and_only_once(log: MemoryLog) -> None:
    """Nothing is lost by a delay."""
    late, position, found = view(log, seed=5, delay=0.7), 0, []
    for number in range(30):
        log.append("first", b"", bytes([number]))
        late.turn()
        batch = late.read({"first": position})
        found += [entry.value for entry in batch]
        position += len(batch)
    log_now = texts(log)
    assert found == log_now[: len(found)]
    assert len(found) > 20


@pytest.mark.parametrize("limit", [1, 3])
def test_a_limit_is_kept(log: MemoryLog, limit: int) -> None:
    """At most as many entries as asked for."""
    for number in range(5):
        log.append("first", b"", bytes([number]))
    assert len(view(log).read({"first": 0}, limit)) == limit


def test_rows_between_two_seconds() -> None:
    """The first second belongs to the span, the last does not."""
    rows = FrameRows(pl.DataFrame({"time": [9, 10, 19, 20]}))
    assert rows.read(10, 20)["time"].to_list() == [10, 19]
    assert rows.read(20, 20).is_empty()
    assert (rows.zone, rows.feeds(())) == ("UTC", {})


def test_work_is_done_at_once_and_again() -> None:
    """Nothing is kept between calls."""
    worker, calls = InlineWorker(), []
    for _ in range(2):
        assert worker.done("key", lambda: calls.append(1)) is None
    worker.forget("key")
    assert (len(calls), worker.busy) == (2, False)


def test_everybody_holds_the_lease() -> None:
    """So that the LEAD record has to decide."""
    first, second = AlwaysLease("one"), AlwaysLease("two")
    first.release()
    assert first.try_hold()
    assert second.try_hold()


def test_a_restart_stops_before_it_starts(log: MemoryLog) -> None:
    """A node's files have one process at a time."""
    told: list[str] = []

    def start(given: View) -> tuple[Callable[[float], None], Callable[[], None]]:
        number = sum(item.startswith("start") for item in told)
        told.append(f"start {number}")
        return lambda _: told.append(f"step {number}"), lambda: told.append(f"stop {number}")

    node = Node("one", view(log), start)
    node.step(0.0)
    node.restart()
    node.step(0.0)
    assert told == ["start 0", "step 0", "stop 0", "start 1", "step 1"]


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[subject.Federation]:
    """A federation of two banks."""
    made = cases.federation(tmp_path, 2)
    yield made
    made.close()


def test_the_epoch_is_signed_by_everybody(fed: subject.Federation) -> None:
    """Two banks run mode local only; their contract is the one given."""
    check_manifest(fed.manifest, None)
    assert [member.id for member in fed.manifest.members] == ["bank-0", "bank-1"]
    assert fed.manifest.modes == (Mode.LOCAL,)
    assert fed.manifest.contracts == (cases.LABEL,)
    assert fed.manifest.federation == "sim"


def test_three_banks_may_run_distributed(tmp_path: Path) -> None:
    """Both modes are allowed from three members on."""
    made = cases.federation(tmp_path, 3)
    assert made.manifest.modes == (Mode.LOCAL, Mode.DISTRIBUTED)
    made.close()


def test_banks_accept_the_epoch(fed: subject.Federation) -> None:
    """Each policy is its bank's, rooted in the epoch, and knows every member."""
    policy = fed._policy("bank-1")
    assert (policy.bank, policy.root) == ("bank-1", canonical.label(fed.manifest.digest))
    assert set(policy.peers) == {"bank-0", "bank-1"}


def test_a_turn_moves_time_once(fed: subject.Federation) -> None:
    """However many nodes there are."""
    fed.turn()
    assert fed.clock.monotonic() == pytest.approx(subject.TURN_SECONDS)


def test_a_submitted_plan_is_known_to_the_audit(fed: subject.Federation) -> None:
    """Its run id is that of the signed bytes; without turns nothing else happens."""
    plan = cases.plan_for(fed)
    run = fed.submit(plan)
    assert run == run_id(canonical.encode(plan))
    assert set(fed.audit().runs) == {run}


def test_a_run_that_is_stuck_is_told(fed: subject.Federation) -> None:
    """With its id and the number of turns."""
    run = fed.submit(cases.plan_for(fed))
    cases.without(fed, "aggregator-0")
    with pytest.raises(TimeoutError, match=f"run {run.hex()} is not over after 3 turns"):
        fed.run(run, turns=3)


@pytest.mark.parametrize("number", [0, 1, 255, 2**64])
def test_a_nonce_is_another_run(number: int) -> None:
    """Sixty-four hexadecimal digits; everything else stays."""
    plan = cases.any_plan()
    made = subject.with_nonce(plan, number)
    assert int(made.nonce, 16) == number
    assert len(made.nonce) == 64
    assert subject.with_nonce(made, 0) == subject.with_nonce(plan, 0)
