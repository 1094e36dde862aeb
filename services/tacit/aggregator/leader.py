"""What a leader appends next: a function of the fold and of timers (protocol 4).

The timers only let a leader go on with a quorum instead of all; nothing that stands depends on them.
"""

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from tacit import canonical
from tacit.rounds import verify
from tacit.rounds.plan import LONGEST_RUN, milliseconds
from tacit.rounds.state import POISON, Attempt, Run, State, next_question
from tacit.rounds.types import (
    Body,
    Checked,
    EndBody,
    Kind,
    OpenBody,
    Outcome,
    Place,
    QueryBody,
    Reason,
    ResultBody,
    RosterBody,
)
from tacit.runtime.clock import Clock
from tacit.runtime.observing import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True)
class Order:
    """A control record that is to be sealed and appended.

    Attributes:
        kind: Record kind.
        body: Its body.
        place: What its context binds it to.
    """

    kind: Kind
    body: Body
    place: Place


class Leader:
    """Decides the next control record.

    Args:
        state: The fold; read only.
        clock: Monotonic time of this process.
    """

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._since: dict[Hashable, float] = {}

    def decide(self) -> Order | None:
        """The next control record, or nothing if the leader has to wait."""
        run = self._state.active
        if run is None:
            self._since.clear()
            return self._next_run()
        return self._cut_short(run) or self._go_on_or_end(run)

    def _go_on_or_end(self, run: Run) -> Order | None:
        """Goes on; a run whose arithmetic fails is over, for it would fail the same at every further try."""
        try:
            return self._go_on(run)
        except POISON as error:
            _log.exception("run_cannot_go_on", run=run.id.hex(), error=type(error).__name__)
            return self._end(run, Outcome.ABORTED, Reason.PLAN)

    def _cut_short(self, run: Run) -> Order | None:
        if run.cancelled is not None:
            return self._end(run, Outcome.CANCELLED, Reason.ORDER)
        if run.terms is None:
            return self._end(run, Outcome.ABORTED, Reason.PLAN)
        resigned = {bank for bank, _ in self._state.answers(run, Kind.JOIN)} & self._state.resigned
        if run.revoked is not None or resigned:
            return self._end(run, Outcome.ABORTED, Reason.REVOKED)
        if self._run_over(run):
            return self._end(run, Outcome.ABORTED, Reason.DEADLINE)
        return None

    def _run_over(self, run: Run) -> bool:
        """Whether the run's deadline has passed since this process saw the run, or since OPEN by the wall clock.

        OPEN's time is advisory: one that lies ahead, or further back than any run may last twice over, is a clock that
        was set wrongly, and only this process's own time counts.
        """
        limit = run.document.deadlines.run
        opened = run.open.header.create_time_ms / 1000 if run.open is not None else self._clock.now()
        age = self._clock.now() - opened
        by_open = milliseconds(limit) / 1000 <= age <= 2 * milliseconds(LONGEST_RUN) / 1000
        return self._over(("run", run.id), limit) or by_open

    def _go_on(self, run: Run) -> Order | None:
        if run.roster is None or run.course is None:
            return self._roster(run)
        if run.course.finished:
            return self._end(run, Outcome.FINISHED, Reason.NONE)
        return self._query(run) if run.attempt is None else self._result(run, run.attempt)

    def waiting_for(self, run: Run) -> tuple[str, ...]:
        """Banks whose answer the run is waiting for now; for people, never a fault."""
        if run.roster is None:
            said = {bank for kind in (Kind.JOIN, Kind.REFUSED) for bank, _ in self._state.answers(run, kind)}
            return tuple(sorted(self._state.members(run) - said - self._state.resigned))
        if run.attempt is None:
            return ()
        return tuple(sorted(self._present(run) - set(verify.releases(self._state, run, run.attempt.slot))))

    def _next_run(self) -> Order | None:
        run = self._state.waiting
        if run is None:
            return None
        if run.cancelled is not None:
            return self._end(run, Outcome.CANCELLED, Reason.ORDER)
        if run.terms is None:
            return self._end(run, Outcome.ABORTED, Reason.PLAN)
        return Order(Kind.OPEN, OpenBody(run.id), self._run_place(run))

    def _roster(self, run: Run) -> Order | None:
        members = self._state.members(run)
        left = self._left(run)
        joins = {bank: record.digest for bank, record in self._state.answers(run, Kind.JOIN) if bank not in left}
        refused = {bank for bank, _ in self._state.answers(run, Kind.REFUSED)}
        all_said = members <= set(joins) | refused | left
        if not all_said and not self._over(("join", run.id), run.document.deadlines.join):
            return None
        if len(joins) > len(members) // 2:
            return Order(Kind.ROSTER, RosterBody(joins), self._run_place(run))
        return self._end(run, Outcome.ABORTED, Reason.QUORUM) if all_said else None

    def _query(self, run: Run) -> Order:
        assert run.course is not None  # noqa: S101  asked after ROSTER
        assert run.terms is not None  # noqa: S101  a course has terms
        if len(run.attempts) >= run.terms.slots:
            return self._end(run, Outcome.ABORTED, Reason.SLOTS)
        weights, structure = next_question(run.course)
        return Order(Kind.QUERY, QueryBody(weights, structure), run.next_place(self._state.manifest))

    def _result(self, run: Run, attempt: Attempt) -> Order | None:
        known = verify.releases(self._state, run, attempt.slot)
        present = self._present(run)
        if len(present | set(known)) < run.quorum:
            return self._end(run, Outcome.ABORTED, Reason.QUORUM)
        if not self._enough(run, attempt, known, present):
            return None
        return self._sum(run, attempt, known)

    def _enough(self, run: Run, attempt: Attempt, known: Mapping[str, Checked], present: set[str]) -> bool:
        missing = present - set(known)
        key = (run.id, attempt.slot)
        over = self._over(("attempt", *key), run.document.deadlines.attempt)
        if not missing:
            return True
        if len(known) < run.quorum:
            return False
        rested = self._over(("grace", *key, len(known)), run.document.deadlines.grace)
        return over or (rested and missing <= self._missed_before(run))

    def _sum(self, run: Run, attempt: Attempt, known: Mapping[str, Checked]) -> Order:
        assert run.terms is not None  # noqa: S101  an opened run has terms
        assert run.course is not None  # noqa: S101  an attempt follows ROSTER
        noise = run.terms.budget.noises[attempt.round]
        sums = verify.total(verify.vectors(known.values()), run.terms.stages[attempt.round].cells)
        variance = len(known) * noise.variance
        weights, structure = next_question(run.course.advance(sums, variance))
        used = {bank: record.digest for bank, record in sorted(known.items())}
        body = ResultBody(used, sums, variance, noise.rho_nano, weights, structure)
        return Order(Kind.RESULT, body, run.place(self._state.manifest, attempt))

    def _end(self, run: Run, outcome: Outcome, reason: Reason) -> Order:
        model = hashlib.sha256(verify.model_bytes(run)).digest() if outcome is Outcome.FINISHED else b""
        promised = str(canonical.number(run.document.epsilon))
        spent = run.terms.epsilon if run.terms is not None and run.attempts else "0"
        body = EndBody(outcome, reason, model, promised, spent)
        return Order(Kind.END, body, run.place(self._state.manifest))

    def _missed_before(self, run: Run) -> set[str]:
        """Banks that the last RESULT went on without."""
        last = run.results[-1].body if run.results else None
        return set(run.banks) - set(last.used) if isinstance(last, ResultBody) else set()

    def _present(self, run: Run) -> set[str]:
        return set(run.banks) - self._left(run)

    def _left(self, run: Run) -> set[str]:
        return {bank for bank, _ in self._state.answers(run, Kind.LEFT)} | self._state.resigned

    def _run_place(self, run: Run) -> Place:
        return Place(self._state.manifest.federation, self._state.manifest.digest, run.id)

    def _over(self, key: Hashable, duration: str) -> bool:
        """Whether a duration has passed since this process first asked about the key."""
        now = self._clock.monotonic()
        return now - self._since.setdefault(key, now) >= milliseconds(duration) / 1000
