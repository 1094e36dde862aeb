"""The registry's machine: re-derives every finished run and publishes its model once (protocol 4).

The versions topic is the truth of what was published: it is read to its end before anything is appended, database and
files follow it, and a statement is a function of the log. So a crash between any two steps, a lost acknowledgement or
a second registry leads to repeats with the same content at worst, and those change nothing.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from tacit import canonical
from tacit.registry import metrics as table
from tacit.registry.ports import Artefacts, VersionStore
from tacit.registry.statement import statement
from tacit.rounds import verify
from tacit.rounds.plan import Promote
from tacit.rounds.state import Run, State
from tacit.rounds.types import (
    AliasBody,
    ArtefactBody,
    Body,
    Checked,
    EndBody,
    Kind,
    Outcome,
    Place,
    RoundError,
    VersionBody,
    header_at,
)
from tacit.runtime import faults
from tacit.runtime.clock import Clock
from tacit.runtime.inbox import Inbox, InvalidRecords
from tacit.runtime.log import Log
from tacit.runtime.observing import Metrics, get_logger
from tacit.versions import AliasState, ArtefactError, Catalogue, Published, StoreError, VersionError
from tacit.wire import envelope, statements, topics
from tacit.wire.envelope import SigningKey, WireError

TIMER_SECONDS = 0.25
"""Longest wait for records, so that moves asked for over HTTP and failed steps are looked at again."""

_log = get_logger(__name__)


class TopicLostError(Exception):
    """The versions topic lacks versions that this registry has published."""


@dataclass(frozen=True)
class Ports:
    """The world as the registry sees it.

    Attributes:
        log: The log.
        runs: Follows control and every bank's topic.
        published: Follows the versions topic.
        store: Versions, for readers and across restarts.
        artefacts: Model files.
        clock: Time.
        key: The registry's signing key.
        topic: The versions topic.
        metrics: Holds `registry.metrics.TABLE`.
    """

    log: Log
    runs: Inbox
    published: Inbox
    store: VersionStore
    artefacts: Artefacts
    clock: Clock
    key: SigningKey
    topic: str
    metrics: Metrics


class Registry:
    """The registry; one at a time publishes, a second one does no harm.

    A run's version is always published once its END is FINISHED and agrees with its records. Whether it may ever serve
    is a compare-and-set on lineage: the plan's `parent` must be the model's newest version. If it is not (two plans
    named the same parent, or none), the version stands as a candidate with the conflict noted: it is on the log, with
    its file, for audit and comparison, but no alias may point to it and nothing may follow it. With ``promote: auto``
    the serving alias then moves to a version without a conflict, provided that the alias points to its parent.

    Args:
        state: The fold over runs that this registry feeds.
        ports: What it works with.

    Attributes:
        state: The fold; only `step` touches it.
        catalogue: The fold over the versions topic; read it only while `lock` is held.
        lock: Guards the catalogue and appends against the HTTP threads.
        rejected: Why runs will not be published, by run id, for people.
    """

    def __init__(self, state: State, ports: Ports) -> None:
        self.state = state
        self.catalogue = Catalogue()
        self.lock = threading.RLock()
        self.rejected: dict[bytes, str] = {}
        self._ports = ports
        self._verified: set[bytes] = set()
        self._waiting: set[bytes] = set()
        self._files: dict[bytes, bytes] = {}
        self._stored: dict[str, Published] = {}
        self._moves_stored = 0
        self._invalid = InvalidRecords(ports.metrics)
        self._compared = self._replayed = False
        self._trouble = ""

    def step(self, timeout: float) -> None:
        """Reads what is new, waiting at most `timeout` seconds; publishes what is due.

        A database or artefact store that fails is tried again in the next step.

        Raises:
            LogUnavailableError: If the log is away; the step may be repeated.
            TopicLostError: If the versions topic lacks what the database holds.
        """
        records = self._ports.runs.poll(min(timeout, TIMER_SECONDS))
        for record in records:
            self.state.apply(record)
        try:
            with self.lock:
                self._read()
            # Outside the lock: it may take seconds, and a move by hand need not wait for it.
            self._verify(anew=bool(records))
            with self.lock:
                self._follow()
        except (StoreError, ArtefactError) as error:
            self._failed(error)
        else:
            self._trouble = ""
        self._invalid.update(self._ports.runs.invalid, self._ports.published.invalid)
        self._replayed = self._replayed or (not self._trouble and self._ports.runs.caught_up())

    def ready(self) -> tuple[bool, str]:
        """Whether everything on the log was read once and storage answers, and if not why."""
        return (
            (False, self._trouble) if self._trouble else (self._replayed, "" if self._replayed else "reading the log")
        )

    def move(self, model: str, target: str, expected: int) -> AliasState:
        """Points a model's serving alias to a version, forward or back, by hand.

        Args:
            model: Name of the model.
            target: Digest of one of its versions.
            expected: Sequence of the alias that the caller has seen, 0 if it points nowhere.

        Returns:
            Where the alias points now.

        Raises:
            VersionError: If the alias moved in between, or the version is unknown or may not serve.
            LogUnavailableError: If the log is away; whether the alias moved is to be looked up.
            StoreError: If the database does not answer; the alias moved, the database follows.
        """
        with self.lock:
            self._read()
            wanted = self.catalogue.next_move(model, target, expected)
            self._append_alias(wanted)
            self._read()
            self._store()
            stands = self.catalogue.alias(model)
            if stands != wanted:
                raise VersionError(f"the serving alias of {model!r} points to {stands}: it moved in between")
        _log.info("alias_moved", model=model, version=target, sequence=wanted.sequence, by="hand")
        return wanted

    # Runs

    def _verify(self, *, anew: bool) -> None:
        """Re-derives finished runs that are not published yet; one that lacks a record waits for new ones."""
        for run in self._finished():
            if run.id in self._waiting and not anew:
                continue
            deviation = verify.check_run(self.state, run)
            self._waiting.discard(run.id)
            if deviation.missing:
                self._waiting.add(run.id)
            elif deviation:
                self._reject(run, deviation.text)
            else:
                self._verified.add(run.id)
        self._ports.metrics.set(table.WAITING.name, len(self._waiting))

    def _finished(self) -> Iterator[Run]:
        for run in self.state.runs.values():
            body = run.end.body if run.end is not None else None
            published = self.catalogue.of_run(canonical.label(run.id)) is not None
            settled = published or run.id in self._verified or run.id in self.rejected
            if isinstance(body, EndBody) and body.outcome is Outcome.FINISHED and not settled:
                yield run

    def _reject(self, run: Run, reason: str) -> None:
        self.rejected[run.id] = reason
        self._ports.metrics.increment(table.REJECTED.name)
        _log.error("run_rejected", run=run.id.hex(), reason=reason)

    # The versions topic

    def _follow(self) -> None:
        self._read()
        if not self._ports.published.caught_up():
            return
        self._compare()
        self._store()
        self._promote()
        for run in self.state.runs.values():
            known = self.catalogue.of_run(canonical.label(run.id))
            if run.id in self._verified and run.id not in self.rejected and known is None:
                self._publish(run)
                # Before the next one: a successor may serve only after its parent did.
                self._promote()

    def _read(self) -> None:
        while records := self._ports.published.poll(0.0):
            for record in records:
                self._take(record)
            self._keep_files()

    def _take(self, record: Checked) -> None:
        reason = statements.fold(self.catalogue, record)
        if isinstance(record.body, ArtefactBody):
            self._files[record.body.digest] = record.body.content
        if reason and reason != "repeat":
            _log.warning("version_record_void", kind=record.header.kind.name, reason=reason)

    def _keep_files(self) -> None:
        """Stores files that were read off the topic: a lost or damaged folder fills again."""
        while self._files:
            digest, content = next(iter(self._files.items()))
            self._ports.artefacts.put(content)
            del self._files[digest]

    def _compare(self) -> None:
        """Checks once that the topic still holds what the database says was published."""
        if self._compared:
            return
        for digest, position in self._ports.store.positions().items():
            entry = self.catalogue.entries.get(digest)
            if entry is None or entry.position != position:
                raise TopicLostError(
                    f"version {digest} stands at place {position} in the database and not on {self._ports.topic}: "
                    "the topic was emptied, cut or moved; restore it, or start with an empty database"
                )
        self._compared = True

    def _store(self) -> None:
        """Brings the database up to the catalogue, in one transaction."""
        entries, moves = self.catalogue.entries, self.catalogue.moves
        changed = [entry for label, entry in entries.items() if self._stored.get(label) is not entry]
        if changed or len(moves) > self._moves_stored:
            self._ports.store.publish(changed, moves[self._moves_stored :])
            self._stored.update((entry.label, entry) for entry in changed)
            self._moves_stored = len(moves)
            table.show_catalogue(self._ports.metrics, self.catalogue)

    def _publish(self, run: Run) -> None:
        content = verify.model_bytes(run)
        try:
            version = statement(run, len(content))
            artefact = self._sealed(ArtefactBody(canonical.parse_label(version.file), content), run.id)
        except (VersionError, RoundError, WireError) as error:
            self._reject(run, str(error))
            return
        self._ports.artefacts.put(content)
        faults.hit("registry.artefact-stored")
        # What was stored before a crash is what is appended, also by a later release that would state it otherwise.
        version = self._ports.store.prepare(version)
        faults.hit("registry.version-stored")
        if version.file not in self.catalogue.files:
            self._append(artefact)
            faults.hit("registry.artefact-appended")
        self._append(self._sealed(VersionBody(canonical.encode(version)), run.id))
        faults.hit("registry.version-appended")
        self._read()
        self._store()
        self._announce(run)

    def _announce(self, run: Run) -> None:
        entry = self.catalogue.of_run(canonical.label(run.id))
        if entry is None:
            return
        said = {"run": run.id.hex(), "model": entry.version.model, "version": entry.label, "number": entry.number}
        if entry.conflict:
            _log.warning("version_in_conflict", conflict=entry.conflict, **said)
        else:
            _log.info("version_published", **said)

    def _promote(self) -> None:
        for model in sorted({entry.version.model for entry in self.catalogue.entries.values()}):
            newest = self.catalogue.newest(model)
            due = self.catalogue.automatic(model)
            if newest is None or due is None or not self._promotes(newest):
                continue
            self._append_alias(due)
            faults.hit("registry.alias-appended")
            self._read()
            self._store()
            _log.info("alias_moved", model=model, version=due.version, sequence=due.sequence, by="plan")

    def _promotes(self, label: str) -> bool:
        run = self.state.runs.get(canonical.parse_label(self.catalogue.entries[label].version.run))
        return run is not None and run.document.promote is Promote.AUTO

    # Appends

    def _append_alias(self, state: AliasState) -> None:
        body = AliasBody(state.alias, canonical.parse_label(state.version), state.sequence)
        self._append(self._sealed(body, b""))

    def _append(self, sealed: envelope.Sealed) -> None:
        self._ports.log.append(self._ports.topic, topics.REGISTRY.encode(), sealed.value)

    def _sealed(self, body: Body, run: bytes) -> envelope.Sealed:
        manifest = self.state.manifest
        place = Place(manifest.federation, manifest.digest, run)
        header = header_at(_KINDS[type(body)], topics.REGISTRY, place, self._ports.clock.now())
        return envelope.seal(header, body, self._ports.key)

    # What went wrong

    def _failed(self, error: Exception) -> None:
        if not self._trouble:
            _log.error("storage_failed", error=str(error), exc_info=True)
        self._trouble = str(error)
        self._ports.metrics.increment(table.TROUBLE.name)


_KINDS = {ArtefactBody: Kind.ARTEFACT, VersionBody: Kind.VERSION, AliasBody: Kind.ALIAS}
