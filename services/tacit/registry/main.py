"""`tacit serve registry`: settings to a running process. The only module here that knows the adapters."""

from collections.abc import Callable
from pathlib import Path

from tacit.adapters import sql
from tacit.adapters.artefacts import FileArtefacts
from tacit.adapters.logs import open_federation_log
from tacit.registry import metrics
from tacit.registry.handlers import Ports, Registry
from tacit.registry.http import registry_app
from tacit.registry.settings import RegistrySettings
from tacit.rounds.state import State
from tacit.rounds.types import Checked
from tacit.runtime.accepted import Accepted, load_accepted, load_key
from tacit.runtime.clock import SystemClock
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.health import Status
from tacit.runtime.http_server import HttpServer
from tacit.runtime.inbox import Inbox, federation_inbox
from tacit.runtime.lifecycle import Service
from tacit.runtime.log import Log
from tacit.runtime.observing import Metrics
from tacit.runtime.process import begin
from tacit.runtime.settings import SettingsError
from tacit.wire import envelope, topics


def serve(settings: RegistrySettings) -> ExitCode:
    """Runs a registry until it is told to stop."""
    return build(settings, begin(settings, topics.REGISTRY, metrics.TABLE)).run()


def build(settings: RegistrySettings, measured: Metrics) -> Service:
    """The process that the settings describe, not started yet.

    Raises:
        SettingsError: If settings do not fit together.
        DocumentError, FederationError, ContractError, SigningKeyError: If a file is not what it must be.
        StoreError, ArtefactError: If database or artefact store cannot be used.
        LogError: If the log refuses.
    """
    accepted = load_accepted(settings.manifest, settings.earlier_manifests, settings.contracts)
    key = load_key(settings.signing_key, accepted.manifest.registry)
    _make_folder(settings.folder)
    store = _store(settings)
    artefacts = FileArtefacts(settings.artefacts_url or str(settings.folder / "artefacts"))
    log = open_federation_log(settings.log, accepted.manifest.by_id, topics.REGISTRY)
    runs, published = _inboxes(log, accepted, settings.log.topic_prefix)
    ports = Ports(
        log=log,
        runs=runs,
        published=published,
        store=store,
        artefacts=artefacts,
        clock=SystemClock(),
        key=key,
        topic=topics.versions(settings.log.topic_prefix).name,
        metrics=measured,
    )
    registry = Registry(State(accepted.manifest, accepted.contracts), ports)
    return _service(settings, registry, ports, lambda: _close(store, log))


def _service(settings: RegistrySettings, registry: Registry, ports: Ports, close: Callable[[], None]) -> Service:
    status = Status(ports.clock, registry.ready)
    token = settings.alias_token.get_secret_value() if settings.alias_token is not None else None
    app = registry_app(registry, ports, status, token)
    server = HttpServer.of(app, settings.http)
    return Service(
        topics.REGISTRY,
        registry.step,
        close,
        {topics.REGISTRY: server},
        ports.clock,
        status=status,
        metrics=ports.metrics,
        ports_file=settings.ports_file,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"data folder {folder} cannot be made: {error.strerror}") from error


def _store(settings: RegistrySettings) -> sql.SqlVersionStore:
    given = settings.database_url
    url = given.get_secret_value() if given is not None else sql.sqlite_url(settings.folder / "registry.sqlite")
    if url.startswith("sqlite"):
        sql.upgrade(url)
    else:
        sql.check_schema(url)
    return sql.SqlVersionStore(sql.open_engine(url))


def _inboxes(log: Log, accepted: Accepted, prefix: str) -> tuple[Inbox, Inbox]:
    def open_record(topic: str, value: bytes) -> Checked:
        return envelope.open_record(topic, value, accepted.ring)

    return federation_inbox(log, accepted, prefix), Inbox(log, [topics.versions(prefix).name], open_record)


def _close(store: sql.SqlVersionStore, log: Log) -> None:
    store.close()
    log.close()
