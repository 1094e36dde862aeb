"""The registry's tables: engine and schema, rows, store."""

from tacit.adapters.sql.engine import check_schema, open_engine, sqlite_url, upgrade
from tacit.adapters.sql.store import SqlVersionStore

__all__ = ["SqlVersionStore", "check_schema", "open_engine", "sqlite_url", "upgrade"]
