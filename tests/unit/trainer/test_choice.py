"""The kept choice: made once per verified run, never lost to an older run, one file whole or not there."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

import federation_cases as cases
from tacit import canonical
from tacit.learning import ensemble
from tacit.learning.basis import Basis
from tacit.rounds import verify
from tacit.sim.federation import Federation, InlineWorker
from tacit.trainer.answers import Answerer, request_digest
from tacit.trainer.checks import Finished
from tacit.trainer.choice import CURRENT, MODELS, LocalChoice, held, read
from tacit.trainer.snapshot import build, keyed_rule, span
from tacit.wire.local import Choice

T = TypeVar("T")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Federation, Finished]]:
    """A finished run, as a bank that did not take part is told of it."""
    fed = cases.federation(tmp_path_factory.mktemp("choice"), 2, seed=1)
    run = fed.submit(cases.plan_for(fed))
    over = fed.run(run, 300)
    yield fed, Finished(over, verify.model_bytes(over), None)
    fed.close()


def test_a_bank_without_rows_serves_the_global_model(finished: tuple[Federation, Finished], tmp_path: Path) -> None:
    """The document names run, model and contract, and has no booster."""
    assert LocalChoice(tmp_path, InlineWorker(), "UTC").took(finished[1])
    found = read(tmp_path / CURRENT)
    assert found is not None
    assert found.model == canonical.label(ensemble.digest(finished[1].model))
    assert (found.run, found.choice, found.booster) == (finished[1].run.id.hex(), "global", None)
    assert found.global_share == 1.0
    assert [path.name for path in tmp_path.iterdir()] == [CURRENT, MODELS]


def test_a_kept_choice_of_the_same_run_stays(finished: tuple[Federation, Finished], tmp_path: Path) -> None:
    """After a restart the file of this run is not written again."""
    choice = LocalChoice(tmp_path, InlineWorker(), "UTC")
    choice.took(finished[1])
    path = tmp_path / CURRENT
    path.write_text(path.read_text().replace('"global"', '"alone"'))
    choice.took(finished[1])
    assert read(path).choice == "alone"  # type: ignore[union-attr]


def test_a_fit_that_fails_serves_the_global_model(
    finished: tuple[Federation, Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the rows do to the learner: the choice is global, and the run is over for this bank."""
    monkeypatch.setattr(LocalChoice, "_choose", lambda *_: 1 // 0)
    done = replace(finished[1], answerer=object())  # type: ignore[arg-type]
    assert LocalChoice(tmp_path, InlineWorker(), "UTC").took(done)
    found = read(tmp_path / CURRENT)
    assert found is not None
    assert (found.run, found.choice, found.booster) == (done.run.id.hex(), "global", None)


@pytest.mark.parametrize("content", ["", "{", "[]x", '{"api": "other/v1"}'])
def test_a_file_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    """Broken or foreign documents count as absent."""
    (tmp_path / CURRENT).write_text(content)
    assert read(tmp_path / CURRENT) is None
    assert read(tmp_path / "absent") is None


def test_each_question_has_a_request_of_its_own(finished: tuple[Federation, Finished]) -> None:
    """Query, parent and noise are in the request: no two slots share one, and it never changes."""
    run = finished[1].run
    assert run.terms is not None
    digests = [request_digest(run, attempt, run.terms) for attempt in run.attempts]
    assert len(set(digests)) == 3
    assert digests == [request_digest(run, attempt, run.terms) for attempt in run.attempts]


def with_rows(finished: Finished, count: int) -> Finished:
    """The same run as a bank of some rows is told of it."""
    terms = finished.run.terms
    assert terms is not None
    plan = terms.plan
    reach = span(plan.window, 0, "UTC")
    rows = cases.rows(5, count=count)
    made = build(rows, terms.contract, plan, reach, feeds={}, kept=keyed_rule(b"k" * 32, b"r", plan.subsample))
    return replace(finished, answerer=Answerer(made, terms, Basis(terms.contract)))


class SlowWorker(InlineWorker):
    """Has no result at the first question; counts what it is asked and told."""

    def __init__(self) -> None:
        self.asked = 0
        self.forgotten: list[object] = []

    def done(self, key: object, work: Callable[[], T]) -> T:
        """Nothing at first."""
        self.asked += 1
        return super().done(key, work) if self.asked > 1 else None  # type: ignore[return-value]

    def forget(self, key: object) -> None:
        """Notes it."""
        self.forgotten.append(key)


def test_a_bank_with_few_frauds_serves_the_global_model(finished: tuple[Federation, Finished], tmp_path: Path) -> None:
    """No booster; the thresholds leave the plan's shares of its own recent margins above them."""
    done = with_rows(finished[1], 60)
    assert LocalChoice(tmp_path, InlineWorker(), "UTC").took(done)
    found = read(tmp_path / CURRENT)
    assert found is not None
    assert (found.choice, found.booster, found.global_share) == ("global", None, 1.0)
    assert done.answerer is not None
    assert done.run.course is not None
    assert found.thresholds is not None
    margins = done.answerer.final_margins(done.run.course)
    assert found.thresholds.review in margins.astype("float32")
    assert found.thresholds.review <= found.thresholds.decline


def test_a_bank_with_many_frauds_fits_its_own(finished: tuple[Federation, Finished], tmp_path: Path) -> None:
    """What it chose, what each candidate was worth, and on how many frauds of its last weeks."""
    done = with_rows(finished[1], 240)
    assert LocalChoice(tmp_path, InlineWorker(), "UTC").took(done)
    found = read(tmp_path / CURRENT)
    assert found is not None
    assert done.answerer is not None
    assert set(found.precision) == set(Choice)
    assert all(0 <= value <= 1 for value in found.precision.values())
    assert (found.choice is Choice.GLOBAL) == (found.booster is None)
    assert 0 < found.frauds <= done.answerer.snapshot.training.encoded.labels.sum()
    assert (found.run, found.contract) == (done.run.id.hex(), cases.LABEL)


def test_nothing_is_stored_before_the_fit_is_done(finished: tuple[Federation, Finished], tmp_path: Path) -> None:
    """The loop asks again later; then the file is there and the worker keeps nothing."""
    done, worker = with_rows(finished[1], 60), SlowWorker()
    choice = LocalChoice(tmp_path / "model", worker, "UTC")
    assert not choice.took(done)
    assert not (tmp_path / "model").exists()
    assert worker.forgotten == []
    assert choice.took(done)
    assert worker.forgotten == [("choice", done.run.id)]
    assert [path.name for path in (tmp_path / "model").iterdir()] == [CURRENT, MODELS]


def test_a_newer_run_replaces_the_file(finished: tuple[Federation, Finished], tmp_path: Path) -> None:
    """Also where this bank had no rows in it: an old booster is never served with a new model."""
    choice = LocalChoice(tmp_path, InlineWorker(), "UTC")
    choice.took(with_rows(finished[1], 60))
    other = replace(finished[1], run=replace(finished[1].run, id=bytes(32)))
    assert choice.took(other)
    found = read(tmp_path / CURRENT)
    assert found is not None
    assert (found.run, found.thresholds, found.names) == (bytes(32).hex(), None, ())


def test_a_full_disk_keeps_the_old_file(
    finished: tuple[Federation, Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scorer never finds half a document."""
    choice = LocalChoice(tmp_path, InlineWorker(), "UTC")
    choice.took(with_rows(finished[1], 60))
    before = (tmp_path / CURRENT).read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        choice.took(replace(finished[1], run=replace(finished[1].run, id=bytes(32))))
    assert (tmp_path / CURRENT).read_bytes() == before


def test_another_model_keeps_a_document_of_its_own(finished: tuple[Federation, Finished], tmp_path: Path) -> None:
    """A plan of a second model replaces nothing of the first: each is found by its name."""
    done = finished[1]
    choice = LocalChoice(tmp_path, InlineWorker(), "UTC")
    choice.took(done)
    body = replace(done.run.plan.body, plan=replace(done.run.document, model="other"))  # type: ignore[type-var]
    other = replace(done.run, plan=replace(done.run.plan, body=body), terms=replace(done.run.terms, plan=body.plan))  # type: ignore[arg-type,type-var]
    choice.took(replace(done, run=other))
    names = [getattr(held(tmp_path, name), "name", None) for name in (None, "card", "other", "third")]
    assert names == ["card", "card", "other", None]
