"""Runs and attempts as a fold over the log (architecture D1, protocol 4).

Whether a control record stands depends on the control topic alone; bank records are only kept, first one wins,
and are judged against a run when somebody acts on them. The fold never reads a clock.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tacit import canonical
from tacit.features.spec import Contract
from tacit.federation import Manifest
from tacit.learning.course import Course
from tacit.learning.types import LearningError, Structure, Weights
from tacit.privacy.types import Mode, PrivacyError
from tacit.rounds import terms
from tacit.rounds.plan import Plan, PlanError, run_id
from tacit.rounds.tail import Tail
from tacit.rounds.terms import Terms
from tacit.rounds.types import (
    ATTEMPT_KINDS,
    BANK_KINDS,
    FENCED_KINDS,
    RUN_KINDS,
    AbortBody,
    Checked,
    EndBody,
    Kind,
    LeadBody,
    OrderAction,
    OrderBody,
    Outcome,
    Place,
    PlanBody,
    QueryBody,
    ResultBody,
    RosterBody,
    RoundError,
    VectorBody,
    context,
)

EVIDENCE_KEPT = 1000
"""Entries of each evidence list that are kept; the counters go on."""

POISON = (ArithmeticError, LookupError, TypeError, ValueError, LearningError, PrivacyError, RoundError)
"""What a signed record that breaks its arithmetic may raise; it is listed once and changes nothing."""

EARLY_RECORDS, EARLY_CELLS = 4096, 2**20
"""Records, and cells of their vectors, that are kept of one bank for runs whose PLAN was not read yet.

The control topic may be read later than a bank's; so many records are some hundred runs, and a bank that writes for
runs that do not exist takes no more memory.
"""

BankKey = tuple[str, bytes, int, Kind]


@dataclass(slots=True)
class Attempt:
    """One slot of a run: a query and what came of it.

    Attributes:
        slot: Slot number.
        round: Round number.
        query: The standing QUERY.
        outcome: The standing RESULT or ABORT, None while the attempt is open.
    """

    slot: int
    round: int
    query: Checked
    outcome: Checked | None = None


@dataclass(slots=True)
class Run:
    """One run, as the control topic tells it.

    Attributes:
        id: Run id.
        plan: The standing PLAN.
        terms: The plan worked out, None if it cannot be.
        fault: Why it cannot, for people.
        open: The standing OPEN.
        roster: The standing ROSTER.
        attempts: In order of slots.
        course: State of learning after the standing RESULTs, None before ROSTER.
        results: The standing RESULTs, one per round.
        cancelled: The ORDER that cancels the run.
        revoked: The control topic's first ORDER that revoked a member while the run was open.
        barred: Members that the control topic revoked before OPEN; their records do not count here.
        end: The standing END.
    """

    id: bytes
    plan: Checked
    terms: Terms | None
    fault: str = ""
    open: Checked | None = None
    roster: Checked | None = None
    attempts: list[Attempt] = field(default_factory=list)
    course: Course | None = None
    results: list[Checked] = field(default_factory=list)
    cancelled: Checked | None = None
    revoked: Checked | None = None
    barred: frozenset[str] = frozenset()
    end: Checked | None = None

    @property
    def document(self) -> Plan:
        """The plan."""
        body = self.plan.body
        assert isinstance(body, PlanBody)  # noqa: S101  the fold stores PLAN records only
        return body.plan

    @property
    def attempt(self) -> Attempt | None:
        """The open attempt."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.outcome is None else None

    @property
    def banks(self) -> tuple[str, ...]:
        """The roster's banks, sorted; empty before ROSTER."""
        body = self.roster.body if self.roster is not None else None
        return tuple(sorted(body.joins)) if isinstance(body, RosterBody) else ()

    @property
    def quorum(self) -> int:
        """Least banks of a round in mode `local`: floor(n/2) + 1 of the roster."""
        return len(self.banks) // 2 + 1

    def place(self, manifest: Manifest, attempt: Attempt | None = None) -> Place:
        """What a record of this run after ROSTER is bound to.

        Args:
            manifest: The epoch in force.
            attempt: The attempt that the record answers or ends; None for END.

        Returns:
            The place; its `context` goes into the header.
        """
        roster = self.roster.digest if self.roster is not None else b""
        if attempt is None:
            return Place(manifest.federation, manifest.digest, self.id, roster=roster)
        return Place(
            manifest.federation,
            manifest.digest,
            self.id,
            roster=roster,
            round=attempt.round,
            slot=attempt.slot,
            parent=self.parent(attempt.round),
            query=attempt.query.header.body,
        )

    def next_place(self, manifest: Manifest) -> Place:
        """What the next QUERY is bound to."""
        roster = self.roster.digest if self.roster is not None else b""
        rounds, slots = len(self.results), len(self.attempts)
        return Place(
            manifest.federation,
            manifest.digest,
            self.id,
            roster=roster,
            round=rounds,
            slot=slots,
            parent=self.parent(rounds),
        )

    def parent(self, round_number: int) -> bytes:
        """Body digest of the RESULT before a round, empty for round 0."""
        return self.results[round_number - 1].header.body if round_number else b""


def next_question(course: Course) -> tuple[Weights | None, Structure | None]:
    """What the next QUERY asks with, and the RESULT before it announces; nothing once all rounds are done."""
    return (None, None) if course.finished else course.question


def _key(record: Checked) -> BankKey:
    header = record.header
    return header.sender, header.run, header.slot if header.kind in ATTEMPT_KINDS else 0, header.kind


def _cells(record: Checked) -> int:
    return len(record.body.cells) if isinstance(record.body, VectorBody) else 0


def _trimmed(record: Checked, lengths: set[int]) -> Checked:
    """The record without the cells of a vector that has the length of no question: it stands, and answers nothing."""
    if not isinstance(record.body, VectorBody) or len(record.body.cells) in lengths:
        return record
    return replace(record, body=replace(record.body, cells=()))


class State:
    """The fold. Feed it every record of the control topic and the bank topics, each topic in its order.

    Attributes:
        manifest: The epoch that this reader has accepted.
        lead: The LEAD in force.
        runs: Runs by id, in PLAN order.
        tails: The growing end of each bank's chain (protocol 5).
        resigned: Banks that revoked themselves on their own topic; what stands there later does not count.
        void: How many records did not stand, by reason.
        void_records: Digest and reason of the first of them.
        equivocations: Pairs of digests: two bodies under one uniqueness key, both signed.
    """

    def __init__(self, manifest: Manifest, contracts: Mapping[str, Contract]) -> None:
        self.manifest = manifest
        self.contracts = contracts
        self.lead: Checked | None = None
        self.runs: dict[bytes, Run] = {}
        self.tails: dict[str, Tail] = {member.id: Tail() for member in manifest.members}
        self.resigned: set[str] = set()
        self.void: Counter[str] = Counter()
        self.void_records: list[tuple[bytes, str]] = []
        self.equivocations: list[tuple[bytes, bytes]] = []
        self._banks: dict[BankKey, Checked] = {}
        self._early: dict[str, dict[BankKey, Checked]] = {bank: {} for bank in self.tails}
        self._revoked: set[str] = set()
        self._forgotten: set[bytes] = set()
        self._control: dict[Kind, Callable[[Checked], str]] = {
            Kind.MANIFEST: lambda _: "",
            Kind.LEAD: self._lead,
            Kind.PLAN: self._plan,
            Kind.ORDER: self._order,
            Kind.OPEN: self._open,
            Kind.ROSTER: self._roster,
            Kind.QUERY: self._query,
            Kind.RESULT: self._outcome,
            Kind.ABORT: self._outcome,
            Kind.END: self._end,
        }

    @property
    def fence(self) -> bytes:
        """Digest of the LEAD in force, empty if there is none."""
        return self.lead.digest if self.lead is not None else b""

    @property
    def active(self) -> Run | None:
        """The run that is under way: opened, not ended."""
        return next((run for run in self.runs.values() if run.open is not None and run.end is None), None)

    @property
    def waiting(self) -> Run | None:
        """The next run to open, in PLAN order."""
        return next((run for run in self.runs.values() if run.open is None and run.end is None), None)

    def apply(self, record: Checked) -> bool:
        """Takes one record in.

        Args:
            record: A record whose signature held.

        Returns:
            Whether it stands (control) or was kept (bank).
        """
        try:
            reason = self._bank(record) if self._from_bank(record) else self._from_control(record)
        except POISON:
            reason = "poison"
        if reason:
            self.void[reason] += 1
            if len(self.void_records) < EVIDENCE_KEPT:
                self.void_records.append((record.digest, reason))
        return not reason

    def answer(self, bank: str, run: bytes, kind: Kind, slot: int = 0) -> Checked | None:
        """The first record of that kind that a bank's chain holds for a run and slot."""
        return self._banks.get((bank, run, slot, kind))

    def answers(self, run: Run, kind: Kind, slot: int = 0) -> Iterator[tuple[str, Checked]]:
        """The members' records of that kind whose context is the run's own, by bank id."""
        attempt = run.attempts[slot] if kind in ATTEMPT_KINDS and slot < len(run.attempts) else None
        if kind in ATTEMPT_KINDS:
            expected = context(run.place(self.manifest, attempt)) if attempt is not None else b""
        else:
            expected = context(Place(self.manifest.federation, self.manifest.digest, run.id))
        for bank in sorted(self.members(run)):
            record = self.answer(bank, run.id, kind, slot)
            if record is not None and record.header.context == expected:
                yield bank, record

    def members(self, run: Run) -> set[str]:
        """Members that may take part in a run: active, and not revoked on the control topic before OPEN."""
        return {member.id for member in self.manifest.active} - run.barred

    def forget(self, run: bytes) -> None:
        """Drops the banks' vectors of a run that is over and was verified; what remains is small."""
        self._forgotten.add(run)
        self._banks = {key: record for key, record in self._banks.items() if key[1] != run or key[3] in RUN_KINDS}

    def _from_bank(self, record: Checked) -> bool:
        return record.header.kind in BANK_KINDS and record.header.sender in self.tails

    def _bank(self, record: Checked) -> str:
        tail = self.tails[record.header.sender]
        if tail.read(record.digest):
            return "repeat"
        grown = tail.extend(record)
        reasons = {joined.digest: self._joined(joined) for joined in grown}
        return reasons.get(record.digest, "off-chain")

    def _joined(self, record: Checked) -> str:
        """Keeps a bank record that its chain now holds."""
        header = record.header
        if header.manifest != self.manifest.digest:
            return "manifest"
        if isinstance(record.body, OrderBody):
            return self._resign(header.sender, record.body)
        if header.kind not in RUN_KINDS | ATTEMPT_KINDS:
            return ""
        if header.sender in self.resigned:
            return "revoked"
        if header.kind in ATTEMPT_KINDS and header.run in self._forgotten:
            return ""
        run = self.runs.get(header.run)
        return self._kept_early(record) if run is None else self._kept(run, record)

    def _kept(self, run: Run, record: Checked) -> str:
        """Keeps a record of a known run, unless no question of the run can ever have its slot."""
        if record.header.kind in ATTEMPT_KINDS:
            if run.terms is None or record.header.slot >= run.terms.slots:
                return "slot"
            record = _trimmed(record, {stage.cells for stage in run.terms.stages})
        first = self._banks.setdefault(_key(record), record)
        return self._repeat(first, record)

    def _kept_early(self, record: Checked) -> str:
        """Keeps a record of a run that is not known yet, within bounds."""
        early = self._early[record.header.sender]
        key = _key(record)
        if key not in early:
            cells = sum(map(_cells, early.values())) if _cells(record) else 0
            if len(early) >= EARLY_RECORDS or cells + _cells(record) > EARLY_CELLS:
                return "early"
        return self._repeat(early.setdefault(key, record), record)

    def _repeat(self, first: Checked, record: Checked) -> str:
        """Nothing for the first record of its key; else whether this one is a repeat or evidence."""
        if first is record:
            return ""
        if first.header.body == record.header.body:
            return "repeat"
        if len(self.equivocations) < EVIDENCE_KEPT:
            self.equivocations.append((first.digest, record.digest))
        return "equivocation"

    def _from_control(self, record: Checked) -> str:
        header = record.header
        if header.kind not in self._control:
            return "unknown"
        if header.manifest != self.manifest.digest and header.kind is not Kind.MANIFEST:
            return "manifest"
        if header.kind in FENCED_KINDS and (not self.fence or header.fence != self.fence):
            return "fence"
        return self._control[header.kind](record)

    def _lead(self, record: Checked) -> str:
        assert isinstance(record.body, LeadBody)  # noqa: S101  the codec ties kind and body
        if record.body.previous != self.fence:
            return "lead"
        self.lead = record
        return ""

    def _plan(self, record: Checked) -> str:
        assert isinstance(record.body, PlanBody)  # noqa: S101  the codec ties kind and body
        run = run_id(record.body.plan_json)
        if run in self.runs:
            return "repeat"
        if record.body.plan.manifest != canonical.label(self.manifest.digest):
            return "manifest"
        self.runs[run] = Run(run, record, *self._work_out(record.body.plan), barred=frozenset(self._revoked))
        for early in self._early.values():
            for key in [key for key in early if key[1] == run]:
                self._kept(self.runs[run], early.pop(key))
        return ""

    def _work_out(self, plan: Plan) -> tuple[Terms | None, str]:
        contract = self.contracts.get(plan.contract)
        if contract is None:
            return None, f"contract {plan.contract} is not at hand"
        try:
            return terms.work_out(plan, contract, self.manifest), ""
        except PlanError as error:
            return None, str(error)

    def _order(self, record: Checked) -> str:
        body = record.body
        assert isinstance(body, OrderBody)  # noqa: S101  the codec ties kind and body
        if body.action is OrderAction.REVOKE:
            return self._revoke(record, body.member)
        run = self.runs.get(body.run)
        if run is None:
            return "order"
        if run.cancelled is None:
            run.cancelled = record
        return ""

    def _revoke(self, record: Checked, member: str) -> str:
        """The control topic's REVOKE ends the open run and bars the member from all runs that are not open yet."""
        if member in self._revoked:
            return "repeat"
        self._revoked.add(member)
        for run in self.runs.values():
            if run.open is None:
                run.barred |= {member}
            elif run.end is None and run.revoked is None:
                run.revoked = record
        return ""

    def _resign(self, bank: str, body: OrderBody) -> str:
        """A bank's own REVOKE on its own topic: it changes what the bank may say, never what stands on control."""
        if body.action is not OrderAction.REVOKE or body.member != bank:
            return "order"
        self.resigned.add(bank)
        return ""

    def _open(self, record: Checked) -> str:
        run = self.runs.get(record.header.run)
        if run is None or run.open is not None:
            return "run" if run is None else "repeat"
        if self.active is not None or self.waiting is not run:
            return "order"
        if record.header.context != context(Place(self.manifest.federation, self.manifest.digest, run.id)):
            return "context"
        run.open = record
        return ""

    def _roster(self, record: Checked) -> str:
        run = self._running(record)
        body = record.body
        assert isinstance(body, RosterBody)  # noqa: S101  the codec ties kind and body
        if run is None:
            return "run"
        if run.roster is not None:
            return self._repeat(run.roster, record)
        if record.header.context != context(Place(self.manifest.federation, self.manifest.digest, run.id)):
            return "context"
        members = self.members(run)
        if not set(body.joins) <= members or len(body.joins) <= len(members) // 2:
            return "roster"
        # Without terms OPEN, ROSTER and END stand all the same: they are what the next run has to wait for.
        run.course = run.terms.start(run.id, body.joins.values()) if run.terms is not None else None
        run.roster = record
        return ""

    def _running(self, record: Checked) -> Run | None:
        run = self.active
        return run if run is not None and run.id == record.header.run else None

    def _query(self, record: Checked) -> str:
        run = self._running(record)
        header = record.header
        assert isinstance(record.body, QueryBody)  # noqa: S101  the codec ties kind and body
        if run is None or run.terms is None or run.course is None or run.course.finished:
            return "run"
        if header.slot < len(run.attempts):
            return self._repeat(run.attempts[header.slot].query, record)
        due = (len(run.attempts), len(run.results))
        asked = run.attempt is not None or run.revoked is not None
        if asked or (header.slot, header.round) != due or header.slot >= run.terms.slots:
            return "slot"
        if header.context != context(run.next_place(self.manifest)):
            return "context"
        if (record.body.weights, record.body.structure) != run.course.question:
            return "question"
        run.attempts.append(Attempt(header.slot, header.round, record))
        return ""

    def _outcome(self, record: Checked) -> str:
        run = self._running(record)
        slot = record.header.slot
        if run is None or slot >= len(run.attempts):
            return "run"
        attempt = run.attempts[slot]
        if attempt.outcome is not None:
            return self._repeat(attempt.outcome, record)
        place = run.place(self.manifest, attempt)
        if record.header.context != context(place) or record.header.round != attempt.round:
            return "context"
        if isinstance(record.body, AbortBody):
            attempt.outcome = record
            return ""
        return self._result(run, attempt, record)

    def _result(self, run: Run, attempt: Attempt, record: Checked) -> str:
        body = record.body
        assert isinstance(body, ResultBody)  # noqa: S101  the codec ties kind and body
        if not self._well_formed(run, attempt, body) or run.course is None:
            return "result"
        course = run.course.advance(body.sums, body.variance)
        if (body.weights, body.structure) != next_question(course):
            return "weights"
        attempt.outcome = record
        run.results.append(record)
        run.course = course
        return ""

    def _well_formed(self, run: Run, attempt: Attempt, body: ResultBody) -> bool:
        """Whether a RESULT of mode `local` says what plan and roster alone decide."""
        worked = run.terms
        if worked is None or run.document.mode is not Mode.LOCAL:
            return False
        noise = worked.budget.noises[attempt.round]
        return (
            set(body.used) <= set(run.banks)
            and len(body.used) >= run.quorum
            and len(body.sums) == worked.stages[attempt.round].cells
            and body.variance == len(body.used) * noise.variance
            and body.rho_nano == noise.rho_nano
        )

    def _end(self, record: Checked) -> str:
        run = self.runs.get(record.header.run)
        body = record.body
        assert isinstance(body, EndBody)  # noqa: S101  the codec ties kind and body
        if run is None:
            return "run"
        if run.end is not None:
            return self._repeat(run.end, record)
        if record.header.context != context(run.place(self.manifest)):
            return "context"
        # A reader that cannot work the plan out cannot tell, and must not be stuck in a run that is over for others.
        finished = run.terms is None or (run.course is not None and run.course.finished)
        if body.outcome is Outcome.FINISHED and not finished:
            return "unfinished"
        if body.outcome is Outcome.FINISHED and run.revoked is not None:
            return "revoked"
        run.end = record
        return ""
