"""The rows of open runs: one snapshot file a run, what reads it, and its erasure at END or LEFT (protocol 4, Bank)."""

import threading
from collections.abc import Iterable
from pathlib import Path

from tacit.learning.basis import Basis
from tacit.rounds.state import Run
from tacit.rounds.terms import Terms
from tacit.trainer import snapshot as snapshots
from tacit.trainer.answers import Answerer
from tacit.trainer.ports import Journal, Rows, Worker

SUFFIX = ".arrow"


class Holdings:
    """Makes, reads and erases snapshots; the worker's thread and the loop's may both be in here.

    Args:
        folder: Where the files lie; nothing else may lie there.
        journal: Holds the key of the subsampling rule.
        rows: The bank's rows.
        worker: Does the long work.
    """

    def __init__(self, folder: Path, journal: Journal, rows: Rows, worker: Worker) -> None:
        self._folder = folder
        self._journal = journal
        self._rows = rows
        self._worker = worker
        self._answerers: dict[bytes, Answerer] = {}
        self._dropped: set[bytes] = set()
        self._lock = threading.Lock()

    def path(self, run: bytes) -> Path:
        """The snapshot file of a run."""
        return self._folder / f"{run.hex()}{SUFFIX}"

    def ready(self, run: Run, terms: Terms) -> bool:
        """Whether the run's snapshot is on disk; starts making it if it is not, also where it got lost.

        Raises:
            RowsUnusableError: If the source does not fit.
        """
        if self.path(run.id).exists():
            return True
        key = ("snapshot", run.id)
        made = self._worker.done(key, lambda: self._make(run, terms))
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

    def _make(self, run: Run, terms: Terms) -> bool:
        plan, contract = terms.plan, terms.contract
        reach = snapshots.span(plan.window, contract.look_back_days, self._rows.zone)
        kept = snapshots.keyed_rule(self._journal.sample_key(), run.id, plan.subsample)
        frame = self._rows.read(reach.first, reach.last)
        made = snapshots.build(frame, contract, plan, reach, feeds=self._rows.feeds(), kept=kept)
        snapshots.save(made, self.path(run.id))
        with self._lock:
            if run.id in self._dropped:
                self.path(run.id).unlink(missing_ok=True)
        return True
