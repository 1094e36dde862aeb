"""From settings to a running registry and its exit code."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import structlog
import yaml

import federation_cases
from registry_cases import VERSIONS, Case, Desk
from tacit import canonical
from tacit.adapters.sqlite_log import SqliteLog
from tacit.registry import main
from tacit.registry import metrics as table
from tacit.registry.handlers import Registry
from tacit.registry.settings import RegistrySettings
from tacit.runtime import lifecycle, settings
from tacit.runtime.bound_ports import read_ports
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.observing import Metrics
from tacit.runtime.settings import SettingsError
from tacit.wire.envelope import SigningKey


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def folder(case: Case, tmp_path: Path) -> Path:
    """A folder with everything that a registry is given, its log included."""
    (tmp_path / "manifest.json").write_bytes(canonical.encode(case.fed.manifest))
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "card.json").write_bytes(canonical.encode(case.fed.contract))
    case.key.save(tmp_path / "registry.pem")
    log, copy = SqliteLog(tmp_path / "log.sqlite"), case.log()
    for topic in copy._topics:
        log.create([topic])
        for entry in copy.read({topic: 0}, 10_000) if topic != VERSIONS else []:
            log.append(topic, entry.key, entry.value)
    log.close()
    write_settings(tmp_path)
    return tmp_path


def started(folder: Path) -> ExitCode:
    """Starts the process as `tacit serve` does and waits for its end."""
    return lifecycle.run_process(lambda: main.serve(settings.load(RegistrySettings, folder / "registry.yaml")))


def write_settings(folder: Path, **changes: object) -> None:
    """The settings file; changes replace or add."""
    values: dict[str, object] = {
        "manifest": str(folder / "manifest.json"),
        "contracts": str(folder / "contracts"),
        "signing_key": str(folder / "registry.pem"),
        "folder": str(folder / "data"),
        "log": {"kind": "embedded", "path": str(folder / "log.sqlite")},
        "ports_file": str(folder / "ports.json"),
    }
    (folder / "registry.yaml").write_text(yaml.safe_dump({**values, **changes}))


def stop_after(monkeypatch: pytest.MonkeyPatch, look: Callable[[], None], steps: int = 3) -> None:
    """Lets the process do some steps, then looks at it while it serves, then stops it."""
    services: list[lifecycle.Service] = []
    real_step, real_run = Registry.step, lifecycle.Service.run
    done: list[None] = []

    def step(self: Registry, timeout: float) -> None:
        real_step(self, min(timeout, 0.0))
        done.append(None)
        if len(done) == steps:
            look()
            services[0].stop()

    def run(self: lifecycle.Service) -> ExitCode:
        services.append(self)
        return real_run(self)

    monkeypatch.setattr(Registry, "step", step)
    monkeypatch.setattr(lifecycle.Service, "run", run)


@pytest.mark.integration
def test_it_publishes_serves_and_stops(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process on the embedded log: ready, versions over HTTP, exit 0, its port taken out again."""
    answers: list[httpx.Response] = []

    def look() -> None:
        port = read_ports(folder / "ports.json")["registry"]
        paths = ("/readyz", "/v1/versions", f"/v1/versions/{case.label('auto')}/model")
        answers.extend(httpx.get(f"http://127.0.0.1:{port}{path}") for path in paths)

    stop_after(monkeypatch, look)
    assert started(folder) is ExitCode.OK
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len(answers[1].json()["versions"]) == len(case.runs)
    assert answers[2].content == case.file("auto")
    assert read_ports(folder / "ports.json") == {}
    assert (folder / "data" / "registry.sqlite").is_file()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"manifest": "nowhere.json"}, ExitCode.DATA),
        ({"signing_key": "nowhere.pem"}, ExitCode.DATA),
        ({"contracts": "nowhere"}, ExitCode.USAGE),
        ({"log": {"kind": "embedded"}}, ExitCode.USAGE),
        ({"database_url": "nosuchdatabase://host/db"}, ExitCode.UNAVAILABLE),
        ({"artefacts_url": "nosuch://bucket"}, ExitCode.UNAVAILABLE),
        ({"unknown": 1}, ExitCode.USAGE),
        ({"alias_token": "short"}, ExitCode.USAGE),
    ],
)
def test_what_cannot_be_used_ends_with_its_code(folder: Path, changes: dict[str, object], code: ExitCode) -> None:
    """Documents, settings and storage have codes of their own."""
    write_settings(folder, **changes)
    assert started(folder) is code


def test_another_key_than_the_manifest_s_is_refused(folder: Path) -> None:
    """Its records would be no registry's."""
    (folder / "registry.pem").unlink()
    SigningKey.generate().save(folder / "registry.pem")
    assert started(folder) is ExitCode.DATA


def test_a_manifest_without_its_signatures_is_refused(case: Case, folder: Path) -> None:
    """Epoch 1 is signed by all."""
    plain = canonical.plain(case.fed.manifest)
    plain["signatures"] = plain["signatures"][:1]
    (folder / "manifest.json").write_bytes(canonical.encode(plain))
    assert started(folder) is ExitCode.DATA


def test_a_contract_of_the_manifest_must_be_at_hand(folder: Path) -> None:
    """Without it no run could be verified."""
    (folder / "contracts" / "card.json").write_bytes(canonical.encode(federation_cases.CONTRACT))
    assert started(folder) is ExitCode.DATA


def test_a_log_file_that_is_none_ends_the_start(folder: Path) -> None:
    """The process says so and ends with a code, not a trace."""
    (folder / "log.sqlite").write_bytes(b"something else" * 100)
    assert started(folder) is not ExitCode.OK


def test_a_fault_that_is_not_allowed_ends_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named points are armed from the environment, in tests only."""
    monkeypatch.setenv("TACIT_FAULT", "registry.version-stored")
    monkeypatch.delenv("TACIT_TEST_FAULTS", raising=False)
    assert started(folder) is ExitCode.USAGE


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Environment over file; secrets are never shown."""
    monkeypatch.setenv("TACIT_ALIAS_TOKEN", "sixteen or more of it")
    monkeypatch.setenv("TACIT_HTTP__PORT", "8123")
    found = settings.load(RegistrySettings, folder / "registry.yaml")
    assert found.http.port == 8123
    assert found.alias_token is not None
    assert "sixteen" not in str(settings.describe(found))


def test_settings_name_what_is_missing() -> None:
    """All of them at once."""
    with pytest.raises(SettingsError) as caught:
        settings.load(RegistrySettings)
    assert all(name in str(caught.value) for name in ("manifest", "contracts", "signing_key", "folder", "log"))


def test_every_metric_is_declared_once_and_shareable() -> None:
    """Nothing here is computed from rows."""
    metrics = Metrics(table.TABLE)
    assert len(metrics.table) == len(table.TABLE)
    assert all(metric.shareable for metric in metrics.table)


def test_the_info_metric_shows_every_model(case: Case, desk: Desk) -> None:
    """One series a model, old ones gone."""
    registry = desk.stepped(1)
    registry.move("card", case.label("first"), 0)
    text = registry._ports.metrics.expose().decode()
    lines = [line for line in text.splitlines() if line.startswith(table.SERVING.name + "{")]
    assert len(lines) == 2
    assert {name for name in ("auto", "card") if any(f'model="{name}"' in line for line in lines)} == {"auto", "card"}
