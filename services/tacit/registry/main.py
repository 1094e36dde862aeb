"""`tacit serve registry`: settings to a running process. The only module here that knows the adapters."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tacit import canonical, federation
from tacit.adapters import logs, sql
from tacit.adapters.artefacts import FileArtefacts
from tacit.features.spec import Contract, ContractError
from tacit.federation import FederationError, Manifest
from tacit.registry import metrics as table
from tacit.registry.handlers import Ports, Registry
from tacit.registry.http import registry_app
from tacit.registry.settings import RegistrySettings
from tacit.rounds.state import State
from tacit.rounds.types import Checked
from tacit.runtime import documents, faults, lifecycle, settings
from tacit.runtime.clock import SystemClock
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.health import Status
from tacit.runtime.http_server import HttpServer
from tacit.runtime.inbox import Inbox
from tacit.runtime.lifecycle import Service
from tacit.runtime.log import Log
from tacit.runtime.observing import Metrics, configure_logging, count_log_lines, get_logger
from tacit.runtime.settings import LogKind, LogSettings, SettingsError
from tacit.versions import ArtefactError, StoreError
from tacit.wire import envelope, topics
from tacit.wire.envelope import KeyRing, SigningKey, SigningKeyError
from tacit.wire.errors import DocumentError

NAME = "registry"

_log = get_logger(__name__)


class Documents(NamedTuple):
    """What the registry was told by files: the chain of epochs, and contracts by digest."""

    epochs: tuple[Manifest, ...]
    contracts: dict[str, Contract]

    @property
    def manifest(self) -> Manifest:
        """The epoch in force."""
        return self.epochs[-1]


def run(settings_file: Path | None = None, *, secrets_dir: Path | None = None, **overrides: object) -> ExitCode:
    """Runs the registry until a signal.

    Args:
        settings_file: YAML file of `RegistrySettings`; None reads the environment alone.
        secrets_dir: Folder of mounted secret files.
        overrides: Settings that win over every source.

    Returns:
        `OK` after a stop; `USAGE` for wrong settings; `DATA` for a manifest, contract or key that is not what it must
        be; `UNAVAILABLE` if database or artefact store cannot be used; else as `runtime.lifecycle`.
    """
    return lifecycle.run_process(
        lambda: serve(settings.load(RegistrySettings, settings_file, secrets_dir=secrets_dir, **overrides))
    )


def serve(wanted: RegistrySettings) -> ExitCode:
    """Runs the registry with settings that were read; see `run` for what it returns."""
    metrics = Metrics(table.TABLE)
    configure_logging(wanted.log_level, service=NAME)
    count_log_lines(metrics)
    settings.announce(wanted)
    faults.install(os.environ)
    try:
        return build(wanted, metrics).run()
    except (DocumentError, FederationError, ContractError, SigningKeyError) as error:
        _log.critical("document_refused", error=str(error), exit_code=int(ExitCode.DATA))
        return ExitCode.DATA
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
    told = read_documents(wanted)
    key = _key(wanted.key_file, told.manifest)
    _make_folder(wanted.data)
    store = _store(wanted)
    artefacts = FileArtefacts(wanted.artefacts_url or str(wanted.data / "artefacts"))
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


def read_documents(wanted: RegistrySettings) -> Documents:
    """Reads and checks the chain of epochs and the contracts.

    Raises:
        DocumentError, FederationError, ContractError: If one is not what it must be, or a contract that the manifest
            names is not in the folder.
    """
    epochs: list[Manifest] = []
    for path in (*wanted.earlier_manifests, wanted.manifest):
        epoch = documents.load(Manifest, path)
        for warning in federation.check_manifest(epoch, epochs[-1] if epochs else None):
            _log.warning("manifest_warning", path=str(path), warning=warning)
        epochs.append(epoch)
    contracts = _contracts(wanted.contracts)
    missing = sorted(set(epochs[-1].contracts) - set(contracts))
    if missing:
        raise DocumentError(f"{wanted.contracts}: lacks the manifest's contracts {', '.join(missing)}")
    return Documents(tuple(epochs), contracts)


def _contracts(folder: Path) -> dict[str, Contract]:
    if not folder.is_dir():
        raise SettingsError(f"contracts folder {folder} does not exist or is no folder")
    files = sorted(path for path in folder.iterdir() if path.suffix in {".json", ".yaml", ".yml"})
    read = [documents.load(Contract, path) for path in files]
    return {canonical.label(contract.digest): contract for contract in read}


def _key(path: Path, manifest: Manifest) -> SigningKey:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", envelope.KeyFileWarning)
        key = SigningKey.load(path)
    for warning in said:
        _log.warning("key_file_open", warning=str(warning.message))
    if key.public != manifest.registry:
        raise SigningKeyError(f"{path}: public key {key.public}: the manifest's registry has {manifest.registry}")
    return key


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"data folder {folder} cannot be made: {error.strerror}") from error


def _store(wanted: RegistrySettings) -> sql.SqlVersionStore:
    given = wanted.database_url
    url = given.get_secret_value() if given is not None else sql.sqlite_url(wanted.data / "registry.sqlite")
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


def _inboxes(log: Log, told: Documents, prefix: str) -> tuple[Inbox, Inbox]:
    keys = KeyRing(told.epochs)

    def open_record(topic: str, value: bytes) -> Checked:
        return envelope.open_record(topic, value, keys)

    banks = [topics.bank(prefix, member.id).name for member in told.manifest.members]
    runs = Inbox(log, [topics.control(prefix).name, *banks], open_record)
    return runs, Inbox(log, [topics.versions(prefix).name], open_record)


def _close(store: sql.SqlVersionStore, log: Log) -> None:
    store.close()
    log.close()
