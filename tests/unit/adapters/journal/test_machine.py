"""Any sequence of joins, spends, bindings, ends, sendings and restarts against a model in plain dictionaries."""

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from journal_cases import BUCKET_CAP, EVENT, LIFETIME_CAP, Bank, open_journal
from tacit.adapters.journal import (
    DONE,
    LEFT,
    BudgetExceededError,
    RequestConflictError,
    RunClosedError,
    RunState,
    Stored,
    Verdict,
)

RUNS = st.integers(0, 4).map(lambda number: bytes([number + 1]) * 32)
SLOTS = st.integers(0, 3)
DIGESTS = st.sampled_from([b"a" * 32, b"b" * 32])
MONTHS = st.lists(st.sampled_from(["2018-05", "2018-06", "2018-07"]), min_size=1, max_size=3, unique=True).map(tuple)


@dataclass
class RunModel:
    """What a run should look like."""

    rho_nano: int
    buckets: tuple[str, ...]
    join: Stored
    state: RunState = RunState.OPEN
    spends: dict[int, tuple[bytes, Stored]] = field(default_factory=dict)
    bound: dict[int, bytes] = field(default_factory=dict)

    @property
    def spent(self) -> int:
        """Cost of its spends."""
        return EVENT.rho_nano * len(self.spends)

    @property
    def charged(self) -> int:
        """What counts against the caps."""
        return self.rho_nano if self.state is RunState.OPEN else self.spent


class JournalMachine(RuleBasedStateMachine):
    """The journal beside its model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.sqlite"
        self.bank = Bank(open_journal(self.path))
        self.runs: dict[bytes, RunModel] = {}

    def teardown(self) -> None:
        """Leaves no file behind; a journal that went through anything still verifies."""
        assert self.bank.journal.verify() == []
        self.bank.journal.close()
        self.folder.cleanup()

    def charged(self) -> Counter[str]:
        """The model's account."""
        charged: Counter[str] = Counter()
        for model in self.runs.values():
            charged.update(dict.fromkeys((*model.buckets, "lifetime"), model.charged))
        return charged

    def fits(self, rho_nano: int, buckets: tuple[str, ...]) -> bool:
        """Whether both caps cover a new run."""
        charged = self.charged()
        months = all(charged[bucket] + rho_nano <= BUCKET_CAP for bucket in buckets)
        return months and charged["lifetime"] + rho_nano <= LIFETIME_CAP

    @rule(run=RUNS, rho_nano=st.sampled_from([100, 250, 400, 1000]), buckets=MONTHS)
    def join(self, run: bytes, rho_nano: int, buckets: tuple[str, ...]) -> None:
        """A run is reserved once, within the caps, and never again after its end."""
        known = self.runs.get(run)
        if known is None and self.fits(rho_nano, buckets):
            self.runs[run] = RunModel(rho_nano, buckets, self.bank.join(run, rho_nano, buckets))
        elif known is None:
            with pytest.raises(BudgetExceededError):
                self.bank.join(run, rho_nano, buckets)
        elif known.state is not RunState.OPEN:
            with pytest.raises(RunClosedError):
                self.bank.join(run, rho_nano, buckets)
        elif (known.rho_nano, known.buckets) == (rho_nano, buckets):
            assert self.bank.join(run, rho_nano, buckets).digest == known.join.digest
        else:
            with pytest.raises(RequestConflictError):
                self.bank.join(run, rho_nano, buckets)

    @precondition(lambda self: self.runs)
    @rule(run=RUNS, slot=SLOTS, request=DIGESTS)
    def spend(self, run: bytes, slot: int, request: bytes) -> None:
        """A slot is drawn once, within the reservation; its bytes never change."""
        known = self.runs.get(run)
        if known is not None and slot in known.spends:
            self.spend_again(known, run, slot, request)
        elif known is None or known.state is not RunState.OPEN:
            with pytest.raises(RunClosedError):
                self.bank.spend(slot, run, request=request)
        elif known.spent + EVENT.rho_nano > known.rho_nano:
            with pytest.raises(BudgetExceededError):
                self.bank.spend(slot, run, request=request)
        else:
            known.spends[slot] = (request, self.bank.spend(slot, run, request=request))

    def spend_again(self, known: RunModel, run: bytes, slot: int, request: bytes) -> None:
        """The stored bytes, or a conflict."""
        before, stored = known.spends[slot]
        if before == request:
            again = self.bank.spend(slot, run, request=request)
            assert (again.seq, again.value) == (stored.seq, stored.value)
        else:
            with pytest.raises(RequestConflictError):
                self.bank.spend(slot, run, request=request)

    @precondition(lambda self: self.runs)
    @rule(run=RUNS, slot=SLOTS, context=DIGESTS)
    def bind(self, run: bytes, slot: int, context: bytes) -> None:
        """A slot serves its first context only."""
        known = self.runs.get(run)
        if known is not None and known.bound.get(slot, context) != context:
            with pytest.raises(RequestConflictError):
                self.bank.journal.bind(run, slot, context)
        elif known is None or known.state is not RunState.OPEN:
            with pytest.raises(RunClosedError):
                self.bank.journal.bind(run, slot, context)
        else:
            self.bank.journal.bind(run, slot, context)
            known.bound[slot] = context

    @precondition(lambda self: self.runs)
    @rule(run=RUNS, how=st.sampled_from([DONE, LEFT]))
    def finish(self, run: bytes, how: RunState) -> None:
        """A run ends once."""
        known = self.runs.get(run)
        if known is None:
            return
        if known.state not in (RunState.OPEN, how):
            with pytest.raises(RequestConflictError):
                self.bank.journal.finish(run, how)
            return
        self.bank.journal.finish(run, how)
        known.state = how

    @rule()
    def send(self) -> None:
        """Unsent records go out in order."""
        self.bank.send()

    @rule()
    def start_again(self) -> None:
        """A restart forgets nothing and writes a START."""
        self.bank.journal.close()
        self.bank.journal = open_journal(self.path)
        self.bank.start()

    @invariant()
    def the_account_is_the_models(self) -> None:
        """Charges by month and lifetime, states and spends agree."""
        rows = self.bank.journal._store.rows("SELECT run, state, charged_nano FROM reserve")
        found = {bytes.fromhex(run): (state, charged) for run, state, charged in rows}
        assert found == {run: (model.state.value, model.charged) for run, model in self.runs.items()}
        charged = self.charged()
        assert all(amount <= BUCKET_CAP for name, amount in charged.items() if name != "lifetime")
        assert charged["lifetime"] <= LIFETIME_CAP

    @invariant()
    def the_topic_agrees(self) -> None:
        """The honest bank is never stopped."""
        assert self.bank.journal.check_topic(self.bank.topic) is Verdict.OK


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
