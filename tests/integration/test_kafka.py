"""The Kafka log against a real broker that is killed, refuses, forgets and is away."""

import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import uuid4

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from tacit.adapters.kafka import KafkaLog, grant
from tacit.adapters.kafka_settings import Access, KafkaSettings, SecurityProtocol
from tacit.cli.broker import Broker
from tacit.runtime.log import Entry, LogDeniedError, LogError, LogUnavailableError

pytestmark = [pytest.mark.kafka, pytest.mark.integration]

T = TypeVar("T")
RECORDS = 1200
WAIT = 60.0


@pytest.fixture
def admin(broker: Broker) -> Iterator[KafkaLog]:
    """The log as the user who may do everything."""
    log = KafkaLog(broker.settings())
    yield log
    log.close()


@pytest.fixture
def topic(admin: KafkaLog) -> str:
    """A topic that exists and that no other test uses."""
    name = f"test.{uuid4().hex}"
    admin.create([name])
    return name


@dataclass
class Writer:
    """Appends numbered values, and again what was not acknowledged; keeps what it was told."""

    log: KafkaLog
    topic: str
    told: dict[int, int] = field(default_factory=dict)
    unsure: set[int] = field(default_factory=set)
    progress: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Writes every number until each was acknowledged."""
        for number in range(RECORDS):
            while number not in self.told:
                self.append(number)
            if number == RECORDS // 4:
                self.progress.set()

    def append(self, number: int) -> None:
        """Tries once."""
        try:
            self.told[number] = self.log.append(self.topic, b"writer", b"%d" % number)
        except LogUnavailableError:
            self.unsure.add(number)


def read_all(log: KafkaLog, topic: str) -> list[Entry]:
    """Every entry that is there now."""
    entries: list[Entry] = []
    while len(entries) < log.end(topic):
        entries += log.read({topic: len(entries)}, timeout=WAIT)
    return entries


def patiently(call: Callable[[], T]) -> T:
    """The answer of a call that may be tried again."""
    for _ in range(10):
        try:
            return call()
        except LogUnavailableError:
            continue
    return call()


def kill_and_restart(broker: Broker) -> None:
    """Cuts the broker's power and starts it on the same ports and data."""
    address = broker.bootstrap
    broker.kill()
    assert not broker.running
    broker.start()
    assert broker.bootstrap == address


def test_killed_broker_loses_and_doubles_nothing_acknowledged(broker: Broker, admin: KafkaLog, topic: str) -> None:
    """Kill -9 under load: every acknowledged value lies at its offset, once unless its first answer was lost."""
    writer = Writer(admin, topic)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(writer.run)
        assert writer.progress.wait(WAIT)
        kill_and_restart(broker)
        writing.result(2 * WAIT)
    entries = read_all(admin, topic)
    by_offset = {entry.offset: int(entry.value) for entry in entries}
    assert {offset: by_offset.get(offset) for offset in writer.told.values()} == {o: n for n, o in writer.told.items()}
    doubled = {number for number, count in Counter(by_offset.values()).items() if count > 1}
    assert doubled <= writer.unsure


def test_reader_follows_through_a_restart(broker: Broker, admin: KafkaLog, topic: str) -> None:
    """A reader that was caught up before the kill gets what comes after it, on the same object."""
    reader = KafkaLog(broker.settings())
    admin.append(topic, b"", b"before")
    assert [entry.value for entry in reader.read({topic: 0}, timeout=WAIT)] == [b"before"]
    kill_and_restart(broker)
    patiently(lambda: admin.append(topic, b"", b"after"))
    found: list[Entry] = []
    while not found:
        found = patiently(lambda: reader.read({topic: 1}, timeout=5.0))
    reader.close()
    assert found[0].value == b"after"


def test_same_object_recovers_when_the_broker_comes_back(broker: Broker, admin: KafkaLog, topic: str) -> None:
    """While the broker is away every call says so; afterwards the same object works again."""
    hasty = KafkaLog(replace(broker.settings(), connect_timeout=0.5, request_timeout=1.0, delivery_timeout=1.0))
    assert hasty.append(topic, b"", b"0") == 0
    assert len(hasty.read({topic: 0}, timeout=WAIT)) == 1
    broker.kill()
    for call in (
        lambda: hasty.append(topic, b"", b"lost"),
        lambda: hasty.read({topic: 1}, timeout=0.2),
        lambda: hasty.end(topic),
    ):
        with pytest.raises(LogUnavailableError, match=broker.bootstrap):
            call()
    broker.start()
    offset = patiently(lambda: hasty.append(topic, b"", b"1"))
    assert patiently(lambda: hasty.read({topic: offset}, timeout=WAIT))[-1].value == b"1"
    hasty.close()


def test_silent_broker_is_noticed(broker: Broker, topic: str) -> None:
    """A broker that holds its connections open and says nothing is told as away, by reads and by appends."""
    hasty = KafkaLog(replace(broker.settings(), connect_timeout=0.5, request_timeout=1.0, delivery_timeout=1.0))
    hasty.append(topic, b"", b"0")
    assert len(hasty.read({topic: 0}, timeout=WAIT)) == 1
    assert broker._process is not None
    broker._process.send_signal(signal.SIGSTOP)
    try:
        for call in (lambda: hasty.read({topic: 1}, timeout=0.2), lambda: hasty.append(topic, b"", b"1")):
            with pytest.raises(LogUnavailableError, match=broker.bootstrap):
                call()
    finally:
        broker._process.send_signal(signal.SIGCONT)
    patiently(lambda: hasty.append(topic, b"", b"2"))
    assert patiently(lambda: hasty.read({topic: 1}, timeout=WAIT))[-1].value in {b"1", b"2"}
    hasty.close()


def test_first_start_without_a_broker_says_where_and_what_to_check() -> None:
    """Making the log needs no broker; the first call names the address and what to look at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    threads = threading.active_count()
    log = KafkaLog(KafkaSettings((address,), connect_timeout=0.3))
    for call in (lambda: log.append("a", b"", b""), lambda: log.read({"a": 0}), lambda: log.create(["a"]), log.check):
        with pytest.raises(LogUnavailableError, match=rf"{address}.*check that the broker runs.*PLAINTEXT"):
            call()
    log.close()
    assert threading.active_count() <= threads


def test_anonymous_clients_are_denied(broker: Broker, admin: KafkaLog, topic: str) -> None:
    """A client without a password writes nothing, whatever it is told."""
    plain = KafkaSettings((broker.bootstrap,), SecurityProtocol.PLAINTEXT, connect_timeout=1.0)
    log = KafkaLog(plain)
    with pytest.raises(LogError):
        log.append(topic, b"", b"forged")
    log.close()
    assert admin.end(topic) == 0


@pytest.mark.parametrize(("user", "password"), [("bank-a", "wrong"), ("nobody", "wrong"), ("ANONYMOUS", "x")])
def test_wrong_passwords_do_not_pass(broker: Broker, user: str, password: str) -> None:
    """A bad password is refused, or, where the client loses the refusal, the message says that it may be one."""
    threads = threading.active_count()
    log = KafkaLog(replace(broker.settings(), sasl_username=user, sasl_password=password, connect_timeout=2.0))
    with pytest.raises(
        (LogDeniedError, LogUnavailableError), match=rf"as {user}: check|password of {user} may"
    ) as raised:
        log.check()
    log.close()
    assert threading.active_count() <= threads
    assert f"{password}'" not in str(raised.value)


@pytest.fixture
def banks(broker: Broker, admin: KafkaLog) -> Iterator[tuple[KafkaLog, str, str]]:
    """Bank A's log, its own topic, and bank B's; A writes its own and reads all under the prefix."""
    prefix = f"test.{uuid4().hex}"
    own, other = f"{prefix}.bank-a", f"{prefix}.bank-b"
    admin.create([own, other])
    grant(broker.settings(), "bank-a", own, [Access.WRITE])
    grant(broker.settings(), "bank-a", f"{prefix}.*", [Access.READ])
    log = KafkaLog(broker.settings("bank-a"))
    yield log, own, other
    log.close()


def test_bank_writes_its_own_topic_only(admin: KafkaLog, banks: tuple[KafkaLog, str, str]) -> None:
    """The right to write is per topic; a refusal does not spoil the client."""
    log, own, other = banks
    assert log.append(own, b"bank-a", b"1") == 0
    with pytest.raises(LogDeniedError, match=other):
        log.append(other, b"bank-a", b"forged")
    assert log.append(own, b"bank-a", b"2") == 1
    assert admin.end(other) == 0


def test_bank_reads_all_topics(admin: KafkaLog, banks: tuple[KafkaLog, str, str]) -> None:
    """The right to read by prefix covers the other banks' topics."""
    log, own, other = banks
    admin.append(other, b"bank-b", b"from b")
    assert [entry.value for entry in log.read({own: 0, other: 0}, timeout=WAIT)] == [b"from b"]


def test_without_rules_a_bank_is_denied(broker: Broker, topic: str) -> None:
    """Nothing is allowed by default: neither writing nor reading, creating nor granting."""
    log = KafkaLog(broker.settings("bank-b"))
    for call in (
        lambda: log.append(topic, b"", b"x"),
        lambda: log.read({topic: 0}),
        lambda: log.end(topic),
        lambda: grant(broker.settings("bank-b"), "bank-b", topic, [Access.WRITE]),
    ):
        with pytest.raises(LogDeniedError):
            call()
    log.close()


@pytest.fixture
def raw_admin(broker: Broker) -> Iterator[KafkaAdminClient]:
    """The client's own administration, for what the log never does."""
    settings = broker.settings()
    client = KafkaAdminClient(
        bootstrap_servers=settings.bootstrap_servers,
        security_protocol=settings.security_protocol.value,
        sasl_mechanism=settings.sasl_mechanism.value,
        sasl_plain_username=settings.sasl_username,
        sasl_plain_password=settings.sasl_password,
    )
    yield client
    client.close()


def test_trimmed_topic_reads_from_its_earliest_entry(admin: KafkaLog, topic: str, raw_admin: KafkaAdminClient) -> None:
    """An offset that was deleted does not hang: reading goes on at the first kept entry."""
    for number in range(6):
        admin.append(topic, b"", b"%d" % number)
    raw_admin.delete_records({TopicPartition(topic, 0): 4})
    assert [entry.offset for entry in admin.read({topic: 1}, timeout=WAIT)] == [4, 5]
    assert admin.end(topic) == 6


def test_recreated_topic_reads_nothing_beyond_its_end(admin: KafkaLog, topic: str, raw_admin: KafkaAdminClient) -> None:
    """A reader ahead of a topic that was made anew gets nothing, sees the smaller end, and reads from there."""
    for number in range(3):
        admin.append(topic, b"", b"%d" % number)
    assert len(admin.read({topic: 0}, timeout=WAIT)) == 3
    raw_admin.delete_topics([topic])
    fresh = KafkaLog(admin._settings)
    patiently(lambda: fresh.create([topic]))
    fresh.append(topic, b"", b"new")
    fresh.close()
    assert patiently(lambda: admin.read({topic: 3}, timeout=0.5)) == []
    assert admin.end(topic) == 1
    assert [entry.value for entry in patiently(lambda: admin.read({topic: 0}, timeout=WAIT))] == [b"new"]


def test_topics_keep_everything(topic: str, raw_admin: KafkaAdminClient) -> None:
    """Created topics have one partition, no time or size retention, no compaction, and room for the largest value."""
    described = raw_admin.describe_topics([topic])[0]
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    configs = raw_admin.describe_configs([resource], config_filter="all")["topic"][topic]
    shown = {name: configs[name]["value"] for name in ("retention.ms", "retention.bytes", "cleanup.policy")}
    assert len(described["partitions"]) == 1
    assert shown == {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
    assert int(configs["max.message.bytes"]["value"]) == 1024 * 1024


def test_impossible_replication_is_a_lasting_error(broker: Broker) -> None:
    """More copies than brokers is told as what it is, not as a broker that is away."""
    log = KafkaLog(replace(broker.settings(), replication_factor=3, min_insync_replicas=2))
    with pytest.raises(LogError, match="eplication") as raised:
        log.create([f"test.{uuid4().hex}"])
    log.close()
    assert not isinstance(raised.value, LogUnavailableError)
