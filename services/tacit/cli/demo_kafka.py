"""A real Kafka broker for a demo: one user per process, and access rules as in production."""

import contextlib
from collections.abc import Mapping
from typing import Any

from tacit.adapters import kafka
from tacit.adapters.kafka_settings import Access
from tacit.cli.broker import Broker
from tacit.cli.layout import Folder
from tacit.wire import topics

BROKER = "kafka"
"""Folder of the broker within a federation's."""


def start(folder: Folder, banks: list[str], scoring: list[str], stack: contextlib.ExitStack) -> dict[str, Any]:
    """Starts the broker, makes the topics, and gives each user the access that its role has.

    Args:
        folder: The federation's folder.
        banks: Member ids.
        scoring: Banks that run a scorer.
        stack: Stops the broker when it is closed.

    Returns:
        Process name to its log settings.
    """
    users = [topics.AGGREGATOR, topics.REGISTRY, *banks, *(f"scorer-{bank}" for bank in scoring)]
    broker = stack.enter_context(Broker(folder.path / BROKER, users=users))
    admin = broker.settings()
    log = kafka.KafkaLog(admin)
    log.create([topic.name for topic in topics.federation(topics.DEFAULT_PREFIX, banks)])
    log.close()
    for user in users:
        kafka.grant(admin, user, f"{topics.DEFAULT_PREFIX}.*", [Access.READ])
    for topic in topics.federation(topics.DEFAULT_PREFIX, banks):
        kafka.grant(admin, topic.writer, topic.name, [Access.WRITE])
    processes = {topics.AGGREGATOR: topics.AGGREGATOR, topics.REGISTRY: topics.REGISTRY}
    processes |= {f"trainer-{bank}": bank for bank in banks} | {f"scorer-{bank}": f"scorer-{bank}" for bank in scoring}
    return {process: _settings(broker, user) for process, user in processes.items()}


def _settings(broker: Broker, user: str) -> Mapping[str, Any]:
    found = broker.settings(user)
    return {
        "kind": "kafka",
        "bootstrap_servers": ",".join(found.bootstrap_servers),
        "security_protocol": str(found.security_protocol),
        "sasl_mechanism": str(found.sasl_mechanism),
        "sasl_username": found.sasl_username,
        "sasl_password": found.sasl_password,
        "replication_factor": 1,
        "min_insync_replicas": 1,
    }
