"""The broker as a process: its files, its command line, its failures and its command."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tacit.adapters.kafka import KafkaLog
from tacit.cli.broker import ADMIN, Broker, BrokerError, _free_ports

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


def test_passwords_are_random_and_private(broker: Broker) -> None:
    """Each user has a password of its own, in files that only the owner may read."""
    passwords = json.loads(broker.password_file.read_text(encoding="utf-8"))["passwords"]
    assert {ADMIN, "aggregator", "bank-a"} <= passwords.keys()
    assert len(set(passwords.values())) == len(passwords)
    assert min(map(len, passwords.values())) >= 32
    for path in (broker.password_file, broker.password_file.with_name("server.properties")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not broker.password_file.with_name("format.arguments").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the command line from /proc")
def test_no_password_is_on_the_command_line(broker: Broker) -> None:
    """Other users of the machine see command lines."""
    assert broker._process is not None
    shown = Path(f"/proc/{broker._process.pid}/cmdline").read_text(encoding="utf-8")
    passwords = json.loads(broker.password_file.read_text(encoding="utf-8"))["passwords"]
    assert "kafka.Kafka" in shown
    assert not [password for password in passwords.values() if password in shown]


def test_listens_on_loopback_only(broker: Broker) -> None:
    """Every address in the settings is 127.0.0.1, and the only listener without a password is the controller's."""
    text = broker.password_file.with_name("server.properties").read_text(encoding="utf-8")
    listeners = dict(re.findall(r"([A-Z_]+)://([0-9.]+):", text))
    assert listeners == {"SASL_PLAINTEXT": "127.0.0.1", "CONTROLLER": "127.0.0.1"}
    assert text.count(":PLAINTEXT") == 1


def test_second_broker_on_the_same_folder_is_refused(broker: Broker) -> None:
    """Two brokers never share data: the second one does not take the first one's answer for its own."""
    second = Broker(broker.password_file.parent)
    with pytest.raises(BrokerError, match=f"{broker.bootstrap} is in use"):
        second.start()
    assert not second.running
    assert broker.running


def test_broker_that_does_not_come_up_shows_its_last_words(broker: Broker, tmp_path: Path) -> None:
    """The error carries the end of the broker's own log, not only that it failed."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").touch()
    (tmp_path / "server.properties").write_text("process.roles=nonsense\n", encoding="utf-8")
    identity = {"port": _free_ports(1)[0], "passwords": {ADMIN: "x"}}
    (tmp_path / "broker.json").write_text(json.dumps(identity), encoding="utf-8")
    broken = Broker(tmp_path)
    with pytest.raises(BrokerError, match=r"did not come up.*broker\.log(?s:.*)process\.roles"):
        broken.start()
    assert not broken.running


@pytest.mark.timeout(180)
def test_command_serves_until_it_is_told_to_stop(broker: Broker, tmp_path: Path) -> None:
    """`python -m tacit.cli.broker DIR` prints its address, serves its users, and ends in order on SIGTERM."""
    command = [sys.executable, "-m", "tacit.cli.broker", str(tmp_path), "--user", "bank-x"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as serving:  # noqa: S603
        assert serving.stdout is not None
        first = serving.stdout.readline()
        log = KafkaLog(Broker(tmp_path).settings("bank-x"))
        log.check()
        log.close()
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(60) == 0
    assert re.match(r"127\.0\.0\.1:\d+ up in .* passwords in ", first)
