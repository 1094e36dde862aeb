"""Engines for a database URL, and the schema that they must have."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tacit.versions import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"

_PRAGMAS = ("journal_mode = WAL", "foreign_keys = ON", "synchronous = FULL", "busy_timeout = 10000")


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite+pysqlite:///{path}"


def open_engine(url: str) -> Engine:
    """An engine; SQLite gets a write-ahead log, foreign keys and full synchronisation on every connection.

    Raises:
        StoreError: If the URL is malformed or its driver is not installed; the message holds no password.
    """
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except (ArgumentError, ImportError) as error:
        raise StoreError(f"database URL: {_masked(url)}: {type(error).__name__}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
    return engine


def upgrade(url: str) -> None:
    """Brings a database to the newest schema; nothing happens if it has it.

    Raises:
        StoreError: If the database cannot be reached or is of a later release.
    """
    with _reached(url) as engine, engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check_schema(url: str) -> None:
    """Checks that a database has the newest schema, for databases that a job of their own upgrades.

    Raises:
        StoreError: If it has not, or cannot be reached.
    """
    with _reached(url) as engine, engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    if found != wanted:
        raise StoreError(f"database {_masked(url)} has schema {found}, expected {wanted}: upgrade it first")


@contextmanager
def _reached(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    try:
        yield engine
    except (SQLAlchemyError, CommandError) as error:
        raise StoreError(f"database {_masked(url)}: {error}") from error
    finally:
        engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  the driver's own class
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _masked(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "not a URL"
