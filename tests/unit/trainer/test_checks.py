"""What a bank re-derives: each deviation is found, a missing record is waited for, nothing is compared twice."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

import federation_cases as cases
from tacit.rounds import verify
from tacit.rounds.state import Run, State
from tacit.rounds.types import EndBody, Kind, Outcome, ResultBody
from tacit.sim.federation import Federation
from tacit.trainer.checks import Checks, Finding, absent, finished

Reading = tuple[State, Run]
AGREES = Finding(b"", "")


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Federation, list[bytes]]]:
    """Two finished runs of two banks."""
    made = cases.federation(tmp_path_factory.mktemp("checks"), 2, seed=1)
    runs = [made.submit(cases.plan_for(made, number)) for number in range(2)]
    for run in runs:
        made.run(run, 600)
    yield made, runs
    made.close()


@pytest.fixture
def reading(fed: tuple[Federation, list[bytes]]) -> Reading:
    """A fold of the whole log and its first run; each test may spoil its own."""
    state = fed[0].audit()
    return state, state.runs[fed[1][0]]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Collects what is compared."""
    calls: list[object] = []

    def watch(name: str) -> Callable[..., str]:
        real = getattr(verify, name)

        def watched(*arguments: object) -> str:
            calls.append((name, *arguments[2:]))
            found: str = real(*arguments)
            return found

        return watched

    for name in ("check_result", "check_run"):
        monkeypatch.setattr(verify, name, watch(name))
    return calls


def body_of(run: Run, number: int) -> ResultBody:
    """A standing RESULT's body."""
    body = run.results[number].body
    assert isinstance(body, ResultBody)
    return body


def spoil_result(run: Run, number: int, **changes: object) -> None:
    """Changes a standing RESULT, as if the aggregator had signed that."""
    body = replace(body_of(run, number), **changes)  # type: ignore[arg-type]
    run.results[number] = replace(run.results[number], body=body)


def spoil_end(run: Run, **changes: object) -> None:
    """Changes the standing END."""
    assert run.end is not None
    assert isinstance(run.end.body, EndBody)
    run.end = replace(run.end, body=replace(run.end.body, **changes))  # type: ignore[arg-type]


def take_away(state: State, run: Run, bank: str, slot: int) -> object:
    """Hides a RELEASE from a fold, as if its topic had not been read that far."""
    return state._banks.pop((bank, run.id, slot, Kind.RELEASE))


def test_an_honest_run_agrees(reading: Reading) -> None:
    """RESULT by RESULT and at END, and its model file is the one that END names."""
    state, run = reading
    checks = Checks(state)
    assert checks.results(run) == AGREES
    assert run.end is not None
    assert checks.end(run) == Finding(run.end.digest, "")
    assert checks.model(run) == verify.model_bytes(run)


def test_a_result_is_compared_once(reading: Reading, counted: list[object]) -> None:
    """However often the bank asks; END compares all of them once more."""
    checks = Checks(reading[0])
    for _ in range(3):
        checks.results(reading[1])
    assert counted == [("check_result", 0), ("check_result", 1), ("check_result", 2)]
    for _ in range(3):
        checks.end(reading[1])
    assert counted.count(("check_run",)) == 1


@pytest.mark.parametrize("number", range(3))
def test_a_wrong_sum_is_named_with_its_record(reading: Reading, number: int) -> None:
    """By one unit in one cell, in any round."""
    state, run = reading
    sums = body_of(run, number).sums
    spoil_result(run, number, sums=(*sums[:-1], sums[-1] + 1))
    for found in (Checks(state).results(run), Checks(state).end(run)):
        assert found is not None
        assert "has other sums than the RELEASEs" in found.deviation
    assert Checks(state).results(run).subject == run.results[number].digest  # type: ignore[union-attr]


def test_a_release_that_was_swapped_is_named(reading: Reading) -> None:
    """The RESULT names a digest that the bank's topic does not hold."""
    state, run = reading
    spoil_result(run, 1, used=body_of(run, 1).used | {"bank-1": bytes(32)})
    found = Checks(state).results(run)
    assert found is not None
    assert found.deviation == "RESULT of slot 1 names another RELEASE of bank-1 than its topic holds"


def test_a_deviation_is_said_again(reading: Reading) -> None:
    """It is not forgotten by asking twice."""
    state, run = reading
    spoil_result(run, 0, sums=(0,) * len(body_of(run, 0).sums))
    checks = Checks(state)
    assert checks.results(run) == checks.results(run) != AGREES


ENDS: dict[str, tuple[dict[str, object], str]] = {
    "model": ({"model": bytes(32)}, "another model file"),
    "promised": ({"epsilon_promised": "1"}, "END says that epsilon 1 was promised, the plan says 8"),
    "spent": ({"epsilon_spent": "0"}, "END says epsilon 0"),
}


@pytest.mark.parametrize(("changes", "message"), ENDS.values(), ids=ENDS.keys())
def test_a_wrong_end_is_named(reading: Reading, changes: dict[str, object], message: str) -> None:
    """Model, promise and cost."""
    state, run = reading
    spoil_end(run, **changes)
    found = Checks(state).end(run)
    assert found is not None
    assert message in found.deviation


@pytest.mark.parametrize("slot", range(3))
def test_a_missing_record_is_waited_for(reading: Reading, counted: list[object], slot: int) -> None:
    """It is looked for again only after something was read, and found once it is there."""
    state, run = reading
    hidden = take_away(state, run, "bank-1", slot)
    checks = Checks(state)
    assert checks.results(run) is None
    before = len(counted)
    assert checks.results(run) is None
    assert checks.end(run) is None
    assert len(counted) == before
    checks.read(1)
    assert checks.results(run) is None
    assert len(counted) == before + 1
    state._banks["bank-1", run.id, slot, Kind.RELEASE] = hidden  # type: ignore[assignment]
    checks.read(1)
    assert checks.results(run) == AGREES


def test_results_before_the_missing_one_stay_checked(reading: Reading, counted: list[object]) -> None:
    """The next look begins where the last one stopped."""
    state, run = reading
    take_away(state, run, "bank-0", 1)
    checks = Checks(state)
    checks.results(run)
    checks.read(5)
    checks.results(run)
    assert counted == [("check_result", 0), ("check_result", 1), ("check_result", 1)]


def test_a_forgotten_run_is_compared_anew(reading: Reading, counted: list[object]) -> None:
    """Nothing of it is kept, and a second forgetting does no harm."""
    checks = Checks(reading[0])
    checks.results(reading[1])
    checks.end(reading[1])
    checks.model(reading[1])
    checks.forget(reading[1].id)
    checks.forget(reading[1].id)
    before = len(counted)
    checks.results(reading[1])
    checks.end(reading[1])
    assert counted[before:].count(("check_run",)) == 1
    assert ("check_result", 0) in counted[before:]


def test_the_newest_finished_run_is_the_last(fed: tuple[Federation, list[bytes]]) -> None:
    """Of two, the second; and the first again where the second made no model."""
    state = fed[0].audit()
    first, second = (state.runs[run] for run in fed[1])
    checks = Checks(state)
    assert (checks.newest(first), checks.newest(second)) == (False, True)
    spoil_end(second, outcome=Outcome.ABORTED)
    assert (checks.newest(first), checks.newest(second)) == (True, False)
    spoil_end(first, outcome=Outcome.CANCELLED)
    assert (checks.newest(first), checks.newest(second)) == (False, False)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_a_finished_run_has_a_model(reading: Reading, outcome: Outcome) -> None:
    """Cancelled and aborted runs have an END too."""
    spoil_end(reading[1], outcome=outcome)
    assert finished(reading[1]) is (outcome is Outcome.FINISHED)


def test_a_run_without_end_is_not_finished(reading: Reading) -> None:
    """And there is nothing to find about its END yet."""
    state, run = reading
    run.end = None
    assert not finished(run)
    assert Checks(state).end(run) is None


def test_what_never_came_is_said_of_the_end(reading: Reading) -> None:
    """As a missing record, under the digest of END."""
    run = reading[1]
    assert run.end is not None
    assert absent(run) == Finding(run.end.digest, "missing record: a record that the run names is not on the log")
