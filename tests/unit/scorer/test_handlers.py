"""The scorer's machine: only the registry's word counts, only verified runs serve, and what serves stays."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from scorer_cases import MODELS, RULES, TOPIC, Registry, World, bundle_of, document_of, label, local_booster
from tacit.rounds.types import ArtefactBody, Kind, VersionBody
from tacit.runtime.log import LogUnavailableError
from tacit.scorer import handlers as subject
from tacit.scorer.bundle import Bundle, Obstacle
from tacit.scorer.handlers import Scorer
from tacit.wire.local import Choice
from wire_cases import record

BOTH = {"choice": "global+local", "booster": local_booster()[1].decode()}


@pytest.fixture
def world() -> World:
    """A log, a trainer, a cache."""
    return World()


def file_of(scorer: Scorer) -> str | None:
    """Digest of the model file that serves."""
    return scorer.live.identity.file if scorer.live is not None else None


def test_a_verified_version_serves(world: World) -> None:
    """Artefact, statement, alias and verdict together load a version, and it says when."""
    scorer = world.serving()
    assert file_of(scorer) == label(MODELS[0])
    assert (scorer.obstacle, scorer.loaded, scorer.previous) == ("", world.clock.seconds, None)
    assert scorer.live is not None
    assert scorer.wanted == scorer.live.identity.version


def test_nothing_serves_before_an_alias(world: World) -> None:
    """A version that no alias names is not loaded, verified or not."""
    world.registry.artefact(MODELS[0])
    world.registry.version(MODELS[0])
    world.trainer.document = document_of(MODELS[0])
    scorer = world.scorer()
    world.step(scorer)
    assert (scorer.live, scorer.wanted, scorer.obstacle) == (None, None, "")


def test_another_alias_does_not_count(world: World) -> None:
    """Only the serving alias is followed."""
    world.registry.artefact(MODELS[0])
    world.registry.point(world.registry.version(MODELS[0]), alias="shadow")
    world.trainer.document = document_of(MODELS[0])
    scorer = world.scorer()
    world.step(scorer)
    assert scorer.live is None


def test_an_unverified_run_is_not_loaded(world: World) -> None:
    """Until the bank's own trainer says ok the old version serves; then the new one does."""
    scorer = world.serving()
    world.registry.publish(MODELS[1])
    world.step(scorer)
    assert file_of(scorer) == label(MODELS[0])
    assert scorer.obstacle.startswith("verdict")
    assert scorer.refused == {Obstacle.VERDICT: 1}
    world.trainer.document = document_of(MODELS[1])
    world.step(scorer)
    assert (file_of(scorer), scorer.obstacle) == (label(MODELS[1]), "")
    assert scorer.previous is not None
    assert scorer.previous.identity.file == label(MODELS[0])


@pytest.mark.parametrize("verdict", ["deviation in round 2", "", "pending"])
def test_a_run_found_wrong_is_not_loaded(world: World, verdict: str) -> None:
    """A verdict other than ok keeps a version out."""
    world.registry.publish(MODELS[0])
    world.trainer.document = document_of(MODELS[0], verdict=verdict)
    scorer = world.scorer()
    world.step(scorer)
    assert (scorer.live, scorer.refused) == (None, {Obstacle.VERDICT: 1})


def test_a_pinned_digest_needs_no_trainer(world: World) -> None:
    """A person's word for a digest loads it while the trainer is away."""
    world.registry.publish(MODELS[0])
    world.trainer.away = True
    scorer = world.scorer(replace(RULES, pinned=label(MODELS[0])))
    world.step(scorer)
    assert file_of(scorer) == label(MODELS[0])


@pytest.mark.parametrize("signer", ["aggregator", "ash signs", "nobody"])
@pytest.mark.parametrize("kind", [Kind.VERSION, Kind.ARTEFACT, Kind.ALIAS])
def test_only_the_registrys_signature_counts(world: World, kind: Kind, signer: str) -> None:
    """A record of any other key is invalid, and the version that leans on it is not loaded."""
    write = world.registry.write

    def forged(written: Kind, body: object) -> None:
        write(written, body, signer if written is kind else "registry")  # type: ignore[arg-type]

    world.registry.write = forged  # type: ignore[method-assign, assignment]
    world.registry.publish(MODELS[0])
    world.trainer.document = document_of(MODELS[0])
    scorer = world.scorer()
    world.step(scorer)
    assert (scorer.live, scorer.invalid.total()) == (None, 1)


def test_a_corrupted_artefact_is_refused(world: World) -> None:
    """A file whose bytes were changed on the log is no record; the version waits for its file."""
    body = ArtefactBody(hashlib.sha256(MODELS[0]).digest(), MODELS[0])
    value = bytearray(record(Kind.ARTEFACT, body).value)
    value[len(value) // 2] ^= 1
    world.log.append(TOPIC, b"registry", bytes(value))
    world.registry.point(world.registry.version(MODELS[0]))
    world.trainer.document = document_of(MODELS[0])
    scorer = world.scorer()
    world.step(scorer)
    assert (scorer.live, scorer.invalid.total(), scorer.refused) == (None, 1, {Obstacle.ARTEFACT: 1})


def test_a_late_artefact_is_enough(world: World) -> None:
    """The file may come after the alias."""
    world.registry.point(world.registry.version(MODELS[0]))
    world.trainer.document = document_of(MODELS[0])
    scorer = world.scorer()
    world.step(scorer)
    assert scorer.obstacle.startswith("artefact")
    world.registry.artefact(MODELS[0])
    world.step(scorer)
    assert (file_of(scorer), scorer.obstacle) == (label(MODELS[0]), "")


def test_a_file_in_anothers_name_is_not_found(world: World) -> None:
    """A sound artefact of another digest does not stand in for the statement's file."""
    world.registry.artefact(MODELS[1])
    world.registry.point(world.registry.version(MODELS[0]))
    world.trainer.document = document_of(MODELS[0])
    scorer = world.scorer()
    world.step(scorer)
    assert scorer.refused == {Obstacle.ARTEFACT: 1}


def test_an_unreadable_statement_changes_nothing(world: World) -> None:
    """Signed nonsense is counted and passed over."""
    world.registry.write(Kind.VERSION, VersionBody(b'{"model":"card-fraud"}'))
    scorer = world.serving()
    assert scorer.refused == {Obstacle.STATEMENT: 1}
    assert file_of(scorer) == label(MODELS[0])


@pytest.mark.parametrize("sequence", [1, 2, 9])
def test_only_the_next_move_counts(world: World, sequence: int) -> None:
    """A lower, repeated or far sequence moves nothing."""
    scorer = world.serving()
    first = world.registry.newest
    world.registry.publish(MODELS[1])
    world.trainer.document = document_of(MODELS[1])
    world.step(scorer)
    assert first is not None
    world.registry.point(first, sequence)
    world.step(scorer)
    assert file_of(scorer) == label(MODELS[1])


def test_a_rollback_is_a_higher_move(world: World) -> None:
    """The alias moves back by its next sequence; the version before serves again without a new verdict."""
    scorer = world.serving(**BOTH)
    first = world.registry.newest
    world.registry.publish(MODELS[1])
    world.trainer.document = document_of(MODELS[1])
    world.step(scorer)
    assert first is not None
    world.registry.point(first)
    world.step(scorer)
    assert file_of(scorer) == label(MODELS[0])
    assert scorer.live is not None
    assert (scorer.live.identity.sequence, scorer.live.identity.choice) == (3, Choice.GLOBAL_LOCAL)


def test_a_rollback_works_after_a_restart(world: World) -> None:
    """The cache keeps the verdict of the version before."""
    scorer = world.serving()
    first = world.registry.newest
    world.registry.publish(MODELS[1])
    world.trainer.document = document_of(MODELS[1])
    world.step(scorer)
    again = world.scorer()
    assert first is not None
    world.registry.point(first)
    world.step(again)
    assert file_of(again) == label(MODELS[0])


def test_a_log_set_back_is_not_followed(world: World) -> None:
    """After a restart on an older log the cached version stays: a lower move never wins."""
    scorer = world.serving()
    world.registry.publish(MODELS[1])
    world.trainer.document = document_of(MODELS[1])
    world.step(scorer)
    older = World()
    older.cache, older.trainer = world.cache, world.trainer
    older.registry.publish(MODELS[0])
    restarted = older.scorer()
    older.step(restarted)
    assert file_of(restarted) == label(MODELS[1])
    assert restarted.refused == {Obstacle.SEQUENCE: 1}


def test_a_new_local_model_is_swapped_in(world: World) -> None:
    """The same version with another choice is another live model; the margins change with it."""
    scorer = world.serving()
    before = scorer.live
    world.trainer.document = document_of(MODELS[0], **BOTH)
    world.step(scorer)
    assert scorer.live is not None
    assert before is not None
    assert scorer.live.identity.choice is Choice.GLOBAL_LOCAL
    row = [4.0, 1.0, 2.0]
    assert scorer.live.score(row).margin != before.score(row).margin
    assert scorer.previous is before


def test_nothing_is_loaded_twice(world: World) -> None:
    """Steps without news leave the live object alone."""
    scorer = world.serving()
    live = scorer.live
    for _ in range(3):
        world.step(scorer)
    assert scorer.live is live
    assert len(world.cache.stored) == 1


def test_a_bad_local_model_keeps_what_serves(world: World) -> None:
    """A booster that cannot be read changes nothing."""
    scorer = world.serving()
    live = scorer.live
    world.trainer.document = document_of(MODELS[0], choice="alone", booster="{}")
    world.step(scorer)
    assert scorer.live is live
    assert scorer.refused == {Obstacle.MODEL: 1}


def test_nonsense_from_the_trainer_is_passed_over(world: World) -> None:
    """A document that is none changes nothing, and the next good one counts."""
    scorer = world.serving()
    world.trainer.document = b"nonsense"
    world.step(scorer)
    world.trainer.document = document_of(MODELS[0], **BOTH)
    world.step(scorer)
    assert scorer.live is not None
    assert scorer.live.identity.choice is Choice.GLOBAL_LOCAL


def test_the_trainer_is_asked_with_its_tag_and_not_too_often(world: World) -> None:
    """Two questions are at least the set time apart; the last tag is sent."""
    world.trainer.document = document_of(MODELS[0])
    world.registry.publish(MODELS[0])
    scorer = world.scorer(local_seconds=5.0)
    for _ in range(6):
        scorer.step(0.0)
        world.clock.seconds += 1.0
    assert world.trainer.asked == [None, label(world.trainer.document)]


def test_a_trainer_that_is_away_is_asked_again(world: World) -> None:
    """While it is away nothing is lost; when it is back its word counts."""
    world.registry.publish(MODELS[0])
    world.trainer.document, world.trainer.away = document_of(MODELS[0]), True
    scorer = world.scorer()
    world.step(scorer)
    assert scorer.live is None
    world.trainer.away = False
    world.step(scorer)
    assert file_of(scorer) == label(MODELS[0])


def test_documents_are_forgotten_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many documents are kept, the oldest goes first."""
    monkeypatch.setattr(subject, "MAX_DOCUMENTS", 2)
    scorer = world.scorer()
    for model in MODELS[:3]:
        world.trainer.document = document_of(model)
        world.step(scorer)
    assert list(scorer._documents) == [label(model) for model in MODELS[1:3]]


def test_a_log_away_does_not_keep_a_local_model_out(world: World) -> None:
    """The log's absence is told to the loop, after the trainer was heard."""
    scorer = world.serving()
    world.log.make_unavailable()
    world.trainer.document = document_of(MODELS[0], **BOTH)
    with pytest.raises(LogUnavailableError):
        world.step(scorer)
    assert scorer.live is not None
    assert scorer.live.identity.choice is Choice.GLOBAL_LOCAL


def test_a_restart_with_everything_away_serves_the_same(world: World) -> None:
    """Log, registry and trainer away: the cached pair of global and local model answers with the same bits."""
    before = world.serving(**BOTH).live
    world.log.make_unavailable()
    world.trainer.away = True
    scorer = world.scorer()
    with pytest.raises(LogUnavailableError):
        world.step(scorer)
    assert before is not None
    assert scorer.live is not None
    assert scorer.live.identity == before.identity
    values = np.array([[4.0, 1.0, 2.0], [np.nan, 0.3, 5.0]], dtype=np.float32)
    assert scorer.live.margins(values).tolist() == before.margins(values).tolist()


def test_a_restart_does_not_load_again(world: World) -> None:
    """The cached model that the log still names is not swapped for itself."""
    world.serving(**BOTH)
    scorer = world.scorer()
    live = scorer.live
    world.step(scorer)
    assert (scorer.live is live, scorer.obstacle) == (True, "")


def test_a_tampered_cache_is_refused(world: World) -> None:
    """A changed byte in the newest bundle: the one before it serves."""
    scorer = world.serving()
    world.registry.publish(MODELS[1])
    world.trainer.document = document_of(MODELS[1])
    world.step(scorer)
    newest = world.cache.stored[0]
    world.cache.stored[0] = newest[:-9] + bytes([newest[-9] ^ 1]) + newest[-8:]
    assert file_of(world.scorer()) == label(MODELS[0])


def test_another_file_in_the_cache_is_refused(world: World) -> None:
    """A bundle whose file is not the statement's is refused even with a digest of its own."""
    world.cache.stored = [replace(bundle_of(), model=MODELS[1]).encode()]
    assert world.scorer().live is None


def test_a_cached_model_needs_its_verdict(world: World) -> None:
    """What a pin let in is not served after the pin is gone."""
    world.cache.stored = [bundle_of(document=None).encode()]
    assert world.scorer().live is None
    assert file_of(world.scorer(replace(RULES, pinned=label(MODELS[0])))) == label(MODELS[0])


def test_a_broken_disk_does_not_stop_the_service(world: World) -> None:
    """Scores do not depend on the cache."""
    world.cache.broken = True
    assert file_of(world.serving()) == label(MODELS[0])
    assert world.cache.stored == []


def test_the_cache_holds_what_serves(world: World) -> None:
    """Statement, file, document and move are stored as they came."""
    world.serving()
    stored = Bundle.decode(world.cache.stored[0])
    assert stored == bundle_of()


def second_model(registry: Registry) -> None:
    """A version of another model on the same topic."""
    registry.newest, registry.sequence = None, 0
    registry.publish(MODELS[2], model="wire-fraud")


def test_one_model_is_followed(world: World) -> None:
    """Another model's alias does not move this one."""
    scorer = world.serving()
    second_model(world.registry)
    world.trainer.document = document_of(MODELS[2])
    world.step(scorer)
    assert file_of(scorer) == label(MODELS[0])


def test_the_operator_names_the_model(world: World) -> None:
    """With a name in the settings that model serves, and a cache of another is not used."""
    world.serving()
    second_model(world.registry)
    world.trainer.document = document_of(MODELS[2])
    scorer = world.scorer(model="wire-fraud")
    assert scorer.live is None
    world.step(scorer)
    assert file_of(scorer) == label(MODELS[2])
