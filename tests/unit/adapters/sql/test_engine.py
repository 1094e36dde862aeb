"""Engines and migrations of the registry's database."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from tacit.adapters import sql
from tacit.adapters.sql.tables import Base
from tacit.versions import StoreError


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A SQLite file that does not exist yet; a folder with a percent sign must not disturb Alembic."""
    folder = tmp_path / "50% of it"
    folder.mkdir()
    return sql.sqlite_url(folder / "registry.sqlite")


def test_migrations_make_the_tables_of_the_models(url: str) -> None:
    """Nothing is left for a migration to do."""
    sql.upgrade(url)
    engine = sql.open_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_upgrading_twice_changes_nothing(url: str) -> None:
    """The second start finds the newest schema."""
    sql.upgrade(url)
    sql.upgrade(url)
    sql.check_schema(url)


def test_a_database_without_the_schema_is_refused(url: str) -> None:
    """A database that a job of its own upgrades must have been upgraded."""
    with pytest.raises(StoreError, match="has schema None, expected 0001: upgrade it first"):
        sql.check_schema(url)


def test_a_later_release_s_database_is_refused(url: str) -> None:
    """A revision that this release does not know is no reason to go on."""
    sql.upgrade(url)
    engine = sql.open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    for call in (sql.upgrade, sql.check_schema):
        with pytest.raises(StoreError, match="9999"):
            call(url)


def test_sqlite_connections_are_durable_and_strict(url: str) -> None:
    """Write-ahead log, foreign keys, full synchronisation, patience."""
    engine = sql.open_engine(url)
    with engine.connect() as connection:
        names = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]
    engine.dispose()
    assert found == ["wal", 1, 2, 10_000]


@pytest.mark.parametrize("wrong", ["no url", "nosuchdatabase://user:hunter2@host/db", "sqlite+nosuchdriver:///x"])
def test_a_wrong_url_is_named_without_its_password(wrong: str) -> None:
    """Malformed, or without a driver on this machine."""
    with pytest.raises(StoreError) as caught:
        sql.open_engine(wrong)
    assert "database URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Another file in the database's place stays as it is."""
    path = tmp_path / "registry.sqlite"
    path.write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(StoreError, match=r"registry\.sqlite"):
        sql.upgrade(sql.sqlite_url(path))
    assert path.read_bytes().startswith(b"not a database")


def test_the_place_check_is_the_database_s_own(url: str) -> None:
    """A version with a place and no number cannot be stored, by whatever client."""
    sql.upgrade(url)
    with closing(sqlite3.connect(url.removeprefix("sqlite+pysqlite:///"))) as connection:
        values = ("d", "r", "m", "f", b"s", "candidate", "", 0, 1)
        with pytest.raises(sqlite3.IntegrityError, match="ck_version_published"):
            connection.execute(
                "INSERT INTO version (digest, run, model, file, statement, stage, conflict, moves, place) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )


@pytest.mark.parametrize("name", ["env.py", "versions/r0001_versions.py"])
def test_migrations_are_shipped_with_the_package(name: str) -> None:
    """They are modules of packages, so that every build takes them along."""
    root = resources.files("tacit.adapters.sql.migrations")
    assert root.joinpath(name).is_file()
    assert root.joinpath("versions/__init__.py").is_file()


def test_the_tables_can_be_made_on_postgresql() -> None:
    """The models use no type or clause that PostgreSQL lacks."""
    made = "".join(
        str(CreateTable(table).compile(dialect=postgresql.dialect())) for table in Base.metadata.sorted_tables
    )
    assert "statement BYTEA NOT NULL" in made
    assert "CONSTRAINT ck_version_published CHECK ((place IS NULL) = (number IS NULL))" in made
    assert "FOREIGN KEY(version) REFERENCES version (digest)" in made
