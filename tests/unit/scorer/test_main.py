"""The process: it starts from its cache with everything away, and its ports and probes are as its settings say."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import wire_cases
from fake_clock import FakeClock
from scorer_cases import CONTRACT, MODELS, ROW, TOPIC, Registry, World, bundle_of, document_of, label
from tacit import canonical
from tacit.adapters.bundles import BundleFolder
from tacit.adapters.local_models import FileLocalModels, HttpLocalModels
from tacit.adapters.memory import MemoryLog
from tacit.adapters.sqlite_log import SqliteLog
from tacit.runtime.bound_ports import read_ports
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.health import Status
from tacit.runtime.lifecycle import Service
from tacit.runtime.log import Log, LogDeniedError, LogUnavailableError
from tacit.runtime.observing import Metrics
from tacit.scorer import main as subject
from tacit.scorer.main import VersionRecords, local_models, readiness
from tacit.scorer.settings import ScorerSettings


def records_of(open_log: Any) -> VersionRecords:  # noqa: ANN401  a way to open a log
    """The versions topic of a log."""
    return VersionRecords(open_log, wire_cases.RING, TOPIC)


def settings_of(folder: Path, **changes: Any) -> ScorerSettings:  # noqa: ANN401  any setting
    """Settings over one folder, and the files they name."""
    (folder / "contracts").mkdir(exist_ok=True)
    (folder / "contracts" / "card.json").write_bytes(canonical.encode(CONTRACT))
    (folder / "manifest.json").write_bytes(canonical.encode(wire_cases.MANIFEST))
    given: dict[str, Any] = {
        "bank": "ash",
        "log": {"path": folder / "log.sqlite"},
        "manifest": folder / "manifest.json",
        "contracts": folder / "contracts",
        "cache": folder / "cache",
        "local_file": folder / "current.json",
        "ports_file": folder / "ports.json",
    }
    return ScorerSettings(**{**given, **changes})


def test_records_are_checked_and_counted() -> None:
    """Sound records arrive, others are counted; before the first reading there are none."""
    log = MemoryLog()
    Registry(log).publish(MODELS[0])
    log.append(TOPIC, b"", b"noise")
    records = records_of(lambda: log)
    assert records.invalid.total() == 0
    assert len(records.poll(0.0)) == 3
    assert records.invalid == {"malformed": 1}
    records.close()


def test_a_log_that_opens_late_is_opened_again() -> None:
    """While it cannot be opened the log counts as away; later it is read from its start."""
    log, failures = MemoryLog(), [LogDeniedError("not you"), LogUnavailableError("gone")]
    Registry(log).publish(MODELS[0])

    def open_log() -> Log:
        if failures:
            raise failures.pop()
        return log

    records = records_of(open_log)
    for words in ("gone", "not you"):
        with pytest.raises(LogUnavailableError, match=words):
            records.poll(0.0)
    assert len(records.poll(0.0)) == 3


def test_a_topic_that_is_not_there_yet_is_empty() -> None:
    """A scorer may start before the registry; it creates nothing."""
    log = MemoryLog()
    records = records_of(lambda: log)
    assert records.poll(0.0) == []
    assert log._topics == {}
    Registry(log).publish(MODELS[0])
    assert len(records.poll(0.0)) == 3


def test_closing_before_the_first_reading_is_nothing() -> None:
    """Nothing was opened, nothing is closed."""
    records_of(lambda: pytest.fail("opened")).close()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, FileLocalModels),
        ({"local_file": None, "local_url": "http://127.0.0.1:9"}, HttpLocalModels),
        ({"local_file": None, "local_ports_file": Path("ports.json")}, HttpLocalModels),
        ({"local_file": None, "pinned_digest": "sha256:" + "0" * 64}, type(None)),
    ],
)
def test_the_trainer_is_reached_as_the_settings_say(tmp_path: Path, changes: dict[str, Any], kind: type) -> None:
    """Each setting has its adapter."""
    made = local_models(settings_of(tmp_path, **changes))
    assert isinstance(made, kind)
    if made is not None:
        made.close()


def test_the_trainers_port_is_looked_up_by_the_banks_name(tmp_path: Path) -> None:
    """In the ports file the trainer is `<bank>.bank`."""
    settings = settings_of(tmp_path, local_file=None, local_ports_file=tmp_path / "ports.json")
    made = local_models(settings)
    assert isinstance(made, HttpLocalModels)
    with pytest.raises(OSError, match=r"ash\.bank"):
        made.fetch(None)
    made.close()


def test_a_model_is_ready_whatever_is_away() -> None:
    """Without a model the log matters; with one only stopping does."""
    world, status = World(), Status(FakeClock())
    status.outage = "the log is away"
    assert readiness(world.scorer(), status) == (False, "the log is away")
    scorer = world.serving()
    assert readiness(scorer, status) == (True, "")
    status.stopping = True
    assert readiness(scorer, status) == (False, "stopping")


def test_without_a_model_it_is_not_ready() -> None:
    """A log that answers is not enough."""
    status = Status(FakeClock())
    status.started()
    assert readiness(World().scorer(), status) == (False, "no verified model yet")


@contextmanager
def running(settings: ScorerSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """The whole process in a thread; gives its ports and stops it."""
    services: list[Service] = []
    codes: list[ExitCode] = []

    def keep(*arguments: Any, **named: Any) -> Service:  # noqa: ANN401  those of `Service`
        services.append(Service(*arguments, **named))
        return services[0]

    monkeypatch.setattr(subject, "Service", keep)
    monkeypatch.setattr(subject, "begin", lambda _settings, _name, table: Metrics(table))
    thread = threading.Thread(target=lambda: codes.append(subject.serve(settings)))
    thread.start()
    pause = threading.Event()
    assert settings.ports_file is not None
    while thread.is_alive() and not read_ports(settings.ports_file):
        pause.wait(0.01)
    try:
        yield read_ports(settings.ports_file)
    finally:
        services[0].stop()
        thread.join()
    assert codes == [ExitCode.OK]


@pytest.mark.integration
def test_a_process_starts_with_everything_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log in a folder that is not there, no trainer, a cache: scores are answered and the probes are content."""
    BundleFolder(tmp_path / "cache").save(bundle_of().encode())
    settings = settings_of(tmp_path, log={"path": tmp_path / "absent" / "log.sqlite"})
    with running(settings, monkeypatch) as ports:
        assert set(ports) == {"ash.scorer", "ash.scorer.health"}
        base, shared = (f"http://127.0.0.1:{port}" for port in ports.values())
        answer = httpx.post(f"{base}/v1/score", json=ROW, trust_env=False)
        assert (answer.status_code, answer.json()["model"]["file"]) == (200, label(MODELS[0]))
        assert [httpx.get(f"{shared}{path}", trust_env=False).status_code for path in ("/livez", "/readyz")] == [
            200
        ] * 2
        assert "tacit_score_" not in httpx.get(f"{shared}/metrics", trust_env=False).text
        assert httpx.get(f"{shared}/v1/model", trust_env=False).status_code == 404


@pytest.mark.integration
def test_a_process_loads_from_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an embedded log and the trainer's file to a score and a cached bundle."""
    log = SqliteLog(tmp_path / "log.sqlite")
    Registry(log).publish(MODELS[1])  # type: ignore[arg-type]
    log.close()
    (tmp_path / "current.json").write_bytes(document_of(MODELS[1]))
    with running(settings_of(tmp_path), monkeypatch) as ports:
        pause, url = threading.Event(), f"http://127.0.0.1:{ports['ash.scorer']}/v1/score"
        while (answer := httpx.post(url, json=ROW, trust_env=False)).status_code == 503:
            pause.wait(0.02)
        assert answer.json()["model"]["file"] == label(MODELS[1])
    assert json.loads((tmp_path / "ports.json").read_text()) == {}
    assert len(BundleFolder(tmp_path / "cache").load()) == 1
