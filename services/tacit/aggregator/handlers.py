"""The aggregator's machine: reads, folds, leads while it may, and appends plans for anybody (protocol 4)."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from tacit import canonical
from tacit.aggregator.leader import Leader, Order
from tacit.aggregator.ports import Lease
from tacit.federation import Manifest
from tacit.rounds.plan import Plan, PlanError, run_id
from tacit.rounds.state import Run, State
from tacit.rounds.terms import Terms, work_out
from tacit.rounds.types import (
    FENCED_KINDS,
    Body,
    Checked,
    Kind,
    LeadBody,
    ManifestBody,
    OrderBody,
    Place,
    PlanBody,
    header_at,
)
from tacit.runtime import faults
from tacit.runtime.clock import Clock
from tacit.runtime.inbox import Inbox
from tacit.runtime.log import Log
from tacit.runtime.observing import get_logger
from tacit.wire import envelope, inner, topics
from tacit.wire.envelope import Sealed, SigningKey

TIMER_SECONDS = 0.25
"""Longest wait for records, so that timers are looked at."""

RESEND_SECONDS = 30.0
"""After this long an appended record that was not read back is appended again."""

_log = get_logger(__name__)


class SubmissionError(Exception):
    """A plan or order that is not taken; the message says what to change."""


@dataclass(frozen=True)
class Ports:
    """The world as the aggregator sees it.

    Attributes:
        log: The log.
        inbox: Follows control and every bank's topic.
        lease: Says who should try to lead.
        clock: Time.
        entropy: Random bytes.
        key: The aggregator's signing key.
        topic: The control topic.
    """

    log: Log
    inbox: Inbox
    lease: Lease
    clock: Clock
    entropy: Callable[[int], bytes]
    key: SigningKey
    topic: str


class Aggregator:
    """One replica of the aggregator.

    Args:
        state: The fold that this replica feeds.
        document: The accepted manifest's signed JSON, put on the log by the first leader.
        ports: What it works with.

    Attributes:
        state: The fold; read it only while `lock` is held.
        lock: Guards the fold against the HTTP threads.
        leader: Decides what comes next.
        ready: Whether the control topic was read to its end once.
    """

    def __init__(self, state: State, document: bytes, ports: Ports) -> None:
        self.state = state
        self.lock = threading.RLock()
        self.leader = Leader(state, ports.clock)
        self.ready = False
        self._document = document
        self._ports = ports
        self._nonce = b""
        self._manifest_seen = False
        self._pending: Sealed | None = None
        self._due = 0.0

    def step(self, timeout: float) -> None:
        """Reads what is new, waiting at most `timeout` seconds; appends at most one control record.

        Raises:
            LogUnavailableError: If the log is away; the step may be repeated.
        """
        records = self._ports.inbox.poll(min(timeout, TIMER_SECONDS))
        with self.lock:
            for record in records:
                self._take(record)
            self._lead_on()

    def close(self) -> None:
        """Gives the lease up, so that another replica need not wait."""
        self._ports.lease.release()

    def _take(self, record: Checked) -> None:
        stood = self.state.apply(record)
        self._manifest_seen |= record.header.kind is Kind.MANIFEST
        if self._pending is not None and record.digest == self._pending.digest:
            self._pending = None
        if stood and record.header.kind is Kind.END:
            self.state.forget(record.header.run)

    @property
    def leading(self) -> bool:
        """Whether this replica's own LEAD is in force."""
        lead = self.state.lead.body if self.state.lead is not None else None
        return isinstance(lead, LeadBody) and bool(self._nonce) and lead.nonce == self._nonce

    def submit(self, body: PlanBody) -> tuple[bytes, bool]:
        """Checks a signed plan and appends it.

        Args:
            body: Plan, its exact bytes, operator and signature.

        Returns:
            The run id, and whether the plan is new; a repeat of the same bytes changes nothing.

        Raises:
            SubmissionError: If the signature, the epoch, the contract or the epsilon arithmetic does not hold.
            LogUnavailableError: If the log is away; nothing was acknowledged.
        """
        run = run_id(body.plan_json)
        with self.lock:
            if run in self.state.runs:
                return run, False
            try:
                inner.check_plan(body, self.state.manifest)
            except envelope.WireError as error:
                raise SubmissionError(str(error)) from error
            self.worked_out(body.plan)
        order = plan_order(self.state.manifest, body)
        self._append(order.kind, order.body, order.place)
        _log.info("plan_accepted", run=run.hex(), epsilon=canonical.number(body.plan.epsilon))
        return run, True

    def cancel(self, body: OrderBody) -> None:
        """Appends an operator's signed CANCEL.

        Raises:
            SubmissionError: If the signature does not hold or the run is unknown.
        """
        with self.lock:
            if body.run not in self.state.runs:
                raise SubmissionError(f"run {body.run.hex()} is not known")
            try:
                inner.check_order(body, self.state.manifest, topics.AGGREGATOR)
            except envelope.WireError as error:
                raise SubmissionError(str(error)) from error
        self._append(Kind.ORDER, body, Place(self.state.manifest.federation, self.state.manifest.digest, body.run))

    def worked_out(self, plan: Plan) -> Terms:
        """A plan's terms under the epoch in force.

        Raises:
            SubmissionError: If the contract is not at hand or plan, contract and manifest do not fit.
        """
        contract = self.state.contracts.get(plan.contract)
        if contract is None:
            raise SubmissionError(f"contract {plan.contract}: not at hand; known: {', '.join(self.state.contracts)}")
        try:
            return work_out(plan, contract, self.state.manifest)
        except PlanError as error:
            raise SubmissionError(str(error)) from error

    def runs(self) -> list[Run]:
        """All runs, in PLAN order."""
        with self.lock:
            return list(self.state.runs.values())

    def _lead_on(self) -> None:
        """Leads, or tries to, once everything on the control topic was read."""
        held = self._ports.lease.try_hold()
        if (self.ready and not held) or not self._ports.inbox.caught_up([self._ports.topic]):
            return
        self.ready = True
        if held:
            self._lead()

    def _lead(self) -> None:
        manifest = self.state.manifest
        place = Place(manifest.federation, manifest.digest)
        if not self._manifest_seen:
            self._append(Kind.MANIFEST, ManifestBody(self._document, manifest), place)
        elif not self.leading:
            self._nonce = self._ports.entropy(32)
            self._append(Kind.LEAD, LeadBody(self._nonce, self._ports.lease.holder_id, self.state.fence), place)
        elif self._pending is not None and self._pending.header.fence == self.state.fence:
            self._send(self._pending)
        else:
            self._follow(self.leader.decide())

    def _follow(self, order: Order | None) -> None:
        if order is None:
            return
        faults.hit(f"before-{order.kind.name.lower()}")
        self._pending, self._due = self._sealed(order.kind, order.body, order.place), 0.0
        self._send(self._pending)
        faults.hit(f"after-{order.kind.name.lower()}")
        _log.info("control_appended", kind=order.kind.name, run=order.place.run.hex(), round=order.place.round)

    def _send(self, sealed: Sealed) -> None:
        """Appends a decision, the same bytes until it is read back: a second one for its slot would be evidence."""
        now = self._ports.clock.monotonic()
        if now >= self._due:
            self._ports.log.append(self._ports.topic, topics.AGGREGATOR.encode(), sealed.value)
            self._due = now + RESEND_SECONDS

    def _append(self, kind: Kind, body: Body, place: Place) -> None:
        sealed = self._sealed(kind, body, place)
        faults.hit(f"before-{kind.name.lower()}")
        self._ports.log.append(self._ports.topic, topics.AGGREGATOR.encode(), sealed.value)
        faults.hit(f"after-{kind.name.lower()}")

    def _sealed(self, kind: Kind, body: Body, place: Place) -> Sealed:
        fence = self.state.fence if kind in FENCED_KINDS else b""
        header = header_at(kind, topics.AGGREGATOR, place, self._ports.clock.now(), fence=fence)
        return envelope.seal(header, body, self._ports.key)


def plan_order(manifest: Manifest, body: PlanBody) -> Order:
    """The PLAN record of a signed plan."""
    return Order(Kind.PLAN, body, Place(manifest.federation, manifest.digest, run_id(body.plan_json)))
