"""The drills: a lost topic, a lost journal, a restored backup; over the real machines in one process."""

import datetime as dt
import functools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

import tacit.features
from tacit import canonical
from tacit.adapters.journal import BudgetExceededError, Journal, JournalError, Reservation, RunState
from tacit.adapters.rows import RowMapping, load
from tacit.features.spec import Contract
from tacit.learning.types import Learner, QualityPlan, Shares
from tacit.privacy import accounting
from tacit.privacy.types import Mode, Unit
from tacit.rounds.plan import Deadlines, Plan, Window
from tacit.rounds.types import EndBody, Kind, Outcome, Refusal, RefusedBody, ResumeBody, RosterBody
from tacit.runtime import documents
from tacit.runtime.log import LogUnavailableError
from tacit.sim.federation import Federation, Node, with_nonce
from tacit.sim.transactions import BankPlan, World, write
from tacit.trainer import recovery
from tacit.trainer.outbox import Author, TrainerStoppedError
from tacit.wire import topics
from tacit.wire.envelope import SigningKey

BANK = "bank-0"
TOPIC = topics.bank(topics.DEFAULT_PREFIX, BANK).name

epsilon = functools.cache(accounting.epsilon)


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accountant's answers are kept: every process of a drill asks it the same."""
    monkeypatch.setattr(accounting, "epsilon", epsilon)


@pytest.fixture(scope="module")
def contract() -> Contract:
    """The card contract."""
    return documents.load(Contract, Path(tacit.features.__file__).parent / "contracts" / "card.yaml")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """Rows of three small banks."""
    banks = tuple(BankPlan(name=f"bank-{number}", customers=25) for number in range(3))
    folders = write(World(seed=1, banks=banks, days=55, start=dt.date(2018, 1, 1)), tmp_path_factory.mktemp("rows"))
    found = {}
    for bank, folder in folders.items():
        found[bank] = load(str(folder / "data"), documents.load(RowMapping, folder / "mapping.yaml"))
    return found


class Drill:
    """A federation whose first bank loses something."""

    def __init__(self, frames: dict[str, pl.DataFrame], contract: Contract, folder: Path) -> None:
        for bank in frames:
            (folder / bank).mkdir()
        self.federation = Federation(frames, contract, folder)
        self.contract = contract
        self.file = folder / BANK / "journal.sqlite"
        self.plan = Plan(
            federation="sim",
            manifest=canonical.label(self.federation.manifest.digest),
            not_after=dt.date(2030, 1, 1),
            model="card",
            contract=canonical.label(contract.digest),
            unit=Unit.CUSTOMER,
            mode=Mode.LOCAL,
            epsilon=Fraction(8),
            delta=Fraction(1, 10**5),
            population=100,
            window=Window(dt.date(2018, 2, 10), 7, 7, 7),
            learner=Learner(rounds=2, average=2),
            shares=Shares(Fraction(1, 20), Fraction(9, 10), Fraction(0), Fraction(1, 20)),
            quality=QualityPlan(),
            deadlines=Deadlines(join="1s", attempt="1s", grace="1s"),
            nonce="00" * 32,
        )

    @property
    def node(self) -> Node:
        """The bank's process."""
        return next(node for node in self.federation.nodes if node.name == BANK)

    def finish(self, number: int) -> bytes:
        """Submits the plan as run `number` and waits for its end."""
        run = self.federation.submit(with_nonce(self.plan, number))
        ended = self.federation.run(run, 3000)
        assert isinstance(ended.end.body, EndBody)  # type: ignore[union-attr]
        assert ended.end.body.outcome is Outcome.FINISHED  # type: ignore[union-attr]
        return run

    def start(self) -> None:
        """Starts every process again."""
        for node in self.federation.nodes:
            node.step, node.stop = node.start(node.view)

    def stop(self) -> None:
        """Stops every process."""
        self.federation.close()

    def keep(self, entries: int) -> None:
        """Loses all but the first entries of the bank's topic."""
        log = self.federation.log
        kept = log.read({TOPIC: 0}, entries) if entries else []
        log.drop(TOPIC)
        log.create([TOPIC])
        for entry in kept:
            log.append(TOPIC, entry.key, entry.value)

    def journal(self) -> Journal:
        """The bank's journal, while its process is stopped."""
        policy = self.federation._policy(BANK)
        caps = [accounting.cap_nano(cap.epsilon, cap.delta) for cap in (policy.bucket_cap, policy.lifetime_cap)]
        return Journal.open(
            self.file,
            account=policy.account,
            unit=policy.unit,
            bucket_cap_nano=caps[0],
            lifetime_cap_nano=caps[1],
            clock=self.federation.clock,
        )

    def identity(self, contracts: dict[str, Contract] | None = None) -> recovery.Identity:
        """The bank with its own keys."""
        federation = self.federation
        return recovery.Identity(
            policy=federation._policy(BANK),
            manifest=federation.manifest,
            contracts=federation._contracts() if contracts is None else contracts,
            author=Author(BANK, federation._keys[BANK], TOPIC),
            governance=federation._governance[BANK],
        )

    def findings(self) -> recovery.Findings:
        """What the log says."""
        return recovery.read(self.federation.log, self.identity())

    def resume(self) -> None:
        """`tacit ledger resume`."""
        journal = self.journal()
        try:
            recovery.resume(self.federation.log, journal, self.identity(), self.federation.clock, self.findings())
        finally:
            journal.close()

    def rebuild(self) -> recovery.Rebuild:
        """`tacit ledger rebuild`."""
        prepared = recovery.prepare(self.findings(), self.identity())
        journal = self.journal()
        try:
            recovery.rebuild(self.federation.log, journal, self.identity(), self.federation.clock, prepared)
        finally:
            journal.close()
        return prepared

    def charged(self) -> int:
        """Nano-rho charged to the lifetime cap."""
        journal = self.journal()
        try:
            assert journal.verify() == []
            return journal.ledger().lifetime.charged_nano
        finally:
            journal.close()

    def reserved(self) -> int:
        """Nano-rho that one run reserves."""
        terms = recovery.work_out(self.plan, self.contract, self.federation.manifest)
        return terms.budget.reserved_rho_nano


@pytest.fixture
def drill(frames: dict[str, pl.DataFrame], contract: Contract, tmp_path: Path) -> Drill:
    """A federation with nothing on its log."""
    return Drill(frames, contract, tmp_path)


def stopped(drill: Drill) -> str:
    """Starts all again; why the bank's trainer stops."""
    drill.start()
    with pytest.raises(TrainerStoppedError) as caught:
        drill.federation.run(bytes(32), 3)
    drill.stop()
    return str(caught.value)


@pytest.mark.parametrize("kept", [0, 3])
def test_a_lost_topic_is_resumed_and_the_bank_takes_part_again(drill: Drill, kept: int) -> None:
    """Nothing is charged for it, and the next run has all three banks."""
    drill.finish(1)
    drill.stop()
    drill.keep(kept)
    assert "truncated" in stopped(drill)
    before = drill.charged()
    drill.resume()
    assert drill.charged() == before == drill.reserved()
    drill.start()
    second = drill.finish(2)
    assert BANK in drill.federation.audit().runs[second].banks
    drill.stop()
    assert drill.charged() == 2 * drill.reserved()


def test_resume_is_signed_by_both_keys_and_read_back(drill: Drill) -> None:
    """It opens under the manifest, so both signatures hold, and nothing is left to send."""
    drill.finish(1)
    drill.stop()
    drill.keep(0)
    drill.resume()
    own = drill.findings().own
    assert [record.header.kind for record in own] == [Kind.RESUME]
    assert isinstance(own[0].body, ResumeBody)
    assert (own[0].body.topic_seq, own[0].body.rebuilt) == (0, False)
    journal = drill.journal()
    assert journal.unsent() == []
    journal.close()


def test_resume_refuses_a_journal_that_is_behind(drill: Drill) -> None:
    """A lost journal needs a rebuild; the topic stays as it was."""
    drill.finish(1)
    drill.stop()
    drill.file.unlink()
    before = len(drill.findings().own)
    with pytest.raises(JournalError, match="behind"):
        drill.resume()
    assert len(drill.findings().own) == before


def test_a_resume_that_was_not_sent_goes_out_when_the_trainer_starts(drill: Drill) -> None:
    """The log went away between store and append: the error says so, and nobody has to repeat it."""
    drill.finish(1)
    drill.stop()
    drill.keep(0)
    journal, findings = drill.journal(), drill.findings()
    drill.federation.log.make_unavailable()
    with pytest.raises(LogUnavailableError) as caught:
        recovery.resume(drill.federation.log, journal, drill.identity(), drill.federation.clock, findings)
    assert any("trainer sends it" in note for note in caught.value.__notes__)
    journal.close()
    drill.federation.log.heal()
    drill.start()
    second = drill.finish(2)
    assert BANK in drill.federation.audit().runs[second].banks
    drill.stop()


def start_run(drill: Drill) -> bytes:
    """A run in which the bank has answered one round and more are to come."""
    run = drill.federation.submit(with_nonce(drill.plan, 1))
    while not any(record.header.kind is Kind.RELEASE for record in drill.findings().own):
        drill.federation.turn()
    return run


def test_a_lost_journal_is_rebuilt_and_charged_in_full(drill: Drill) -> None:
    """Only one round was answered; the whole reservation counts for good, and that run is never joined again."""
    run = start_run(drill)
    drill.stop()
    drill.file.unlink()
    assert "behind" in stopped(drill)
    prepared = drill.rebuild()
    assert [item.run for item in prepared.reservations] == [run]
    assert not prepared.to_cap
    assert drill.charged() == drill.reserved()
    journal = drill.journal()
    assert journal.state(run) is RunState.LEFT
    journal.close()


def test_after_a_rebuild_the_other_banks_end_the_run_and_the_next_one_has_all(drill: Drill) -> None:
    """No honest run is stuck; the rebuilt bank adds one full reservation for the next run, no less."""
    run = start_run(drill)
    drill.stop()
    drill.file.unlink()
    drill.rebuild()
    drill.start()
    first = drill.federation.run(run, 3000)
    assert first.end is not None
    second = drill.finish(2)
    assert BANK in drill.federation.audit().runs[second].banks
    drill.stop()
    assert drill.charged() == 2 * drill.reserved()


def test_a_restored_backup_is_noticed_and_rebuilt(drill: Drill) -> None:
    """It lacks the newer run: the trainer stops, the old file is refused, a fresh one is charged with both runs."""
    drill.finish(1)
    drill.stop()
    journal = drill.journal()
    copy = drill.file.with_name("backup.sqlite")
    journal.backup(copy)
    journal.close()
    drill.start()
    drill.finish(2)
    drill.stop()
    copy.replace(drill.file)
    assert "behind" in stopped(drill)
    with pytest.raises(recovery.RecoveryError, match="move it away"):
        drill.rebuild()
    drill.file.unlink()
    drill.rebuild()
    assert drill.charged() == 2 * drill.reserved()


def test_a_topic_with_a_gap_charges_the_account_to_its_cap(drill: Drill) -> None:
    """Journal lost and the topic's beginning, too: nothing may be asked of this account any more."""
    drill.finish(1)
    drill.stop()
    drill.federation.log.truncate(TOPIC, 2)
    drill.file.unlink()
    prepared = drill.rebuild()
    assert prepared.to_cap
    policy = drill.federation._policy(BANK)
    assert drill.charged() >= accounting.cap_nano(policy.lifetime_cap.epsilon, policy.lifetime_cap.delta)
    journal = drill.journal()
    more = Reservation(bytes(32), policy.account, ("2031-01",), 1)
    with pytest.raises(BudgetExceededError):
        journal.reserve(more, lambda _: pytest.fail("signed"))
    journal.close()


def test_a_bank_charged_to_its_cap_refuses_with_budget(drill: Drill) -> None:
    """The trainer works again, but says BUDGET to the next plan."""
    drill.finish(1)
    drill.stop()
    drill.federation.log.truncate(TOPIC, 2)
    drill.file.unlink()
    drill.rebuild()
    drill.start()
    drill.finish(2)
    refused = [record.body for record in drill.findings().own if record.header.kind is Kind.REFUSED]
    assert refused == [RefusedBody(Refusal.BUDGET)]
    drill.stop()


def test_a_join_that_only_a_roster_names_is_charged_as_its_run(drill: Drill) -> None:
    """An emptied topic hides nothing: the control topic remembers who took part; what it names is all there was."""
    run = drill.finish(1)
    drill.stop()
    drill.keep(0)
    findings = drill.findings()
    assert findings.joined == (run,)
    assert not findings.incomplete
    prepared = recovery.prepare(findings, drill.identity())
    assert not prepared.to_cap
    assert [item.rho_nano for item in prepared.reservations] == [drill.reserved()]


def test_after_journal_and_topic_were_lost_a_rebuild_lets_the_bank_go_on(drill: Drill) -> None:
    """The rebuilt journal lacks the JOIN that the roster names, yet knows the run as charged and over."""
    drill.finish(1)
    drill.stop()
    drill.keep(0)
    drill.file.unlink()
    assert "behind" in stopped(drill)
    drill.rebuild()
    assert drill.charged() == drill.reserved()
    drill.start()
    second = drill.finish(2)
    assert BANK in drill.federation.audit().runs[second].banks
    drill.stop()
    assert drill.charged() == 2 * drill.reserved()


def test_a_bank_without_its_plans_goes_on_at_the_cap(drill: Drill) -> None:
    """A run that cannot be worked out is over for good: the trainer starts, and refuses the next plan."""
    run = drill.finish(1)
    drill.stop()
    drill.keep(0)
    drill.file.unlink()
    findings = replace(drill.findings(), plans={})
    prepared = recovery.prepare(findings, drill.identity(), charge_to_cap=True)
    journal = drill.journal()
    recovery.rebuild(drill.federation.log, journal, drill.identity(), drill.federation.clock, prepared)
    assert journal.state(run) is RunState.LEFT
    journal.close()
    drill.start()
    drill.finish(2)
    assert Refusal.BUDGET in [getattr(record.body, "code", None) for record in drill.findings().own]
    drill.stop()


def test_reservations_are_those_that_the_trainer_made(drill: Drill) -> None:
    """Months, amount and account equal what the lost journal held."""
    drill.finish(1)
    drill.stop()
    journal = drill.journal()
    (charge,) = journal.ledger().runs
    journal.close()
    (found,) = recovery.prepare(drill.findings(), drill.identity()).reservations
    assert (found.run, found.buckets, found.rho_nano) == (charge.run, charge.buckets, charge.reserved_nano)


def test_an_empty_topic_is_not_rebuilt_without_the_cap(drill: Drill) -> None:
    """Where nothing is known, only the whole account is safe."""
    drill.stop()
    with pytest.raises(recovery.RecoveryError, match="nothing to rebuild from"):
        recovery.prepare(drill.findings(), drill.identity())
    prepared = recovery.prepare(drill.findings(), drill.identity(), charge_to_cap=True)
    assert prepared.to_cap
    assert prepared.reservations == ()


def test_a_missing_contract_is_named(drill: Drill) -> None:
    """The operator can put it back; charging to the cap is the way without it."""
    drill.finish(1)
    drill.stop()
    identity = drill.identity({"sha256:" + "0" * 64: drill.contract})
    with pytest.raises(recovery.RecoveryError, match=drill.plan.contract):
        recovery.prepare(drill.findings(), identity)
    prepared = recovery.prepare(drill.findings(), identity, charge_to_cap=True)
    assert (prepared.reservations, prepared.to_cap) == ((), True)


def test_a_missing_plan_or_epoch_is_named(drill: Drill) -> None:
    """Neither can be guessed."""
    drill.finish(1)
    drill.stop()
    findings = drill.findings()
    with pytest.raises(recovery.RecoveryError, match="PLAN is not on the control topic"):
        recovery.prepare(replace(findings, plans={}), drill.identity())
    (run,) = findings.joined
    stranger = replace(findings.plans[run], manifest="sha256:" + "9" * 64)
    with pytest.raises(recovery.RecoveryError, match="manifest sha256:9999"):
        recovery.prepare(replace(findings, plans={run: stranger}), drill.identity())


def test_a_plan_of_an_earlier_epoch_is_worked_out_under_that_epoch(drill: Drill) -> None:
    """Given the earlier epoch, its records and plans count as they did."""
    drill.finish(1)
    drill.stop()
    identity = drill.identity()
    later = replace(identity.manifest, epoch=2, previous_digest=canonical.label(identity.manifest.digest))
    moved = replace(identity, manifest=later, earlier=(identity.manifest,))
    findings = recovery.read(drill.federation.log, moved)
    assert [item.rho_nano for item in recovery.prepare(findings, moved).reservations] == [drill.reserved()]
    blind = recovery.read(drill.federation.log, replace(identity, manifest=later))
    assert blind.own == ()
    assert blind.invalid > 0


@pytest.mark.parametrize("wrong", ["author", "governance"])
def test_keys_that_are_not_the_banks_are_refused(drill: Drill, wrong: str) -> None:
    """A RESUME that nobody would accept is never signed."""
    stranger = SigningKey.generate()
    changes = {"author": Author(BANK, stranger, TOPIC), "governance": stranger}
    with pytest.raises(recovery.RecoveryError, match="epoch 1 names"):
        replace(drill.identity(), **{wrong: changes[wrong]})
    drill.stop()


def test_another_banks_policy_is_refused(drill: Drill) -> None:
    """The account charged would be the wrong one."""
    with pytest.raises(recovery.RecoveryError, match="expected 'bank-1'"):
        replace(drill.identity(), policy=drill.federation._policy("bank-1"))
    drill.stop()


def test_a_roster_without_the_bank_charges_nothing(drill: Drill) -> None:
    """Only rosters that name this bank are evidence."""
    join = b"j" * 32
    bodies = [(b"r" * 32, RosterBody({"bank-1": join})), (b"s" * 32, RosterBody({BANK: join})), (b"", object())]
    assert recovery._rostered(bodies, BANK) == {b"s" * 32: join}
    drill.stop()
