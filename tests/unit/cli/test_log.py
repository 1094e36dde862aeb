"""`tacit log show`: valid records by their header, others with the reason."""

import datetime as dt
import json
from pathlib import Path

import pytest

from cli_cases import BANKS, Federation3, make
from tacit.cli import planning
from tacit.cli.log import lines, topic_names
from tacit.cli.main import run
from tacit.runtime.exit_codes import ExitCode
from tacit.wire import topics
from tacit.wire.envelope import KeyRing

TOPIC = topics.bank(topics.DEFAULT_PREFIX, "ash").name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Federation3:
    """A folder with a run, and garbage on a bank's topic."""
    place = make(tmp_path_factory.mktemp("log"))
    text = planning.new(planning.Wish(), place.manifest, place.contract, dt.date(2018, 9, 1))
    place.run(planning.read(text.encode()))
    with place.log() as log:
        log.append(TOPIC, b"ash", b"garbage")
    return place


def show(place: Federation3, *more: str) -> int:
    """`tacit log show` for the folder."""
    return run(["log", "show", "--dir", str(place.path), *more])


def test_every_topic_is_shown_with_what_is_wrong(place: Federation3, capsys: pytest.CaptureFixture[str]) -> None:
    """PLAN, JOIN, and the garbage."""
    assert show(place) == 0
    shown = capsys.readouterr().out.splitlines()
    titles = [line for line in shown if line.startswith("tacit.")]
    assert titles == [topic.name for topic in topics.federation(topics.DEFAULT_PREFIX, BANKS)]
    assert "PLAN      aggregator" in shown[1]
    join, garbage = shown[shown.index(TOPIC) + 1 : shown.index(TOPIC) + 3]
    assert "JOIN      ash" in join
    assert "seq 1" in join
    assert garbage.split()[:2] == ["1", "INVALID"]


def test_machines_read_a_line_an_entry(place: Federation3, capsys: pytest.CaptureFixture[str]) -> None:
    """With the same facts."""
    assert show(place, "--topic", "ash", "--json") == 0
    join, garbage = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (join["kind"], join["sender"], join["seq"], join["invalid"]) == ("JOIN", "ash", 1, "")
    assert len(join["run"]) == len(join["digest"]) == 64
    assert garbage["kind"] == ""
    assert garbage["invalid"]


@pytest.mark.parametrize(("last", "offsets"), [(1, [1]), (2, [0, 1]), (50, [0, 1])])
def test_last_counts_from_the_end(place: Federation3, last: int, offsets: list[int]) -> None:
    """Oldest of them first."""
    with place.log() as log:
        assert [line.offset for line in lines(log, TOPIC, last, KeyRing([place.manifest]))] == offsets


def test_a_record_of_an_unknown_epoch_keeps_its_digest(place: Federation3) -> None:
    """So that it can be found on another reader's list."""
    with place.log() as log:
        (join, _) = lines(log, TOPIC, 2, KeyRing([place.manifest]))
        (blind, _) = lines(log, TOPIC, 2, KeyRing([]))
    assert blind.digest == join.digest
    assert blind.invalid.startswith("unknown_manifest") or "manifest" in blind.invalid


@pytest.mark.parametrize("wanted", ["ash", TOPIC])
def test_a_topic_by_short_or_full_name(place: Federation3, wanted: str) -> None:
    """Both mean the same."""
    assert topic_names(place.manifest, topics.DEFAULT_PREFIX, wanted) == [TOPIC]


def test_an_unknown_topic_lists_the_known(place: Federation3, capsys: pytest.CaptureFixture[str]) -> None:
    """And a call without a place is wrong, too."""
    assert show(place, "--topic", "pine") == ExitCode.USAGE
    assert "control, versions, ash, elm, oak" in " ".join(capsys.readouterr().err.split())
    assert run(["log", "show"]) == ExitCode.USAGE
    assert run(["log", "show", "--dir", str(Path("nowhere"))]) == ExitCode.USAGE


def test_records_of_an_earlier_epoch_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The settings name it; without it the one in force is refused, as by the service."""
    place = make(tmp_path / "fed")
    text = planning.new(planning.Wish(), place.manifest, place.contract, dt.date(2018, 9, 1))
    place.run(planning.read(text.encode()))
    place.move_on("aggregator")
    assert show(place, "--topic", "ash", "--json") == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "JOIN"
    place.folder.manifest.with_name("epoch-1.json").unlink()
    assert show(place) == ExitCode.DATA
