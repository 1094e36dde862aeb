"""What the Kafka client's errors mean, its options, and its back-off; no broker is needed."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import errors

from tacit.adapters import kafka as adapter
from tacit.adapters.kafka import MAX_MESSAGE_BYTES, KafkaLog
from tacit.adapters.kafka_settings import KafkaSettings, SecurityProtocol
from tacit.runtime.log import (
    MAX_VALUE_BYTES,
    LogDeniedError,
    LogError,
    LogUnavailableError,
    RecordTooLargeError,
    TopicMissingError,
)

ADDRESS = "kafka.example:9092"
SECURE = KafkaSettings(
    (ADDRESS,),
    SecurityProtocol.SASL_SSL,
    sasl_username="bank-a",
    sasl_password="secret",  # noqa: S106  to look for in messages
    ssl_cafile=Path("ca.pem"),
)


@pytest.fixture
def log() -> Iterator[KafkaLog]:
    """A log that never connects."""
    made = KafkaLog(SECURE)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (errors.KafkaTimeoutError("silent"), LogUnavailableError),
        (errors.KafkaConnectionError("refused"), LogUnavailableError),
        (errors.NotEnoughReplicasError("one left"), LogUnavailableError),
        (errors.NotLeaderForPartitionError("moved"), LogUnavailableError),
        (errors.OutOfOrderSequenceNumberError("numbering"), LogUnavailableError),
        (errors.KafkaStorageError("disk"), LogUnavailableError),
        (OSError("network down"), LogUnavailableError),
        (errors.TopicAuthorizationFailedError("t"), LogDeniedError),
        (errors.ClusterAuthorizationFailedError("c"), LogDeniedError),
        (errors.SaslAuthenticationFailedError("password"), LogDeniedError),
        (errors.UnknownTopicOrPartitionError("t"), TopicMissingError),
        (errors.MessageSizeTooLargeError("big"), RecordTooLargeError),
        (errors.RecordListTooLargeError("big"), RecordTooLargeError),
        (errors.InvalidReplicationFactorError("3 of 1"), LogError),
        (errors.UnsupportedVersionError("old"), LogError),
        (errors.KafkaConfigurationError("option"), LogError),
    ],
)
def test_each_error_has_one_meaning(log: KafkaLog, error: Exception, meaning: type[LogError]) -> None:
    """Transient, denied, missing, too large, or lasting: exactly one class each, naming the cluster and the cause."""
    translated = log._meaning(error, "append to t")
    assert type(translated) is meaning
    assert "cannot append to t" in str(translated)
    assert ADDRESS in str(translated)
    assert type(error).__name__ in str(translated)


def test_messages_say_what_to_check_and_never_the_password(log: KafkaLog) -> None:
    """A broker that is away names listener and reach; a refusal names the user."""
    away = str(log._meaning(errors.KafkaTimeoutError("x"), "read"))
    denied = str(log._meaning(errors.TopicAuthorizationFailedError("x"), "read"))
    assert "check that the broker runs" in away
    assert "SASL_SSL" in away
    assert "as bank-a" in denied
    assert "secret" not in away + denied


def test_after_close_every_failure_is_the_close() -> None:
    """A call that ends because of `close` says so."""
    log = KafkaLog(SECURE)
    log.close()
    assert "closed" in str(log._meaning(errors.KafkaConnectionError("gone"), "read"))


def test_options_carry_the_login_and_the_files() -> None:
    """What the settings say reaches the client, as plain values."""
    options = adapter._connection(SECURE)
    assert options["bootstrap_servers"] == [ADDRESS]
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("bank-a", "secret")
    assert (options["ssl_cafile"], options["ssl_certfile"]) == ("ca.pem", None)


def test_options_without_sasl_carry_no_login() -> None:
    """A password that is not needed is not handed over."""
    options = adapter._connection(KafkaSettings((ADDRESS,)))
    assert not [name for name in options if name.startswith("sasl")]


def test_topics_keep_everything_and_take_the_largest_value() -> None:
    """Topic options: one partition, no retention, no compaction, the replication of the settings."""
    options = adapter._topic_options(KafkaSettings((ADDRESS,), replication_factor=5, min_insync_replicas=3))
    assert (options["num_partitions"], options["replication_factor"]) == (1, 5)
    assert options["configs"] == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "min.insync.replicas": "3",
    }
    assert MAX_MESSAGE_BYTES >= MAX_VALUE_BYTES + 32 * 1024


class Pauses(threading.Event):
    """Notes how long it was asked to wait and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Notes the pause."""
        self.seconds.append(timeout or 0.0)
        return False


def test_reconnecting_backs_off_with_jitter_up_to_a_cap() -> None:
    """Pauses grow from about 0.1 s to at most 5 s, not all alike, and a success starts over."""
    outcomes: list[Exception | str] = [errors.KafkaTimeoutError("away")] * 12
    pauses = Pauses()

    def make() -> str:
        outcome = outcomes.pop(0) if outcomes else "client"
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    lazy = adapter._Lazy(make, lambda _client: None, pauses)
    for _ in range(12):
        with pytest.raises(errors.KafkaTimeoutError):
            lazy.get()
    assert lazy.get() == "client"
    assert pauses.seconds[0] == 0.0
    assert all(0.0 < seconds <= 5.0 for seconds in pauses.seconds[1:])
    assert max(pauses.seconds[1:3]) <= 0.2
    assert min(pauses.seconds[-4:]) >= 2.5
    assert len(set(pauses.seconds[-4:])) > 1


def test_a_dropped_client_is_disposed_of_once_and_made_again() -> None:
    """Dropping disposes of the client that failed, never of the one that came after it."""
    made = iter("abc")
    disposed: list[str] = []
    lazy = adapter._Lazy(lambda: next(made), disposed.append, threading.Event())
    first = lazy.get()
    lazy.drop(first)
    second = lazy.get()
    lazy.drop(first)
    assert lazy.get() is second
    lazy.drop()
    lazy.drop()
    assert disposed == ["a", "b"]


def test_failing_to_connect_leaves_no_thread_behind() -> None:
    """However often the broker is away, threads and sockets do not pile up."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    before = threading.active_count()
    log = KafkaLog(KafkaSettings((address,), connect_timeout=0.05))
    for _ in range(3):
        with pytest.raises(LogUnavailableError, match=address):
            log.check()
    assert threading.active_count() <= before
    log.close()
