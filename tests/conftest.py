"""What every test gets: sockets of this machine only, one hypothesis profile, and a Kafka broker on demand."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import pytest_socket
from hypothesis import settings as hypothesis_settings

from tacit.adapters.kafka_settings import KafkaSettings, SecurityProtocol

if TYPE_CHECKING:
    from tacit.cli.broker import Broker

IN_CI = os.environ.get("CI") == "true"

hypothesis_settings.register_profile("tacit", deadline=None)
hypothesis_settings.register_profile("tacit-ci", deadline=None, derandomize=True)
hypothesis_settings.load_profile("tacit-ci" if IN_CI else "tacit")


def pytest_configure(config: pytest.Config) -> None:
    """Excuses two habits of the Kafka client, and nothing else.

    It reads its schemas by a function that Python 3.11 calls deprecated, and leaves a socket that never connected to
    the garbage collector.
    """
    unconnected = r"Exception ignored in. <socket.socket .*laddr=.'0\.0\.0\.0'"
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    config.addinivalue_line("filterwarnings", f"ignore:{unconnected}:pytest.PytestUnraisableExceptionWarning")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Refuses every connection that leaves the machine."""
    pytest_socket.socket_allow_hosts(["127.0.0.1", "localhost", "::1"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """What a broker of our own needs is in the cache, or its tests are given up."""
    # Fetching jars leaves the machine, which this process must not.
    fetched = subprocess.run(
        [sys.executable, "-m", "tacit.cli.broker", "--jars-only", "."],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode != 0:
        _give_up(fetched.stderr)


@pytest.fixture(scope="session")
def broker(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Broker"]:
    """A Kafka broker of our own, started once; a test that kills it starts it again."""
    from tacit.cli.broker import Broker, BrokerError  # noqa: PLC0415  most tests never need the client

    started = Broker(tmp_path_factory.mktemp("kafka"))
    try:
        started.start()
    except BrokerError as error:
        _give_up(str(error))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def kafka_settings(request: pytest.FixtureRequest) -> KafkaSettings:
    """The broker that TACIT_TEST_KAFKA names, else our own; the tests fail in CI if there is neither.

    The variable holds `host:port`, or `SASL_PLAINTEXT://user:password@host:port`, of a user who may create topics.
    """
    named = os.environ.get("TACIT_TEST_KAFKA")
    if named:
        return _named_broker(named)
    own: Broker = request.getfixturevalue("broker")
    return own.settings()


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """A path for a log that does not exist yet."""
    return tmp_path / "log.sqlite"


def _named_broker(named: str) -> KafkaSettings:
    if "://" not in named:
        return KafkaSettings((named,), replication_factor=1, min_insync_replicas=1)
    url = urlsplit(named)
    return KafkaSettings(
        (f"{url.hostname}:{url.port}",),
        SecurityProtocol(url.scheme.upper()),
        sasl_username=url.username,
        sasl_password=url.password,
        replication_factor=1,
        min_insync_replicas=1,
    )


def _give_up(reason: str) -> None:
    if IN_CI:
        pytest.fail(f"no Kafka broker in CI: {reason}")
    pytest.skip(f"no Kafka broker: {reason}")
