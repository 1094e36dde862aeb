"""Statements, stages and aliases of model versions."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import canonical
from tacit.privacy.types import Mode
from tacit.versions import (
    NEXT,
    SERVABLE,
    AliasState,
    Guarantee,
    ModelVersion,
    QualityFigure,
    Stage,
    VersionError,
    advance,
    check_parent,
    move_alias,
)
from tacit.wire.documents import parse

RUN, CONTRACT, FILE, PARENT = (canonical.label(bytes([number]) * 32) for number in range(1, 5))
GUARANTEE = Guarantee(Fraction(1), Fraction(1, 10**5), "customer, given the feature table", Mode.LOCAL, 2, 0)
VERSION = ModelVersion(
    model="card-fraud",
    run=RUN,
    contract=CONTRACT,
    file=FILE,
    size_bytes=12_345,
    participants=("ash", "birch", "cedar"),
    rounds=34,
    guarantee=GUARANTEE,
    created="2018-08-20T06:30:00Z",
    parent=PARENT,
    quality={"average_precision": QualityFigure(Fraction("0.61"), Fraction("0.04"))},
    thresholds={"review": Fraction("-1.5"), "decline": Fraction(2)},
)
FIRST = replace(VERSION, parent=None)


def test_identity_is_the_digest_of_the_statement() -> None:
    """Any change of the statement is another version; the same statement is the same one."""
    assert VERSION.digest == canonical.digest(VERSION) == replace(VERSION).digest
    assert VERSION.digest != replace(VERSION, rounds=35).digest
    assert VERSION.digest != FIRST.digest
    assert VERSION.plan == VERSION.run


def test_statement_reads_back() -> None:
    """The canonical statement on the log gives an equal version with the same identity."""
    for version in (VERSION, FIRST, replace(FIRST, quality={}, thresholds={})):
        found = parse(ModelVersion, canonical.encode(version))
        assert found == version
        assert found.digest == version.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api": "tacit.version/v2"}, "api = 'tacit.version/v2'"),
        ({"model": "Card Fraud"}, "model = 'Card Fraud'"),
        ({"run": "abc"}, "run: expected a digest"),
        ({"contract": ""}, "contract: expected a digest"),
        ({"file": FILE.upper()}, "file: expected a digest"),
        ({"parent": "1"}, "parent: expected a digest"),
        ({"size_bytes": 0}, "size_bytes = 0: expected 1"),
        ({"participants": ()}, "number of participants = 0: expected 1 to 100"),
        ({"participants": ("birch", "ash")}, "rising ids"),
        ({"participants": ("ash", "ash")}, "rising ids"),
        ({"participants": ("Ash",)}, "participant = 'Ash'"),
        ({"participants": tuple(f"b{number:03}" for number in range(101))}, "number of participants = 101"),
        ({"rounds": 0}, "rounds = 0: expected 1 to 512"),
        ({"rounds": 513}, "rounds = 513"),
        ({"created": "2018-08-20"}, "created = '2018-08-20'"),
        ({"created": "2018-02-30T00:00:00Z"}, "created = '2018-02-30T00:00:00Z'"),
        ({"quality": {"AP": QualityFigure(Fraction(1), Fraction(0))}}, "figure 'AP'"),
        ({"quality": {"ap": QualityFigure(Fraction(1), Fraction(-1))}}, "quality.ap.half_width = -1"),
        ({"thresholds": {f"t{number}": Fraction(0) for number in range(65)}}, "number of figures"),
        ({"guarantee": replace(GUARANTEE, epsilon=Fraction(65))}, "guarantee.epsilon = 65: expected 0 to 64"),
        ({"guarantee": replace(GUARANTEE, delta=Fraction(0))}, "guarantee.delta = 0"),
        ({"guarantee": replace(GUARANTEE, delta=Fraction(1))}, "guarantee.delta = 1"),
        ({"guarantee": replace(GUARANTEE, unit="")}, "length of guarantee.unit = 0"),
        ({"guarantee": replace(GUARANTEE, q=0)}, "guarantee.q = 0: expected 1 to 100"),
        ({"guarantee": replace(GUARANTEE, c=-1)}, "guarantee.c = -1"),
    ],
)
def test_statement_out_of_range(changes: dict[str, object], message: str) -> None:
    """The error names field, value and range."""
    with pytest.raises(VersionError) as caught:
        replace(VERSION, **changes)  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        (Stage.CANDIDATE, Stage.EVALUATED, Stage.APPROVED, Stage.SERVING, Stage.APPROVED, Stage.SERVING, Stage.RETIRED),
        (Stage.CANDIDATE, Stage.REVOKED),
        (Stage.SERVING, Stage.REVOKED),
        (Stage.RETIRED, Stage.REVOKED),
    ],
)
def test_allowed_paths(path: tuple[Stage, ...]) -> None:
    """A version comes up step by step, may be rolled back to, and may be revoked from anywhere."""
    stage = path[0]
    for target in path[1:]:
        stage = advance(stage, target)
    assert stage is path[-1]


@pytest.mark.parametrize(
    ("current", "target"),
    [
        (Stage.CANDIDATE, Stage.APPROVED),
        (Stage.CANDIDATE, Stage.SERVING),
        (Stage.EVALUATED, Stage.SERVING),
        (Stage.EVALUATED, Stage.CANDIDATE),
        (Stage.RETIRED, Stage.SERVING),
        (Stage.REVOKED, Stage.APPROVED),
    ],
)
def test_forbidden_steps(current: Stage, target: Stage) -> None:
    """No gate is jumped over and nothing comes back from revocation."""
    with pytest.raises(VersionError, match=f"stage {current} to {target}: after {current} comes"):
        advance(current, target)


@given(stage=st.sampled_from(Stage))
def test_stages_never_repeat_and_all_can_be_revoked(stage: Stage) -> None:
    """No stage follows itself; every stage but the last may be revoked."""
    assert stage not in NEXT[stage]
    assert (Stage.REVOKED in NEXT[stage]) is (stage is not Stage.REVOKED)


def test_parent_is_compare_and_set() -> None:
    """A version replaces the one that its plan named, or nothing if it named none."""
    check_parent(VERSION, PARENT)
    check_parent(FIRST, None)
    for version, champion in ((VERSION, FILE), (VERSION, None), (FIRST, PARENT)):
        with pytest.raises(VersionError, match="the version in place is"):
            check_parent(version, champion)


def test_alias_moves_forward_and_back() -> None:
    """Each move is one higher, a rollback as well."""
    first = move_alias("champion", None, None, FILE, Stage.APPROVED)
    assert first == AliasState("champion", FILE, 1)
    second = move_alias("champion", first, FILE, PARENT, Stage.APPROVED)
    back = move_alias("champion", second, PARENT, FILE, Stage.SERVING)
    assert back == AliasState("champion", FILE, 3)


@pytest.mark.parametrize(("current", "expected"), [(None, FILE), (AliasState("champion", FILE, 1), None)])
def test_alias_that_moved_in_between_is_refused(current: AliasState | None, expected: str | None) -> None:
    """Two promotions at a time cannot both win."""
    with pytest.raises(VersionError, match="moved in between"):
        move_alias("champion", current, expected, PARENT, Stage.APPROVED)


@pytest.mark.parametrize("stage", sorted(set(Stage) - SERVABLE))
def test_alias_points_to_servable_versions_only(stage: Stage) -> None:
    """Candidates, evaluated, retired and revoked versions do not serve."""
    with pytest.raises(VersionError, match=f"is {stage}"):
        move_alias("champion", None, None, FILE, stage)


@pytest.mark.parametrize(("alias", "target"), [("Champion", FILE), ("champion", "latest")])
def test_alias_and_target_have_their_forms(alias: str, target: str) -> None:
    """An alias is an id, a version a digest."""
    with pytest.raises(VersionError, match="expected"):
        move_alias(alias, None, None, target, Stage.APPROVED)
