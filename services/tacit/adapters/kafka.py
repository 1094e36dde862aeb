"""The `Log` on Apache Kafka, and the only importer of `kafka` (kafka-python): this module is its typed border."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Generic, Protocol, TypeVar

import kafka
from kafka import admin as kafka_admin
from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from tacit.adapters.kafka_settings import Access, KafkaSettings
from tacit.runtime.log import (
    MAX_VALUE_BYTES,
    Entry,
    LogDeniedError,
    LogError,
    LogUnavailableError,
    RecordTooLargeError,
    TopicMissingError,
    check_append,
    check_read,
    check_topic,
)

MAX_MESSAGE_BYTES = MAX_VALUE_BYTES + 64 * 1024
"""Largest record batch that a topic takes, in bytes: the largest value, its key, headers and framing."""

_PARTITION = 0
_FETCH_WAIT = 0.1
_RECHECK = 0.25
_READ_BYTES = 8 * 1024 * 1024
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

_DENIED = (
    errors.AuthorizationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.SecurityDisabledError,
)
_MISSING = (errors.UnknownTopicOrPartitionError, errors.UnknownTopicIdError)
_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_LASTING = (
    errors.IllegalArgumentError,
    errors.IncompatibleBrokerVersion,
    errors.InvalidConfigurationError,
    errors.InvalidReplicationFactorError,
    errors.InvalidTopicError,
    errors.KafkaConfigurationError,
    errors.PolicyViolationError,
    errors.UnsupportedVersionError,
)


class _Appended(Protocol):
    offset: int


class _Delivery(Protocol):
    def get(self, timeout: float) -> _Appended: ...


class _Producer(Protocol):
    def send(
        self, topic: str, *, value: bytes, key: bytes, headers: list[tuple[str, bytes]], partition: int
    ) -> _Delivery: ...

    def close(self, timeout: float) -> None: ...


class _Record(Protocol):
    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class _Partition(Protocol):
    topic: str


class _Consumer(Protocol):
    def assign(self, partitions: list[_Partition]) -> None: ...
    def unsubscribe(self) -> None: ...
    def seek(self, partition: _Partition, offset: int) -> None: ...
    def poll(self, timeout_ms: int, max_records: int) -> dict[_Partition, list[_Record]]: ...
    def beginning_offsets(self, partitions: list[_Partition], timeout_ms: int) -> dict[_Partition, int]: ...
    def end_offsets(self, partitions: list[_Partition], timeout_ms: int) -> dict[_Partition, int]: ...
    def close(self, *, autocommit: bool, timeout_ms: int) -> None: ...


class _Admin(Protocol):
    def describe_topics(self, topics: list[str]) -> list[dict[str, str | int]]: ...
    def create_topics(self, new_topics: object, *, raise_errors: bool) -> dict[str, list[dict[str, str | int]]]: ...
    def wait_for_topics(self, topic_names: list[str], timeout_ms: int) -> None: ...
    def list_partition_offsets(self, specs: Mapping[_Partition, int]) -> dict[_Partition, _Appended]: ...
    def create_acls(self, acls: list[object]) -> dict[str, list[object]]: ...
    def close(self) -> None: ...


class _Future(Protocol):
    def add_errback(self, callback: Callable[[Exception], None]) -> None: ...


class _Connection(Protocol):
    init_future: _Future


class _Connections(KafkaConnectionManager):  # type: ignore[misc]
    """The client's connections, which tell at once when a password is refused.

    kafka-python 3.0.12 only logs it while a client is made, and then reports a timeout.
    """

    def __init__(self, net: object, **options: object) -> None:
        super().__init__(net, **options)
        self._refused: Exception | None = None

    def get_connection(self, node_id: str | int, **options: object) -> _Connection:
        if self._refused is not None:
            raise self._refused
        connection: _Connection = super().get_connection(node_id, **options)
        connection.init_future.add_errback(self._note)
        return connection

    def _note(self, error: Exception) -> None:
        if isinstance(error, _DENIED):
            self._refused = error


_C = TypeVar("_C")


class _Lazy(Generic[_C]):
    """A client that is made when first needed, dropped when it fails, and made again after a growing, random pause."""

    def __init__(self, make: Callable[[], _C], dispose: Callable[[_C], None], closed: threading.Event) -> None:
        self._make, self._dispose, self._closed = make, dispose, closed
        self._client: _C | None = None
        self._failures = 0
        self._not_before = 0.0
        self._lock = threading.Lock()
        self._jitter = random.SystemRandom()

    def get(self) -> _C:
        with self._lock:
            if self._client is None:
                self._closed.wait(max(0.0, self._not_before - time.monotonic()))
                if self._closed.is_set():
                    raise LogError("the log is closed")
                try:
                    self._client = self._make()
                except (errors.KafkaError, OSError):
                    self._postpone()
                    raise
            self._failures = 0
            return self._client

    def drop(self, failed: _C | None = None) -> None:
        """Forgets the client; nothing happens if another one has taken the place of `failed` already."""
        with self._lock:
            client = self._client
            if client is None or (failed is not None and client is not failed):
                return
            self._client = None
        with suppress(errors.KafkaError, OSError):
            self._dispose(client)

    def _postpone(self) -> None:
        pause = min(_SHORTEST_PAUSE * 2.0 ** min(self._failures, 16), _LONGEST_PAUSE)
        self._failures += 1
        self._not_before = time.monotonic() + self._jitter.uniform(0.5, 1.0) * pause


class KafkaLog:
    """A log on a Kafka cluster: one partition a topic, own offsets, no groups, no transactions.

    Nothing is connected before the first call. After a failure every client reconnects by itself, with jittered
    exponential back-off; the caller only tries again. Safe for threads: appends run side by side, reads one at a time.

    Args:
        settings: How to reach the cluster.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._closed = threading.Event()
        self._reading, self._administering = threading.Lock(), threading.Lock()
        self._producer: _Lazy[_Producer] = _Lazy(lambda: _make_producer(settings), _close_producer, self._closed)
        self._consumer: _Lazy[_Consumer] = _Lazy(lambda: _make_consumer(settings), _close_consumer, self._closed)
        self._admin: _Lazy[_Admin] = _Lazy(lambda: _make_admin(settings), lambda client: client.close(), self._closed)
        self._known: set[str] = set()
        self._next: dict[str, int] = {}

    def create(self, topics: Iterable[str]) -> None:
        """Creates the topics that do not exist yet, without time retention and compaction."""
        names = list(topics)
        for name in names:
            check_topic(name)
        missing = sorted(set(names) - self._existing(names))
        if missing:
            with self._administer("create topics") as admin:
                wanted = {name: _topic_options(self._settings) for name in missing}
                for result in admin.create_topics(wanted, raise_errors=False)["topics"]:
                    _raise_code(result, errors.TopicAlreadyExistsError)
                admin.wait_for_topics(missing, timeout_ms=_milliseconds(self._settings.request_timeout))

    def append(self, topic: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> int:
        """Appends one entry and returns its offset once the in-sync replicas have it.

        Raises:
            TopicMissingError: If the topic does not exist.
            RecordTooLargeError: If the value is longer than the port allows.
            LogUnavailableError: If no acknowledgement came in time; the entry may still be on the log.
            LogDeniedError: If the user may not write to the topic.
        """
        check_append(topic, value)
        if not self._existing([topic]):
            raise TopicMissingError(f"topic {topic} does not exist on Kafka at {self._servers}: create it first")
        with self._translated(f"append to {topic}"):
            producer = self._producer.get()
            try:
                sent = producer.send(topic, value=value, key=key, headers=list(headers), partition=_PARTITION)
                return int(sent.get(timeout=self._settings.delivery_timeout + 1.0).offset)
            except _TOO_LARGE:
                raise
            except BaseException:
                # A producer that failed keeps its numbering of the lost batch: a new one starts clean.
                self._known.discard(topic)
                self._producer.drop(producer)
                raise

    def read(self, positions: Mapping[str, int], limit: int = 500, timeout: float = 0.0) -> list[Entry]:
        """Reads entries at or after the given offsets, of all topics through one connection.

        An offset below the earliest kept entry reads from that entry on; one beyond the end reads nothing, and `end`
        tells the smaller number. An empty answer means that the cluster said so: silence raises.
        """
        check_read(positions, limit, timeout)
        deadline = time.monotonic() + timeout
        with self._reading:
            while True:
                left = max(0.0, deadline - time.monotonic())
                entries = self._read_once(positions, limit, left)
                if entries or time.monotonic() >= deadline:
                    return entries

    def end(self, topic: str) -> int:
        """The offset that the next entry of a topic will have; 0 for one that does not exist."""
        check_topic(topic)
        if not self._existing([topic]):
            return 0
        try:
            with self._administer(f"look up the end of {topic}") as admin:
                partition = _partition(topic)
                return int(admin.list_partition_offsets({partition: kafka_admin.OffsetSpec.LATEST})[partition].offset)
        except TopicMissingError:
            self._known.discard(topic)
            return 0

    def check(self) -> None:
        """Asks the cluster for an answer.

        Raises:
            LogUnavailableError: If none came in time.
            LogDeniedError: If the user is refused.
        """
        with self._administer("reach the cluster") as admin:
            admin.describe_topics([])

    def close(self) -> None:
        """Closes every connection; waits for a read that is under way."""
        self._closed.set()
        self._producer.drop()
        with self._reading:
            self._consumer.drop()
        with self._administering:
            self._admin.drop()

    @property
    def _servers(self) -> str:
        return ",".join(self._settings.bootstrap_servers)

    def _existing(self, topics: Iterable[str]) -> set[str]:
        wanted = set(topics)
        unknown = sorted(wanted - self._known)
        if unknown:
            with self._administer("look up topics") as admin:
                for described in admin.describe_topics(unknown):
                    if _raise_code(described, errors.UnknownTopicOrPartitionError):
                        self._known.add(str(described["name"]))
        elif self._closed.is_set():
            raise LogError("the log is closed")
        return wanted & self._known

    @contextmanager
    def _administer(self, doing: str) -> Iterator[_Admin]:
        with self._administering, self._translated(doing):
            admin = self._admin.get()
            try:
                yield admin
            except BaseException:
                self._admin.drop(admin)
                raise

    def _read_once(self, positions: Mapping[str, int], limit: int, wait: float) -> list[Entry]:
        known = self._existing(positions)
        with self._translated("read"):
            consumer = self._consumer.get()
            try:
                self._position(consumer, {topic: positions[topic] for topic in sorted(known)})
                if len(self._next) < len(positions):
                    wait = min(wait, _RECHECK)
                records = self._fetch(consumer, limit, wait)
            except (errors.OffsetOutOfRangeError, errors.LogTruncationError):
                self._next = {}
                return []
            except BaseException:
                self._forget()
                raise
        return [self._entry(record) for batch in records.values() for record in batch]

    def _forget(self) -> None:
        self._next = {}
        self._known.clear()
        self._consumer.drop()

    def _position(self, consumer: _Consumer, wanted: Mapping[str, int]) -> None:
        """Points the consumer at the wanted offsets; topics whose offset lies beyond their end are left out."""
        jumped = {topic: offset for topic, offset in wanted.items() if self._next.get(topic) != offset}
        steady = {topic: offset for topic, offset in wanted.items() if topic not in jumped}
        targets = {**steady, **self._kept(consumer, jumped)}
        if targets.keys() != self._next.keys():
            consumer.assign([_partition(topic) for topic in targets]) if targets else consumer.unsubscribe()
            jumped = dict(targets)
        for topic in targets.keys() & jumped.keys():
            consumer.seek(_partition(topic), targets[topic])
        self._next = targets

    def _kept(self, consumer: _Consumer, wanted: Mapping[str, int]) -> dict[str, int]:
        """The offsets moved up to the earliest kept entry; without those beyond the end."""
        if not wanted:
            return {}
        partitions = {topic: _partition(topic) for topic in wanted}
        patience = _milliseconds(self._settings.request_timeout)
        first = consumer.beginning_offsets(list(partitions.values()), timeout_ms=patience)
        end = consumer.end_offsets(list(partitions.values()), timeout_ms=patience)
        return {
            topic: max(offset, first[partitions[topic]])
            for topic, offset in wanted.items()
            if offset <= end[partitions[topic]]
        }

    def _fetch(self, consumer: _Consumer, limit: int, wait: float) -> dict[_Partition, list[_Record]]:
        if not self._next:
            self._closed.wait(wait)
            return {}
        if wait >= _FETCH_WAIT:
            records = consumer.poll(timeout_ms=_milliseconds(wait), max_records=limit)
            if records:
                return records
        # An empty poll looks the same when the broker is silent: the ends tell the difference, or raise.
        patience = _milliseconds(self._settings.request_timeout)
        ends = consumer.end_offsets([_partition(topic) for topic in self._next], timeout_ms=patience)
        behind = any(self._next[partition.topic] < end for partition, end in ends.items())
        return consumer.poll(timeout_ms=patience, max_records=limit) if behind else {}

    def _entry(self, record: _Record) -> Entry:
        self._next[record.topic] = record.offset + 1
        headers = tuple((name, value or b"") for name, value in record.headers)
        return Entry(record.topic, record.offset, record.key or b"", record.value or b"", headers)

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (errors.KafkaError, OSError) as error:
            raise self._meaning(error, doing) from error

    def _meaning(self, error: Exception, doing: str) -> LogError:
        """The one place where the client's errors get their meaning."""
        if self._closed.is_set():
            return LogError("the log is closed")
        what = f"cannot {doing} on Kafka at {self._servers}: {type(error).__name__}: {error}"
        if isinstance(error, _DENIED):
            user = self._settings.sasl_username or "an anonymous client"
            return LogDeniedError(f"{what} (as {user}: check the password and the access rules)")
        if isinstance(error, _TOO_LARGE):
            return RecordTooLargeError(what)
        if isinstance(error, _LASTING):
            return LogError(what)
        if isinstance(error, _MISSING):
            return TopicMissingError(what)
        return LogUnavailableError(
            f"{what} (check that the broker runs, that this address and the one its listener advertises can be reached "
            f"from here, and that the listener speaks {self._settings.security_protocol}{self._login_hint()})"
        )

    def _login_hint(self) -> str:
        # kafka-python 3.0.12 loses the broker's refusal when the connection closes together with it.
        if not self._settings.security_protocol.uses_sasl:
            return ""
        return f"; a refused password of {self._settings.sasl_username} may look like this too"


def grant(settings: KafkaSettings, user: str, topic: str, access: Iterable[Access]) -> None:
    """Allows a user some operations on a topic, from every host.

    Args:
        settings: How to reach the cluster, as a user who may change access rules.
        user: Name of the user.
        topic: Name of the topic; with '*' at its end, every topic whose name begins so.
        access: The operations.

    Raises:
        LogDeniedError: If the caller may not change access rules.
        LogUnavailableError: If the cluster is away.
    """
    pattern = kafka_admin.ResourcePattern(
        kafka_admin.ResourceType.TOPIC,
        topic if topic == "*" else topic.removesuffix("*"),
        kafka_admin.ACLResourcePatternType.PREFIXED
        if topic.endswith("*") and topic != "*"
        else kafka_admin.ACLResourcePatternType.LITERAL,
    )
    allow = kafka_admin.ACLPermissionType.ALLOW
    rules = [
        kafka_admin.ACL(f"User:{user}", "*", kafka_admin.ACLOperation[operation.value], allow, pattern)
        for operation in access
    ]
    log = KafkaLog(settings)
    try:
        with log._administer(f"grant access to {topic}") as admin:  # noqa: SLF001  the same module
            for failed in admin.create_acls(rules)["failed"]:
                raise _as_error(failed)
    finally:
        log.close()


def _raise_code(result: Mapping[str, str | int], expected: type[Exception]) -> bool:
    """Whether the broker's answer for one topic is free of errors; raises any error but the expected one."""
    kind = errors.for_code(result["error_code"])
    if kind is errors.NoError:
        return True
    if not issubclass(kind, expected):
        raise _as_error(kind(f"topic {result['name']}"))
    return False


def _as_error(failure: object) -> Exception:
    if isinstance(failure, type) and issubclass(failure, Exception):
        return failure()
    return failure if isinstance(failure, Exception) else errors.UnknownError(str(failure))


def _partition(topic: str) -> _Partition:
    made: _Partition = kafka.TopicPartition(topic, _PARTITION)
    return made


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000.0))


def _topic_options(settings: KafkaSettings) -> dict[str, object]:
    configs = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "min.insync.replicas": str(settings.min_insync_replicas),
    }
    return {"num_partitions": 1, "replication_factor": settings.replication_factor, "configs": configs}


def _connection(settings: KafkaSettings) -> dict[str, object]:
    """The options that every client takes."""
    options: dict[str, object] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": settings.client_id,
        "security_protocol": settings.security_protocol.value,
        "bootstrap_timeout_ms": _milliseconds(settings.connect_timeout),
        "request_timeout_ms": _milliseconds(settings.request_timeout),
        "reconnect_backoff_ms": _milliseconds(_SHORTEST_PAUSE),
        "reconnect_backoff_max_ms": _milliseconds(_LONGEST_PAUSE),
    }
    if settings.security_protocol.uses_sasl:
        options["sasl_mechanism"] = settings.sasl_mechanism.value
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        path = getattr(settings, name)
        options[name] = str(path) if path is not None else None
    options["ssl_password"] = settings.ssl_password
    return options


def _make(kind: Callable[..., _C], settings: KafkaSettings, **options: object) -> _C:
    """Makes a client; one that does not come up gives its thread and sockets back, which kafka-python leaves open."""
    parts: list[KafkaNetClient] = []

    def network(**configs: object) -> KafkaNetClient:
        net = NetworkSelector(**configs)
        parts.append(KafkaNetClient(net, _Connections(net, **configs), **configs))
        return parts[-1]

    try:
        return kind(**_connection(settings), **options, kafka_client=network)
    except BaseException:
        for part in parts:
            part.close()
        raise


def _make_producer(settings: KafkaSettings) -> _Producer:
    made: _Producer = _make(
        kafka.KafkaProducer,
        settings,
        enable_idempotence=True,
        acks="all",
        delivery_timeout_ms=_milliseconds(settings.delivery_timeout),
        max_block_ms=_milliseconds(settings.request_timeout),
        max_request_size=MAX_MESSAGE_BYTES,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
    return made


def _make_consumer(settings: KafkaSettings) -> _Consumer:
    made: _Consumer = _make(
        kafka.KafkaConsumer,
        settings,
        group_id=None,
        enable_auto_commit=False,
        check_crcs=False,  # every record is signed, and the client's own Python code needs 20 ms for 100 kB
        auto_offset_reset="none",
        allow_auto_create_topics=False,
        fetch_max_wait_ms=_milliseconds(_FETCH_WAIT),
        fetch_max_bytes=_READ_BYTES,
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        metrics_enabled=False,
    )
    return made


def _make_admin(settings: KafkaSettings) -> _Admin:
    made: _Admin = _make(kafka_admin.KafkaAdminClient, settings)
    return made


def _close_producer(client: _Producer) -> None:
    client.close(timeout=1.0)


def _close_consumer(client: _Consumer) -> None:
    client.close(autocommit=False, timeout_ms=100)
