"""What every `VersionStore` promises; a database is one more parameter."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from registry_cases import label, version
from tacit.adapters import sql
from tacit.adapters.sql import SqlVersionStore
from tacit.registry.ports import VersionStore
from tacit.versions import AliasState, ModelVersion, Published, QualityFigure, Stage, StoreError

POSTGRESQL = "TACIT_TEST_POSTGRESQL"
"""SQLAlchemy URL of an empty PostgreSQL database for these tests."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the newest schema and no rows."""
    if request.param == "sqlite":
        found = sql.sqlite_url(tmp_path / "registry.sqlite")
    elif POSTGRESQL in os.environ:
        found = os.environ[POSTGRESQL]
    else:
        pytest.skip(f"{POSTGRESQL} names no database")
    sql.upgrade(found)
    return found


@pytest.fixture
def store(url: str) -> Iterator[SqlVersionStore]:
    """A store without rows."""
    made = SqlVersionStore(sql.open_engine(url))
    yield made
    with made._engine.begin() as connection:
        connection.execute(text("DELETE FROM alias_move"))
        connection.execute(text("DELETE FROM version"))
    made.close()


def published(made: ModelVersion, position: int, number: int = 1) -> Published:
    """A version that stands on the topic."""
    return Published(made, position, number)


def test_it_is_the_port(store: SqlVersionStore) -> None:
    """Every method of the port is there."""
    assert isinstance(store, VersionStore)


def test_a_prepared_version_is_kept_and_not_shown(store: VersionStore) -> None:
    """Until it stands on the topic nobody reads it."""
    assert store.prepare(version(1)) == version(1)
    assert store.get(label(version(1))) is None
    assert store.page(None, 0, 10) == []
    assert (store.positions(), store.models()) == ({}, {})


def test_the_first_prepared_version_of_a_run_wins(store: VersionStore) -> None:
    """A later statement of the same run is dropped; another run is not."""
    later = replace(version(1), created="2019-01-01T00:00:00Z")
    store.prepare(version(1))
    assert store.prepare(later) == version(1)
    assert store.prepare(version(2)) == version(2)


def test_publishing_shows_a_version(store: VersionStore) -> None:
    """Every field comes back, statement and all."""
    made = replace(version(1), quality={"auc": QualityFigure(version().guarantee.epsilon, version().guarantee.delta)})
    entry = Published(made, 7, 3, Stage.APPROVED, "parent is None, the newest version was x", 2)
    store.prepare(made)
    store.publish([entry], [])
    assert store.get(label(made)) == entry
    assert store.positions() == {label(made): 7}


def test_publishing_needs_no_preparation(store: VersionStore) -> None:
    """What the topic says is written, whoever appended it."""
    store.publish([published(version(1), 1)], [])
    assert store.get(label(version(1))) == published(version(1), 1)


def test_publishing_twice_changes_nothing(store: VersionStore) -> None:
    """The same rows and moves again are the same rows and moves."""
    entries, moves = [published(version(1), 1)], [AliasState("serving", label(version(1)), 1)]
    store.publish(entries, moves)
    store.publish(entries, moves)
    assert store.page(None, 0, 10) == entries
    assert store.aliases() == {("card", "serving"): moves[0]}


def test_the_topic_replaces_a_prepared_version(store: VersionStore) -> None:
    """A statement that stands for a run takes the place of one that never got there."""
    other = replace(version(1), created="2019-01-01T00:00:00Z")
    store.prepare(version(1))
    store.publish([published(other, 1)], [])
    assert store.prepare(version(1)) == other
    assert store.positions() == {label(other): 1}


def test_a_stage_changes_in_place(store: VersionStore) -> None:
    """A later state of an entry replaces the earlier one."""
    entry = published(version(1), 1)
    store.publish([entry], [])
    store.publish([replace(entry, stage=Stage.SERVING)], [])
    found = store.get(label(version(1)))
    assert found is not None
    assert found.stage is Stage.SERVING


def test_a_failed_transaction_leaves_nothing(store: VersionStore) -> None:
    """A move to a version that is not stored takes its whole transaction back."""
    with pytest.raises(StoreError, match="does not answer"):
        store.publish([published(version(1), 1)], [AliasState("serving", label(version(2)), 1)])
    assert store.positions() == {}


@pytest.mark.parametrize(("position", "number"), [(1, 2), (2, 1)])
def test_places_and_numbers_are_given_once(store: VersionStore, position: int, number: int) -> None:
    """Two versions of a model at one place, or of one number, are refused by the database."""
    store.publish([published(version(1), 1)], [])
    with pytest.raises(StoreError):
        store.publish([published(version(2), position, number)], [])
    assert len(store.positions()) == 1


def test_pages_go_through_all_in_order(store: VersionStore) -> None:
    """`after` begins behind a position, `limit` ends the page, `model` filters."""
    entries = [published(version(number, f"m{number % 2}"), number, (number + 1) // 2) for number in range(1, 6)]
    store.publish(reversed(entries), [])
    assert store.page(None, 0, 2) == entries[:2]
    assert store.page(None, 2, 10) == entries[2:]
    assert store.page("m1", 1, 10) == [entries[2], entries[4]]
    assert store.page("m2", 0, 10) == []
    assert store.models() == {"m0": 2, "m1": 3}


def test_the_last_move_says_where_an_alias_points(store: VersionStore) -> None:
    """Moves are kept; the highest sequence counts, model by model."""
    store.publish([published(version(1), 1), published(version(2), 2, 2), published(version(3, "other"), 3)], [])
    one, two, three = (label(version(1)), label(version(2)), label(version(3, "other")))
    store.publish([], [AliasState("serving", two, 1), AliasState("serving", one, 2), AliasState("serving", three, 1)])
    assert store.aliases() == {
        ("card", "serving"): AliasState("serving", one, 2),
        ("other", "serving"): AliasState("serving", three, 1),
    }


def test_rows_outlive_the_store(url: str, store: VersionStore) -> None:
    """Another process on the same database reads them."""
    store.publish([published(version(1), 1)], [])
    other = SqlVersionStore(sql.open_engine(url))
    assert other.page(None, 0, 10) == [published(version(1), 1)]
    other.close()
