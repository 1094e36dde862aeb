"""The rows of open runs: one snapshot file a run, what reads it, and its erasure at END or LEFT (protocol 4, Bank)."""

import threading
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from tacit.learning.basis import Basis
from tacit.rounds.state import Run
from tacit.rounds.terms import Terms
from tacit.runtime.observing import get_logger
from tacit.trainer import snapshot as snapshots
from tacit.trainer.answers import Answerer
from tacit.trainer.ports import Journal, Rows, Worker
from tacit.trainer.snapshot import Snapshot

SUFFIX = ".arrow"

_log = get_logger(__name__)


class Holdings:
    """Makes, reads and erases snapshots; the worker's thread and the loop's may both be in here.

    Args:
        folder: Where the files lie; nothing else may lie there.
        journal: Holds the key of the subsampling rule.
        rows: The bank's rows.
        worker: Does the long work.

    Attributes:
        faults: Run id to why its rows could not be used, for the bank's operator.
    """

    def __init__(self, folder: Path, journal: Journal, rows: Rows, worker: Worker) -> None:
        self._folder = folder
        self._journal = journal
        self._rows = rows
        self._worker = worker
        self._answerers: dict[bytes, Answerer] = {}
        self._dropped: set[bytes] = set()
        self.faults: dict[bytes, str] = {}
        self._lock = threading.Lock()

    def path(self, run: bytes) -> Path:
        """The snapshot file of a run."""
        return self._folder / f"{run.hex()}{SUFFIX}"

    def ready(self, run: Run, terms: Terms, *, joined: bool = True) -> bool:
        """Whether the run's snapshot is on disk; starts making it if it is not, also where it got lost.

        Whatever goes wrong with rows leaves an empty snapshot and a word in `faults`: nobody else learns of it.

        Raises:
            RowsUnusableError: If the source's columns do not fit; only before JOIN.
        """
        if self.path(run.id).exists():
            return True
        key = ("snapshot", run.id)
        made = self._worker.done(key, lambda: self._make(run, terms, joined=joined))
        if made is not None:
            self._worker.forget(key)
        return made is not None

    def answerer(self, run: Run) -> Answerer:
        """Reads the run's snapshot, once."""
        held = self._answerers.get(run.id)
        if held is not None:
            return held
        assert run.terms is not None  # noqa: S101  a joined run has terms
        made = Answerer(snapshots.load(self.path(run.id)), run.terms, Basis(run.terms.contract))
        with self._lock:
            if run.id not in self._dropped:
                self._answerers[run.id] = made
        return made

    def drop(self, run: bytes) -> None:
        """Erases a run's rows; work on them that is still under way leaves nothing behind."""
        with self._lock:
            self._dropped.add(run)
            self._answerers.pop(run, None)
            self.path(run).unlink(missing_ok=True)

    def sweep(self, kept: Iterable[bytes]) -> None:
        """Erases what an earlier process left, but for the snapshots of these runs."""
        names = {self.path(run).name for run in kept}
        for path in self._folder.glob("*"):
            if path.name not in names:
                path.unlink()

    def _make(self, run: Run, terms: Terms, *, joined: bool) -> bool:
        if not joined:
            self._rows.check(terms.contract)
        key = self._journal.sample_key()
        try:
            made = self._built(run, terms, key)
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001  rows decide which one it is
            self.faults[run.id] = f"no rows could be used, zeros plus noise are sent: {error}"
            _log.error("rows_unusable", run=run.id.hex(), error=type(error).__name__, reason=str(error))
            made = snapshots.empty(terms.contract)
        snapshots.save(made, self.path(run.id))
        with self._lock:
            if run.id in self._dropped:
                self.path(run.id).unlink(missing_ok=True)
        return True

    def _built(self, run: Run, terms: Terms, key: bytes) -> Snapshot:
        plan, contract = terms.plan, terms.contract
        reach = snapshots.span(plan.window, contract.look_back_days, self._rows.zone)
        kept = snapshots.keyed_rule(key, run.id, plan.subsample)
        frame = self._rows.read(reach.first, reach.last)
        feeds = self._rows.feeds({column.feed for column in contract.columns if column.feed is not None})
        return snapshots.build(frame, contract, plan, reach, feeds=feeds, kept=kept)
