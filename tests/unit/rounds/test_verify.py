"""Re-deriving sums, steps, model and epsilon from the log; every change of a record is a deviation with a name."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import federation_cases as cases
from tacit.rounds import verify
from tacit.rounds.state import Run, State
from tacit.rounds.types import EndBody, Kind, Outcome, Reason, ResultBody, RoundError
from tacit.sim.federation import Federation

int64s = st.integers(-(2**63), 2**63 - 1)
DIGEST = b"d" * 32


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Federation, bytes]]:
    """A finished run of three banks."""
    fed = cases.federation(tmp_path_factory.mktemp("verify"), 3, seed=2)
    run = fed.submit(cases.plan_for(fed))
    fed.run(run, 300)
    yield fed, run
    fed.close()


@pytest.fixture
def fold(finished: tuple[Federation, bytes]) -> tuple[State, Run]:
    """A fresh fold of it, to be spoilt."""
    state = finished[0].audit()
    return state, state.runs[finished[1]]


def changed(run: Run, number: int, **changes: object) -> None:
    """Changes a standing RESULT."""
    record = run.results[number]
    assert isinstance(record.body, ResultBody)
    run.results[number] = replace(record, body=replace(record.body, **changes))  # type: ignore[arg-type]


def end(run: Run, **changes: object) -> None:
    """Changes the standing END."""
    assert run.end is not None
    assert isinstance(run.end.body, EndBody)
    run.end = replace(run.end, body=replace(run.end.body, **changes))  # type: ignore[arg-type]


@given(int64s)
def test_signed_integers_survive_the_ring(value: int) -> None:
    """Two's complement both ways, in [0, 2^64)."""
    element = verify.encode(value)
    assert 0 <= element < 2**64
    assert verify.decode(element) == value


@given(st.lists(st.lists(st.integers(-(2**40), 2**40), min_size=3, max_size=3), max_size=8))
def test_totals_are_exact(vectors: list[list[int]]) -> None:
    """Sums of encoded vectors decode to the sum of the values; no vector is zero."""
    encoded = [[verify.encode(value) for value in vector] for vector in vectors]
    expected = np.sum(np.array([*vectors, [0, 0, 0]], dtype=np.int64), axis=0)
    assert verify.total(encoded, 3) == tuple(expected)


def test_totals_wrap_at_two_to_the_64() -> None:
    """The ring wraps: the largest plus one is the smallest."""
    assert verify.total([[2**63 - 1], [1]], 1) == (-(2**63),)


@pytest.mark.parametrize("cells", [0, 1, 3])
def test_totals_refuse_another_length(cells: int) -> None:
    """A vector of another length is an error, never a partial sum."""
    with pytest.raises(RoundError, match="2 cells, expected"):
        verify.total([[1, 2]], cells)


def test_an_honest_run_agrees(fold: tuple[State, Run]) -> None:
    """Nothing to say of it, as a whole and round by round."""
    state, run = fold
    assert not verify.check_run(state, run)
    assert [verify.check_result(state, run, number) for number in range(3)] == [verify.AGREEMENT] * 3


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("cell", [0, -1])
def test_one_wrong_cell_is_found(fold: tuple[State, Run], number: int, cell: int) -> None:
    """A single cell off by one."""
    state, run = fold
    sums = list(run.results[number].body.sums)  # type: ignore[union-attr]
    sums[cell] += 1
    changed(run, number, sums=tuple(sums))
    assert (
        verify.check_run(state, run).text == f"RESULT of slot {number} has other sums than the RELEASEs that it names"
    )


def test_a_bank_left_out_is_found(fold: tuple[State, Run]) -> None:
    """Sums of three, names of two."""
    state, run = fold
    used = dict(run.results[1].body.used)  # type: ignore[union-attr]
    used.pop("bank-1")
    changed(run, 1, used=used)
    assert "other sums" in verify.check_result(state, run, 1).text


def test_another_digest_is_found(fold: tuple[State, Run]) -> None:
    """A RELEASE that the bank's topic does not hold."""
    state, run = fold
    changed(run, 0, used={**run.results[0].body.used, "bank-2": DIGEST})  # type: ignore[union-attr]
    assert "names another RELEASE of bank-2" in verify.check_result(state, run, 0).text


def test_a_missing_release_is_missing(fold: tuple[State, Run]) -> None:
    """What is not there may still come: its own kind of deviation."""
    state, run = fold
    del state._banks[("bank-1", run.id, 2, Kind.RELEASE)]
    assert verify.check_run(state, run).missing


def test_a_missing_join_is_missing(fold: tuple[State, Run]) -> None:
    """A roster's JOIN that was not read yet may still come."""
    state, run = fold
    del state._banks[("bank-1", run.id, 0, Kind.JOIN)]
    assert verify.check_run(state, run) == verify.lacking("JOIN of bank-1")


@pytest.mark.parametrize("spoil", ["context", "digest"])
def test_a_roster_that_names_another_join_is_found(fold: tuple[State, Run], spoil: str) -> None:
    """A JOIN of the bank that is not the named one, or was made for something else."""
    state, run = fold
    key = ("bank-2", run.id, 0, Kind.JOIN)
    record = state._banks[key]
    other = replace(record, header=replace(record.header, context=DIGEST))
    state._banks[key] = other if spoil == "context" else replace(record, digest=DIGEST)
    assert verify.check_run(state, run).text == "ROSTER names another JOIN of bank-2 than its topic holds for this run"


def test_before_roster_there_is_nothing_to_compare(fold: tuple[State, Run]) -> None:
    """A run that ended before ROSTER names no JOIN."""
    state, run = fold
    run.roster = None
    assert verify.check_roster(state, run) == verify.AGREEMENT


@pytest.mark.parametrize("spoil", ["context", "cells"])
def test_a_release_that_cannot_answer_is_a_deviation(fold: tuple[State, Run], spoil: str) -> None:
    """One that is there and never will fit is no reason to wait."""
    state, run = fold
    key = ("bank-1", run.id, 0, Kind.RELEASE)
    record = state._banks[key]
    if spoil == "context":
        state._banks[key] = replace(record, header=replace(record.header, context=DIGEST))
    else:
        state._banks[key] = replace(record, body=type("Short", (), {"cells": (1,)})())
    assert "does not answer its question" in verify.check_result(state, run, 0).text
    assert "bank-1" not in verify.releases(state, run, 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": DIGEST}, "another model file"),
        ({"epsilon_spent": "0.1"}, "END says epsilon 0.1"),
        ({"epsilon_promised": "1"}, "epsilon 1 was promised, the plan says 8"),
    ],
)
def test_a_wrong_end_is_found(fold: tuple[State, Run], changes: dict[str, object], said: str) -> None:
    """Model, spent and promised epsilon."""
    state, run = fold
    end(run, **changes)
    assert said in verify.check_run(state, run).text


def test_an_aborted_run_is_checked_for_its_sums_and_epsilon(fold: tuple[State, Run]) -> None:
    """Without a model: sums and epsilon must hold all the same."""
    state, run = fold
    end(run, outcome=Outcome.ABORTED, reason=Reason.DEADLINE, model=b"")
    assert not verify.check_run(state, run)
    changed(run, 1, sums=(0,) * len(run.results[1].body.sums))  # type: ignore[union-attr]
    assert "other sums" in verify.check_run(state, run).text


def test_a_run_without_end_or_terms_is_missing(fold: tuple[State, Run]) -> None:
    """Nothing can be said yet."""
    state, run = fold
    run.end = None
    assert verify.check_run(state, run).missing


def test_a_model_needs_all_rounds(fold: tuple[State, Run]) -> None:
    """No partial model; the same bytes for every reader."""
    _, run = fold
    assert verify.model_bytes(run) == verify.model_bytes(run)
    run.course = None
    with pytest.raises(RoundError, match="3 rounds are done"):
        verify.model_bytes(run)


def test_no_answers_outside_the_run(fold: tuple[State, Run]) -> None:
    """A slot that was never asked has no answers."""
    state, run = fold
    assert verify.releases(state, run, 3) == {}
    assert sorted(verify.releases(state, run, 2)) == ["bank-0", "bank-1", "bank-2"]


def test_a_deviation_is_true_and_says_its_sentence() -> None:
    """Agreement is false and empty; only what is lacking may be waited for."""
    found = verify.Deviation("other sums")
    assert (bool(found), str(found), found.missing) == (True, "other sums", False)
    assert (bool(verify.AGREEMENT), str(verify.AGREEMENT), verify.AGREEMENT.missing) == (False, "", False)
    assert (bool(verify.lacking("END")), verify.lacking("END").missing) == (True, True)
    assert verify.lacking("END").text == "missing record: END"
