"""What the Kafka log must be told: addresses, security, replication and patience. Imports no client library."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class SecurityProtocol(StrEnum):
    """How a client speaks to a listener, in Kafka's names."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def uses_sasl(self) -> bool:
        """Whether a user name and a password are needed."""
        return self.value.startswith("SASL_")


class SaslMechanism(StrEnum):
    """How a client proves its password."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class Access(StrEnum):
    """What a user may do with a topic; READ and WRITE include DESCRIBE."""

    READ = "READ"
    WRITE = "WRITE"
    DESCRIBE = "DESCRIBE"
    CREATE = "CREATE"


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach a Kafka cluster.

    Attributes:
        bootstrap_servers: Addresses `host:port` of some brokers; at least one.
        security_protocol: What the listener behind these addresses speaks.
        sasl_mechanism: Used with a SASL protocol.
        sasl_username: Needed with a SASL protocol.
        sasl_password: Needed with a SASL protocol; never shown.
        ssl_cafile: PEM file of the authorities that are trusted; None for the machine's own.
        ssl_certfile: PEM file of the client's certificate, for mutual TLS.
        ssl_keyfile: PEM file of its key.
        ssl_password: Password of the key; never shown.
        replication_factor: Copies of a topic that is created here, at least 1.
        min_insync_replicas: Copies that must have an entry before it counts as appended; below `replication_factor`,
            or 1 with it, because a topic that needs every copy stops with the first broker.
        connect_timeout: Seconds for the first answer of a broker, above 0.
        request_timeout: Seconds for the answer to one request, above 0; a silent connection is given up after it.
        delivery_timeout: Seconds until an append gives up, at least `request_timeout`.
        client_id: Name in the broker's logs and quotas.

    Raises:
        ValueError: If a value is outside its range, or a user name or password is missing.
    """

    bootstrap_servers: tuple[str, ...]
    security_protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    sasl_mechanism: SaslMechanism = SaslMechanism.SCRAM_SHA_512
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: str | None = field(default=None, repr=False)
    replication_factor: int = 3
    min_insync_replicas: int = 2
    connect_timeout: float = 5.0
    request_timeout: float = 10.0
    delivery_timeout: float = 20.0
    client_id: str = "tacit"

    def __post_init__(self) -> None:
        if not self.bootstrap_servers:
            raise ValueError("bootstrap servers: at least one address host:port is needed")
        for address in self.bootstrap_servers:
            _check_address(address)
        if self.security_protocol.uses_sasl and not (self.sasl_username and self.sasl_password):
            raise ValueError(f"{self.security_protocol} needs a user name and a password")
        self._check_replication()
        self._check_timeouts()

    def _check_replication(self) -> None:
        factor, needed = self.replication_factor, self.min_insync_replicas
        if not 1 <= factor <= 32_767:  # noqa: PLR2004  an int16 on the wire
            raise ValueError(f"replication factor {factor}: must be 1 to 32767")
        if not (1 <= needed < factor or needed == factor == 1):
            raise ValueError(
                f"min in-sync replicas {needed}: must be 1 to {max(factor - 1, 1)} at replication factor {factor}"
            )

    def _check_timeouts(self) -> None:
        for name, seconds in (("connect", self.connect_timeout), ("request", self.request_timeout)):
            if not 0.0 < seconds <= 300.0:  # noqa: PLR2004  kafka-python needs it below its idle limit of 540 s
                raise ValueError(f"{name} timeout {seconds} s: must be above 0 and at most 300")
        if not self.request_timeout <= self.delivery_timeout <= 3600.0:  # noqa: PLR2004  an hour is past any deadline
            raise ValueError(
                f"delivery timeout {self.delivery_timeout} s: must be {self.request_timeout} (request timeout) to 3600"
            )


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:  # noqa: PLR2004  TCP's own range
        raise ValueError(f"bootstrap server {address!r} is not host:port with a port of 1 to 65535")
