"""The bank's raw rows: read from Parquet or SQL by a mapping, checked, normalised. BANK ONLY.

Nothing read here may leave the bank. Errors and findings hold counts and row ids: they are for the bank's operator.
"""

from tacit.adapters.rows.feeds import banks_of, load_empty_feed, load_feed
from tacit.adapters.rows.load import load, load_empty, load_usable
from tacit.adapters.rows.mapping import AmountUnit, Difference, Finding, MappingError, RowMapping, RowsError, SourceKind
from tacit.adapters.rows.report import ColumnReport, Report, check

__all__ = [
    "AmountUnit",
    "ColumnReport",
    "Difference",
    "Finding",
    "MappingError",
    "Report",
    "RowMapping",
    "RowsError",
    "SourceKind",
    "banks_of",
    "check",
    "load",
    "load_empty",
    "load_empty_feed",
    "load_feed",
    "load_usable",
]
