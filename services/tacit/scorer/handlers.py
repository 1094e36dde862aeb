"""The scorer's machine: follows the versions topic and the bank's trainer, and keeps the model that serves."""

import zlib
from collections import Counter
from dataclasses import dataclass

from tacit import canonical
from tacit.rounds.types import ArtefactBody, Checked, VersionBody
from tacit.runtime.clock import Clock
from tacit.runtime.observing import get_logger
from tacit.scorer.bundle import Bundle, BundleError, LoadError, Obstacle, Rules, assemble, name
from tacit.scorer.live import Live
from tacit.scorer.ports import Cache, LocalModels, Records
from tacit.versions import SERVING_ALIAS, AliasState, Catalogue
from tacit.wire import statements
from tacit.wire.local import LocalDocumentError, parse

MAX_DOCUMENTS = 8
"""Documents of the trainer that are remembered, one a model, so that the alias may move back."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class Ports:
    """The world.

    Attributes:
        records: The versions topic.
        local: The bank's trainer; None where a person pins instead.
        cache: The last bundles that served.
        clock: Time.
    """

    records: Records
    local: LocalModels | None
    cache: Cache
    clock: Clock


@dataclass(frozen=True)
class Choices:
    """What the operator decides.

    Attributes:
        rules: By what a version is judged.
        model: Name of the model to serve; None: the one that the cache holds, else the first that has a serving alias.
        local_seconds: Seconds between two questions to the trainer.
    """

    rules: Rules
    model: str | None = None
    local_seconds: float = 2.0


class Scorer:
    """Keeps `live` at the version that the serving alias names, once everything speaks for it.

    One thread steps; any thread may read `live`, which is replaced as a whole. What was loaded stays until something
    better is: a version that fails a check changes nothing.

    Args:
        choices: What the operator decides.
        ports: The world. The cache is read at once.

    Attributes:
        live: The model that serves, None before the first.
        previous: The one before it.
        loaded: Wall clock seconds of the last swap, 0 before the first.
        obstacle: Why the version that the alias names is not loaded; empty if it is.
        refused: Versions that were not loaded and statements that could not be read, by obstacle.
    """

    def __init__(self, choices: Choices, ports: Ports) -> None:
        self.live: Live | None = None
        self.previous: Live | None = None
        self.loaded = 0.0
        self.obstacle = ""
        self.refused: Counter[Obstacle] = Counter()
        self._choices, self._ports = choices, ports
        self._catalogue = Catalogue()
        self._statements: dict[str, bytes] = {}
        # Packed: old versions stay on the topic for ever, and any of them may serve again.
        self._files: dict[str, bytes] = {}
        self._documents: dict[str, bytes] = {}
        self._etag: str | None = None
        self._asked: float | None = None
        self._local_away = False
        self._tried: tuple[object, ...] = ()
        self._serving: Bundle | None = None
        self._restore()

    @property
    def invalid(self) -> Counter[str]:
        """Entries of the topic that are no valid record, by reason."""
        return self._ports.records.invalid

    @property
    def wanted(self) -> str | None:
        """Digest of the version that the serving alias names; None if it names none yet."""
        target = self._target()
        return target.version if target is not None else None

    def step(self, timeout: float) -> None:
        """Reads what is new, asks the trainer when it is time, and loads what should serve now.

        Args:
            timeout: Longest wait for a record, seconds.

        Raises:
            LogUnavailableError: If the log is away; the trainer was asked all the same.
        """
        try:
            for record in self._ports.records.poll(timeout):
                self._take(record)
        finally:
            # A log that is away must not keep a new local model from being served.
            self._ask_trainer()
            self._follow()

    def _take(self, record: Checked) -> None:
        body, reason = record.body, statements.fold(self._catalogue, record)
        if isinstance(body, ArtefactBody):
            self._files[canonical.label(body.digest)] = zlib.compress(body.content, 1)
        elif reason == statements.UNREADABLE:
            self.refused[Obstacle.STATEMENT] += 1
            _log.warning("statement_refused", record=record.digest.hex())
        elif isinstance(body, VersionBody) and not reason:
            self._statements[name(body.statement)] = body.statement

    def _ask_trainer(self) -> None:
        now = self._ports.clock.monotonic()
        local = self._ports.local
        if local is None or (self._asked is not None and now - self._asked < self._choices.local_seconds):
            return
        self._asked = now
        try:
            found = local.fetch(self._etag)
        except OSError as error:
            self._trainer_away(error)
            return
        self._local_away = False
        if found is not None:
            data, self._etag = found
            self._remember(data)

    def _trainer_away(self, error: OSError) -> None:
        if not self._local_away:
            _log.warning("trainer_away", error=str(error))
        self._local_away = True

    def _remember(self, data: bytes) -> None:
        try:
            document = parse(data)
        except LocalDocumentError as error:
            _log.warning("local_document_refused", reason=str(error))
            return
        self._documents.pop(document.model, None)
        self._documents[document.model] = data
        for old in list(self._documents)[:-MAX_DOCUMENTS]:
            del self._documents[old]

    def _target(self) -> AliasState | None:
        name = self._choices.model or (self.live.identity.name if self.live is not None else None)
        aliases = self._catalogue.aliases
        if name is None:
            name = next((model for model, alias in aliases if alias == SERVING_ALIAS), None)
        return aliases.get((name, SERVING_ALIAS)) if name is not None else None

    def _follow(self) -> None:
        target = self._target()
        if target is None:
            return
        file = self._catalogue.entries[target.version].version.file
        state = (target, file in self._files, self._documents.get(file))
        if state == self._tried:
            return
        self._tried = state
        try:
            self._load(target, file)
        except LoadError as error:
            self.obstacle = f"{error.obstacle}: {error}"
            self.refused[error.obstacle] += 1
            _log.warning("version_not_loaded", version=target.version, obstacle=error.obstacle, reason=str(error))

    def _load(self, target: AliasState, file: str) -> None:
        self._check_sequence(target)
        if file not in self._files:
            raise LoadError(Obstacle.ARTEFACT, f"the model file {file} is not on the log")
        model = zlib.decompress(self._files[file])
        bundle = Bundle(self._statements[target.version], model, target.sequence, self._documents.get(file))
        if bundle != self._serving:
            self._swap(assemble(bundle, self._choices.rules), bundle)
            self._store(bundle)
        self.obstacle = ""

    def _check_sequence(self, target: AliasState) -> None:
        """Refuses an alias older than the one that the live version was loaded by: a log that was set back."""
        if self.live is None or self.live.identity.name != self._catalogue.entries[target.version].version.model:
            return
        seen, version = self.live.identity.sequence, self.live.identity.version
        if target.sequence < seen or (target.sequence == seen and target.version != version):
            raise LoadError(
                Obstacle.SEQUENCE,
                f"alias move {target.sequence} to {target.version}: move {seen} to {version} was seen before",
            )

    def _swap(self, live: Live, bundle: Bundle) -> None:
        self.previous, self.live = self.live, live
        self._serving = bundle
        self.loaded = self._ports.clock.now()
        _log.info("model_loaded", version=live.identity.version, choice=live.identity.choice)

    def _store(self, bundle: Bundle) -> None:
        try:
            self._ports.cache.save(bundle.encode())
        except OSError as error:
            _log.error("cache_not_written", error=str(error))

    def _restore(self) -> None:
        """Loads the newest cached bundle that passes every check, and takes the documents of all of them."""
        try:
            stored = self._ports.cache.load()
        except OSError as error:
            _log.error("cache_not_read", error=str(error))
            return
        for data in stored:
            try:
                self._restore_one(Bundle.decode(data))
            except (BundleError, LoadError) as error:
                _log.warning("cached_model_refused", reason=str(error))

    def _restore_one(self, bundle: Bundle) -> None:
        live = assemble(bundle, self._choices.rules)
        if self._choices.model not in {None, live.identity.name}:
            return
        if bundle.document is not None:
            self._documents.setdefault(live.identity.file, bundle.document)
        if self.live is None:
            self._swap(live, bundle)
        elif self.previous is None:
            self.previous = live
