"""What people and dashboards see of the aggregator: runs as plain data, evidence, gauges."""

from typing import Any

from tacit import canonical
from tacit.aggregator import metrics
from tacit.aggregator.handlers import Aggregator
from tacit.rounds import verify
from tacit.rounds.state import Run
from tacit.rounds.types import EndBody, Kind, Refusal, RefusedBody
from tacit.runtime.inbox import Inbox, InvalidRecords
from tacit.runtime.observing import Events, Metrics


def phase(run: Run) -> str:
    """Where a run is, in one word of formats 3."""
    if run.end is not None:
        return "ENDED"
    if run.open is None:
        return "PLANNED"
    return "JOINING" if run.roster is None else "ROUND"


def run_view(aggregator: Aggregator, run: Run) -> dict[str, Any]:
    """A run as plain data. Everything in it stands on the log or in the plan."""
    plan, terms = run.document, run.terms
    end = run.end.body if run.end is not None else None
    refused = {
        bank: Refusal(record.body.code).name
        for bank, record in aggregator.state.answers(run, Kind.REFUSED)
        if isinstance(record.body, RefusedBody)
    }
    answered = sorted(verify.releases(aggregator.state, run, run.attempt.slot)) if run.attempt is not None else []
    return {
        "run": run.id.hex(),
        "model": plan.model,
        "phase": phase(run),
        "round": len(run.results),
        "rounds": len(terms.stages) if terms is not None else plan.rounds,
        "roster": list(run.banks),
        "joined": sorted(bank for bank, _ in aggregator.state.answers(run, Kind.JOIN)),
        "refused": refused,
        "answered": answered,
        "waiting_for": list(aggregator.leader.waiting_for(run)) if phase(run) in {"JOINING", "ROUND"} else [],
        "epsilon": canonical.number(plan.epsilon),
        "epsilon_reserved": terms.epsilon if terms is not None else None,
        "epsilon_spent_ratio": _spent_ratio(run),
        "delta": canonical.number(plan.delta),
        "unit": terms.unit_text if terms is not None else str(plan.unit),
        "mode": str(plan.mode),
        "fault": run.fault or None,
        "outcome": end.outcome.name if isinstance(end, EndBody) else None,
        "reason": end.reason.name if isinstance(end, EndBody) else None,
        "model_digest": canonical.label(end.model) if isinstance(end, EndBody) and end.model else None,
    }


def _spent_ratio(run: Run) -> float:
    """Share of the reserved rho that the rounds so far have cost."""
    if run.terms is None:
        return 0.0
    spent = sum(noise.rho_nano for noise in run.terms.budget.noises[: len(run.results)])
    return spent / run.terms.budget.reserved_rho_nano


def evidence(aggregator: Aggregator, inbox: Inbox) -> dict[str, Any]:
    """Invalid entries, records that did not stand, and pairs of signed contradictions."""
    state = aggregator.state
    return {
        "invalid": {
            "counts": dict(inbox.invalid),
            "first": [
                {"topic": item.topic, "offset": item.offset, "reason": item.reason, "detail": item.detail}
                for item in inbox.listed
            ],
        },
        "void": {
            "counts": dict(state.void),
            "first": [{"record": digest.hex(), "reason": reason} for digest, reason in state.void_records],
        },
        "equivocations": [[first.hex(), second.hex()] for first, second in state.equivocations],
    }


class Gauges:
    """Keeps the metrics equal to the fold; counters of runs and rounds start when the control topic was read.

    Args:
        aggregator: The machine.
        inbox: Its inbox.
        measured: The process's metrics.
    """

    def __init__(self, aggregator: Aggregator, inbox: Inbox, measured: Metrics) -> None:
        self._aggregator = aggregator
        self._inbox = inbox
        self._measured = measured
        self._invalid = InvalidRecords(measured)
        self._events = Events(measured)
        self._rounds: dict[bytes, int] = {}
        self._ended: set[bytes] = set()
        self._attempt: tuple[bytes, int] | None = None

    def update(self, now: float) -> None:
        """Sets every gauge and adds what is new to the counters; `now` is the wall clock in seconds."""
        state, measured = self._aggregator.state, self._measured
        measured.set(metrics.LEADING.name, float(self._aggregator.leading))
        self._invalid.update(self._inbox.invalid)
        measured.set(metrics.VOID.name, float(state.void.total()))
        for run in state.runs.values():
            self._count(run)
        self._events.begin(self._aggregator.ready)
        self._active(state.active, now)

    def _count(self, run: Run) -> None:
        before = self._rounds.get(run.id, 0)
        if len(run.results) > before:
            self._events.count(metrics.ROUNDS.name, len(run.results) - before)
            self._rounds[run.id] = len(run.results)
        body = run.end.body if run.end is not None else None
        if isinstance(body, EndBody) and run.id not in self._ended:
            self._ended.add(run.id)
            self._events.count(metrics.RUNS_ENDED.name, outcome=body.outcome.name.lower())

    def _active(self, run: Run | None, now: float) -> None:
        attempt = run.attempt if run is not None else None
        answered = verify.releases(self._aggregator.state, run, attempt.slot) if run and attempt else {}
        missing = len(run.banks) - len(answered) if run and attempt else 0
        self._measured.set(metrics.WAITING.name, float(len(answered)), state="answered")
        self._measured.set(metrics.WAITING.name, float(missing), state="missing")
        self._measured.set(metrics.ROUND.name, float(attempt.round) if attempt else -1.0)
        key = (run.id, attempt.slot) if run and attempt else None
        if key != self._attempt:
            self._attempt = key
            self._measured.set(metrics.OPENED.name, now if key else 0.0)
        if run is not None and run.terms is not None:
            self._measured.set(metrics.EPSILON.name, float(run.terms.epsilon), model=run.document.model)
