"""What a demo asks of running services: it waits, takes only what belongs to its run, and gives up in words."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from fake_clock import FakeClock
from tacit.cli import demo_served as subject
from tacit.cli.demo_served import Served
from tacit.cli.layout import Folder, LayoutError
from tacit.sim.lines import BankRows, Scored
from tacit.wire import local
from tacit.wire.local import Choice, LocalDocument

RUN = "ab" * 32
MODEL = "sha256:" + "cd" * 32
OTHER = "sha256:" + "ef" * 32


class World:
    """Running services: what answers on which path, what was asked, and time that moves by pauses only."""

    def __init__(self, folder: Path) -> None:
        self.folder = Folder(folder)
        self.pages: dict[str, list[httpx.Response | Exception]] = {}
        self.asked: list[httpx.Request] = []
        self.polls = 0
        self.clock = FakeClock()
        columns = [SimpleNamespace(name=name) for name in ("amount", "gap")]
        terms = SimpleNamespace(contract=SimpleNamespace(columns=columns))
        stage: Any = SimpleNamespace(folder=self.folder, terms=terms)
        supervisor: Any = SimpleNamespace(poll=self._poll)
        self.served = Served(stage, supervisor)

    def ports(self, **ports: int) -> None:
        """Processes that run; a dot in a name is written as two underscores."""
        named = {name.replace("__", "."): port for name, port in ports.items()}
        self.folder.ports.write_text(json.dumps(named))

    def page(self, url: str, *answers: httpx.Response | Exception) -> None:
        """What a URL answers in turn, the last one for ever."""
        self.pages[url] = list(answers)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """One answer."""
        self.asked.append(request)
        answers = self.pages.get(str(request.url), [httpx.Response(404)])
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, Exception):
            raise found
        return httpx.Response(found.status_code, content=found.content)

    def _poll(self) -> tuple[()]:
        self.polls += 1
        return ()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in place of the network and of time."""
    made = World(tmp_path)
    client = httpx.Client(transport=httpx.MockTransport(made.answer))
    monkeypatch.setattr("tacit.cli.demo_served.httpx.get", client.get)
    monkeypatch.setattr("tacit.cli.demo_served.httpx.post", client.post)
    monkeypatch.setattr("tacit.cli.demo_served.time.sleep", made.clock.sleep)
    monkeypatch.setattr("tacit.cli.demo_served.time.monotonic", made.clock.monotonic)
    return made


def json_page(document: object) -> httpx.Response:
    """A JSON answer."""
    return httpx.Response(200, json=document)


def choice(model: str) -> httpx.Response:
    """A trainer's local document."""
    made = LocalDocument(
        api=local.API,
        run=RUN,
        model=model,
        name="card-fraud",
        contract=OTHER,
        verdict="VERIFIED",
        choice=Choice.GLOBAL,
        precision={},
        frauds=0,
        global_share=1.0,
        names=(),
        thresholds=None,
        booster=None,
    )
    return httpx.Response(200, content=local.encode(made))


def test_an_answer_at_once_needs_no_pause(world: World) -> None:
    """Nothing is polled either."""
    assert world.served.wait("it", lambda: 7) == 7
    assert (world.clock.slept, world.polls) == ([], 0)


@pytest.mark.parametrize("value", [0, "", b"", False])
def test_an_empty_answer_is_an_answer(world: World, value: object) -> None:
    """Only None is none."""
    assert world.served.wait("it", lambda: value) == value


def test_children_are_kept_alive_while_waiting(world: World) -> None:
    """A process that dies meanwhile is started again."""
    answers = [None, None, None, "here"]
    assert world.served.wait("it", lambda: answers.pop(0)) == "here"
    assert world.polls == 3
    assert world.clock.slept == [subject.PAUSE_SECONDS] * 3


def test_patience_ends(world: World) -> None:
    """With what was waited for, how long, and where to look."""
    with pytest.raises(LayoutError, match=rf"no answer for the moon within 180 s: see {world.folder.logs}"):
        world.served.wait("the moon", lambda: None)
    assert sum(world.clock.slept) == pytest.approx(subject.PATIENCE_SECONDS, abs=0.2)


def test_a_port_is_waited_for(world: World) -> None:
    """Until the process has written it, also over a damaged file."""
    steps: list[Callable[[], object]] = [
        lambda: world.folder.ports.write_text("{"),
        lambda: world.ports(registry=5),
        lambda: world.ports(aggregator=6),
    ]

    def step() -> None:
        steps.pop(0)()

    world.clock.on_sleep = step
    assert world.served.url("aggregator") == "http://127.0.0.1:6"
    assert world.polls == 3


def test_a_choice_for_another_model_is_not_the_one(world: World) -> None:
    """The trainer of the bank is asked until it has chosen for this model."""
    world.ports(ash__bank=7)
    url = "http://127.0.0.1:7/v1/local"
    world.page(url, httpx.ConnectError("no"), httpx.Response(404), choice(OTHER), choice(MODEL))
    found = world.served.local("ash", MODEL)
    assert (found.model, found.choice) == (MODEL, Choice.GLOBAL)
    assert len(world.asked) == 4


def version(run: str, digest: str) -> dict[str, Any]:
    """A registry's entry."""
    return {"digest": digest, "statement": {"run": f"sha256:{run}"}}


def test_the_model_is_that_of_the_run(world: World) -> None:
    """Among several versions; the file as it is."""
    world.ports(registry=8)
    base = "http://127.0.0.1:8/v1/versions"
    world.page(base, json_page({"versions": [version("00" * 32, "one"), version(RUN, "two")]}))
    world.page(f"{base}/two/model", httpx.Response(200, content=b"\x00model"))
    assert world.served.model(RUN) == b"\x00model"


@pytest.mark.parametrize(
    "early", [httpx.ReadTimeout("slow"), httpx.Response(503), json_page({"versions": [version("00" * 32, "one")]})]
)
def test_a_version_is_waited_for(world: World, early: httpx.Response | Exception) -> None:
    """A registry that starts, or has other versions only, is asked again."""
    world.ports(registry=8)
    base = "http://127.0.0.1:8/v1/versions"
    world.page(base, early, json_page({"versions": [version(RUN, "two")]}))
    world.page(f"{base}/two/model", httpx.Response(404), httpx.Response(200, content=b"model"))
    assert world.served.model(RUN) == b"model"
    assert world.polls == 2


def rows(*values: tuple[float, ...]) -> BankRows:
    """A bank's test rows: two columns and one ratio."""
    table = np.array(values, np.float32).reshape(-1, 3)
    count = table.shape[0]
    part = Scored(table, np.zeros(count, np.uint8), np.arange(count), np.arange(count))
    return BankRows(part, part)


def scored(model: str) -> httpx.Response:
    """A scorer's answer."""
    return json_page({"model": {"file": model}, "decision": "review"})


@pytest.mark.parametrize(
    ("values", "request_body"),
    [
        (((1.5, math.nan, 9.0), (3.0, 4.0, 9.0)), {"amount": 1.5, "gap": None}),
        ((), {"amount": 0.0, "gap": 0.0}),
    ],
)
def test_a_real_row_is_scored(
    world: World, values: tuple[tuple[float, ...], ...], request_body: dict[str, float | None]
) -> None:
    """By the contract's columns, without the bank's own ratios; what is missing is null."""
    world.ports(ash__scorer=9)
    url = "http://127.0.0.1:9/v1/score"
    world.page(url, scored(MODEL))
    found = world.served.score("ash", MODEL, rows(*values))
    assert (found["url"], found["request"]) == (url, request_body)
    assert json.loads(world.asked[0].content) == request_body
    assert found["response"] == {"model": {"file": MODEL}, "decision": "review"}


def test_a_score_of_another_model_is_not_the_one(world: World) -> None:
    """The scorer is asked until it serves this model."""
    world.ports(ash__scorer=9)
    world.page(
        "http://127.0.0.1:9/v1/score",
        httpx.ConnectError("no"),
        httpx.Response(503),
        scored(OTHER),
        scored(MODEL),
    )
    found = world.served.score("ash", MODEL, rows((1.0, 2.0, 3.0)))
    assert found["response"]["model"]["file"] == MODEL
    assert len(world.asked) == 4


def test_nobody_is_asked_without_a_port(world: World) -> None:
    """A process that does not run is waited for, not guessed."""
    for ask in (
        lambda: world.served.model(RUN),
        lambda: world.served.local("ash", MODEL),
        lambda: world.served.score("ash", MODEL, rows()),
    ):
        with pytest.raises(LayoutError, match="no answer for"):
            ask()
    assert world.asked == []


def children(*pids: int | None) -> Any:  # noqa: ANN401
    """A supervisor of some processes."""
    return SimpleNamespace(poll=lambda: tuple(SimpleNamespace(pid=pid) for pid in pids))


def test_cpu_of_a_process_that_is_not_there_is_not_known() -> None:
    """Waiting for its restart, or no such machine."""
    assert math.isnan(subject.cpu_seconds(children(os.getpid(), None)))


def test_cpu_of_nobody_is_zero() -> None:
    """A sum over no children."""
    assert subject.cpu_seconds(children()) == 0.0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the machine does not tell")
def test_cpu_is_user_and_system_time() -> None:
    """Of this process, twice if it is named twice."""
    before = sum(os.times()[:2])
    once = subject.cpu_seconds(children(os.getpid()))
    twice = subject.cpu_seconds(children(os.getpid(), os.getpid()))
    after = sum(os.times()[:2])
    assert before - 0.05 <= once <= after + 0.05
    assert 2 * once <= twice <= 2 * (after + 0.05)
