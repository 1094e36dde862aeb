"""A mapping is refused outside its ranges; errors and findings read as plain lines."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tacit import canonical
from tacit.adapters.rows import AmountUnit, Difference, Finding, MappingError, RowMapping, RowsError, SourceKind
from tacit.wire import documents

MAPPING = RowMapping("id", "card", "at", "sum", "shop", "fraud")
EXAMPLE = Path(__file__).parents[4] / "docs" / "examples" / "handbook.yaml"


def test_defaults() -> None:
    """Euro, UTC, units of the currency, a week until labels are known, Parquet."""
    assert (MAPPING.currency, MAPPING.zone, MAPPING.digits) == ("EUR", "UTC", 2)
    assert (MAPPING.amount_unit, MAPPING.label_delay_days, MAPPING.kind) == (AmountUnit.MAJOR, 7, SourceKind.PARQUET)


def test_fields_name_every_mapped_column() -> None:
    """Further features stand under their own path; the label's time only if it is mapped."""
    mapping = replace(MAPPING, label_time="known", features={"age": "AGE"})
    assert mapping.fields == {
        "transaction": "id",
        "customer": "card",
        "time": "at",
        "amount": "sum",
        "entity": "shop",
        "label": "fraud",
        "label_time": "known",
        "features.age": "AGE",
    }
    assert "label_time" not in MAPPING.fields


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"api": "tacit.rows/v0"}, "api is 'tacit.rows/v0'; allowed: exactly 'tacit.rows/v1'"),
        ({"currency": "eur"}, "currency is 'eur'; allowed: three capital letters"),
        ({"currency": "EURO"}, "currency is 'EURO'"),
        ({"kind": "csv"}, "kind is 'csv'; allowed: parquet, sql"),
        ({"amount_unit": "cents"}, "amount_unit is 'cents'; allowed: major, minor"),
        ({"digits": -1}, "digits is -1; allowed: 0 to 4"),
        ({"digits": 5}, "digits is 5; allowed: 0 to 4"),
        ({"label_delay_days": -1}, "label_delay_days is -1; allowed: 0 to 366"),
        ({"label_delay_days": 367}, "label_delay_days is 367; allowed: 0 to 366"),
        ({"customer": ""}, "customer is ''; allowed: the name of a column"),
        ({"label_time": ""}, "label_time is ''; allowed: the name of a column"),
        ({"features": {"age": ""}}, "features.age is ''; allowed: the name of a column"),
        ({"features": {"Age": "AGE"}}, "features is 'Age'; allowed: names [a-z][a-z0-9_]*"),
        ({"features": {"amount": "AGE"}}, "features is 'amount'"),
        ({"zone": "Mars/Base"}, "zone is 'Mars/Base'; allowed: an IANA time zone such as 'Europe/Paris'"),
        ({"zone": "../etc"}, "zone is '../etc'"),
        ({"zone": ""}, "zone is ''"),
    ],
)
def test_values_outside_their_ranges_are_refused(change: dict[str, Any], part: str) -> None:
    """The message names the field, its value and what is allowed."""
    with pytest.raises(MappingError) as caught:
        replace(MAPPING, **change)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("zone", "day", "hour"),
    [("UTC", date(2018, 8, 1), 0), ("Europe/Paris", date(2018, 8, 1), -2), ("Europe/Paris", date(2018, 1, 1), -1)],
)
def test_midnight_is_by_the_banks_clock(zone: str, day: date, hour: int) -> None:
    """Summer time included."""
    utc = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    assert replace(MAPPING, zone=zone).midnight(day) == utc + hour * 3600


def test_differences_read_as_a_line() -> None:
    """Field, column, expected, found, and the nearest name where there is one."""
    near = Difference("customer", "CUST", "an integer or text", "no such column", "CUST_ID")
    assert near.render() == (
        "customer: column 'CUST': expected an integer or text, found no such column; did you mean 'CUST_ID'?"
    )
    wrong = Difference("label", "fraud", "an integer or boolean", "Float64")
    assert wrong.render().endswith("found Float64")


def test_findings_read_as_a_line() -> None:
    """How many rows, what is wrong, what became of them, and which."""
    left_out = Finding("amount", "sum", "negative; allowed: 0 or more", 3, dropped=True, examples=("7", "9"))
    assert left_out.render() == (
        "amount: column 'sum': 3 rows left out: negative; allowed: 0 or more (transactions 7, 9)"
    )
    assert "1 rows kept: no label" in Finding("label", "fraud", "no label", 1, dropped=False).render()


def test_an_error_lists_what_it_carries() -> None:
    """The message holds a line for every difference and finding."""
    difference, finding = Difference("a", "b", "c", "d"), Finding("e", "f", "g", 1, dropped=True)
    error = RowsError("no", [difference], [finding])
    assert str(error).splitlines() == ["no", f"  {difference.render()}", f"  {finding.render()}"]
    assert (error.differences, error.findings) == ((difference,), (finding,))


def test_the_example_is_a_mapping() -> None:
    """The documented mapping file is read and names the Handbook's columns."""
    mapping = documents.parse(RowMapping, yaml.safe_load(EXAMPLE.read_text("utf-8")))
    assert (mapping.fields["customer"], mapping.kind) == ("CUSTOMER_ID", SourceKind.PARQUET)
    assert documents.parse(RowMapping, canonical.encode(mapping)) == mapping
