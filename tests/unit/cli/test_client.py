"""Talking to services: answers, refusals in the service's own words, and a watch that outlives a restart."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from fake_clock import FakeClock
from federation_cases import any_plan
from tacit import canonical
from tacit.cli import client as subject
from tacit.cli.client import AggregatorClient, ClientError, ServiceClient
from tacit.wire import inner
from tacit.wire.envelope import SigningKey

Answer = Callable[[httpx.Request], httpx.Response]
URL = "http://127.0.0.1:8080"
RUN = "ab" * 32


class Service:
    """What is behind the client: answers in turn, the last one for ever, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.answers: list[Answer] = [lambda _: httpx.Response(200, json={})]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """One answer."""
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request)

    def says(self, *answers: httpx.Response | Exception) -> None:
        """Fixes the answers."""
        self.answers = [self._answer(item) for item in answers]

    def body(self) -> Any:  # noqa: ANN401  JSON
        """What the last request carried."""
        return json.loads(self.asked[-1].content)

    @staticmethod
    def _answer(item: httpx.Response | Exception) -> Answer:
        def give(_: httpx.Request) -> httpx.Response:
            if isinstance(item, Exception):
                raise item
            return httpx.Response(item.status_code, content=item.content, headers=item.headers)

        return give


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service in place of the network."""
    made, real = Service(), httpx.Client

    def client(**options: Any) -> httpx.Client:  # noqa: ANN401
        return real(**options, transport=httpx.MockTransport(made))

    monkeypatch.setattr("tacit.cli.client.httpx.Client", client)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Pauses that only move a clock."""
    made = FakeClock()
    monkeypatch.setattr("tacit.cli.client.time.sleep", made.sleep)
    return made


def ok(**document: object) -> httpx.Response:
    """A JSON answer."""
    return httpx.Response(200, json=document)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://host", "unix:/socket", "HTTP//x"])
def test_a_url_is_http(url: str) -> None:
    """Anything else is refused before a call, with the form."""
    with pytest.raises(ClientError, match=r"expected http://HOST:PORT or https://HOST:PORT"):
        ServiceClient(url)


@pytest.mark.parametrize(
    ("given", "kept"), [(URL, URL), (URL + "/", URL), ("https://bank.example/api/", "https://bank.example/api")]
)
def test_a_url_ends_without_a_slash(service: Service, given: str, kept: str) -> None:
    """Paths are appended to it, a path of the base included."""
    client = ServiceClient(given)
    client.call("GET", "/v1/runs")
    assert client.url == kept
    assert str(service.asked[0].url) == f"{kept}/v1/runs"


def test_a_call_gives_the_json_of_its_answer(service: Service) -> None:
    """With method and options passed on."""
    service.says(ok(one=[1, None]))
    assert ServiceClient(URL).call("POST", "/x", params={"a": "b"}, json={"c": 1}) == {"one": [1, None]}
    request = service.asked[0]
    assert (request.method, request.url.query, service.body()) == ("POST", b"a=b", {"c": 1})


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("garbled")]
)
def test_no_answer_asks_whether_it_runs(service: Service, error: Exception) -> None:
    """With the URL, the kind of failure and the service's name."""
    service.says(error)
    with pytest.raises(ClientError) as told:
        ServiceClient(URL, service="registry").call("GET", "/x")
    assert str(told.value) == f"no answer from {URL} ({type(error).__name__}): is the registry running?"
    assert told.value.__cause__ is error


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (httpx.Response(409, json={"title": "Conflict", "detail": "the run is over"}), "(409): the run is over"),
        (httpx.Response(403, json={"title": "Forbidden"}), "(403): Forbidden"),
        (httpx.Response(400, json={"title": "Bad", "detail": ""}), "(400): Bad"),
        (httpx.Response(422, json={"fault": "x"}), "(422): {'fault': 'x'}"),
        (httpx.Response(400, json=["one", "two"]), "(400): ['one', 'two']"),
        (httpx.Response(502, text="<html>Bad Gateway</html>"), "(502): <html>Bad Gateway</html>"),
        (httpx.Response(500, text=""), "(500): "),
    ],
)
def test_a_refusal_is_told_in_the_services_words(service: Service, answer: httpx.Response, text: str) -> None:
    """Its detail, else its title, else what it said."""
    service.says(answer)
    with pytest.raises(ClientError) as told:
        ServiceClient(URL).call("GET", "/x")
    assert str(told.value) == f"{URL} refused {text}"


@pytest.mark.parametrize("answer", [httpx.Response(500, text="x" * 5_000), httpx.Response(500, json=["x" * 5_000])])
def test_a_long_refusal_is_cut(service: Service, answer: httpx.Response) -> None:
    """Two hundred characters of a page that is none of ours."""
    service.says(answer)
    with pytest.raises(ClientError) as told:
        ServiceClient(URL).call("GET", "/x")
    assert len(str(told.value)) < 260


def test_an_answer_that_is_not_json_is_doubted(service: Service) -> None:
    """Something else listens on the port."""
    service.says(httpx.Response(200, text="<html>"))
    with pytest.raises(ClientError, match=f"{URL}/x: the answer is not JSON; is this the trainer?"):
        ServiceClient(URL, service="trainer").call("GET", "/x")


def test_a_submitted_plan_is_signed_over_its_bytes(service: Service) -> None:
    """The signature is the operator's, over the canonical bytes that are sent."""
    service.says(ok(run=RUN))
    key, plan = SigningKey.generate(), any_plan()
    assert AggregatorClient(URL).submit(plan, "operator", key) == RUN
    sent = service.body()
    assert service.asked[0].url.path == "/v1/runs"
    assert sent["plan_json"].encode() == canonical.encode(plan)
    assert sent["operator"] == "operator"
    assert sent["signature"] == inner.sign_plan(plan, "operator", key).signature.hex()


def test_a_refused_plan_names_the_aggregator(service: Service) -> None:
    """A submission that nobody hears is told with the service's name."""
    service.says(httpx.ConnectError("refused"))
    with pytest.raises(ClientError, match="is the aggregator running"):
        AggregatorClient(URL).submit(any_plan(), "operator", SigningKey.generate())


def test_a_cancellation_is_signed_for_one_run(service: Service) -> None:
    """Of one federation."""
    key = SigningKey.generate()
    AggregatorClient(URL).cancel("demo", RUN, "operator", key)
    expected = inner.sign_cancel("demo", bytes.fromhex(RUN), "operator", key).signatures[0][1].hex()
    assert service.asked[0].url.path == f"/v1/runs/{RUN}:cancel"
    assert service.body() == {"operator": "operator", "signature": expected}


def test_one_run_and_all_runs(service: Service) -> None:
    """Each from its own path."""
    service.says(ok(phase="ROUND"), ok(runs=[{"run": RUN}]))
    client = AggregatorClient(URL)
    assert client.run(RUN) == {"phase": "ROUND"}
    assert client.runs() == [{"run": RUN}]
    assert [request.url.path for request in service.asked] == [f"/v1/runs/{RUN}", "/v1/runs"]


def phases(found: Iterator[dict[str, Any]]) -> list[str]:
    """The phases that a watcher saw."""
    return [item["phase"] for item in found]


def test_a_watch_ends_with_the_run(service: Service, clock: FakeClock) -> None:
    """The last view is given too; there is a pause after every other one."""
    service.says(ok(phase="JOIN"), ok(phase="ROUND"), ok(phase="ENDED"))
    assert phases(AggregatorClient(URL).watch(RUN)) == ["JOIN", "ROUND", "ENDED"]
    assert clock.slept == [subject.POLL_SECONDS] * 2


@pytest.mark.parametrize("failure", [httpx.ConnectError("gone"), httpx.Response(503, json={"title": "starting"})])
def test_a_watch_waits_for_an_aggregator_that_restarts(
    service: Service, clock: FakeClock, failure: httpx.Response | Exception
) -> None:
    """Without a view for the time in between, and without asking faster."""
    service.says(ok(phase="ROUND"), failure, failure, ok(phase="ENDED"))
    assert phases(AggregatorClient(URL).watch(RUN)) == ["ROUND", "ENDED"]
    assert clock.slept == [subject.POLL_SECONDS] * 3


def test_a_watch_asks_only_when_it_is_looked_at(service: Service, clock: FakeClock) -> None:
    """Nobody looks, nobody asks."""
    service.says(ok(phase="ROUND"))
    found = AggregatorClient(URL).watch(RUN)
    assert service.asked == []
    next(found)
    assert (len(service.asked), clock.slept) == (1, [])


def test_connections_are_not_kept(service: Service) -> None:
    """So that a client needs no closing; calls are given up after the time that was asked for."""
    client = AggregatorClient(URL, timeout=3.0)
    client.call("GET", "/x")
    assert service.asked[0].extensions["timeout"]["read"] == 3.0
