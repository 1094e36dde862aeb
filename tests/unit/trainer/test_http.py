"""The bank-only port: local model with ETag, ledger, runs, and leaving."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import federation_cases as cases
from asgi_client import AsgiClient
from federation_cases import plan_for, until
from tacit.sim.federation import Federation
from tacit.trainer.choice import CURRENT
from tacit.trainer.http import Doorway, app, plain
from tacit.wire import local


def document(run: str) -> bytes:
    """A document of a bank that serves the global model of a run."""
    digest = "sha256:" + "0" * 64
    return local.encode(
        local.LocalDocument(
            api=local.API,
            run=run,
            model=digest,
            name="card-fraud",
            contract=digest,
            verdict=local.VERIFIED,
            choice=local.Choice.GLOBAL,
            precision={},
            frauds=0,
            global_share=1.0,
            names=(),
            thresholds=None,
            booster=None,
        )
    )


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Federation]:
    """Two banks."""
    made = cases.federation(tmp_path, 2, seed=1)
    yield made
    made.close()


@pytest.fixture
def client(fed: Federation, tmp_path: Path) -> AsgiClient:
    """The first bank's port."""
    trainer = fed._handlers["bank-0"]
    doorway = Doorway(trainer, trainer._ports.journal, tmp_path / "local")
    return AsgiClient(app(doorway, lambda: (True, ""), lambda: (True, ""), lambda: b"metrics"))


def test_the_local_model_has_a_tag(client: AsgiClient, tmp_path: Path) -> None:
    """404 before there is one; 304 for the same content; a new tag for a new one."""
    assert client.get("/v1/local").status_code == 404
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / CURRENT).write_bytes(document("a" * 64))
    found = client.get("/v1/local")
    assert found.json()["run"] == "a" * 64
    tag = found.headers["ETag"]
    assert client.get("/v1/local", {"If-None-Match": tag}).status_code == 304
    assert client.get("/v1/local", {"If-None-Match": f'"other", W/{tag}'}).status_code == 304
    (tmp_path / "local" / CURRENT).write_bytes(document("b" * 64))
    assert client.get("/v1/local", {"If-None-Match": tag}).json()["run"] == "b" * 64


def test_ledger_and_runs_after_a_run(fed: Federation, client: AsgiClient) -> None:
    """What was charged, and where each run stands."""
    run = fed.submit(plan_for(fed))
    fed.run(run, 300)
    ledger = client.get("/v1/ledger").json()
    assert ledger["account"] == "rows"
    assert [item["run"] for item in ledger["runs"]] == [run.hex()]
    expected = {"run": run.hex(), "state": "done", "rounds_done": 3, "objection": None}
    assert client.get("/v1/runs").json() == [expected]


@pytest.mark.parametrize(("run", "status"), [("zz", 422), ("ab", 404), ("ab" * 32, 404)])
def test_leaving_what_is_not_there(client: AsgiClient, run: str, status: int) -> None:
    """Bad ids and unknown runs are told apart."""
    assert client.post(f"/v1/runs/{run}:leave").status_code == status


def test_leaving_now_too_early_and_too_late(fed: Federation, client: AsgiClient) -> None:
    """409 before the trainer is ready and after the run is done; 200 in between of another run."""
    done = fed.submit(plan_for(fed, 1))
    fed._handlers["bank-0"]._take(fed.records())
    assert client.post(f"/v1/runs/{done.hex()}:leave").status_code == 409
    fed.run(done, 300)
    assert client.post(f"/v1/runs/{done.hex()}:leave").status_code == 409
    left = fed.submit(plan_for(fed, 2))
    until(fed, lambda: left in fed._handlers["bank-0"].state.runs, 20)
    assert client.post(f"/v1/runs/{left.hex()}:leave").json() == {"run": left.hex(), "state": "left"}


def test_plain_data() -> None:
    """Bytes as hex, tuples as lists, other leaves as text."""
    assert plain({"a": b"\x01", "b": (1, None, True), "c": cases.dt.date(2018, 1, 2)}) == {
        "a": "01",
        "b": [1, None, True],
        "c": "2018-01-02",
    }


@pytest.mark.parametrize(("query", "status"), [("other", 404), ("..%2Fcurrent", 422), ("", 422)])
def test_a_model_is_asked_for_by_its_plain_name(client: AsgiClient, query: str, status: int) -> None:
    """An unknown one is not found; nothing else than a name reaches the disk."""
    assert client.get(f"/v1/local?model={query}").status_code == status
