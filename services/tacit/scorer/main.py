"""Builds a scorer from its settings; the only module of the scorer that knows adapters."""

from collections import Counter
from collections.abc import Callable

from tacit.adapters.bundles import BundleFolder
from tacit.adapters.local_models import FileLocalModels, HttpLocalModels, address_in
from tacit.adapters.logs import open_log
from tacit.rounds.types import Checked
from tacit.runtime.accepted import Accepted, load_accepted
from tacit.runtime.clock import SystemClock
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.health import Status, health_app
from tacit.runtime.http_server import HttpServer
from tacit.runtime.inbox import Inbox
from tacit.runtime.lifecycle import Service
from tacit.runtime.log import Log, LogError, LogUnavailableError
from tacit.runtime.observing import Metrics
from tacit.runtime.process import begin
from tacit.scorer import http, metrics
from tacit.scorer.bundle import Rules
from tacit.scorer.handlers import Choices, Ports, Scorer
from tacit.scorer.live import Thresholds
from tacit.scorer.settings import ScorerSettings
from tacit.scorer.views import Gauges
from tacit.wire import envelope, topics
from tacit.wire.envelope import KeyRing


class VersionRecords:
    """The versions topic behind the `Records` port.

    The log is opened at the first reading, so that a scorer starts from its cache while the log is away. A log that
    refuses counts as away: a score needs none.

    Args:
        open_log: Opens the log.
        ring: Keys of the accepted epochs: they decide whose signature counts.
        topic: Name of the versions topic.
    """

    def __init__(self, open_log: Callable[[], Log], ring: KeyRing, topic: str) -> None:
        self._open = open_log
        self._ring = ring
        self._topic = topic
        self._log: Log | None = None
        self._inbox: Inbox | None = None

    def poll(self, timeout: float) -> list[Checked]:
        """What is new, waiting at most `timeout` seconds.

        Raises:
            LogUnavailableError: If the log is away or refuses.
        """
        try:
            return self._opened().poll(timeout)
        except LogUnavailableError:
            raise
        except LogError as error:
            raise LogUnavailableError(str(error)) from error

    @property
    def invalid(self) -> Counter[str]:
        """Entries so far that are no valid record, by reason."""
        return self._inbox.invalid if self._inbox is not None else Counter()

    def close(self) -> None:
        """Closes the log."""
        if self._log is not None:
            self._log.close()

    def _opened(self) -> Inbox:
        if self._inbox is None:
            self._log = self._open()
            self._inbox = Inbox(self._log, [self._topic], self._check)
        return self._inbox

    def _check(self, topic: str, value: bytes) -> Checked:
        return envelope.open_record(topic, value, self._ring)


def serve(settings: ScorerSettings) -> ExitCode:
    """Runs a scorer until it is told to stop."""
    measured = begin(settings, "scorer", metrics.TABLE)
    clock = SystemClock()
    name = f"{settings.bank}.scorer"
    topic = topics.versions(settings.log.topic_prefix).name
    accepted = load_accepted(settings.manifest, settings.earlier_manifests, settings.contracts, all_contracts=False)
    records = VersionRecords(lambda: open_log(settings.log, name), accepted.ring, topic)
    local = local_models(settings)
    scorer = Scorer(
        Choices(_rules(settings, accepted), settings.model, settings.local_seconds),
        Ports(records, local, BundleFolder(settings.cache), clock),
    )
    gauges, status = Gauges(scorer, measured), Status(clock)

    def step(timeout: float) -> None:
        try:
            scorer.step(timeout)
        finally:
            gauges.update()

    def close() -> None:
        records.close()
        if local is not None:
            local.close()

    gauges.update()
    servers = _servers(settings, scorer, status, measured)
    service = Service(
        name, step, close, servers, clock, status=status, metrics=measured, ports_file=settings.ports_file
    )
    return service.run()


def local_models(settings: ScorerSettings) -> HttpLocalModels | FileLocalModels | None:
    """The bank's trainer as the settings name it, None if they name none."""
    if settings.local_file is not None:
        return FileLocalModels(settings.local_file)
    if settings.local_ports_file is not None:
        return HttpLocalModels(address_in(settings.local_ports_file, f"{settings.bank}.bank"))
    if settings.local_url is not None:
        url = settings.local_url
        return HttpLocalModels(lambda: url)
    return None


def readiness(scorer: Scorer, status: Status) -> tuple[bool, str]:
    """Whether scores are answered: a loaded model is enough, whatever else is away."""
    if status.stopping:
        return False, "stopping"
    if scorer.live is not None:
        return True, ""
    well, reason = status.ready()
    return False, "no verified model yet" if well else reason


def _rules(settings: ScorerSettings, accepted: Accepted) -> Rules:
    defaults = Thresholds(*settings.thresholds.margins)
    return Rules(accepted.contracts, defaults, settings.pinned_digest)


def _servers(settings: ScorerSettings, scorer: Scorer, status: Status, measured: Metrics) -> dict[str, HttpServer]:
    def ready() -> tuple[bool, str]:
        return readiness(scorer, status)

    private = http.app(scorer, status.live, ready, measured)
    shared = health_app(status.live, ready, measured.expose)
    name = f"{settings.bank}.scorer"
    return {
        name: HttpServer.of(private, settings.http),
        f"{name}.health": HttpServer.of(shared, settings.health),
    }
