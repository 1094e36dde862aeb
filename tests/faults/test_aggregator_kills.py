"""The aggregator is killed at every control record that it writes: no round is lost, nothing is said twice."""

import signal
from collections.abc import Sequence

import pytest

from federation_processes import Running, check_outcome, known_run, plan_for, rounds
from tacit.cli.client import AggregatorClient, ClientError
from tacit.cli.layout import OPERATOR
from tacit.rounds.plan import Plan
from tacit.rounds.types import Kind
from tacit.wire import topics

pytestmark = pytest.mark.integration

KINDS = ("manifest", "lead", "plan", "open", "roster", "query", "result", "end")
NEEDS_PLAN = KINDS[2:]
ROUNDS = 4


def die_at(running: Running, fault: str, plan_needed: bool, submit: tuple[Plan, str]) -> None:
    """One life of the aggregator that ends at a named point; the plan is offered to lives that can get that far."""
    running.start(topics.AGGREGATOR, fault=fault)
    if plan_needed:
        offer(running, *submit)
    assert running.exit_code(topics.AGGREGATOR) == -signal.SIGKILL, fault


def offer(running: Running, plan: Plan, run: str) -> None:
    """Submits until the plan is known or the aggregator is dead."""

    def known() -> bool:
        if running.processes[topics.AGGREGATOR].exitcode is not None:
            return True
        url = running.listening(topics.AGGREGATOR)
        try:
            return url is not None and AggregatorClient(url).submit(plan, OPERATOR, running.operator) == run
        except ClientError:
            return False

    running.wait("the plan on the log", known)


def kill_at(running: Running, points: Sequence[str]) -> None:
    """Kills the aggregator at each point in turn, lets it finish, and checks what came of the run."""
    plan = plan_for(running.folder)
    run = known_run(plan)
    running.start(*(name for name in running.everything() if name != topics.AGGREGATOR))
    for point in points:
        kind = point.split("-")[1].split(":")[0]
        die_at(running, point, kind in NEEDS_PLAN, (plan, run))
    running.start(topics.AGGREGATOR)
    assert running.submit(plan) == run
    assert running.ended(run)["outcome"] == "FINISHED"
    running.settled(run)
    found = check_outcome(running, run)
    assert len(found.state.runs[bytes.fromhex(run)].results) == ROUNDS
    leads = [record for record in found.records if record.header.kind is Kind.LEAD]
    # A life that died before it wrote its LEAD, or before it had to, left none.
    assert 1 <= len({record.digest for record in leads}) <= len(points) + 1


def test_killed_before_each_kind(running: Running) -> None:
    """Decided and signed, not yet on the log: the next life decides anew, and nothing contradicts."""
    kill_at(running, [f"before-{kind}" for kind in KINDS])


def test_killed_after_each_kind(running: Running) -> None:
    """On the log and not yet read back: the next life takes it from there."""
    kill_at(running, [f"after-{kind}" for kind in KINDS])


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", [*KINDS, "query:2", "query:4", "result:2", "result:4"])
def test_killed_at_one_point(running: Running, when: str, kind: str) -> None:
    """Every point alone, and later rounds as well."""
    kill_at(running, [f"{when}-{kind}"])


@pytest.mark.slow
def test_killed_at_one_point_again_and_again(running: Running) -> None:
    """Five kills behind the same kind of record, one round each: every life makes progress."""
    kill_at(running, ["after-query"] * 3 + ["before-result", "after-result"])


def test_a_frozen_leader_that_wakes_up_changes_nothing(running: Running) -> None:
    """Two aggregators: the one that was stopped for a while holds an old LEAD; what it still says is void."""
    plan = plan_for(running.folder, learner=rounds(12))
    running.start(*running.everything())
    run = running.submit(plan)
    running.signal(topics.AGGREGATOR, signal.SIGSTOP)
    frozen = running.processes.pop(topics.AGGREGATOR)
    running.processes["frozen"] = frozen
    # The lock is the frozen one's until it ends: another replica has a lock of its own, as after a Lease ran out.
    running.give_lock("aggregator-2")
    running.start(topics.AGGREGATOR)
    running.at_round(run, 1)
    running.signal("frozen", signal.SIGCONT)
    assert running.ended(run)["outcome"] == "FINISHED"
    running.settled(run)
    check_outcome(running, run)
