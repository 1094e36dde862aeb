"""The bank's machine in mode `local` (protocol 4 and 5): one `step` reads, folds, and does what is due.

Nothing is published that the journal does not hold; whatever a step does may be repeated after a crash.
"""

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tacit.features.spec import Contract
from tacit.federation import Manifest, Policy
from tacit.learning.basis import Basis
from tacit.privacy.release import release
from tacit.privacy.types import Bounded, Mode, Release, ReleaseEvent
from tacit.rounds import verify
from tacit.rounds.ledger import BudgetExceededError, Position, Reservation, RunState, Sealed
from tacit.rounds.plan import milliseconds
from tacit.rounds.state import Attempt, Run, State
from tacit.rounds.terms import Terms
from tacit.rounds.types import (
    Body,
    Checked,
    EndBody,
    JoinBody,
    Kind,
    LeftBody,
    Outcome,
    Place,
    Refusal,
    RefusedBody,
    StartBody,
    VerdictBody,
    context,
)
from tacit.runtime.clock import Clock
from tacit.runtime.inbox import Inbox
from tacit.runtime.observing import get_logger
from tacit.trainer import policy as rules
from tacit.trainer import snapshot as snapshots
from tacit.trainer.answers import Answerer, request_digest
from tacit.trainer.outbox import Outbox
from tacit.trainer.ports import Journal, Rows, RowsUnusableError, Worker
from tacit.wire import codec

STALE_RUN_SECONDS = 7 * 86_400
"""A run that did not end for this long after its JOIN is left (protocol 4)."""

PENDING_WAIT = 0.02
"""Longest wait for records, in seconds, while work is under way beside the loop."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class Bank:
    """What a trainer is bound by.

    Attributes:
        policy: The bank's policy.
        manifest: The accepted epoch.
        contracts: Contracts at hand, by their ``sha256:`` digest.
        snapshots: Folder of snapshots.
        topic: The bank's own topic.
    """

    policy: Policy
    manifest: Manifest
    contracts: Mapping[str, Contract]
    snapshots: Path
    topic: str


@dataclass(frozen=True)
class Ports:
    """The world as the handlers see it; `entropy` gives random bytes."""

    inbox: Inbox
    outbox: Outbox
    journal: Journal
    rows: Rows
    worker: Worker
    clock: Clock
    entropy: Callable[[int], bytes]


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


class Trainer:
    """Takes part in runs for one bank.

    Args:
        bank: What it is bound by.
        ports: What it works with.
        finished: Told once per process of every verified model, before the run's rows are erased; long work there
            goes through the worker and returns False until it is done.

    Attributes:
        state: The fold; others read it only while they hold `lock`.
        lock: Guards the machine against HTTP threads; never held while waiting for records.
        objections: Run id to the reason of a refusal, for the bank's operator.
    """

    def __init__(self, bank: Bank, ports: Ports, finished: Callable[[Finished], bool]) -> None:
        self.state = State(bank.manifest, bank.contracts)
        self.objections: dict[bytes, str] = {}
        self._bank = bank
        self._ports = ports
        self._finished = finished
        self._answerers: dict[bytes, Answerer] = {}
        self._checked: dict[bytes, int] = {}
        self._deviations: dict[bytes, str] = {}
        self._joined: dict[bytes, float] = {}
        self._closed: set[bytes] = set()
        self._begun = False
        self.lock = threading.RLock()

    @property
    def ready(self) -> bool:
        """Whether the own topic was read to its end and agrees with the journal."""
        return self._begun

    def step(self, timeout: float) -> None:
        """Reads what is new, waiting at most `timeout` seconds, and does what is due.

        Raises:
            LogUnavailableError: If the log is away; the step may be repeated.
            TrainerStoppedError: If journal and topic disagree.
        """
        longest = PENDING_WAIT if self._ports.worker.busy else timeout
        records = self._ports.inbox.poll(self._ports.outbox.wait(longest))
        with self.lock:
            self._take(records)
            if not self._begun:
                self._begin()
            if self._begun:
                for run in [run for key, run in self.state.runs.items() if key not in self._closed]:
                    self._follow(run)
                self._ports.outbox.send()

    def _take(self, records: Iterable[Checked]) -> None:
        for record in records:
            self.state.apply(record)
            if record.topic == self._bank.topic:
                self._ports.outbox.read_back(record)

    def closed(self, run: bytes) -> bool:
        """Whether this process has nothing left to do in a run."""
        return run in self._closed

    def leave(self, run: Run) -> None:
        """Leaves a run for ever: no further answers, what is left of the reservation is free."""
        self._record(run, Kind.LEFT, LeftBody(run.id))
        self._ports.journal.finish(run.id, RunState.LEFT)
        self._close(run)
        _log.info("run_left", run=run.id.hex())

    def _begin(self) -> None:
        """Reads everything first, sends what was stored before, then START (protocol 5, Sending)."""
        if not self._ports.inbox.caught_up():
            return
        self._ports.outbox.check()
        self._ports.outbox.resume()
        self._ports.outbox.send()
        manifest = self._bank.manifest
        place = Place(manifest.federation, manifest.digest)
        compose = self._ports.outbox.compose(Kind.START, StartBody(self._ports.entropy(16)), place)
        self._ports.outbox.put(self._ports.journal.record(Kind.START, b"", None, compose))
        self._begun = True

    def _follow(self, run: Run) -> None:
        state = self._ports.journal.state(run.id)
        if state is RunState.NONE:
            self._before(run)
        elif state is not RunState.OPEN:
            self._after(run)
        elif run.end is not None:
            self._finish(run)
        elif self._stale(run):
            self.leave(run)
        elif run.attempt is not None and self._bank.policy.bank in run.banks:
            self._answer(run, run.attempt)

    # Before ROSTER

    def _before(self, run: Run) -> None:
        if run.end is not None:
            self._after(run)
        elif run.open is not None and run.roster is None:
            self._consider(run)

    def _consider(self, run: Run) -> None:
        if self._ports.journal.stored(run.id, None, Kind.REFUSED) is not None:
            return
        terms = run.terms
        if terms is None:
            self._refuse(run, Refusal.CONTRACT, run.fault)
            return
        today = dt.datetime.fromtimestamp(self._ports.clock.now(), dt.UTC).date()
        if terms.plan.mode is not Mode.LOCAL:
            self._refuse(run, Refusal.POLICY, "mode distributed needs secure aggregation")
            return
        objection = next(rules.objections(terms, self._bank.manifest, self._bank.policy, today), None)
        if objection is not None:
            self._refuse(run, objection.code, objection.reason)
        elif self._busy(run):
            self._refuse(run, Refusal.BUSY, "another run of this account is open")
        else:
            self._join(run, terms)

    def _busy(self, run: Run) -> bool:
        return any(
            charge.state is RunState.OPEN and charge.run != run.id for charge in self._ports.journal.ledger().runs
        )

    def _join(self, run: Run, terms: Terms) -> None:
        try:
            path = self._ports.worker.done(("snapshot", run.id), lambda: self._snapshot(run, terms))
        except RowsUnusableError as error:
            self._refuse(run, Refusal.CONTRACT, str(error))
            return
        if path is None:
            return
        reservation = Reservation(
            run.id, self._bank.policy.account, rules.buckets(terms), terms.budget.reserved_rho_nano
        )
        self._ports.outbox.check()
        compose = self._ports.outbox.compose(Kind.JOIN, JoinBody(b"", b""), self._run_place(run))
        try:
            self._ports.outbox.put(self._ports.journal.reserve(reservation, compose))
        except BudgetExceededError as error:
            self._refuse(run, Refusal.BUDGET, str(error))
            self._snapshot_path(run).unlink(missing_ok=True)
            return
        _log.info("run_joined", run=run.id.hex(), epsilon=terms.epsilon)

    def _snapshot(self, run: Run, terms: Terms) -> Path:
        plan, contract = terms.plan, terms.contract
        reach = snapshots.span(plan.window, contract.look_back_days, self._ports.rows.zone)
        kept = snapshots.keyed_rule(self._ports.journal.sample_key(), run.id, plan.subsample)
        rows = self._ports.rows.read(reach.first, reach.last)
        made = snapshots.build(rows, contract, plan, reach, feeds=self._ports.rows.feeds(), kept=kept)
        path = self._snapshot_path(run)
        snapshots.save(made, path)
        return path

    def _refuse(self, run: Run, code: Refusal, reason: str) -> None:
        self.objections[run.id] = reason
        self._record(run, Kind.REFUSED, RefusedBody(code))
        _log.warning("run_refused", run=run.id.hex(), code=code.name, reason=reason)

    # Rounds

    def _answer(self, run: Run, attempt: Attempt) -> None:
        if self._ports.journal.stored(run.id, attempt.slot, Kind.RELEASE) is not None or not self._agrees(run):
            return
        bounded = self._ports.worker.done(("round", run.id, attempt.slot), lambda: self._statistic(run))
        if bounded is None or run.terms is None or run.roster is None:
            return
        self._ports.worker.forget(("round", run.id, attempt.slot))
        named = run.roster.body.joins[self._bank.policy.bank]  # type: ignore[union-attr]
        self._ports.outbox.check([named])
        place = run.place(self._bank.manifest, attempt)
        self._ports.journal.bind(run.id, attempt.slot, context(place))
        self._spend(run, attempt, run.terms, bounded)

    def _spend(self, run: Run, attempt: Attempt, terms: Terms, bounded: Bounded) -> None:
        noise = terms.budget.noises[attempt.round]
        place = run.place(self._bank.manifest, attempt)

        def compose(position: Position, drawn: Release) -> Sealed:
            return self._ports.outbox.compose(Kind.RELEASE, codec.vector_body(drawn), place)(position)

        stored = self._ports.journal.spend(
            run.id,
            attempt.slot,
            request=request_digest(run, attempt, terms),
            rho=ReleaseEvent(Mode.LOCAL, noise.variance, noise.rho_nano, noise.rho_nano),
            draw=lambda: release(bounded, noise, Mode.LOCAL),
            compose=compose,
        )
        tick = milliseconds(terms.plan.tick) / 1000
        now = self._ports.clock.monotonic()
        self._ports.outbox.put(stored, (now // tick + 1) * tick)
        _log.info("release_stored", run=run.id.hex(), round=attempt.round, slot=attempt.slot)

    def _statistic(self, run: Run) -> Bounded:
        assert run.course is not None  # noqa: S101  an attempt follows ROSTER
        return self._answerer(run).bounded(run.course)

    def _answerer(self, run: Run) -> Answerer:
        if run.id not in self._answerers:
            assert run.terms is not None  # noqa: S101  a joined run has terms
            made = snapshots.load(self._snapshot_path(run))
            self._answerers[run.id] = Answerer(made, run.terms, Basis(run.terms.contract))
        return self._answerers[run.id]

    def _agrees(self, run: Run) -> bool:
        """Re-derives every RESULT before the next answer (protocol 3); a deviation is said, then the run left."""
        for number in range(self._checked.get(run.id, 0), len(run.results)):
            deviation = verify.check_result(self.state, run, number)
            if deviation.startswith(verify.MISSING):
                return False
            if deviation:
                self._record(run, Kind.VERDICT, VerdictBody(run.results[number].digest, deviation))
                _log.error("wrong_result", run=run.id.hex(), round=number, deviation=deviation)
                self.leave(run)
                return False
            self._checked[run.id] = number + 1
        return True

    # After END

    def _finish(self, run: Run) -> None:
        """Verifies a run that this bank took part in, makes the bank's own choice, then erases (protocol 4)."""
        if not self._verified(run):
            return
        if self._done(run, self._answerer_or_none(run)):
            self._ports.journal.finish(run.id, RunState.DONE)
            self._close(run)
            _log.info("run_finished", run=run.id.hex())

    def _after(self, run: Run) -> None:
        """Verifies a run that this bank did not take part in, or had finished before a restart."""
        if run.end is not None and self._verified(run) and self._done(run, None):
            self._close(run)

    def _verified(self, run: Run) -> bool:
        """Whether this bank's verdict of the run is stored; stores it once the records are there."""
        assert run.end is not None  # noqa: S101  asked after END
        if run.id not in self._deviations:
            deviation = verify.check_run(self.state, run)
            if deviation.startswith(verify.MISSING):
                return False
            self._deviations[run.id] = deviation
            self._record(run, Kind.VERDICT, VerdictBody(run.end.digest, deviation))
            if deviation:
                _log.error("wrong_run", run=run.id.hex(), deviation=deviation)
        return True

    def _done(self, run: Run, answerer: Answerer | None) -> bool:
        body = run.end.body if run.end is not None else None
        if not isinstance(body, EndBody) or body.outcome is not Outcome.FINISHED or self._deviations[run.id]:
            return True
        return self._finished(Finished(run, verify.model_bytes(run), answerer))

    def _answerer_or_none(self, run: Run) -> Answerer | None:
        return self._answerer(run) if self._snapshot_path(run).exists() else None

    # Shared

    def _stale(self, run: Run) -> bool:
        if run.id not in self._joined:
            charges = self._ports.journal.ledger().runs
            self._joined[run.id] = next(charge.joined_ms / 1000 for charge in charges if charge.run == run.id)
        return self._ports.clock.now() - self._joined[run.id] > STALE_RUN_SECONDS

    def _record(self, run: Run, kind: Kind, body: Body) -> None:
        compose = self._ports.outbox.compose(kind, body, self._run_place(run))
        self._ports.outbox.put(self._ports.journal.record(kind, run.id, None, compose))

    def _run_place(self, run: Run) -> Place:
        return Place(self._bank.manifest.federation, self._bank.manifest.digest, run.id)

    def _snapshot_path(self, run: Run) -> Path:
        return self._bank.snapshots / f"{run.id.hex()}.arrow"

    def _close(self, run: Run) -> None:
        self._closed.add(run.id)
        self._answerers.pop(run.id, None)
        self._ports.worker.forget(("snapshot", run.id))
        self._snapshot_path(run).unlink(missing_ok=True)
