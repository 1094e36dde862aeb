"""`tacit serve registry`: settings to a running process. The only module here that knows the adapters."""

import os
from collections.abc import Callable
from pathlib import Path

from tacit.adapters import logs, sql
from tacit.adapters.artefacts import FileArtefacts
from tacit.registry import metrics as table
from tacit.registry.handlers import Ports, Registry
from tacit.registry.http import registry_app
from tacit.registry.settings import RegistrySettings
from tacit.rounds.state import State
from tacit.rounds.types import Checked
from tacit.runtime import faults, settings
from tacit.runtime.accepted import Accepted, load_accepted, load_key
from tacit.runtime.clock import SystemClock
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.health import Status
from tacit.runtime.http_server import HttpServer
from tacit.runtime.inbox import Inbox, federation_inbox
from tacit.runtime.lifecycle import Service
from tacit.runtime.log import Log
from tacit.runtime.observing import Metrics, configure_logging, count_log_lines, get_logger
from tacit.runtime.settings import LogKind, LogSettings, SettingsError
from tacit.versions import ArtefactError, StoreError
from tacit.wire import envelope, topics

NAME = "registry"

_log = get_logger(__name__)


def serve(wanted: RegistrySettings) -> ExitCode:
    """Runs a registry until it is told to stop; `UNAVAILABLE` if database or artefact store cannot be used."""
    metrics = Metrics(table.TABLE)
    configure_logging(wanted.log_level, service=NAME)
    count_log_lines(metrics)
    settings.announce(wanted)
    faults.install(os.environ)
    try:
        return build(wanted, metrics).run()
    except (StoreError, ArtefactError) as error:
        _log.critical("storage_refused", error=str(error), exit_code=int(ExitCode.UNAVAILABLE))
        return ExitCode.UNAVAILABLE


def build(wanted: RegistrySettings, metrics: Metrics) -> Service:
    """The process that the settings describe, not started yet.

    Raises:
        SettingsError: If settings do not fit together.
        DocumentError, FederationError, ContractError, SigningKeyError: If a file is not what it must be.
        StoreError, ArtefactError: If database or artefact store cannot be used.
        LogError: If the log refuses.
    """
    told = load_accepted(wanted.manifest, wanted.earlier_manifests, wanted.contracts)
    key = load_key(wanted.signing_key, told.manifest.registry)
    _make_folder(wanted.folder)
    store = _store(wanted)
    artefacts = FileArtefacts(wanted.artefacts_url or str(wanted.folder / "artefacts"))
    log = _open_log(wanted.log)
    runs, published = _inboxes(log, told, wanted.log.topic_prefix)
    ports = Ports(
        log=log,
        runs=runs,
        published=published,
        store=store,
        artefacts=artefacts,
        clock=SystemClock(),
        key=key,
        topic=topics.versions(wanted.log.topic_prefix).name,
        metrics=metrics,
    )
    registry = Registry(State(told.manifest, told.contracts), ports)
    return _service(wanted, registry, ports, lambda: _close(store, log))


def _service(wanted: RegistrySettings, registry: Registry, ports: Ports, close: Callable[[], None]) -> Service:
    status = Status(ports.clock, registry.ready)
    token = wanted.alias_token.get_secret_value() if wanted.alias_token is not None else None
    app = registry_app(registry, ports, status, token)
    server = HttpServer(app, wanted.http.host, wanted.http.port, wanted.http.drain_seconds)
    return Service(
        NAME,
        registry.step,
        close,
        {NAME: server},
        ports.clock,
        status=status,
        metrics=ports.metrics,
        ports_file=wanted.ports_file,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"data folder {folder} cannot be made: {error.strerror}") from error


def _store(wanted: RegistrySettings) -> sql.SqlVersionStore:
    given = wanted.database_url
    url = given.get_secret_value() if given is not None else sql.sqlite_url(wanted.folder / "registry.sqlite")
    if url.startswith("sqlite"):
        sql.upgrade(url)
    else:
        sql.check_schema(url)
    return sql.SqlVersionStore(sql.open_engine(url))


def _open_log(wanted: LogSettings) -> Log:
    log = logs.open_log(wanted, f"tacit-{NAME}")
    if wanted.kind is LogKind.EMBEDDED:
        # A broker's topics come with their access rules from elsewhere; a file has nobody else.
        log.create([topics.versions(wanted.topic_prefix).name])
    return log


def _inboxes(log: Log, told: Accepted, prefix: str) -> tuple[Inbox, Inbox]:
    def open_record(topic: str, value: bytes) -> Checked:
        return envelope.open_record(topic, value, told.ring)

    return federation_inbox(log, told, prefix), Inbox(log, [topics.versions(prefix).name], open_record)


def _close(store: sql.SqlVersionStore, log: Log) -> None:
    store.close()
    log.close()
