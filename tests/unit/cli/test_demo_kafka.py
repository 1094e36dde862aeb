"""A demo's broker: its users, their rights and their settings, with the broker itself left out."""

import contextlib
from pathlib import Path
from typing import Any, Self

import pytest

from tacit.adapters.kafka_settings import Access, KafkaSettings, SecurityProtocol
from tacit.cli import demo_kafka as subject
from tacit.cli.layout import Folder
from tacit.wire import topics

BANKS = ["ash", "elm"]


class Told:
    """What was asked of the broker."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.folder = Path()
        self.created: list[str] = []
        self.grants: list[tuple[str, str, tuple[Access, ...]]] = []
        self.events: list[str] = []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """A broker that only notes."""
    made = Told()

    class Broker:
        def __init__(self, folder: Path, users: list[str]) -> None:
            made.folder, made.users = folder, users

        def __enter__(self) -> Self:
            made.events.append("start")
            return self

        def __exit__(self, *_: object) -> None:
            made.events.append("stop")

        def settings(self, user: str | None = None) -> KafkaSettings:
            secret = {"sasl_username": user, "sasl_password": f"secret of {user}"} if user else {}
            return KafkaSettings(
                ("127.0.0.1:1", "127.0.0.1:2"),
                SecurityProtocol.SASL_PLAINTEXT if user else SecurityProtocol.PLAINTEXT,
                replication_factor=1,
                min_insync_replicas=1,
                **secret,  # type: ignore[arg-type]
            )

    class Log:
        def __init__(self, _: KafkaSettings) -> None:
            made.events.append("open")

        def create(self, names: list[str]) -> None:
            made.created += names

        def close(self) -> None:
            made.events.append("close")

    def grant(_: KafkaSettings, user: str, topic: str, rights: list[Access]) -> None:
        made.grants.append((user, topic, tuple(rights)))

    monkeypatch.setattr(subject, "Broker", Broker)
    monkeypatch.setattr("tacit.cli.demo_kafka.kafka.KafkaLog", Log)
    monkeypatch.setattr("tacit.cli.demo_kafka.kafka.grant", grant)
    return made


@pytest.fixture
def found(told: Told) -> dict[str, Any]:
    """Log settings by process."""
    with contextlib.ExitStack() as stack:
        return subject.start(Folder(Path("fed")), BANKS, ["elm"], stack)


def test_every_process_has_a_user_of_its_own(told: Told, found: dict[str, Any]) -> None:
    """A scorer is not its bank: it may write nothing."""
    assert told.users == ["aggregator", "registry", "ash", "elm", "scorer-elm"]
    users = {process: settings["sasl_username"] for process, settings in found.items()}
    assert users == {
        "aggregator": "aggregator",
        "registry": "registry",
        "trainer-ash": "ash",
        "trainer-elm": "elm",
        "scorer-elm": "scorer-elm",
    }


def test_settings_have_what_a_process_needs(found: dict[str, Any]) -> None:
    """Addresses, the way to sign in, and its own secret only."""
    ash = found["trainer-ash"]
    assert (ash["kind"], ash["bootstrap_servers"]) == ("kafka", "127.0.0.1:1,127.0.0.1:2")
    assert (ash["security_protocol"], ash["sasl_password"]) == ("SASL_PLAINTEXT", "secret of ash")
    assert (ash["replication_factor"], ash["min_insync_replicas"]) == (1, 1)


def test_everybody_reads_everything(told: Told, found: dict[str, Any]) -> None:
    """One rule a user, over the prefix."""
    reads = [(user, topic) for user, topic, rights in told.grants if rights == (Access.READ,)]
    assert reads == [(user, f"{topics.DEFAULT_PREFIX}.*") for user in told.users]


def test_only_its_writer_writes_a_topic(told: Told, found: dict[str, Any]) -> None:
    """No other right is given to anybody."""
    writes = {topic: user for user, topic, rights in told.grants if rights == (Access.WRITE,)}
    wanted = topics.federation(topics.DEFAULT_PREFIX, BANKS)
    assert writes == {topic.name: topic.writer for topic in wanted}
    assert len(told.grants) == len(told.users) + len(writes)
    assert "scorer-elm" not in writes.values()


def test_topics_are_made_before_anybody_comes(told: Told, found: dict[str, Any]) -> None:
    """The administrator's connection is closed again; the broker ends with the demo."""
    assert told.created == [topic.name for topic in topics.federation(topics.DEFAULT_PREFIX, BANKS)]
    assert told.events == ["start", "open", "close", "stop"]
    assert told.folder == Path("fed") / subject.BROKER
