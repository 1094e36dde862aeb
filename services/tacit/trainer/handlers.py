"""The bank's machine in mode `local` (protocol 4 and 5): one `step` reads, folds, and does what is due.

Nothing is published that the journal does not hold; whatever a step does may be repeated after a crash.
"""

import datetime as dt
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tacit.features.spec import Contract
from tacit.federation import Manifest, Policy
from tacit.privacy.release import release
from tacit.privacy.types import Bounded, Mode, Release, ReleaseEvent
from tacit.rounds.ledger import (
    BudgetExceededError,
    Position,
    RequestConflictError,
    Reservation,
    RunCharge,
    RunState,
    Sealed,
    Stored,
)
from tacit.rounds.plan import milliseconds
from tacit.rounds.state import Attempt, Run, State
from tacit.rounds.terms import Terms
from tacit.rounds.types import (
    Body,
    Checked,
    JoinBody,
    Kind,
    LeftBody,
    Place,
    Refusal,
    RefusedBody,
    RoundError,
    StartBody,
    VerdictBody,
    context,
)
from tacit.runtime.clock import Clock
from tacit.runtime.inbox import Inbox
from tacit.runtime.observing import get_logger
from tacit.trainer import policy as rules
from tacit.trainer.answers import Answerer, request_digest
from tacit.trainer.checks import Checks, Finding, Finished, absent, finished
from tacit.trainer.gauges import ROUND
from tacit.trainer.holdings import Holdings
from tacit.trainer.named import Named
from tacit.trainer.outbox import Due, Outbox
from tacit.trainer.ports import Journal, Rows, RowsUnusableError, Worker
from tacit.wire import codec, topics

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
        control: The control topic.
    """

    policy: Policy
    manifest: Manifest
    contracts: Mapping[str, Contract]
    snapshots: Path
    topic: str
    control: str = topics.control().name


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


class Trainer:
    """Takes part in runs for one bank.

    Args:
        bank: What it is bound by.
        ports: What it works with.
        finished: Told of the newest verified model, before the run's rows are erased; long work there goes through
            the worker and returns False until it is done.

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
        self._checks = Checks(self.state)
        self._holdings = Holdings(bank.snapshots, ports.journal, ports.rows, ports.worker)
        self._named = Named(bank.policy.bank, ports.journal)
        self._elsewhere: set[bytes] = set()
        self._closed: set[bytes] = set()
        self._begun = False
        self._start: Stored | None = None
        self.lock = threading.RLock()

    @property
    def ready(self) -> bool:
        """Whether the own topic was read to its end and agrees with the journal."""
        return self._begun and self._start is None

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
            if self._begun and self._first():
                self._leave_lost()
                for run in [run for key, run in self.state.runs.items() if key not in self._closed]:
                    self._follow(run)
            if self._begun:
                self._ports.outbox.send()

    def _take(self, records: Sequence[Checked]) -> None:
        self._checks.read(len(records))
        for record in records:
            self.state.apply(record)
            if record.topic == self._bank.topic:
                self._ports.outbox.read_back(record)
                if record.header.kind is Kind.JOIN and record.header.manifest != self._bank.manifest.digest:
                    self._elsewhere.add(record.header.run)
            elif record.topic == self._bank.control:
                self._named.read(record)

    def closed(self, run: bytes) -> bool:
        """Whether this process has nothing left to do in a run."""
        return run in self._closed

    def leave(self, run: bytes) -> bool:
        """Leaves a run for ever: no further answers, what is left of the reservation is free.

        Returns:
            False for a run that neither the log nor the journal knows.

        Raises:
            RoundError: If the own topic was not held against the journal yet, or the run is done here.
        """
        state = self._ports.journal.state(run)
        if run not in self.state.runs and state is RunState.NONE:
            return False
        if not self.ready:
            raise RoundError("the trainer has not compared its topic with its journal yet: ask again in a moment")
        if state is RunState.DONE:
            raise RoundError(f"run {run.hex()} is done here: there is nothing left to leave")
        self._leave(run)
        return True

    def _leave(self, run: bytes) -> None:
        self._record(run, Kind.LEFT, LeftBody(run))
        self._ports.journal.finish(run, RunState.LEFT)
        known = self.state.runs.get(run)
        if known is not None:
            self._close(known)
        else:
            self._holdings.drop(run)
        _log.info("run_left", run=run.hex())

    def _leave_lost(self) -> None:
        """Leaves open runs that nothing would end: left before a crash, or not of this fold (protocol 4)."""
        for run, joined_ms in self._ports.journal.open_runs().items():
            begun = self._ports.journal.stored(run, None, Kind.LEFT) is not None
            if begun or self._lost(run, joined_ms):
                self._leave(run)

    def _lost(self, run: bytes, joined_ms: int) -> bool:
        """Whether the fold, read to its end, does not know a run that is another epoch's or stale."""
        if run in self.state.runs or not self._ports.inbox.caught_up():
            return False
        return run in self._elsewhere or self._past(joined_ms)

    def _begin(self) -> None:
        """Reads everything first, sends what was stored before, then START (protocol 5, Sending)."""
        if not self._ports.inbox.caught_up():
            return
        self._check()
        self._ports.outbox.resume()
        self._ports.outbox.send()
        self._holdings.sweep(charge.run for charge in self._open())
        manifest = self._bank.manifest
        place = Place(manifest.federation, manifest.digest)
        compose = self._ports.outbox.compose(Kind.START, StartBody(self._ports.entropy(16)), place)
        self._start = self._ports.journal.record(Kind.START, b"", None, compose)
        self._ports.outbox.put(self._start)
        self._begun = True

    def _first(self) -> bool:
        """Whether this process's START is the first at its place: until then nothing else is written (protocol 5)."""
        if self._start is None:
            return True
        if self._ports.outbox.waits(self._start.seq):
            return False
        self._check()
        self._start = None
        return True

    def _open(self) -> list[RunCharge]:
        return [charge for charge in self._ports.journal.ledger().runs if charge.state is RunState.OPEN]

    def _follow(self, run: Run) -> None:
        state = self._ports.journal.state(run.id)
        if state is RunState.NONE:
            self._before(run)
        elif state is not RunState.OPEN:
            self._after(run)
        elif self._named.contradicts(run):
            self._say(run, _misnamed(run))
            self._leave(run.id)
        elif run.end is not None:
            self._finish(run)
        elif self._stale(run):
            self._leave(run.id)
        elif run.attempt is not None and self._bank.policy.bank in run.banks:
            self._answer(run, run.attempt)

    # Before ROSTER

    def _before(self, run: Run) -> None:
        if self._named.contradicts(run):
            self._say(run, _misnamed(run))
            self._close(run)
        elif run.end is not None:
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
            return
        others = [charge.run for charge in self._open() if charge.run != run.id]
        if not others:
            self._join(run, terms)
        elif not all(self._over(other) for other in others):
            self._refuse(run, Refusal.BUSY, "another run of this account is open")

    def _over(self, run: bytes) -> bool:
        """Whether an open run has its END, so that this bank will be done with it in a moment."""
        known = self.state.runs.get(run)
        return known is not None and known.end is not None

    def _join(self, run: Run, terms: Terms) -> None:
        try:
            if not self._ready(run, terms, joined=False):
                return
        except RowsUnusableError as error:
            self._refuse(run, Refusal.CONTRACT, str(error))
            return
        reservation = Reservation(
            run.id, self._bank.policy.account, rules.buckets(terms), terms.budget.reserved_rho_nano
        )
        if not self._current():
            return
        self._check()
        compose = self._ports.outbox.compose(Kind.JOIN, JoinBody(b"", b""), self._run_place(run.id))
        try:
            self._ports.outbox.put(self._ports.journal.reserve(reservation, compose))
        except BudgetExceededError as error:
            self._refuse(run, Refusal.BUDGET, str(error))
            self._holdings.drop(run.id)
            return
        _log.info("run_joined", run=run.id.hex(), epsilon=terms.epsilon)

    def _refuse(self, run: Run, code: Refusal, reason: str) -> None:
        self.objections[run.id] = reason
        self._record(run.id, Kind.REFUSED, RefusedBody(code))
        _log.warning("run_refused", run=run.id.hex(), code=code.name, reason=reason)

    # Rounds

    def _answer(self, run: Run, attempt: Attempt) -> None:
        terms, course = run.terms, run.course
        if self._ports.journal.stored(run.id, attempt.slot, Kind.RELEASE) is not None or not self._agrees(run):
            return
        if terms is None or course is None or not self._ready(run, terms, joined=True):
            return
        key = (ROUND, run.id, attempt.slot)
        try:
            bounded = self._ports.worker.done(key, lambda: self._holdings.answerer(run).bounded(course))
        except Exception as error:  # noqa: BLE001  whatever it is, the next start would meet it again
            self.objections[run.id] = f"slot {attempt.slot} cannot be answered: {error}"
            _log.exception("answer_failed", run=run.id.hex(), slot=attempt.slot)
            self._leave(run.id)
            return
        if bounded is None or not self._current():
            return
        self._ports.worker.forget(key)
        self._check()
        try:
            self._ports.journal.bind(run.id, attempt.slot, context(run.place(self._bank.manifest, attempt)))
            self._spend(run, attempt, terms, bounded)
        except (BudgetExceededError, RequestConflictError) as error:
            self.objections[run.id] = str(error)
            _log.error("question_refused", run=run.id.hex(), slot=attempt.slot, reason=str(error))
            self._leave(run.id)

    def _ready(self, run: Run, terms: Terms, *, joined: bool) -> bool:
        ready = self._holdings.ready(run, terms, joined=joined)
        if run.id in self._holdings.faults:
            self.objections[run.id] = self._holdings.faults.pop(run.id)
        return ready

    def _current(self) -> bool:
        """Whether the whole own topic, and all that names its records, was read: else the next step looks again."""
        return self._ports.inbox.caught_up([self._bank.control, self._bank.topic])

    def _check(self) -> None:
        """Holds the whole own topic, and what the control topic names of it, against the journal."""
        self._ports.outbox.check(self._named.unknown())

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
        self._ports.outbox.put(
            stored, Due((now // tick + 1) * tick, lambda: attempt.outcome is not None or run.end is not None)
        )
        _log.info("release_stored", run=run.id.hex(), round=attempt.round, slot=attempt.slot)

    def _agrees(self, run: Run) -> bool:
        """Re-derives every RESULT before the next answer (protocol 3); a deviation is said, then the run left."""
        finding = self._checks.results(run)
        if finding is None or not finding.deviation:
            return finding is not None
        self._say(run, finding)
        self._leave(run.id)
        return False

    # After END

    def _finish(self, run: Run) -> None:
        """Verifies a run that this bank took part in, makes the bank's own choice, then erases (protocol 4)."""
        finding = self._checks.end(run)
        if finding is None and finished(run):
            if self._stale(run):
                self._say(run, absent(run))
                self._leave(run.id)
            return
        if finding is not None:
            self._say(run, finding)
        if finding is None or finding.deviation or self._taken(run, took_part=True):
            self._ports.journal.finish(run.id, RunState.DONE)
            self._close(run)
            _log.info("run_finished", run=run.id.hex())

    def _after(self, run: Run) -> None:
        """Verifies a run that this bank did not take part in, or had finished before a restart."""
        said = self._ports.journal.stored(run.id, None, Kind.VERDICT) is not None
        if run.end is None or (said and not self._checks.newest(run)):
            self._closed |= {run.id} if run.end is not None else set()
            return
        finding = self._checks.end(run)
        if finding is None:
            return
        self._say(run, finding)
        if finding.deviation or self._taken(run, took_part=False):
            self._close(run)

    def _taken(self, run: Run, *, took_part: bool) -> bool:
        """Whether the model of a verified run found its place; an older one than the newest is of no use."""
        if not finished(run) or not self._checks.newest(run):
            return True
        answerer = self._answerer(run) if took_part and self._holdings.path(run.id).exists() else None
        return self._finished(Finished(run, self._checks.model(run), answerer))

    def _answerer(self, run: Run) -> Answerer | None:
        try:
            return self._holdings.answerer(run)
        except Exception:  # noqa: BLE001  a damaged file must not stop the trainer at every start
            _log.exception("snapshot_unreadable", run=run.id.hex())
            return None

    def _say(self, run: Run, finding: Finding) -> None:
        self._record(run.id, Kind.VERDICT, VerdictBody(finding.subject, finding.deviation))
        if finding.deviation:
            _log.error("wrong_run", run=run.id.hex(), deviation=finding.deviation)

    # Shared

    def _stale(self, run: Run) -> bool:
        return self._past(self._ports.journal.open_runs()[run.id])

    def _past(self, joined_ms: int) -> bool:
        return self._ports.clock.now() - joined_ms / 1000 > STALE_RUN_SECONDS

    def _record(self, run: bytes, kind: Kind, body: Body) -> None:
        compose = self._ports.outbox.compose(kind, body, self._run_place(run))
        self._ports.outbox.put(self._ports.journal.record(kind, run, None, compose))

    def _run_place(self, run: bytes) -> Place:
        return Place(self._bank.manifest.federation, self._bank.manifest.digest, run)

    def _close(self, run: Run) -> None:
        self._closed.add(run.id)
        self._checks.forget(run.id)
        self._holdings.drop(run.id)
        for key in (("snapshot", run.id), *((ROUND, run.id, attempt.slot) for attempt in run.attempts)):
            self._ports.worker.forget(key)
        if run.end is not None:
            self.state.forget(run.id)


def _misnamed(run: Run) -> Finding:
    """What is said of a ROSTER that names a JOIN which this bank did not write."""
    assert run.roster is not None  # noqa: S101  asked of a ROSTER
    return Finding(run.roster.digest, "roster: names a JOIN that this bank did not write")
