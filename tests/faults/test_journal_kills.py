"""Real processes killed by SIGKILL at every named point: one spend, one noise a slot, one chain."""

import json
import multiprocessing
import random
import signal
from collections import defaultdict
from pathlib import Path

import pytest

from journal_lives import COST, POINTS, RUN, SLOTS, journal_in, lines, live, record
from tacit.adapters.journal import RunState, Verdict

KILLS_A_BANK = 8


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """Starts processes quickly: a server that has imported everything forks them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["journal_lives"])
    return context


def run_life(processes: multiprocessing.context.ForkServerContext, folder: Path, fault: str) -> int | None:
    """One life of the bank; returns its exit code."""
    environ = {"TACIT_FAULT": fault, "TACIT_TEST_FAULTS": "1"} if fault else {}
    process = processes.Process(target=live, args=(str(folder), environ))
    process.start()
    process.join()
    return process.exitcode


def check_topic(folder: Path) -> dict[int, str]:
    """Same number, same bytes; same slot, same vector. Returns the vectors on the topic by slot."""
    by_seq: dict[int, set[bytes]] = defaultdict(set)
    by_slot: dict[int, set[str]] = defaultdict(set)
    for value in lines(folder / "topic"):
        said = json.loads(value)
        by_seq[said["seq"]].add(value)
        if said["vector"]:
            by_slot[said["slot"]].add(said["vector"])
    assert all(len(values) == 1 for values in by_seq.values())
    assert all(len(vectors) == 1 for vectors in by_slot.values())
    return {slot: vectors.pop() for slot, vectors in by_slot.items()}


def check_journal(folder: Path, sent: dict[int, str]) -> RunState:
    """One spend a slot, never more than reserved, and nothing drawn again once it was spent."""
    journal = journal_in(folder)
    spent = [slot for slot in range(SLOTS) if journal.spent(RUN, slot) is not None]
    runs = journal.ledger().runs
    assert journal.verify() == []
    assert journal.check_topic([record(value) for value in lines(folder / "topic")]) is Verdict.OK
    assert set(sent) <= set(spent)
    assert sum(run.spent_nano for run in runs) == COST.rho_nano * len(spent) <= SLOTS * COST.rho_nano
    assert all(run.charged_nano >= run.spent_nano for run in runs)
    state = journal.state(RUN)
    journal.close()
    last = dict(line.decode().split() for line in lines(folder / "draws"))
    assert all(last[str(slot)] == vector for slot, vector in sent.items())
    return state


def kill_one_bank(processes: multiprocessing.context.ForkServerContext, folder: Path, seed: int, first: str) -> None:
    """Kills a bank several times at drawn points, then lets it finish."""
    choice = random.Random(seed)
    faults = [first, *(f"{choice.choice(POINTS)}:{choice.randint(1, 4)}" for _ in range(KILLS_A_BANK - 1))]
    for fault in faults:
        assert run_life(processes, folder, fault) == -signal.SIGKILL, f"seed {seed}, {fault}"
        check_journal(folder, check_topic(folder))
    assert run_life(processes, folder, "") == 0
    sent = check_topic(folder)
    assert (check_journal(folder, sent), len(sent)) == (RunState.DONE, SLOTS)


@pytest.mark.integration
@pytest.mark.parametrize("seed", range(3))
def test_24_kills(processes: multiprocessing.context.ForkServerContext, tmp_path: Path, seed: int) -> None:
    """The count of every test run."""
    kill_one_bank(processes, tmp_path, seed, "before-commit")


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("seed", range(100, 125))
def test_200_kills(processes: multiprocessing.context.ForkServerContext, tmp_path: Path, seed: int) -> None:
    """The count of CI."""
    kill_one_bank(processes, tmp_path, seed, f"{POINTS[seed % len(POINTS)]}:1")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("before-draw", (0, 0, 0)),
        ("after-draw", (0, 1, 0)),
        ("before-commit:5", (0, 1, 0)),
        ("after-commit:5", (1, 1, 0)),
        ("before-append:3", (1, 1, 0)),
        ("after-append:3", (1, 1, 1)),
        ("before-seen:3", (1, 1, 1)),
    ],
)
def test_each_point_around_the_first_spend(
    processes: multiprocessing.context.ForkServerContext,
    tmp_path: Path,
    fault: str,
    expected: tuple[int, int, int],
) -> None:
    """Before the commit nothing was spent or sent; after it the next life sends the stored bytes."""
    spent, drawn, sent = expected
    assert run_life(processes, tmp_path, fault) == -signal.SIGKILL
    journal = journal_in(tmp_path)
    assert len([slot for slot in range(SLOTS) if journal.spent(RUN, slot) is not None]) == spent
    journal.close()
    assert (len(lines(tmp_path / "draws")), len(check_topic(tmp_path))) == (drawn, sent)
    assert run_life(processes, tmp_path, "") == 0
    vectors = check_topic(tmp_path)
    assert check_journal(tmp_path, vectors) is RunState.DONE
    again = [line.decode().split()[1] for line in lines(tmp_path / "draws") if line.startswith(b"0 ")]
    assert (vectors[0] == again[0]) is bool(spent or not drawn)
