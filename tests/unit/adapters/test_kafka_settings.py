"""Settings of the Kafka log: ranges, secrets, defaults."""

from dataclasses import FrozenInstanceError, replace

import pytest

from tacit.adapters.kafka_settings import KafkaSettings, SecurityProtocol

GOOD = KafkaSettings(("kafka-1:9092", "kafka-2:9092"))


def test_defaults_keep_a_copy_when_a_broker_goes() -> None:
    """Three copies, two of them needed: one broker may stop."""
    assert (GOOD.replication_factor, GOOD.min_insync_replicas) == (3, 2)


def test_is_frozen() -> None:
    """Nobody changes settings after the start."""
    with pytest.raises(FrozenInstanceError):
        GOOD.client_id = "x"  # type: ignore[misc]


@pytest.mark.parametrize("address", ["", "kafka", "kafka:", ":9092", "kafka:port", "kafka:0", "kafka:65536"])
def test_refuses_a_bad_address(address: str) -> None:
    """An address is host:port; the message shows the one that is not."""
    with pytest.raises(ValueError, match="host:port") as raised:
        KafkaSettings(("good:1", address))
    assert repr(address) in str(raised.value)


@pytest.mark.parametrize("address", ["kafka:1", "127.0.0.1:65535", "[::1]:9092"])
def test_takes_a_good_address(address: str) -> None:
    """Names, IPv4 and IPv6 with every port."""
    assert KafkaSettings((address,)).bootstrap_servers == (address,)


def test_refuses_no_address() -> None:
    """There must be somewhere to begin."""
    with pytest.raises(ValueError, match="at least one"):
        KafkaSettings(())


@pytest.mark.parametrize(("factor", "needed"), [(1, 1), (2, 1), (3, 1), (3, 2), (5, 4)])
def test_takes_replication_that_outlives_a_broker(factor: int, needed: int) -> None:
    """Fewer needed than kept, or one of one."""
    assert replace(GOOD, replication_factor=factor, min_insync_replicas=needed).min_insync_replicas == needed


@pytest.mark.parametrize(("factor", "needed"), [(0, 0), (3, 3), (2, 2), (3, 4), (3, 0), (1, 2), (32_768, 1)])
def test_refuses_replication_that_stops_with_one_broker(factor: int, needed: int) -> None:
    """Needing every copy, none, or more than there are is refused with the range."""
    with pytest.raises(ValueError, match=r"replica.*must be 1 to"):
        replace(GOOD, replication_factor=factor, min_insync_replicas=needed)


@pytest.mark.parametrize("name", ["connect_timeout", "request_timeout"])
@pytest.mark.parametrize("seconds", [0.0, -1.0, 300.1, float("nan")])
def test_refuses_timeouts_outside_their_range(name: str, seconds: float) -> None:
    """Waiting is bounded on both sides."""
    with pytest.raises(ValueError, match=r"timeout .* must be above 0 and at most 300"):
        KafkaSettings(("a:1",), **{name: seconds})  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [9.9, 3600.1])
def test_delivery_takes_at_least_one_request(seconds: float) -> None:
    """An append may not give up before its request does."""
    with pytest.raises(ValueError, match="delivery timeout"):
        replace(GOOD, request_timeout=10.0, delivery_timeout=seconds)


@pytest.mark.parametrize("protocol", [SecurityProtocol.SASL_SSL, SecurityProtocol.SASL_PLAINTEXT])
@pytest.mark.parametrize(("user", "password"), [(None, "p"), ("u", None), ("", "p"), ("u", "")])
def test_sasl_needs_user_and_password(protocol: SecurityProtocol, user: str | None, password: str | None) -> None:
    """Half a login is no login."""
    with pytest.raises(ValueError, match="user name and a password"):
        replace(GOOD, security_protocol=protocol, sasl_username=user, sasl_password=password)


@pytest.mark.parametrize("protocol", [SecurityProtocol.SSL, SecurityProtocol.PLAINTEXT])
def test_without_sasl_no_login_is_needed(protocol: SecurityProtocol) -> None:
    """Mutual TLS and test listeners know no user name."""
    assert not replace(GOOD, security_protocol=protocol).security_protocol.uses_sasl


def test_secrets_are_not_shown() -> None:
    """Passwords stay out of logs."""
    secrets = {"sasl_password": "hidden-1", "ssl_password": "hidden-2"}
    shown = repr(KafkaSettings(("a:1",), SecurityProtocol.SASL_SSL, sasl_username="bank-a", **secrets))  # type: ignore[arg-type]
    assert "bank-a" in shown
    assert "hidden" not in shown
