"""Builds an aggregator from its settings; the only module of the aggregator that knows adapters."""

import secrets

from tacit import canonical
from tacit.adapters.lock_file import LockFileLease
from tacit.adapters.logs import open_federation_log
from tacit.aggregator import http, metrics
from tacit.aggregator.handlers import Aggregator, Ports
from tacit.aggregator.settings import AggregatorSettings
from tacit.aggregator.views import Gauges
from tacit.rounds.state import State
from tacit.runtime.accepted import Accepted, load_accepted, load_key
from tacit.runtime.clock import SystemClock
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.health import Status
from tacit.runtime.http_server import HttpServer
from tacit.runtime.inbox import Inbox, federation_inbox
from tacit.runtime.lifecycle import Service
from tacit.runtime.log import Log
from tacit.runtime.process import begin
from tacit.wire import topics


def serve(settings: AggregatorSettings) -> ExitCode:
    """Runs an aggregator until it is told to stop."""
    measured = begin(settings, topics.AGGREGATOR, metrics.TABLE)
    clock = SystemClock()
    accepted = load_accepted(settings.manifest, settings.earlier_manifests, settings.contracts)
    log = open_federation_log(settings.log, accepted.manifest.by_id, topics.AGGREGATOR)
    inbox = federation_inbox(log, accepted, settings.log.topic_prefix)
    aggregator = _build(settings, accepted, log, inbox)
    gauges = Gauges(aggregator, inbox, measured)
    status = Status(clock, lambda: (aggregator.ready, "reading the log"))

    def step(timeout: float) -> None:
        aggregator.step(timeout)
        with aggregator.lock:
            gauges.update(clock.now())

    def close() -> None:
        aggregator.close()
        log.close()

    app = http.app(aggregator, inbox, status.live, status.ready, measured)
    servers = {topics.AGGREGATOR: HttpServer.of(app, settings.http)}
    service = Service(
        topics.AGGREGATOR,
        step,
        close,
        servers,
        clock,
        status=status,
        metrics=measured,
        ports_file=settings.ports_file,
    )
    return service.run()


def _build(settings: AggregatorSettings, accepted: Accepted, log: Log, inbox: Inbox) -> Aggregator:
    ports = Ports(
        log=log,
        inbox=inbox,
        lease=LockFileLease(settings.lock_file),
        clock=SystemClock(),
        entropy=secrets.token_bytes,
        key=load_key(settings.signing_key, accepted.manifest.aggregator),
        topic=topics.control(settings.log.topic_prefix).name,
    )
    state = State(accepted.manifest, accepted.contracts)
    return Aggregator(state, canonical.encode(accepted.manifest), ports)
