"""What happens to a bank whose journal or topic is not what it was: it stops, and writes nothing (protocol 5)."""

import shutil
from pathlib import Path

import pytest

import federation_cases as cases
from federation_cases import plan_for, until
from federation_scenes import BANK, Make, clone, midway, node_of, sees_again
from tacit.rounds.ledger import RunState
from tacit.rounds.types import Kind
from tacit.sim.federation import Federation, Hazards, Node, View
from tacit.trainer.outbox import TrainerStoppedError

TOPIC = "tacit.bank.v1.bank-0"


def length(fed: Federation) -> int:
    """Entries of the bank's own topic."""
    return fed.log.end(TOPIC)


def _turns(node: Node) -> None:
    for _ in range(10):
        node.view.turn()
        node.step(0.0)


def stops(fed: Federation, node: Node, reason: str) -> None:
    """The node stops for this reason within some turns and appends nothing on the way."""
    before = length(fed)
    with pytest.raises(TrainerStoppedError, match=reason):
        _turns(node)
    assert length(fed) == before


def test_a_restored_backup_stops(make: Make, tmp_path: Path) -> None:
    """A backup from the middle of the run is behind its topic: no word more from this bank, and no second spend."""
    fed = make(3, seed=2)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: len(cases.by_kind(fed, Kind.JOIN)) == 3)
    cases.journal_of(fed, BANK).backup(tmp_path / "backup.sqlite")  # type: ignore[attr-defined]
    until(fed, lambda: len(cases.by_kind(fed, Kind.RELEASE)) >= 6)
    node = node_of(fed)
    node.stop()
    for path in (fed._folder / BANK).glob("journal.sqlite*"):
        path.unlink()
    shutil.copy(tmp_path / "backup.sqlite", fed._folder / BANK / "journal.sqlite")
    node.step, node.stop = node.start(node.view)
    stops(fed, node, "behind")
    assert cases.journal_of(fed, BANK).state(run) is RunState.LEFT  # type: ignore[attr-defined]


def test_a_lost_journal_stops(make: Make) -> None:
    """A fresh journal over a topic with a history is behind it: it neither joins nor answers."""
    fed, _ = midway(make)
    node = node_of(fed)
    node.stop()
    shutil.rmtree(fed._folder / BANK)
    (fed._folder / BANK).mkdir()
    node.step, node.stop = node.start(node.view)
    stops(fed, node, "behind")


def test_an_emptied_topic_stops(make: Make) -> None:
    """A topic that lost what the journal saw there is not written to again."""
    fed, _ = midway(make)
    node = node_of(fed)
    node.stop()
    fed.log.drop(TOPIC)
    fed.log.create([TOPIC])
    node.step, node.stop = node.start(node.view)
    stops(fed, node, "truncated")
    assert length(fed) == 0


def test_a_topic_replaced_by_its_beginning_stops(make: Make) -> None:
    """A broker that replays only the first half of the own topic is found out."""
    fed, _ = midway(make, 6)
    node = node_of(fed)
    node.stop()
    entries = fed.log.read({TOPIC: 0}, 100)
    fed.log.drop(TOPIC)
    fed.log.create([TOPIC])
    for entry in entries[: len(entries) // 2]:
        fed.log.append(TOPIC, entry.key, entry.value)
    node.step, node.stop = node.start(node.view)
    stops(fed, node, "truncated")


def test_a_copy_that_is_started_later_stops(make: Make, tmp_path: Path) -> None:
    """A copy of the disk that lags behind its original reads the topic and stops; the original finishes."""
    fed, run = midway(make)
    node = node_of(fed)
    node.stop()
    shutil.copytree(fed._folder / BANK, tmp_path / "old" / BANK)
    node.step, node.stop = node.start(node.view)
    fed.run(run, 500)
    fed._folder, first = tmp_path / "old", fed._folder
    handler = fed._handlers[BANK]
    late = Node(BANK, View(fed.log, Hazards(), fed.draw), fed._starter(BANK))
    fed._folder, fed._handlers[BANK] = first, handler
    stops(fed, late, "behind")
    late.stop()
    assert not cases.broken(fed, run)


def test_of_two_trainers_on_one_journal_one_goes_on(make: Make, tmp_path: Path) -> None:
    """Two trainers on copies of one disk: the START that is first wins, the other stops before it writes anything."""
    fed, run = midway(make)
    node = node_of(fed)
    node.stop()
    second = clone(fed, tmp_path / "copy")
    node.step, node.stop = node.start(node.view)
    for both in (node, second):
        both.view.turn()
        both.step(0.0)
    sees_again(second)
    stops(fed, second, "cloned")
    second.stop()
    fed.run(run, 500)
    assert not cases.broken(fed, run)
    starts = [record for record in cases.by_kind(fed, Kind.START) if record.header.sender == BANK]
    assert len({record.header.seq for record in starts}) == len(starts) - 1


def test_the_loser_writes_only_its_start(make: Make, tmp_path: Path) -> None:
    """Until its START was read back as the first at its place a trainer stores nothing else, not even a refusal."""
    fed, _ = midway(make)
    node = node_of(fed)
    node.stop()
    second = clone(fed, tmp_path / "copy")
    second.view.turn()
    second.step(0.0)
    before = length(fed)
    for _ in range(3):
        second.view.turn()
        second.step(0.0)
    assert length(fed) == before
    assert cases.kinds_of(fed, BANK)[-1] is Kind.START
    second.stop()


def test_a_bank_that_keeps_crashing(make: Make) -> None:
    """Killed after every third of its turns, a bank sends stored bytes again and never draws twice."""
    fed = make(3, seed=5)
    run = fed.submit(plan_for(fed))
    for turn in range(45):
        fed.turn()
        if turn % 3 == 2:
            node_of(fed).restart()
    fed.run(run, 500)
    assert not cases.broken(fed, run)


def test_nothing_of_a_snapshot_survives_a_crash(make: Make) -> None:
    """Half-written snapshots and those of runs that are over are erased when the trainer starts."""
    fed, run = midway(make)
    folder = fed._folder / BANK / "snapshots"
    (folder / "dead.partial").write_bytes(b"rows")
    (folder / f"{'ab' * 32}.arrow").write_bytes(b"rows")
    node_of(fed).restart()
    until(fed, lambda: fed._handlers[BANK].ready)
    assert {path.name for path in folder.glob("*")} == {f"{run.hex()}.arrow"}
    fed.run(run, 500)
    assert list(folder.glob("*")) == []
