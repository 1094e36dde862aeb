"""The kept choice: made once per verified run, never lost to an older run, one file whole or not there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import federation_cases as cases
from tacit import canonical
from tacit.learning import ensemble
from tacit.rounds import verify
from tacit.sim.federation import Federation, InlineWorker
from tacit.trainer.answers import request_digest
from tacit.trainer.checks import Finished
from tacit.trainer.choice import CURRENT, LocalChoice, read


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
    assert [path.name for path in tmp_path.iterdir()] == [CURRENT]


def test_a_kept_choice_of_the_same_run_stays(finished: tuple[Federation, Finished], tmp_path: Path) -> None:
    """After a restart the file of this run is not written again."""
    choice = LocalChoice(tmp_path, InlineWorker(), "UTC")
    choice.took(finished[1])
    path = tmp_path / CURRENT
    path.write_text(path.read_text().replace('"global"', '"alone"'))
    choice.took(finished[1])
    assert read(path).choice == "alone"  # type: ignore[union-attr]


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
