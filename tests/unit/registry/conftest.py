"""Fixtures of the registry: one finished federation a session, a copy of its log a test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry_cases import Case, Desk, make_case
from tacit import canonical
from tacit.features.spec import Contract
from tacit.federation import Manifest
from tacit.rounds import terms, verify
from tacit.rounds.plan import Plan
from tacit.rounds.state import Run


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """A federation whose runs are over."""
    yield from make_case(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def desk(case: Case, tmp_path: Path) -> Iterator[Desk]:
    """Surroundings of a registry, with all runs on the log."""
    made = Desk(case, case.log(), tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def worked_out() -> dict[bytes, Any]:
    """What is worked out once a session: model files and terms are functions of the log."""
    return {}


@pytest.fixture(autouse=True)
def _work_out_once(worked_out: dict[bytes, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model_bytes, work_out = verify.model_bytes, terms.work_out

    def remembered_bytes(run: Run) -> bytes:
        if run.id not in worked_out:
            worked_out[run.id] = model_bytes(run)
        return bytes(worked_out[run.id])

    def remembered_terms(plan: Plan, contract: Contract, manifest: Manifest) -> terms.Terms:
        key = manifest.digest + contract.digest + canonical.digest(plan)
        if key not in worked_out:
            worked_out[key] = work_out(plan, contract, manifest)
        found: terms.Terms = worked_out[key]
        return found

    monkeypatch.setattr(verify, "model_bytes", remembered_bytes)
    monkeypatch.setattr(terms, "work_out", remembered_terms)
