"""Snapshots of open runs: made once, read once, and gone for good at the end, also where work is under way."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl
import pytest

import federation_cases as cases
from tacit.rounds.state import Run
from tacit.rounds.terms import Terms
from tacit.sim.federation import FrameRows, InlineWorker
from tacit.trainer.holdings import SUFFIX, Holdings
from tacit.trainer.ports import RowsUnusableError
from tacit.trainer.snapshot import load, span

T = TypeVar("T")


@dataclass
class LateWorker:
    """Does its work when the test says so."""

    waiting: dict[object, Callable[[], object]] = field(default_factory=dict)
    results: dict[object, object] = field(default_factory=dict)
    forgotten: list[object] = field(default_factory=list)
    busy = False

    def done(self, key: object, work: Callable[[], T]) -> T | None:
        """Nothing until it was done."""
        if key not in self.results:
            self.waiting.setdefault(key, work)
        return self.results.get(key)  # type: ignore[return-value]

    def forget(self, key: object) -> None:
        """Drops a result."""
        self.forgotten.append(key)
        self.results.pop(key, None)

    def finish(self) -> None:
        """Does all that waits."""
        for key, work in self.waiting.items():
            self.results[key] = work()
        self.waiting.clear()


@dataclass
class WatchedRows(FrameRows):
    """Rows that remember what was asked of them."""

    asked: list[tuple[int, int]] = field(default_factory=list)

    def read(self, first: int, last: int) -> pl.DataFrame:
        """As asked."""
        self.asked.append((first, last))
        return super().read(first, last)


class SampleKey:
    """As much of a journal as is needed."""

    def __init__(self, key: bytes = b"k" * 32) -> None:
        self._key = key

    def sample_key(self) -> bytes:
        """The key."""
        return self._key


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run of two banks."""
    fed = cases.federation(tmp_path_factory.mktemp("holdings"), 2, seed=1)
    yield fed.run(fed.submit(cases.plan_for(fed)), 300)
    fed.close()


@pytest.fixture
def terms(run: Run) -> Terms:
    """Its terms."""
    assert run.terms is not None
    return run.terms


@pytest.fixture
def rows() -> WatchedRows:
    """A bank's rows in a zone that is not UTC."""
    return WatchedRows(cases.rows(1), "Europe/Berlin")


def holdings(folder: Path, rows: FrameRows, worker: object | None = None, key: bytes = b"k" * 32) -> Holdings:
    """Holdings in a folder."""
    return Holdings(folder, SampleKey(key), rows, worker or InlineWorker())  # type: ignore[arg-type]


def test_a_snapshot_is_made_once(tmp_path: Path, rows: WatchedRows, run: Run, terms: Terms) -> None:
    """From the rows of the window with look-back and quality days, at midnights of the bank's zone."""
    held = holdings(tmp_path, rows)
    assert held.ready(run, terms)
    assert held.ready(run, terms)
    reach = span(terms.plan.window, terms.contract.look_back_days, "Europe/Berlin")
    assert rows.asked == [(reach.first, reach.last)]
    assert [path.name for path in tmp_path.iterdir()] == [run.id.hex() + SUFFIX]


def test_a_snapshot_that_got_lost_is_made_again(tmp_path: Path, rows: WatchedRows, run: Run, terms: Terms) -> None:
    """The same rows, the same file."""
    held = holdings(tmp_path, rows)
    held.ready(run, terms)
    before = held.path(run.id).read_bytes()
    held.path(run.id).unlink()
    assert held.ready(run, terms)
    assert held.path(run.id).read_bytes() == before


def test_one_that_an_earlier_process_made_is_taken(tmp_path: Path, rows: WatchedRows, run: Run, terms: Terms) -> None:
    """Rows may have changed since JOIN; the run's have not."""
    holdings(tmp_path, rows).ready(run, terms)
    assert holdings(tmp_path, rows).ready(run, terms)
    assert len(rows.asked) == 1


def test_a_snapshot_under_way_is_not_ready(tmp_path: Path, rows: WatchedRows, run: Run, terms: Terms) -> None:
    """Asked often, made once; the worker is told that its result was fetched or is not needed."""
    worker = LateWorker()
    held = holdings(tmp_path, rows, worker)
    assert [held.ready(run, terms) for _ in range(3)] == [False] * 3
    assert rows.asked == []
    worker.finish()
    assert held.ready(run, terms)
    assert len(rows.asked) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_dropped_run_leaves_nothing(tmp_path: Path, rows: WatchedRows, run: Run, terms: Terms, moment: str) -> None:
    """Also where its snapshot is written after the run is over."""
    worker = LateWorker()
    held = holdings(tmp_path, rows, worker)
    held.ready(run, terms)
    if moment == "before":
        held.drop(run.id)
    worker.finish()
    if moment == "after":
        assert held.path(run.id).exists()
        held.drop(run.id)
    assert list(tmp_path.iterdir()) == []


def test_dropping_what_was_never_held_does_nothing(tmp_path: Path, rows: WatchedRows) -> None:
    """A run that this bank did not join ends too."""
    held = holdings(tmp_path / "not made yet", rows)
    held.drop(bytes(32))
    assert not (tmp_path / "not made yet").exists()


def test_rows_are_read_once(tmp_path: Path, rows: WatchedRows, run: Run, terms: Terms) -> None:
    """The same answerer, with its margins, for every round; a new one after the run was dropped."""
    held = holdings(tmp_path, rows)
    held.ready(run, terms)
    content = held.path(run.id).read_bytes()
    first = held.answerer(run)
    assert held.answerer(run) is first
    assert first.terms is terms
    held.drop(run.id)
    held.path(run.id).write_bytes(content)
    again = held.answerer(run)
    assert again is not first
    assert held.answerer(run) is not again


def test_the_answerer_has_the_rows_of_the_file(tmp_path: Path, rows: WatchedRows, run: Run, terms: Terms) -> None:
    """Those of the snapshot, whatever the source says by now."""
    held = holdings(tmp_path, rows)
    held.ready(run, terms)
    rows.frame = rows.frame.clear()
    found, stored = held.answerer(run).snapshot, load(held.path(run.id))
    assert found.training.encoded.rows == stored.training.encoded.rows > 0
    assert found.quality.times.tolist() == stored.quality.times.tolist() != []


def test_a_sweep_keeps_what_is_named(tmp_path: Path, rows: WatchedRows, run: Run, terms: Terms) -> None:
    """Snapshots of other runs and half-written files of an earlier process go."""
    held = holdings(tmp_path, rows)
    held.ready(run, terms)
    held.path(bytes(32)).write_bytes(b"old")
    (tmp_path / f"{run.id.hex()}.partial").write_bytes(b"half")
    held.sweep([run.id])
    assert [path.name for path in tmp_path.iterdir()] == [run.id.hex() + SUFFIX]
    held.sweep([])
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_of_a_folder_that_is_not_there_does_nothing(tmp_path: Path, rows: WatchedRows) -> None:
    """The first start of a bank."""
    holdings(tmp_path / "none", rows).sweep([bytes(32)])
    assert not (tmp_path / "none").exists()


def test_a_source_that_does_not_fit_leaves_no_file(
    tmp_path: Path, rows: WatchedRows, run: Run, terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before JOIN the error reaches the machine, which refuses the run; no row was read for it."""

    def unusable(*_: object) -> None:
        raise RowsUnusableError("column amount is missing")

    monkeypatch.setattr(WatchedRows, "check", unusable)
    with pytest.raises(RowsUnusableError, match="amount is missing"):
        holdings(tmp_path, rows).ready(run, terms, joined=False)
    assert list(tmp_path.iterdir()) == []
    assert rows.asked == []


@pytest.mark.parametrize("error", [RowsUnusableError("page 7"), ValueError("odd"), pl.exceptions.PanicException("p")])
@pytest.mark.parametrize("joined", [True, False])
def test_rows_that_cannot_be_read_are_no_rows(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, joined: bool
) -> None:
    """Whatever depends on rows: an empty snapshot, and a word for the bank's operator alone."""

    def unreadable(*_: object) -> None:
        raise error

    monkeypatch.setattr(WatchedRows, "read", unreadable)
    assert run.terms is not None
    made = holdings(tmp_path, WatchedRows(cases.rows(1)))
    assert made.ready(run, run.terms, joined=joined)
    found = load(made.path(run.id))
    assert (found.training.encoded.rows, found.quality.encoded.units) == (0, 0)
    assert found.training.encoded.bins.shape == (2, 0)
    assert str(error) in made.faults[run.id]
