"""Probes: alive while the loop turns, ready when the service says so."""

import pytest

from asgi_client import AsgiClient
from fake_clock import FakeClock
from tacit.runtime.health import Status, health_app


def client_of(status: Status, exposition: bytes = b"tacit_x 1\n") -> AsgiClient:
    """A client of the probes."""
    return AsgiClient(health_app(status.live, status.ready, lambda: exposition))


def test_liveness_ends_after_a_minute_without_a_turn(clock: FakeClock) -> None:
    """60 s is still alive, more is not, a turn revives."""
    status = Status(clock)
    client = client_of(status)
    clock.seconds += 60.0
    assert client.get("/livez").status_code == 200
    clock.seconds += 0.5
    answer = client.get("/livez")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the loop has not turned for 60 s"
    status.turned()
    assert client.get("/livez").text == "ok\n"


def test_liveness_ignores_dependencies(clock: FakeClock) -> None:
    """A log that is away or a stop that runs is no reason to kill."""
    status = Status(clock, check=lambda: (False, "no model"))
    status.outage, status.stopping = "the log is away", True
    assert status.live() == (True, "")


def test_readiness_follows_the_life_of_a_process(clock: FakeClock) -> None:
    """Starting, ready, outage, not ready by its own check, stopping."""
    answers = [(True, "")]
    status = Status(clock, check=lambda: answers[-1])
    assert status.ready() == (False, "starting")
    status.started()
    assert status.ready() == (True, "")
    status.outage = "the log is away"
    assert status.ready() == (False, "the log is away")
    status.outage = ""
    answers.append((False, "no model is loaded"))
    assert status.ready() == (False, "no model is loaded")
    status.stopping = True
    assert status.ready() == (False, "stopping")


def test_readyz_gives_the_reason_as_a_problem(clock: FakeClock) -> None:
    """503 with the reason for the operator."""
    answer = client_of(Status(clock)).get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"type": "about:blank", "title": "Not now", "status": 503, "detail": "starting"}


def test_readyz_without_a_check_is_ready_after_the_first_step(clock: FakeClock) -> None:
    """No check of its own means nothing else to wait for."""
    status = Status(clock)
    status.started()
    assert client_of(status).get("/readyz").status_code == 200


def test_metrics_are_served_as_given(clock: FakeClock) -> None:
    """The caller chose the registry; the page adds nothing."""
    answer = client_of(Status(clock), b"tacit_y 2\n").get("/metrics")
    assert answer.content == b"tacit_y 2\n"
    assert answer.headers["content-type"].startswith("text/plain")


def test_nothing_else_is_served(clock: FakeClock) -> None:
    """No documentation page on the health port."""
    client = client_of(Status(clock))
    assert {client.get(path).status_code for path in ("/docs", "/openapi.json", "/")} == {404}


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_stall_limits_are_positive(clock: FakeClock, seconds: float) -> None:
    """A limit of nothing would kill every process."""
    with pytest.raises(ValueError, match="above 0"):
        Status(clock, stall_seconds=seconds)
