"""Alembic migrations of the registry's tables; `adapters.sql.engine.upgrade` runs them."""
