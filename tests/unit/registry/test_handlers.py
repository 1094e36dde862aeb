"""The registry's machine: each finished run is published once, whatever breaks in between."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_cases import VERSIONS, Case, Desk
from tacit import canonical
from tacit.registry import handlers
from tacit.registry import metrics as table
from tacit.registry.handlers import Registry, TopicLostError
from tacit.registry.statement import statement
from tacit.rounds import verify
from tacit.rounds.types import ArtefactBody, Kind
from tacit.runtime import faults
from tacit.runtime.log import LogUnavailableError
from tacit.versions import ArtefactError, ModelVersion, Stage, StoreError, VersionError
from tacit.wire import envelope, topics
from tacit.wire.errors import WireError

NAMES = ("first", "rival", "second", "auto", "auto-next")
POINTS = ("artefact-stored", "version-stored", "artefact-appended", "version-appended", "alias-appended")


class CrashError(BaseException):
    """Ends a process at a named point; nothing in the program catches it."""


def crash_at(monkeypatch: pytest.MonkeyPatch, point: str, time: int) -> None:
    """Lets the n-th passing of a point end the process."""
    passed = []

    def hit(name: str) -> None:
        passed.extend([name] if name == point else [])
        if len(passed) == time and name == point:
            raise CrashError(point)

    monkeypatch.setattr(faults, "hit", hit)


def run_until_done(desk: Desk) -> Registry:
    """Processes one after another, each started where the last one died."""
    for _ in range(10):
        try:
            return desk.stepped()
        except CrashError:
            continue
    raise AssertionError("the registry dies at every start")


def value_of(registry: Registry, name: str, **labels: str) -> float | None:
    """A metric's value."""
    return registry._ports.metrics.shareable.get_sample_value(name, labels)


def test_every_finished_run_is_published_in_order(case: Case, desk: Desk) -> None:
    """One VERSION a run, with the statement and the file that follow from the log."""
    desk.stepped()
    assert desk.published() == [case.version(name) for name in NAMES]
    assert desk.files() == [case.file(name) for name in NAMES]


def test_the_file_stands_before_its_version(desk: Desk) -> None:
    """A reader of VERSION finds the file already read."""
    desk.stepped()
    kinds = [record.header.kind for record in desk.records() if record.header.kind is not Kind.ALIAS]
    assert kinds == [Kind.ARTEFACT, Kind.VERSION] * len(NAMES)


def test_records_name_run_and_registry(case: Case, desk: Desk) -> None:
    """The header carries the run, the epoch and the role."""
    desk.stepped()
    heads = [record.header for record in desk.records() if record.header.kind is Kind.VERSION]
    assert [head.run for head in heads] == [case.runs[name] for name in NAMES]
    assert {head.sender for head in heads} == {topics.REGISTRY}
    assert {head.manifest for head in heads} == {case.fed.manifest.digest}


def test_a_version_whose_parent_is_not_the_newest_never_serves(case: Case, desk: Desk) -> None:
    """The rival stands as a candidate with the conflict noted, and starts no line."""
    registry = desk.stepped()
    rival = registry.catalogue.entries[case.label("rival")]
    assert (rival.stage, rival.number) == (Stage.CANDIDATE, 2)
    assert rival.conflict == f"parent is None, the newest version was {case.label('first')}"
    assert registry.catalogue.entries[case.label("second")].conflict == ""
    with pytest.raises(VersionError, match="may not serve: parent is None"):
        registry.move("card", case.label("rival"), 0)


def test_plans_promote_in_their_order(case: Case, desk: Desk) -> None:
    """`auto` moves the serving alias to each version in its turn, also when a late registry finds several runs."""
    registry = desk.stepped()
    said = [(move.alias, canonical.label(move.version), move.sequence) for move in desk.moves()]
    assert said == [("serving", case.label("auto"), 1), ("serving", case.label("auto-next"), 2)]
    stages = [registry.catalogue.entries[case.label(name)].stage for name in ("auto", "auto-next", "second")]
    assert stages == [Stage.APPROVED, Stage.SERVING, Stage.CANDIDATE]
    assert registry.catalogue.alias("card") is None


def test_a_restart_repeats_nothing(desk: Desk) -> None:
    """A second process reads the topic and finds all done."""
    desk.stepped()
    before = desk.log.end(VERSIONS)
    desk.clock.seconds += 1000
    again = desk.stepped()
    assert desk.log.end(VERSIONS) == before
    assert len(again.catalogue.entries) == len(NAMES)


@pytest.mark.parametrize("time", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_any_step_publishes_exactly_once(
    case: Case, desk: Desk, monkeypatch: pytest.MonkeyPatch, point: str, time: int
) -> None:
    """Whatever was done before the crash is done once in the end, with the same bytes."""
    crash_at(monkeypatch, f"registry.{point}", time)
    registry = run_until_done(desk)
    assert desk.published() == [case.version(name) for name in NAMES]
    assert desk.files() == [case.file(name) for name in NAMES]
    assert [move.sequence for move in desk.moves()] == [1, 2]
    assert registry.catalogue.alias("auto") == desk.stores[-1].aliases()["auto", "serving"]
    assert set(desk.stores[-1].positions()) == {case.label(name) for name in NAMES}


@pytest.mark.parametrize("lost", range(1, 6))
def test_a_lost_acknowledgement_repeats_nothing(case: Case, desk: Desk, lost: int) -> None:
    """The append is on the log although its sender heard of a failure: the topic is read first."""
    registry = desk.registry()
    desk.log.lose_acknowledgements(lost)
    for _ in range(lost):
        with pytest.raises(LogUnavailableError):
            registry.step(0.0)
    for _ in range(5):
        registry.step(0.0)
    assert desk.published() == [case.version(name) for name in NAMES]
    assert registry.catalogue.void.total() == 0


def test_duplicated_entries_change_nothing(case: Case, desk: Desk) -> None:
    """A broker that appends twice gives repeats, which are void."""
    desk.log.duplicate(4)
    registry = desk.stepped()
    assert [entry.version for entry in registry.catalogue.entries.values()] == [case.version(name) for name in NAMES]
    assert set(registry.catalogue.void) <= {"repeat"}


def test_two_registries_agree(case: Case, desk: Desk) -> None:
    """A second process with a database of its own states the same, so both may append."""
    (desk.folder / "other").mkdir()
    other = Desk(case, desk.log, desk.folder / "other")
    one, two = desk.registry(), other.registry()
    two._ports.published.poll(0.0)
    for _ in range(4):
        one.step(0.0)
        two.step(0.0)
    assert list(one.catalogue.entries) == list(two.catalogue.entries) == [case.label(name) for name in NAMES]
    other.close()


def test_what_was_stored_before_a_crash_is_what_is_published(
    case: Case, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later release that states a run otherwise still appends the prepared statement."""
    crash_at(monkeypatch, "registry.version-stored", 1)
    with pytest.raises(CrashError):
        desk.stepped()

    def restated(run: object, size_bytes: int) -> ModelVersion:
        made = real(run, size_bytes)
        return dataclasses.replace(made, created="2040-01-01T00:00:00Z")

    real: Callable[..., ModelVersion] = statement
    monkeypatch.setattr(handlers, "statement", restated)
    registry = desk.stepped()
    assert next(iter(registry.catalogue.entries)) == case.label("first")


def test_a_run_that_lacks_a_record_waits(case: Case, tmp_path: Path) -> None:
    """A missing RELEASE is waited for, not judged; it is published once the record is there."""
    bank = topics.bank(topics.DEFAULT_PREFIX, "bank-0").name
    desk = Desk(case, case.log(lambda topic, _offset: topic != bank), tmp_path)
    registry = desk.stepped(3)
    assert desk.published() == []
    assert value_of(registry, table.WAITING.name) == len(NAMES)
    for entry in case.fed.log.read({bank: 0}, 10_000):
        desk.log.append(bank, entry.key, entry.value)
    for _ in range(4):
        registry.step(0.0)
    assert len(desk.published()) == len(NAMES)
    assert value_of(registry, table.WAITING.name) == 0
    desk.close()


def test_a_run_without_an_end_is_not_looked_at(case: Case, tmp_path: Path) -> None:
    """What is on the log up to the END of the first run gives the first version alone."""
    desk = Desk(case, case.before("first"), tmp_path)
    desk.stepped()
    assert desk.published() == [case.version("first")]
    desk.close()


def test_a_deviating_run_is_never_published(case: Case, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged and counted once; the others go on."""
    real = verify.check_run
    bad = case.runs["first"]
    monkeypatch.setattr(
        verify, "check_run", lambda state, run: verify.Deviation("wrong sums") if run.id == bad else real(state, run)
    )
    registry = desk.stepped()
    assert registry.rejected == {bad: "wrong sums"}
    assert value_of(registry, table.REJECTED.name) == 1
    assert canonical.label(bad) not in [version.run for version in desk.published()]
    assert len(desk.published()) == len(NAMES) - 1


def test_a_model_that_no_reader_would_take_is_rejected(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that does not fit into a record ends in a rejection, not in a stopped registry."""
    incompressible = bytes(range(256)) * 4
    monkeypatch.setattr(envelope, "seal", _refusing(envelope.seal))
    monkeypatch.setattr(verify, "model_bytes", lambda run: incompressible + run.id)
    monkeypatch.setattr(verify, "check_run", lambda _state, _run: verify.AGREEMENT)
    registry = desk.stepped(2)
    assert len(registry.rejected) == len(NAMES)
    assert desk.log.end(VERSIONS) == 0


def _refusing(real: Callable[..., object]) -> Callable[..., object]:
    def seal(header: object, body: object, key: object) -> object:
        if isinstance(body, ArtefactBody):
            raise WireError("record of 2000000 bytes: at most 983040")
        return real(header, body, key)

    return seal


def test_a_hand_moves_the_alias_forward_and_back(case: Case, desk: Desk) -> None:
    """A rollback is a move as any other; stages follow."""
    registry = desk.stepped()
    first, second = case.label("first"), case.label("second")
    assert registry.move("card", second, 0).sequence == 1
    assert registry.move("card", first, 1).version == first
    stages = {label: registry.catalogue.entries[label].stage for label in (first, second)}
    assert stages == {first: Stage.SERVING, second: Stage.APPROVED}
    assert desk.stores[-1].aliases()["card", "serving"].sequence == 2


@pytest.mark.parametrize(
    ("target", "expected", "message"), [("second", 3, "sequence 0, not 3"), ("auto", 0, "none of")]
)
def test_a_move_is_compare_and_set(case: Case, desk: Desk, target: str, expected: int, message: str) -> None:
    """Another sequence than the alias has, or another model's version, is refused and appends nothing."""
    registry = desk.stepped()
    before = desk.log.end(VERSIONS)
    with pytest.raises(VersionError, match=message):
        registry.move("card", case.label(target), expected)
    assert desk.log.end(VERSIONS) == before


def test_of_two_moves_at_once_one_wins(case: Case, desk: Desk) -> None:
    """A move that another registry appended first stands; the later caller hears of it."""
    registry, other = desk.stepped(), desk.stepped()
    other._read = lambda: None  # type: ignore[method-assign]
    registry.move("card", case.label("first"), 0)
    other._append_alias(other.catalogue.next_move("card", case.label("second"), 0))
    registry.step(0.0)
    alias = registry.catalogue.alias("card")
    assert alias is not None
    assert (alias.version, registry.catalogue.void["sequence"]) == (case.label("first"), 1)


def test_a_hand_ends_the_plan_s_promotion(case: Case, tmp_path: Path) -> None:
    """After a rollback by hand, the version that was promoted by plan is not promoted again."""
    desk = Desk(case, case.log(), tmp_path)
    registry = desk.stepped()
    alias = registry.catalogue.alias("auto")
    assert alias is not None
    registry.move("auto", case.label("auto"), alias.sequence)
    registry.step(0.0)
    assert desk.stepped().catalogue.alias("auto") == registry.catalogue.alias("auto")
    assert registry.catalogue.entries[case.label("auto")].stage is Stage.SERVING
    desk.close()


def test_a_lost_database_fills_again(case: Case, desk: Desk) -> None:
    """The topic is the truth: rows, aliases and files come back from it."""
    desk.stepped()
    (desk.folder / "fresh").mkdir()
    fresh = Desk(case, desk.log, desk.folder / "fresh")
    fresh.stepped(2)
    assert fresh.stores[-1].positions() == desk.stores[-1].positions()
    assert fresh.stores[-1].aliases() == desk.stores[-1].aliases()
    assert fresh.ports().artefacts.get(canonical.parse_label(case.version("first").file)) == case.file("first")
    fresh.close()


def test_a_damaged_file_is_replaced_at_the_next_start(case: Case, desk: Desk) -> None:
    """A flipped byte on disk is repaired from the topic."""
    desk.stepped()
    digest = canonical.parse_label(case.version("first").file)
    path = desk.folder / "artefacts" / "sha256" / digest.hex()[:2] / digest.hex()[2:]
    path.write_bytes(b"x" + path.read_bytes()[1:])
    desk.stepped(1)
    assert path.read_bytes() == case.file("first")


def test_an_emptied_topic_stops_the_registry(desk: Desk) -> None:
    """A topic that lost what was published is an error for people, not a reason to publish anew."""
    desk.stepped()
    desk.log.drop(VERSIONS)
    desk.log.create([VERSIONS])
    with pytest.raises(TopicLostError, match="was emptied, cut or moved"):
        desk.stepped()
    assert desk.log.end(VERSIONS) == 0


@pytest.mark.parametrize("error", [StoreError("no database"), ArtefactError("no disk")])
def test_failing_storage_is_tried_again(case: Case, desk: Desk, error: Exception) -> None:
    """The step says so, readiness ends, nothing is appended; then all is done."""
    registry = desk.registry()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registry._ports.store, "prepare", _raising(error))
        registry.step(0.0)
        registry.step(0.0)
        assert registry.ready() == (False, str(error))
        assert desk.log.end(VERSIONS) == 0
    for _ in range(4):
        registry.step(0.0)
    assert registry.ready() == (True, "")
    assert value_of(registry, table.TROUBLE.name) == 2
    assert desk.published() == [case.version(name) for name in NAMES]


def _raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_it_is_ready_once_everything_was_read(desk: Desk) -> None:
    """Not before the first step."""
    registry = desk.registry()
    assert registry.ready() == (False, "reading the log")
    registry.step(0.0)
    assert registry.ready() == (True, "")


def test_invalid_entries_are_counted_once(desk: Desk) -> None:
    """Garbage on a topic changes nothing."""
    desk.log.append(VERSIONS, b"registry", b"garbage")
    desk.log.append(topics.control().name, b"aggregator", b"garbage")
    registry = desk.stepped()
    assert value_of(registry, table.INVALID.name, reason="malformed") == 2
    assert len(desk.published()) == len(NAMES)


def test_gauges_follow_the_catalogue(case: Case, desk: Desk) -> None:
    """Versions by stage, conflicts, and what serves."""
    registry = desk.stepped()
    registry.move("card", case.label("second"), 0)
    registry.step(0.0)
    sample = registry._ports.metrics.shareable.get_sample_value
    assert sample(table.VERSIONS.name, {"stage": "serving"}) == 2
    assert value_of(registry, table.CONFLICTS.name) == 1
    serving = {"model": "card", "version": case.label("second"), "stage": "serving"}
    assert sample(table.SERVING.name, serving) == 1
    registry.move("card", case.label("first"), 1)
    assert sample(table.SERVING.name, serving) is None
