"""A trainer is killed, cloned, rolled back, robbed of its topic or disk: one spend a slot, and words that help."""

import resource
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
import yaml

from federation_processes import (
    BANKS,
    Running,
    check_outcome,
    command,
    empty_topic,
    plan_for,
    rounds,
)
from tacit.rounds.plan import Deadlines
from tacit.rounds.types import Checked, Kind, ResultBody
from tacit.runtime.exit_codes import ExitCode
from tacit.wire import topics

pytestmark = pytest.mark.integration

BANK = "cedar"
TRAINER = f"trainer-{BANK}"
TOPIC = topics.bank(topics.DEFAULT_PREFIX, BANK).name
HASTY = Deadlines(attempt="1s", grace="1s", join="120s")
POINTS = ("before-append:2", "after-append:2", "after-commit:3", "before-seen:2", "after-draw", "before-commit:6")


def kill_at(running: Running, points: Sequence[str]) -> None:
    """Kills one bank's trainer at each point in turn, lets it finish, and checks what came of the run."""
    running.start(topics.AGGREGATOR, "trainer-ash", "trainer-birch")
    run = running.submit(plan_for(running.folder))
    for point in points:
        running.start(TRAINER, fault=point)
        assert running.exit_code(TRAINER) == -signal.SIGKILL, point
    running.start(TRAINER)
    assert running.ended(run)["outcome"] == "FINISHED"
    running.settled(run)
    found = check_outcome(running, run)
    # It was waited for, so each of its vectors is in the sums.
    assert len(found.of(BANK, Kind.RELEASE)) == len(found.state.runs[bytes.fromhex(run)].results)


def stopped_with(running: Running, *words: str) -> str:
    """Waits for the trainer's end by its own decision; what it said, which holds the words."""
    assert running.exit_code(TRAINER) == ExitCode.FATAL
    said = str(running.said(TRAINER, "service_failed")[-1])
    assert "TrainerStoppedError" in said
    for word in words:
        assert word in said
    return said


def one_run(running: Running, **changes: object) -> str:
    """A whole run of all banks, to its last record."""
    run = running.submit(plan_for(running.folder, **changes))
    assert running.ended(run)["outcome"] == "FINISHED"
    running.settled(run)
    return run


def copied(running: Running, name: str) -> str:
    """Settings of another process on a copy of the bank's folder; its name."""
    folder, settings = running.folder.bank(BANK), running.folder.settings(TRAINER)
    copy = shutil.copytree(folder, running.folder.path / name)
    document = yaml.safe_load(settings.read_text(encoding="utf-8")) | {"folder": str(copy), "ports_file": None}
    other = f"trainer-{name}"
    running.folder.settings(other).write_text(yaml.safe_dump(document), encoding="utf-8")
    return other


def test_killed_at_every_point_around_a_record(running: Running) -> None:
    """Six kills in one run: the same bytes go out again, nothing is spent twice, the run waits and finishes."""
    kill_at(running, POINTS)


@pytest.mark.slow
@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("point", ["before-append", "after-append", "after-commit", "before-commit", "before-seen"])
def test_killed_at_one_point(running: Running, point: str, count: int) -> None:
    """Each point alone, at the first records of a run; a life passes each at least as often."""
    kill_at(running, [f"{point}:{count}" if "commit" in point else f"{point}:{(count + 1) // 2}"])


def test_killed_in_the_middle_it_comes_back_and_answers_the_newest_question(running: Running) -> None:
    """Rounds go on without it at their deadline; its return costs nothing but the rounds that it missed."""
    running.start(topics.AGGREGATOR, "trainer-ash", "trainer-birch")
    # START, JOIN and three vectors go out; the fourth is stored and stays.
    running.start(TRAINER, fault="before-append:6")
    run = running.submit(plan_for(running.folder, learner=rounds(20), deadlines=HASTY))
    assert running.exit_code(TRAINER) == -signal.SIGKILL
    running.at_round(run, 5)
    running.start(TRAINER)
    assert running.ended(run)["outcome"] == "FINISHED"
    running.settled(run)
    found = check_outcome(running, run)
    results = found.state.runs[bytes.fromhex(run)].results
    missed = [number for number, result in enumerate(results) if BANK not in used(result)]
    assert missed == list(range(3, missed[-1] + 1))
    assert 4 <= missed[-1] < len(results) - 1
    slots = {record.header.slot for record in found.of(BANK, Kind.RELEASE).values()}
    # The late vector is on the topic, the same bytes that were spent; rounds in between were never answered.
    assert {0, 1, 2, 3, len(results) - 1} <= slots
    assert 4 not in slots
    assert len(found.of(BANK, Kind.JOIN)) == 1


def used(result: Checked) -> set[str]:
    """Banks whose vectors are in a result."""
    assert isinstance(result.body, ResultBody)
    return set(result.body.used)


def test_a_second_trainer_on_the_same_folder_is_refused(running: Running) -> None:
    """One process holds a journal; the first one goes on undisturbed."""
    running.start(*running.everything())
    running.url(f"{BANK}.bank")
    first = running.processes.pop(TRAINER)
    running.start(TRAINER)
    assert running.exit_code(TRAINER) != ExitCode.OK
    (said,) = running.said(TRAINER, "process_failed")
    assert "one trainer per journal" in said["error"]
    running.processes[TRAINER] = first
    check_outcome(running, one_run(running))


def test_of_two_trainers_on_copies_of_one_journal_one_stops(running: Running) -> None:
    """The START that is first at its place wins; the other writes nothing more, and the run needs no hand."""
    running.start(*running.everything())
    one_run(running)
    running.stop(TRAINER)
    clone = copied(running, "clone")
    running.start(TRAINER, clone)
    pair = (TRAINER, clone)
    running.wait("one to stop", lambda: any(running.processes[name].exitcode is not None for name in pair))
    (loser,) = [name for name in pair if running.processes[name].exitcode is not None]
    assert running.exit_code(loser) == ExitCode.FATAL
    said = str(running.said(loser, "service_failed")[-1])
    assert "TrainerStoppedError" in said
    assert "tacit ledger rebuild" in said
    run = running.submit(plan_for(running.folder))
    assert running.ended(run)["outcome"] == "FINISHED"
    found = running.fold()
    assert found.deviation(found.state.runs[bytes.fromhex(run)]) == ""
    assert len([item for item in found.of(BANK, Kind.RELEASE).values() if item.header.run.hex() == run]) == 4


@pytest.mark.parametrize("made_again", [True, False])
def test_an_emptied_topic_stops_it_until_its_operator_resumes(running: Running, made_again: bool) -> None:
    """The message names the command, the command brings the bank back, and nothing was charged for it."""
    running.start(*running.everything())
    one_run(running)
    running.stop(TRAINER)
    empty_topic(running.folder, TOPIC, made_again=made_again)
    running.start(TRAINER)
    stopped_with(running, "truncated", "tacit ledger resume")
    assert running.entries(TOPIC) == []
    with running.journal(BANK) as journal:
        charged = journal.ledger().lifetime.charged_nano
    settings, key = running.folder.settings(TRAINER), running.folder.governance_key(BANK)
    done = command("ledger", "resume", "--settings", str(settings), "--governance-key", str(key))
    assert done.returncode == 0, done.stderr
    with running.journal(BANK) as journal:
        assert journal.ledger().lifetime.charged_nano == charged
    # Whoever read the topic before holds on to the old places; a restart reads the new ones.
    running.stop(*(name for name in running.everything() if name != TRAINER))
    running.start(*running.everything())
    run = one_run(running)
    found = running.fold()
    assert running.view(run)["joined"] == list(BANKS)
    assert found.deviation(found.state.runs[bytes.fromhex(run)]) == ""


def test_a_journal_from_a_backup_stops_it(running: Running, tmp_path: Path) -> None:
    """The topic knows more than the journal: nothing is written, and the message names the command."""
    running.start(*running.everything())
    one_run(running)
    running.stop(TRAINER)
    journal = running.folder.bank(BANK) / "journal.sqlite"
    shutil.copy(journal, tmp_path / "backup")
    running.start(TRAINER)
    one_run(running)
    running.stop(TRAINER)
    shutil.copy(tmp_path / "backup", journal)
    before = running.entries(TOPIC)
    running.start(TRAINER)
    stopped_with(running, "behind", "tacit ledger rebuild")
    assert running.entries(TOPIC) == before


def test_a_full_disk_loses_nothing_and_it_goes_on_when_there_is_room(running: Running) -> None:
    """No room for journal or log: it ends or waits, nothing half done goes out; with room again the run finishes."""
    running.start(*running.everything())
    one_run(running)
    before = running.entries(TOPIC)
    process = running.processes[TRAINER]
    assert process.pid is not None
    soft = (running.folder.bank(BANK) / "journal.sqlite").stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
    run = running.submit(plan_for(running.folder, learner=rounds(12)))
    running.wait("a full disk", lambda: process.exitcode is not None or running.said(TRAINER, "log_unavailable"))
    published = running.entries(TOPIC)[len(before) :]
    if process.exitcode is None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        assert process.exitcode == ExitCode.FATAL
        assert "JournalFullError" in str(running.said(TRAINER, "service_failed")[-1])
        running.start(TRAINER)
    assert running.ended(run)["outcome"] == "FINISHED"
    running.settled(run)
    assert running.entries(TOPIC)[len(before) :][: len(published)] == published
    check_outcome(running, run)


def test_a_run_without_end_can_be_left(running: Running) -> None:
    """The aggregator is gone for good: the bank waits, keeps its word, and is free once a person leaves the run."""
    running.start(topics.AGGREGATOR, fault="before-result:2")
    running.start(*running.everything()[1:])
    run = running.submit(plan_for(running.folder, learner=rounds(12)))
    assert running.exit_code(topics.AGGREGATOR) == -signal.SIGKILL
    running.wait("the answer", lambda: len(running.fold().of(BANK, Kind.RELEASE)) == 2)
    url = running.url(f"{BANK}.bank")
    spent = running.get(f"{BANK}.bank", "/v1/ledger")["runs"][0]
    assert (spent["state"], spent["charged_nano"]) == ("open", spent["reserved_nano"])
    answer = httpx.post(f"{url}/v1/runs/{run}:leave")
    assert (answer.status_code, answer.json()["state"]) == (200, "left")
    left = running.get(f"{BANK}.bank", "/v1/ledger")["runs"][0]
    assert left["charged_nano"] == left["spent_nano"] < left["reserved_nano"]
    running.wait("LEFT on the topic", lambda: running.fold().of(BANK, Kind.LEFT) or None)
    assert not list((running.folder.bank(BANK) / "snapshots").glob("*"))
    assert httpx.post(f"{url}/v1/runs/{run}:leave").status_code in {200, 409}
    running.start(topics.AGGREGATOR)
    assert running.ended(run)["outcome"] == "FINISHED"
    running.settled(run)
    found = check_outcome(running, run)
    done = found.state.runs[bytes.fromhex(run)]
    assert len(found.of(BANK, Kind.RELEASE)) < len(done.results) == 14
    assert running.view(run)["roster"] == list(BANKS)
