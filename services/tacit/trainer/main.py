"""Builds a trainer from its settings; the only module of the trainer that knows adapters."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from fastapi import FastAPI

from tacit import canonical
from tacit.adapters import kernel as compiled
from tacit.adapters import rows
from tacit.adapters.journal import Journal, open_for
from tacit.adapters.logs import open_federation_log
from tacit.adapters.rows import RowMapping
from tacit.features import windows
from tacit.features.spec import Contract
from tacit.federation import Policy, check_policy
from tacit.learning import kernel
from tacit.runtime import documents
from tacit.runtime.accepted import Accepted, load_accepted, load_key
from tacit.runtime.clock import SystemClock
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.health import Status, health_app
from tacit.runtime.http_server import HttpServer
from tacit.runtime.inbox import federation_inbox
from tacit.runtime.lifecycle import Service
from tacit.runtime.log import Log
from tacit.runtime.observing import Metrics, get_logger
from tacit.runtime.process import begin
from tacit.runtime.settings import SettingsError
from tacit.runtime.worker import ThreadWorker
from tacit.trainer import handlers, http, http_ledger, metrics
from tacit.trainer.choice import LocalChoice
from tacit.trainer.gauges import Gauges, Sources, TimedWorker
from tacit.trainer.handlers import Trainer
from tacit.trainer.outbox import Author, Outbox
from tacit.trainer.ports import RowsUnusableError
from tacit.trainer.settings import TrainerSettings
from tacit.wire import topics

LOCAL = "local"
"""Folder of the bank's own model."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class BankRows:
    """The bank's rows behind the `Rows` port."""

    source: str
    mapping: RowMapping
    feed_files: Mapping[str, Path]

    @property
    def zone(self) -> str:
        """IANA zone of midnights."""
        return self.mapping.zone

    def check(self, contract: Contract) -> None:
        """Holds the schemas of source and feeds against mapping and contract.

        Raises:
            RowsUnusableError: If they do not fit.
        """
        wanted = {column.feed for column in contract.columns if column.feed is not None}
        try:
            frame = rows.load_empty(self.source, self.mapping)
            files = {name: path for name, path in self.feed_files.items() if name in wanted}
            feeds = {name: rows.load_empty_feed(str(path)) for name, path in files.items()}
            windows.compute(frame, contract, feeds)
        except (rows.RowsError, windows.FeatureError) as error:
            raise RowsUnusableError(str(error)) from error

    def read(self, first: int, last: int) -> pl.DataFrame:
        """Usable rows; findings go to the bank's own log.

        Raises:
            RowsUnusableError: If they cannot be read.
        """
        try:
            frame, findings = rows.load_usable(self.source, self.mapping, first, last)
        except rows.RowsError as error:
            raise RowsUnusableError(str(error)) from error
        for finding in findings:
            _log.warning("rows_at_fault", field=finding.field, fault=finding.fault)
        return frame

    def feeds(self, names: Collection[str]) -> Mapping[str, pl.DataFrame]:
        """Feed frames by name.

        Raises:
            RowsUnusableError: If one cannot be read.
        """
        try:
            return {name: rows.load_feed(str(self.feed_files[name])) for name in names}
        except (rows.RowsError, KeyError) as error:
            raise RowsUnusableError(str(error)) from error


@dataclass(frozen=True)
class Resources:
    """What the parts of a trainer share; log, journal and worker are closed at the end."""

    log: Log
    journal: Journal
    worker: ThreadWorker
    measured: Metrics


def serve(settings: TrainerSettings) -> ExitCode:
    """Runs a trainer until it is told to stop."""
    measured = begin(settings, "trainer", metrics.TABLE)
    kernel.use(compiled.find())
    policy = documents.load(Policy, settings.policy)
    accepted = load_accepted(settings.manifest, settings.earlier_manifests, settings.contracts)
    require_policy(policy, accepted, settings)
    clock = SystemClock()
    log = open_federation_log(settings.log, accepted.manifest.by_id, policy.bank)
    journal = _open_journal(settings, policy)
    journal.accept(accepted.manifest.epoch, accepted.manifest.digest)
    worker = ThreadWorker()
    trainer, gauges = _build(settings, policy, accepted, Resources(log, journal, worker, measured))
    doorway = http.Doorway(trainer, journal, settings.folder / LOCAL)
    status = Status(clock, lambda: (trainer.ready, "reading the log"))

    def step(timeout: float) -> None:
        trainer.step(timeout)
        with trainer.lock:
            gauges.update()

    def close() -> None:
        worker.close()
        journal.close()
        log.close()

    private = http.app(doorway, status.live, status.ready, lambda: measured.expose(bank_only=True))
    http_ledger.add_ledger(private, journal, trainer.lock, settings.folder)
    service = Service(
        policy.bank,
        step,
        close,
        _servers(settings, policy.bank, private, health_app(status.live, status.ready, measured.expose)),
        clock,
        status=status,
        metrics=measured,
        ports_file=settings.ports_file,
    )
    return service.run()


def require_policy(policy: Policy, accepted: Accepted, settings: TrainerSettings) -> None:
    """Refuses epochs that do not go back to the pinned root, and an epoch that the policy objects to.

    Raises:
        SettingsError: With every reason.
    """
    root = canonical.label(accepted.epochs[0].digest)
    objections = check_policy(policy, accepted.manifest)
    if root != policy.root:
        objections.append(f"epoch {accepted.epochs[0].epoch} is {root}: the policy pins the root {policy.root}")
    if objections:
        raise SettingsError(f"{settings.policy} does not accept {settings.manifest}: {'; '.join(objections)}")


def _build(
    settings: TrainerSettings, policy: Policy, accepted: Accepted, resources: Resources
) -> tuple[Trainer, Gauges]:
    clock, prefix = SystemClock(), settings.log.topic_prefix
    own = topics.bank(prefix, policy.bank).name
    key = load_key(settings.signing_key, accepted.manifest.by_id[policy.bank].signing_key)
    author = Author(policy.bank, key, own)
    source = BankRows(settings.source, documents.load(RowMapping, settings.mapping), settings.feeds)
    ports = handlers.Ports(
        inbox=federation_inbox(resources.log, accepted, prefix),
        outbox=Outbox(author, resources.journal, resources.log, clock),
        journal=resources.journal,
        rows=source,
        worker=TimedWorker(resources.worker, clock, resources.measured),
        clock=clock,
        entropy=secrets.token_bytes,
    )
    snapshots, control = settings.folder / "snapshots", topics.control(prefix).name
    bank = handlers.Bank(policy, accepted.manifest, accepted.contracts, snapshots, own, control)
    choice = LocalChoice(settings.folder / LOCAL, resources.worker, source.zone, settings.threads)
    trainer = Trainer(bank, ports, choice.took)
    sources = Sources(
        bank=policy.bank,
        state=trainer.state,
        inbox=ports.inbox,
        journal=resources.journal,
        released=lambda: ports.outbox.released,
        ready=lambda: trainer.ready,
    )
    return trainer, Gauges(sources, resources.measured)


def _open_journal(settings: TrainerSettings, policy: Policy) -> Journal:
    settings.folder.mkdir(parents=True, exist_ok=True)
    return open_for(settings.folder / "journal.sqlite", policy, SystemClock())


def _servers(settings: TrainerSettings, bank: str, private: FastAPI, shared: FastAPI) -> dict[str, HttpServer]:
    return {
        f"{bank}.bank": HttpServer.of(private, settings.bank_http),
        f"{bank}.health": HttpServer.of(shared, settings.health),
    }
