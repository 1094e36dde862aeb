"""The aggregator's API and views: submit, watch, cancel, evidence."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import federation_cases as cases
from asgi_client import AsgiClient
from federation_cases import OPERATOR, plan_for
from tacit import canonical
from tacit.aggregator import handlers, metrics, views
from tacit.aggregator.handlers import Aggregator
from tacit.aggregator.http import app
from tacit.rounds.state import State
from tacit.runtime.observing import Metrics
from tacit.sim.federation import AlwaysLease, Federation, Hazards, View
from tacit.wire import inner, topics


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Federation]:
    """Two banks."""
    made = cases.federation(tmp_path, 2, seed=1)
    yield made
    made.close()


@pytest.fixture
def replica(fed: Federation) -> Aggregator:
    """A replica of its own; the federation's aggregator is gone."""
    cases.without(fed, "aggregator-0")
    view = View(fed.log, Hazards(), fed.draw)
    key, lease = fed._keys[topics.AGGREGATOR], AlwaysLease("http")
    ports = handlers.Ports(view, fed._inbox(view), lease, fed.clock, fed.draw.randbytes, key, cases.CONTROL)
    return Aggregator(State(fed.manifest, fed._contracts()), canonical.encode(fed.manifest), ports)


@pytest.fixture
def client(replica: Aggregator) -> AsgiClient:
    """Its API."""
    measured = Metrics(metrics.TABLE)
    return AsgiClient(app(replica, replica._ports.inbox, lambda: (True, ""), lambda: (True, ""), measured))


def turns(fed: Federation, replica: Aggregator, count: int = 6) -> None:
    """Lets the banks and the replica act."""
    for _ in range(count):
        fed.turn()
        replica._ports.log.turn()  # type: ignore[attr-defined]
        replica.step(0.0)


def signed(fed: Federation) -> dict[str, str]:
    """A submission."""
    body = inner.sign_plan(plan_for(fed), OPERATOR, fed._keys[OPERATOR])
    return {"plan_json": body.plan_json.decode(), "operator": OPERATOR, "signature": body.signature.hex()}


def test_submit_watch_and_repeat(fed: Federation, replica: Aggregator, client: AsgiClient) -> None:
    """202 and a place to look; 200 for the same bytes; the view follows the run to its end."""
    first = client.post("/v1/runs", signed(fed))
    assert first.status_code == 202
    where = first.headers["Location"]
    turns(fed, replica)
    assert client.post("/v1/runs", signed(fed)).status_code == 200
    assert client.get(where).json()["phase"] in {"PLANNED", "JOINING", "ROUND"}
    turns(fed, replica, 40)
    view = client.get(where).json()
    assert (view["phase"], view["outcome"], view["round"], view["rounds"]) == ("ENDED", "FINISHED", 3, 3)
    assert view["roster"] == view["joined"] == ["bank-0", "bank-1"]
    assert view["epsilon_spent_ratio"] == pytest.approx(1.0)
    assert view["model_digest"].startswith("sha256:")
    assert client.get("/v1/runs").json()["runs"] == [view]


@pytest.mark.parametrize(
    "changes",
    [{"plan_json": "{}"}, {"signature": "0" * 128}, {"signature": "zz"}, {"operator": ""}],
)
def test_bad_submissions_are_told_and_append_nothing(
    fed: Federation, client: AsgiClient, changes: dict[str, str]
) -> None:
    """422 with a reason, never a 500."""
    assert client.post("/v1/runs", {**signed(fed), **changes}).status_code == 422
    assert fed.log.end(cases.CONTROL) == 0


def test_half_a_character_is_no_plan(fed: Federation, client: AsgiClient) -> None:
    """A lone surrogate in the JSON is the caller's fault, not an error of ours."""
    content = json.dumps({**signed(fed), "plan_json": "\ud800x"}).encode()
    asked = client.request("POST", "/v1/runs", content=content, headers={"Content-Type": "application/json"})
    assert asked.status_code == 422


def test_the_log_away_is_503(fed: Federation, client: AsgiClient) -> None:
    """Nothing was acknowledged: the caller tries again."""
    fed.log.make_unavailable()
    assert client.post("/v1/runs", signed(fed)).status_code == 503
    fed.log.heal()


def test_cancel_and_unknown_runs(fed: Federation, replica: Aggregator, client: AsgiClient) -> None:
    """A signed order ends the run; unknown runs are 404 and 422."""
    run = bytes.fromhex(client.post("/v1/runs", signed(fed)).json()["run"])
    turns(fed, replica, 3)
    order = inner.sign_cancel("sim", run, OPERATOR, fed._keys[OPERATOR])
    asked = {"operator": OPERATOR, "signature": order.signatures[0][1].hex()}
    assert client.post(f"/v1/runs/{'ab' * 32}:cancel", asked).status_code == 422
    assert client.get(f"/v1/runs/{'ab' * 32}").status_code == 404
    assert client.post(f"/v1/runs/{run.hex()}:cancel", asked).status_code == 202
    turns(fed, replica, 6)
    assert client.get(f"/v1/runs/{run.hex()}").json()["outcome"] == "CANCELLED"


def test_evidence_lists_what_is_wrong(fed: Federation, replica: Aggregator, client: AsgiClient) -> None:
    """Garbage and void records, counted and listed."""
    fed.log.append(cases.CONTROL, b"k", b"garbage")
    cases.Hostile(fed).lead()
    cases.Hostile(fed).write(cases.Kind.OPEN, cases.OpenBody(bytes(32)), cases.run_place(fed, bytes(32)))
    replica.step(0.0)
    found = client.get("/v1/evidence").json()
    assert sum(found["invalid"]["counts"].values()) == 1
    assert found["void"]["counts"] == {"run": 1}
    assert found["equivocations"] == []


def test_gauges_follow_the_fold(fed: Federation, replica: Aggregator) -> None:
    """Rounds and ends are counted once, however often the gauges are set."""
    measured = Metrics(metrics.TABLE)
    gauges = views.Gauges(replica, replica._ports.inbox, measured)
    fed.submit(plan_for(fed))
    for _ in range(45):
        turns(fed, replica, 1)
        gauges.update(fed.clock.now())
    text = measured.expose().decode()
    assert "tacit_rounds_total 3.0" in text
    assert 'tacit_runs_ended_total{outcome="finished"} 1.0' in text
    assert "tacit_leading 1.0" in text


def test_counters_start_where_the_log_was_read(fed: Federation, replica: Aggregator) -> None:
    """A replica that starts after a whole run shows its end in the views and counts none of it again."""
    fed.submit(plan_for(fed))
    turns(fed, replica, 45)
    late = Aggregator(State(fed.manifest, fed._contracts()), b"{}", replace(replica._ports, inbox=fed._inbox(fed.log)))
    measured = Metrics(metrics.TABLE)
    gauges = views.Gauges(late, late._ports.inbox, measured)
    for _ in range(2):
        late.step(0.0)
        gauges.update(fed.clock.now())
    assert [len(run.results) for run in late.runs()] == [3]
    text = measured.expose().decode()
    assert "tacit_rounds_total 0.0" in text
    assert 'tacit_runs_ended_total{outcome="finished"} 0.0' in text


def test_the_one_port_shows_every_metric(client: AsgiClient) -> None:
    """Nothing here comes from rows, so CPU and memory of the process are shown too."""
    shown = client.get("/metrics").text
    assert "process_resident_memory_bytes" in shown
    assert "tacit_leading" in shown
