"""Registry, log and broker away, one after the other: everything recovers without a hand, and scores never stop."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from federation_processes import BANKS, Running, check_outcome, plan_for, rounds, settings_of
from tacit.adapters.logs import open_log
from tacit.cli import demo_kafka
from tacit.cli.broker import Broker
from tacit.runtime.log import LogDeniedError
from tacit.runtime.settings import LogSettings
from tacit.wire import topics

pytestmark = pytest.mark.integration

VERSIONS = topics.versions().name
ROW = {"amount": 12.5, "weekend": 0}
BANK = BANKS[0]


def versions(running: Running) -> list[dict[str, Any]]:
    """What the registry has published."""
    found: list[dict[str, Any]] = (running.get(topics.REGISTRY, "/v1/versions") or {"versions": []})["versions"]
    return found


def published(running: Running) -> dict[str, Any]:
    """The only version, waited for."""
    running.wait("the version", lambda: versions(running) or None)
    (version,) = versions(running)
    return version


def score(running: Running) -> dict[str, Any] | None:
    """One score; None while there is none."""
    url = running.listening(f"{BANK}.scorer")
    try:
        answer = httpx.post(f"{url}/v1/score", json=ROW, timeout=5.0) if url is not None else None
    except httpx.HTTPError:
        return None
    return answer.json() if answer is not None and answer.is_success else None


def move_log(running: Running, away: bool) -> None:
    """Takes the folder of the embedded log away, as a disk that is gone, or brings it back."""
    here, there = running.folder.path / "log", running.folder.path / "log-away"
    (here if away else there).rename(there if away else here)


@pytest.fixture
def apart(running: Running) -> Running:
    """A federation whose log lies in a folder of its own."""
    folder = running.folder.path / "log"
    folder.mkdir()
    names = [*running.everything(), topics.REGISTRY, f"scorer-{BANK}"]
    settings_of(running.folder, log={name: {"kind": "embedded", "path": str(folder / "log.sqlite")} for name in names})
    return running


def test_a_registry_that_was_away_publishes_the_run_once(running: Running) -> None:
    """Away for the whole run, then killed between its steps: one version, one model file, the alias on it."""
    running.start(*running.everything())
    run = running.submit(plan_for(running.folder))
    view = running.ended(run)
    running.settled(run)
    for point in ("artefact-stored", "version-stored", "artefact-appended", "version-appended", "alias-appended"):
        running.start(topics.REGISTRY, fault=f"registry.{point}")
        assert running.exit_code(topics.REGISTRY) == -signal.SIGKILL, point
    running.start(topics.REGISTRY)
    version = published(running)
    assert version["statement"]["run"] == f"sha256:{run}"
    assert version["statement"]["file"] == view["model_digest"]
    running.wait("serving", lambda: published(running)["stage"] == "serving")
    check_outcome(running, run)
    running.stop(topics.REGISTRY)
    running.start(topics.REGISTRY)
    running.url(topics.REGISTRY)
    assert len(versions(running)) == 1


def test_scores_go_on_with_log_registry_and_trainer_gone(apart: Running) -> None:
    """The scorer has what it needs in its own folder, also when it starts again."""
    scorer = f"scorer-{BANK}"
    apart.start(*apart.everything(), topics.REGISTRY, scorer)
    view = apart.ended(apart.submit(plan_for(apart.folder)))
    before = apart.wait("a score", lambda: score(apart))
    assert before["model"]["file"] == view["model_digest"]
    apart.kill(*apart.everything(), topics.REGISTRY)
    move_log(apart, away=True)
    assert score(apart) is not None
    apart.kill(scorer)
    apart.start(scorer)
    again = apart.wait("a score from the cache", lambda: score(apart))
    assert {**again, "request_id": ""} == {**before, "request_id": ""}
    apart.url(f"{BANK}.scorer")
    move_log(apart, away=False)
    apart.start(*apart.everything(), topics.REGISTRY)
    newer = apart.ended(apart.submit(plan_for(apart.folder, parent=before["model"]["version"])))
    apart.wait("the next model", lambda: (score(apart) or before)["model"]["file"] == newer["model_digest"])


# Kafka


class Holding(contextlib.ExitStack):
    """A stack that names the broker that was put on it."""

    broker: Broker

    def enter_context(self, manager: Any) -> Any:  # noqa: ANN401  as the base class
        """Notes it."""
        self.broker = super().enter_context(manager)
        return self.broker


@pytest.fixture
def on_kafka(kafka_jars: None, running: Running) -> Iterator[tuple[Running, Broker]]:
    """The federation on a broker of its own with one user per process, and access as in production."""
    with Holding() as stack:
        settings_of(running.folder, log=demo_kafka.start(running.folder, list(BANKS), [BANK], stack))
        running.supervised = True
        yield running, stack.broker
        running.close()


def denied(running: Running, bank: str, topic: str) -> bool:
    """Whether the broker keeps a bank's user from writing to a topic."""
    settings = yaml.safe_load(running.folder.settings(f"trainer-{bank}").read_text(encoding="utf-8"))
    with contextlib.closing(open_log(LogSettings(**settings["log"]))) as log:
        try:
            log.append(topic, b"key", b"value")
        except LogDeniedError:
            return True
    return False


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_a_run_on_a_real_broker_that_goes_away_twice(on_kafka: tuple[Running, Broker]) -> None:
    """Away when everything starts for the first time, killed in the middle of a run: nobody is needed."""
    running, broker = on_kafka
    assert denied(running, "birch", topics.bank(topics.DEFAULT_PREFIX, "ash").name)
    assert denied(running, "birch", topics.control().name)
    broker.kill()
    running.start(*running.everything(), topics.REGISTRY)
    running.wait("a line", lambda: all(running.events(name) for name in running.processes))
    broker.start()
    run = running.submit(plan_for(running.folder, learner=rounds(40)))
    running.at_round(run, 2)
    broker.kill()
    assert running.view(run)["phase"] == "ROUND"
    broker.start()
    view = running.ended(run)
    assert (view["outcome"], view["roster"]) == ("FINISHED", list(BANKS))
    running.settled(run)
    assert published(running)["statement"]["file"] == view["model_digest"]
    check_outcome(running, run)
