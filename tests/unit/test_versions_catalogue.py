"""The versions topic as a fold: lines of versions, aliases, what does not stand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_cases import LONG_AGO, label, version
from tacit.versions import AliasState, Catalogue, ModelVersion, Stage, VersionError


@pytest.fixture
def line() -> tuple[Catalogue, list[str]]:
    """Three versions of one model, each the parent of the next."""
    catalogue = Catalogue()
    made: list[str] = []
    for number in (1, 2, 3):
        found = version(number, parent=made[-1] if made else None)
        assert catalogue.register(found) == ""
        made.append(label(found))
    return catalogue, made


def test_versions_of_a_line_are_numbered(line: tuple[Catalogue, list[str]]) -> None:
    """Place on the topic, number in the model, no conflict."""
    catalogue, made = line
    other = version(9, "other")
    catalogue.register(other)
    found = [(entry.position, entry.number, entry.conflict) for entry in catalogue.entries.values()]
    assert found == [(1, 1, ""), (2, 2, ""), (3, 3, ""), (4, 1, "")]
    assert (catalogue.newest("card"), catalogue.newest("other"), catalogue.newest("none")) == (
        made[2],
        label(other),
        None,
    )


@pytest.mark.parametrize("parent", [None, LONG_AGO, "first"])
def test_another_parent_than_the_newest_is_a_conflict(line: tuple[Catalogue, list[str]], parent: str | None) -> None:
    """It stands, with its reason, and is not the newest."""
    catalogue, made = line
    rival = version(4, parent=made[0] if parent == "first" else parent)
    assert catalogue.register(rival) == ""
    assert catalogue.entries[label(rival)].conflict.endswith(f"the newest version was {made[2]}")
    assert catalogue.newest("card") == made[2]
    assert catalogue.point("serving", label(rival), 1) == "conflict"


def test_the_first_version_of_a_run_stands(line: tuple[Catalogue, list[str]]) -> None:
    """The same again is a repeat, another one for the run is void."""
    catalogue, made = line
    assert catalogue.register(version(1)) == "repeat"
    assert catalogue.register(replace(version(1), size_bytes=5)) == "run"
    assert catalogue.of_run(version(1).run) == catalogue.entries[made[0]]
    assert catalogue.of_run(LONG_AGO) is None
    assert catalogue.void == {"repeat": 1, "run": 1}


def test_the_alias_moves_in_sequence(line: tuple[Catalogue, list[str]]) -> None:
    """The first record of each number stands; a gap and a late comer are void."""
    catalogue, made = line
    assert catalogue.point("serving", made[0], 2) == "sequence"
    assert catalogue.point("serving", made[0], 1) == ""
    assert catalogue.point("serving", made[0], 1) == "repeat"
    assert catalogue.point("serving", made[1], 1) == "sequence"
    assert catalogue.point("serving", made[1], 2) == ""
    assert catalogue.point("serving", made[0], 1) == "repeat"
    assert catalogue.point("serving", LONG_AGO, 3) == "version"
    assert catalogue.alias("card") == AliasState("serving", made[1], 2)
    assert [move.version for move in catalogue.moves] == made[:2]


def test_stages_follow_the_serving_alias(line: tuple[Catalogue, list[str]]) -> None:
    """The one in place serves, the one before is approved, others wait."""
    catalogue, made = line
    catalogue.point("serving", made[0], 1)
    catalogue.point("serving", made[2], 2)
    assert [catalogue.entries[item].stage for item in made] == [Stage.APPROVED, Stage.CANDIDATE, Stage.SERVING]
    catalogue.point("serving", made[2], 3)
    assert catalogue.entries[made[2]].stage is Stage.SERVING


def test_other_aliases_carry_no_stage(line: tuple[Catalogue, list[str]]) -> None:
    """Only the serving alias does."""
    catalogue, made = line
    assert catalogue.point("shadow", made[0], 1) == ""
    assert catalogue.entries[made[0]].stage is Stage.CANDIDATE
    assert catalogue.alias("card") is None


def test_a_move_asked_for_is_the_next_one(line: tuple[Catalogue, list[str]]) -> None:
    """From nothing, forward, and back."""
    catalogue, made = line
    for sequence, target in enumerate([made[0], made[1], made[0]]):
        state = catalogue.next_move("card", target, sequence)
        assert state == AliasState("serving", target, sequence + 1)
        assert catalogue.point(state.alias, state.version, state.sequence) == ""


@pytest.mark.parametrize(
    ("model", "expected", "message"),
    [("card", 1, "at sequence 0, not 1"), ("other", 0, "none of model 'other'")],
)
def test_a_move_that_does_not_fit_is_refused(
    line: tuple[Catalogue, list[str]], model: str, expected: int, message: str
) -> None:
    """Another sequence, or another model's version."""
    catalogue, made = line
    with pytest.raises(VersionError, match=message):
        catalogue.next_move(model, made[0], expected)


@pytest.mark.parametrize("stage", [Stage.RETIRED, Stage.REVOKED])
def test_a_version_out_of_use_does_not_serve(line: tuple[Catalogue, list[str]], stage: Stage) -> None:
    """Neither by hand nor by a record."""
    catalogue, made = line
    catalogue.entries[made[0]] = replace(catalogue.entries[made[0]], stage=stage)
    with pytest.raises(VersionError, match=f"may not serve: {stage}"):
        catalogue.next_move("card", made[0], 0)
    assert catalogue.point("serving", made[0], 1) == "stage"


def test_promotion_is_due_until_it_happened() -> None:
    """At the parent in place, and once."""
    catalogue = Catalogue()
    assert catalogue.automatic("card") is None
    first = version(1)
    catalogue.register(first)
    assert catalogue.automatic("card") == AliasState("serving", label(first), 1)
    catalogue.point("serving", label(first), 1)
    assert catalogue.automatic("card") is None
    second = version(2, parent=label(first))
    catalogue.register(second)
    assert catalogue.automatic("card") == AliasState("serving", label(second), 2)


def test_promotion_needs_the_parent_in_place(line: tuple[Catalogue, list[str]]) -> None:
    """The newest version's parent does not serve: a person decides."""
    catalogue, _ = line
    assert catalogue.automatic("card") is None


def test_any_move_in_between_ends_promotion() -> None:
    """Also one that leads back to the parent."""
    catalogue, first = Catalogue(), version(1)
    catalogue.register(first)
    catalogue.point("serving", label(first), 1)
    second = version(2, parent=label(first))
    catalogue.register(second)
    catalogue.point("serving", label(first), 2)
    assert catalogue.automatic("card") is None


ACTIONS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5), st.integers(0, 4), st.booleans()), max_size=30)


@given(ACTIONS)
def test_every_sequence_of_records_keeps_the_rules(actions: list[tuple[int, int, int, bool]]) -> None:
    """One version serves at most, it has no conflict, lines have one end, repeats of all change nothing."""
    pool: dict[int, ModelVersion] = {}
    catalogue = Catalogue()

    def feed() -> None:
        for number, parent, sequence, move in actions:
            named = label(pool[parent]) if parent in pool else None
            made = pool.setdefault(number, version(number, parent=named))
            if move:
                catalogue.point("serving", label(made), sequence)
            else:
                catalogue.register(made)

    feed()
    serving = [entry for entry in catalogue.entries.values() if entry.stage is Stage.SERVING]
    alias = catalogue.alias("card")
    assert [entry.label for entry in serving] == ([alias.version] if alias else [])
    assert not any(entry.conflict for entry in serving)
    follows = [entry.version.parent for entry in catalogue.entries.values() if not entry.conflict]
    assert len(set(follows)) == len(follows)
    assert [state.sequence for state in catalogue.moves] == list(range(1, len(catalogue.moves) + 1))
