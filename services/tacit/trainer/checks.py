"""What this bank re-derives of a run, once: RESULTs before it answers again, all of it and its model at END."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from tacit.rounds import verify
from tacit.rounds.state import Run, State
from tacit.rounds.types import EndBody, Outcome
from tacit.rounds.verify import Deviation
from tacit.trainer.answers import Answerer


@dataclass(frozen=True)
class Finding:
    """What was compared, by digest, and the first deviation; empty when it agrees."""

    subject: bytes
    deviation: str


@dataclass(frozen=True)
class Finished:
    """A run that ended with a model which this bank re-derived: what the bank's own choice needs.

    Attributes:
        run: The run.
        model: The model file.
        answerer: The bank's rows and margins; None if it did not take part.
    """

    run: Run
    model: bytes
    answerer: Answerer | None


class Checks:
    """Remembers what was compared, and looks for a missing record again only after something was read.

    Args:
        state: The fold.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._reads = 0
        self._missing: dict[bytes, int] = {}
        self._rounds: dict[bytes, int] = {}
        self._ends: dict[bytes, Finding] = {}
        self._models: dict[bytes, bytes] = {}

    def read(self, records: int) -> None:
        """Notes how many records were just folded."""
        self._reads += records

    def results(self, run: Run) -> Finding | None:
        """Compares the RESULTs so far with what they name; None while a named record is missing."""
        for number in range(self._rounds.get(run.id, 0), len(run.results)):
            deviation = self._looked(run, functools.partial(verify.check_result, self._state, run, number))
            if deviation is None:
                return None
            if deviation:
                return Finding(run.results[number].digest, deviation.text)
            self._rounds[run.id] = number + 1
        return Finding(b"", "")

    def end(self, run: Run) -> Finding | None:
        """Compares a run with its END; None while a named record, or the run's contract, is missing."""
        if run.id not in self._ends:
            deviation = self._looked(run, functools.partial(verify.check_run, self._state, run))
            if deviation is None or run.end is None:
                return None
            self._ends[run.id] = Finding(run.end.digest, deviation.text)
        return self._ends[run.id]

    def model(self, run: Run) -> bytes:
        """The model file of a run that agrees with its END."""
        if run.id not in self._models:
            self._models[run.id] = verify.model_bytes(run)
        return self._models[run.id]

    def newest(self, run: Run) -> bool:
        """Whether no later run of its model's name has finished in the fold: only the newest one is of use."""
        name = run.document.model
        ended = [other.id for other in self._state.runs.values() if finished(other) and other.document.model == name]
        return bool(ended) and ended[-1] == run.id

    def forget(self, run: bytes) -> None:
        """Drops what is kept about a run."""
        for kept in (self._missing, self._rounds, self._ends, self._models):
            kept.pop(run, None)

    def _looked(self, run: Run, compare: Callable[[], Deviation]) -> Deviation | None:
        if self._missing.get(run.id) == self._reads:
            return None
        deviation = compare()
        if deviation.missing:
            self._missing[run.id] = self._reads
            return None
        return deviation


def finished(run: Run) -> bool:
    """Whether a run's standing END names a model."""
    body = run.end.body if run.end is not None else None
    return isinstance(body, EndBody) and body.outcome is Outcome.FINISHED


def absent(run: Run) -> Finding:
    """What is said of a run whose records never came."""
    assert run.end is not None  # noqa: S101  asked after END
    return Finding(run.end.digest, verify.lacking("a record that the run names is not on the log").text)
