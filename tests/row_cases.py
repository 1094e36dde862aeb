"""What tests of raw rows share: a bank's small table with its own column names, and its mapping."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from tacit.adapters.rows import RowMapping, SourceKind

MAPPING = RowMapping("TX_ID", "CARD", "AT", "AMOUNT", "SHOP", "FRAUD")
SQL_MAPPING = RowMapping("TX_ID", "CARD", "AT", "AMOUNT", "SHOP", "FRAUD", kind=SourceKind.SQL)
FIRST = datetime(2018, 6, 1, 12)  # noqa: DTZ001  a bank's timestamp without a zone
FIRST_SECONDS = 1_527_854_400


def table(rows: int = 6, **columns: Any) -> pl.DataFrame:  # noqa: ANN401
    """A bank's table, one row an hour, with some columns given."""
    held: dict[str, Any] = {
        "TX_ID": range(100, 100 + rows),
        "CARD": [position % 2 for position in range(rows)],
        "AT": [FIRST + timedelta(hours=position) for position in range(rows)],
        "AMOUNT": [10.25 + position for position in range(rows)],
        "SHOP": [5] * rows,
        "FRAUD": [0] * rows,
        "NOTE": ["never read"] * rows,
    }
    return pl.DataFrame(held | columns, strict=False)


def written(folder: Path, frame: pl.DataFrame, name: str = "rows.parquet") -> str:
    """Writes a table as Parquet; its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return str(path)


def database(folder: Path, frame: pl.DataFrame, types: dict[str, Any] | None = None) -> str:
    """Writes a table `tx` to an SQLite file; its URL with the table."""
    kinds = {
        "TX_ID": sa.Integer,
        "CARD": sa.Integer,
        "AT": sa.DateTime,
        "AMOUNT": sa.Float,
        "SHOP": sa.Integer,
        "FRAUD": sa.Integer,
        "NOTE": sa.Text,
    } | (types or {})
    url = f"sqlite:///{folder / 'bank.db'}"
    engine = sa.create_engine(url)
    target = sa.Table("tx", sa.MetaData(), *(sa.Column(name, kinds[name]) for name in frame.columns))
    target.create(engine)
    with engine.begin() as connection:
        connection.execute(target.insert(), frame.to_dicts())
    engine.dispose()
    return f"{url}#tx"
