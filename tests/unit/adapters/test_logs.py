"""The log that the settings name is the log that opens."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from tacit.adapters import kafka, logs
from tacit.adapters.kafka_settings import KafkaSettings, SaslMechanism, SecurityProtocol
from tacit.adapters.memory import MemoryLog
from tacit.runtime.log import Log, LogError, TopicMissingError
from tacit.runtime.settings import LogKind, LogSettings, SettingsError
from tacit.wire import topics

KAFKA = LogSettings(
    kind=LogKind.KAFKA,
    bootstrap_servers="one:9093, two:9093",
    security_protocol="SASL_SSL",
    sasl_username="bank-a",
    sasl_password=SecretStr("p4ss"),
    ssl_cafile=Path("ca.pem"),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[KafkaSettings]:
    """Settings that a Kafka log was asked for."""
    seen: list[KafkaSettings] = []
    monkeypatch.setattr(kafka, "KafkaLog", seen.append)
    return seen


def test_the_embedded_log_opens_its_file(tmp_path: Path) -> None:
    """What is appended can be read."""
    log = logs.open_log(LogSettings(path=tmp_path / "log.sqlite"))
    try:
        assert isinstance(log, Log)
        log.create(["t"])
        assert log.append("t", b"k", b"v") == 0
        assert [entry.value for entry in log.read({"t": 0})] == [b"v"]
    finally:
        log.close()


def test_a_federations_embedded_log_has_its_topics(tmp_path: Path) -> None:
    """A file has nobody else to make them; opening it again leaves them as they are."""
    names = [topic.name for topic in topics.federation("eu", ["ash", "elm"])]
    for turn in range(2):
        log = logs.open_federation_log(
            LogSettings(path=tmp_path / "log.sqlite", topic_prefix="eu"), ["ash", "elm"], "x"
        )
        assert [log.append(name, b"k", b"v") for name in names] == [turn] * 4
        with pytest.raises(TopicMissingError):
            log.append("eu.bank.v1.oak", b"k", b"v")
        log.close()


def test_kafkas_topics_are_its_operators(asked: list[KafkaSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    """No service asks a broker for a topic."""
    made = MemoryLog()
    monkeypatch.setattr(kafka, "KafkaLog", lambda wanted: asked.append(wanted) or made)
    assert logs.open_federation_log(KAFKA, ["ash"], "trainer-ash") is made
    assert [found.client_id for found in asked] == ["trainer-ash"]
    assert not made._topics


def test_a_file_that_cannot_be_a_log_is_an_error(tmp_path: Path) -> None:
    """The adapter's own error comes through."""
    with pytest.raises(LogError):
        logs.open_log(LogSettings(path=tmp_path / "missing" / "log.sqlite"))


def test_kafka_gets_every_setting(asked: list[KafkaSettings]) -> None:
    """Addresses are split, names become Kafka's, the password is handed over."""
    logs.open_log(KAFKA, client_id="trainer-a")
    (found,) = asked
    assert found.bootstrap_servers == ("one:9093", "two:9093")
    assert found.security_protocol is SecurityProtocol.SASL_SSL
    assert found.sasl_mechanism is SaslMechanism.SCRAM_SHA_512
    assert (found.sasl_username, found.sasl_password) == ("bank-a", "p4ss")
    assert (found.ssl_cafile, found.ssl_password, found.client_id) == (Path("ca.pem"), None, "trainer-a")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bootstrap_servers": "one"}, "not host:port"), ({"min_insync_replicas": 3}, "must be 1 to 2")],
)
def test_settings_that_kafka_refuses_are_settings_errors(
    asked: list[KafkaSettings], change: dict[str, object], message: str
) -> None:
    """Exit code 2, not a crash."""
    with pytest.raises(SettingsError, match=message):
        logs.open_log(KAFKA.model_copy(update=change))
    assert asked == []


def test_the_kafka_client_is_not_loaded_for_the_embedded_log(tmp_path: Path) -> None:
    """A pod loads only what it uses."""
    code = (
        "import sys, pathlib; from tacit.adapters.logs import open_log; from tacit.runtime.settings import LogSettings;"
        f"open_log(LogSettings(path=pathlib.Path({str(tmp_path / 'log.sqlite')!r}))).close();"
        "sys.exit('kafka' in sys.modules)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)  # noqa: S603  this interpreter
    assert done.returncode == 0
