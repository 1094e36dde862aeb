"""The scoring API: answers, refusals that name fields, and no failed request while models are swapped."""

import json
import logging
import math
import threading
from collections.abc import Callable

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Scope

from asgi_client import AsgiClient
from scorer_cases import CONTRACT_LABEL, MODELS, NAMES, ROW, World, document_of, label, local_booster
from tacit.runtime.http_server import HttpServer
from tacit.runtime.observing import Metrics
from tacit.scorer import http, metrics
from tacit.scorer.handlers import Scorer
from tacit.scorer.http import MAX_BODY_BYTES, PATH

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def well() -> tuple[bool, str]:
    """A probe that is content."""
    return True, ""


class Site:
    """An app over a scorer, its metrics, and a client."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.measured = Metrics(metrics.TABLE)
        self.app: ASGIApp = http.app(scorer, well, well, self.measured)
        self.client = AsgiClient(self.app)

    def post(self, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """One score request of raw bytes."""
        return self.client.request("POST", PATH, content=body, headers=headers)

    def count(self, outcome: str) -> float:
        """Requests of an outcome so far."""
        text = self.measured.expose(bank_only=True).decode()
        marker = f'tacit_score_requests_total{{outcome="{outcome}"}} '
        return float(text.split(marker)[1].split("\n")[0])


@pytest.fixture(scope="module")
def site() -> Site:
    """A site with a live model that no test changes."""
    return Site(World().serving())


def body_of(**changes: object) -> bytes:
    """A sound row with changes."""
    return json.dumps({**ROW, **changes}).encode()


def test_a_score_names_its_model(site: Site) -> None:
    """Score, margin, decision, model and contract belong together and to the live model."""
    answer = site.post(body_of()).json()
    live = site.scorer.live
    assert live is not None
    score = live.score([2.5, 1.0, math.nan])
    assert (answer["score"], answer["margin"], answer["decision"]) == (score.probability, score.margin, score.decision)
    own = live.identity
    assert answer["model"] == {"name": "card-fraud", "version": own.version, "file": own.file, "choice": "global"}
    assert answer["contract"] == CONTRACT_LABEL
    assert len(answer["request_id"]) == 32


def test_the_callers_id_comes_back(site: Site) -> None:
    """A sound request id is kept; two answers without one differ."""
    assert site.post(body_of(), {"x-request-id": "tx-1.2_3"}).json()["request_id"] == "tx-1.2_3"
    assert site.post(body_of()).json()["request_id"] != site.post(body_of()).json()["request_id"]


@pytest.mark.parametrize("given_id", ["", "a b", "x" * 65, "<b>"])
def test_a_strange_id_does_not_come_back(site: Site, given_id: str) -> None:
    """An id of another form is replaced."""
    assert site.post(body_of(), {"x-request-id": given_id}).json()["request_id"] != given_id


def test_a_trace_is_passed_back(site: Site) -> None:
    """`traceparent` comes back with scores and with refusals, if it is one."""
    for body in (body_of(), b"{}"):
        assert site.post(body, {"traceparent": TRACE}).headers["traceparent"] == TRACE
        assert "traceparent" not in site.post(body, {"traceparent": "00-zz"}).headers


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{}", set(NAMES)),
        (body_of(visit=1), {"visit"}),
        (body_of(visits="many"), {"visits"}),
        (body_of(amount=1e39), {"amount"}),
        (body_of(amount=True), {"amount"}),
        (body_of().replace(b"2.5", b"NaN"), {"amount"}),
        (body_of().replace(b"2.5", b"-Infinity"), {"amount"}),
        (b"[]", {"body"}),
        (b"", {"body"}),
        (b"\xff\xfe", {"body"}),
    ],
    ids=["missing", "unknown", "text", "huge", "flag", "nan", "infinity", "list", "empty", "bytes"],
)
def test_a_bad_body_names_its_fields(site: Site, body: bytes, fields: set[str]) -> None:
    """422 as a problem document with every field at fault, and no value repeated."""
    answer = site.post(body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {error["at"] for error in answer.json()["errors"]} == fields
    assert "many" not in answer.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    body=st.binary(max_size=300)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(
        lambda value: json.dumps({"amount": value}).encode()
    )
)
def test_no_body_is_a_failure(site: Site, body: bytes) -> None:
    """Any bytes are answered by 2xx or 4xx."""
    assert 200 <= site.post(body).status_code < 500


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10 * MAX_BODY_BYTES])
def test_a_large_body_is_refused(site: Site, size: int) -> None:
    """413 beyond 64 KiB, and the outcome is counted."""
    before = site.count("too_large")
    answer = site.post(b" " * size)
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert site.count("too_large") == before + 1


def test_the_largest_body_is_read(site: Site) -> None:
    """64 KiB themselves are allowed."""
    assert site.post(body_of().ljust(MAX_BODY_BYTES)).status_code == 200


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30])
def test_a_strange_length_is_refused(site: Site, length: str) -> None:
    """A content-length that is no count of bytes is refused before the body is read."""
    assert site.post(body_of(), {"content-length": length}).status_code == 413


async def _drive(app: ASGIApp, messages: list[Message]) -> list[Message]:
    """Sends these messages to the scoring path and gives what is answered."""
    sent: list[Message] = []
    scope: Scope = {"type": "http", "method": "POST", "path": PATH, "headers": []}

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def run(drive: Callable[[], object]) -> object:
    """Runs a coroutine function to its end."""
    import asyncio  # noqa: PLC0415  only two tests need a loop of their own

    return asyncio.run(drive())  # type: ignore[arg-type]


def test_a_body_in_parts_is_joined_and_limited(site: Site) -> None:
    """Chunks without a length are joined, and cut off once they are too much."""
    whole = body_of()
    parts: list[Message] = [{"type": "http.request", "body": bytes([byte]), "more_body": True} for byte in whole]
    sent = run(lambda: _drive(site.app, [*parts, {"type": "http.request"}]))
    assert sent[0]["status"] == 200  # type: ignore[index]
    large: list[Message] = [{"type": "http.request", "body": b" " * 40_000, "more_body": True} for _ in range(99)]
    sent = run(lambda: _drive(site.app, large))
    assert sent[0]["status"] == 413  # type: ignore[index]
    assert len(large) == 97


def test_a_caller_that_leaves_is_not_answered(site: Site) -> None:
    """Nothing is sent to who went away."""
    assert run(lambda: _drive(site.app, [{"type": "http.disconnect"}])) == []


def test_before_the_first_model() -> None:
    """503 with the obstacle, on every path that needs a model; probes answer."""
    world = World()
    world.registry.publish(MODELS[0])
    scorer = world.scorer()
    world.step(scorer)
    site = Site(scorer)
    answer = site.post(body_of())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert site.count("no_model") == 1
    for path in ("/v1/model", "/v1/schema"):
        assert site.client.get(path).status_code == 503
    assert "verdict" in site.client.get("/v1/model").json()["detail"]
    assert site.client.get("/livez").status_code == 200


@pytest.mark.parametrize(("review", "decline", "outcome"), [(9, 9, "approve"), (-9, 9, "review"), (-9, -8, "decline")])
def test_decisions_follow_the_trainers_thresholds(review: int, decline: int, outcome: str) -> None:
    """The thresholds of the bank's own document decide, and the outcome is counted."""
    site = Site(World().serving(thresholds={"review": review, "decline": decline}))
    assert site.post(body_of()).json()["decision"] == outcome
    assert site.count(outcome) == 1


def test_durations_are_measured(site: Site) -> None:
    """Each score is one observation, in the bank's own exposition only."""
    site.post(body_of())
    assert "tacit_score_duration_seconds_bucket" in site.client.get("/metrics").text
    assert "tacit_score_duration" not in site.measured.expose().decode()


def test_an_unexpected_error_is_a_plain_500(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours is answered without detail, logged without the row, and counted."""
    site = Site(World().serving())

    def broken(_row: object) -> None:
        raise RuntimeError("secret 4111")

    assert site.scorer.live is not None
    site.scorer.live.score = broken  # type: ignore[assignment, method-assign]
    with caplog.at_level(logging.ERROR):
        answer = site.post(body_of())
    assert answer.status_code == 500
    assert "4111" not in answer.text + caplog.text
    assert site.count("failed") == 1


def test_other_methods_and_paths(site: Site) -> None:
    """405 for a GET of the scoring path, 404 for what is not there, both as problems."""
    answer = site.client.get(PATH)
    assert answer.status_code == 405
    assert site.client.get("/v1/scores").status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_model_and_its_schema_are_told(site: Site) -> None:
    """`/v1/model` is what answers come from; `/v1/schema` is what bodies must be."""
    model = site.client.get("/v1/model").json()
    assert model["live"]["file"] == label(MODELS[0])
    assert set(site.client.get("/v1/schema").json()["required"]) == set(NAMES)


def ask(port: int, stop: threading.Event, answers: list[tuple[int, str, float]]) -> None:
    """Asks for scores over one connection until told to stop."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        while not stop.is_set():
            answer = client.post(PATH, content=body_of(visits=2.0))
            found = answer.json()
            answers.append(
                (answer.status_code, f"{found['model']['version']} {found['model']['choice']}", found["margin"])
            )


def named(scorer: Scorer) -> tuple[str, float]:
    """The model that serves now, and its margin for the row that is asked for."""
    assert scorer.live is not None
    own = scorer.live.identity
    return f"{own.version} {own.choice}", scorer.live.score([2.5, 1.0, 2.0]).margin


def swap(world: World, scorer: Scorer, turn: int) -> None:
    """Makes another model serve: a new version on even turns, another choice on odd ones."""
    model = MODELS[turn // 2 % 4]
    if turn % 2 == 0 and turn < 8:
        world.registry.publish(model)
    both = {"choice": "global+local", "booster": local_booster()[1].decode()}
    world.trainer.document = document_of(model, **(both if turn % 2 else {}))
    world.step(scorer)


def await_answers(answers: list[tuple[int, str, float]], more: int = 10) -> None:
    """Waits until more answers have come than requests can be under way."""
    pause, seen = threading.Event(), len(answers)
    while len(answers) < seen + more:
        pause.wait(0.001)


@pytest.mark.integration
def test_swaps_under_load_fail_nothing() -> None:
    """While models are swapped every request is answered, and each margin is that of the one model it names."""
    world = World()
    scorer = world.serving()
    margins = dict([named(scorer)])
    stop = threading.Event()
    answers: list[tuple[int, str, float]] = []
    server = HttpServer(Site(scorer).app)
    port = server.start()
    threads = [threading.Thread(target=ask, args=(port, stop, answers)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(1, 8):
        await_answers(answers)
        swap(world, scorer, turn)
        margins.update([named(scorer)])
    await_answers(answers)
    stop.set()
    for thread in threads:
        thread.join()
    server.stop()
    assert len(margins) == 8
    assert {model for _, model, _ in answers} == set(margins)
    assert all((status, margin) == (200, margins[model]) for status, model, margin in answers)


@pytest.mark.integration
def test_a_connection_survives_a_large_body() -> None:
    """Over a real socket a refused body does not break the next request."""
    server = HttpServer(Site(World().serving()).app)
    port = server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        codes = [client.post(PATH, content=body).status_code for body in (b" " * 100_000, body_of(), b"{}", body_of())]
    server.stop()
    assert codes == [413, 200, 422, 200]
