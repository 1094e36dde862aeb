"""What tests of features share: contracts read from plain data, the formulas of the card contract, random rows."""

import copy
import functools
from collections.abc import Iterable, Mapping
from fractions import Fraction
from importlib import resources
from typing import Any

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

from tacit.features.spec import Column, ColumnType, Contract, Hat, Pair, Provenance, Ratio, Side, Transform

DAY = 86_400


def fractions(values: Iterable[int | str]) -> tuple[Fraction, ...]:
    """Exact numbers of a document's integers and strings."""
    return tuple(Fraction(value) for value in values)


def column_of(document: Mapping[str, Any]) -> Column:
    """A column from its document form."""
    fields = dict(document)
    fields["type"] = ColumnType(fields["type"])
    fields["provenance"] = Provenance(fields["provenance"])
    fields["missing"] = Side(fields.get("missing", "left"))
    fields["edges"] = fractions(fields["edges"])
    fields["centre"], fields["spread"] = Fraction(fields["centre"]), Fraction(fields["spread"])
    if fields.get("coarse") is not None:
        fields["coarse"] = fractions(fields["coarse"])
    return Column(**fields)


def contract_of(document: Mapping[str, Any]) -> Contract:
    """A contract from its document form."""
    hats = tuple(Hat(h["column"], Transform(h["transform"]), fractions(h["knots"])) for h in document.get("hats", ()))
    ratios = tuple(Ratio(r["numerator"], r["denominator"], fractions(r["knots"])) for r in document.get("ratios", ()))
    pairs = tuple(Pair(tuple(p["columns"]), fractions(p["knots"])) for p in document.get("pairs", ()))
    return Contract(
        columns=tuple(column_of(column) for column in document["columns"]),
        linear=tuple(document["linear"]),
        scale=Fraction(document["scale"]),
        hats=hats,
        ratios=ratios,
        pairs=pairs,
        api=document["api"],
    )


@functools.cache
def _parsed(name: str) -> Any:  # noqa: ANN401  a YAML document
    return yaml.safe_load(resources.files("tacit.features").joinpath("contracts", name).read_text("utf-8"))


def card_document(name: str = "card.yaml") -> dict[str, Any]:
    """A shipped contract as plain data, a copy of its own."""
    document: dict[str, Any] = copy.deepcopy(_parsed(name))
    return document


@functools.cache
def card(name: str = "card.yaml") -> Contract:
    """A shipped contract."""
    return contract_of(card_document(name))


def amount_edges() -> NDArray[np.float64]:
    """5, 10, .., 120, then 36 geometric points 125..1000, one decimal (formats 2)."""
    return np.concatenate([np.arange(5, 121, 5), np.geomspace(125, 1000, 36).round(1)])


def count_edges(most: int) -> NDArray[np.float64]:
    """Distinct round(geometric 1..most, 60 points) - .5 (formats 2)."""
    return np.unique(np.geomspace(1, most, 60).round()) - 0.5


def risk_edges() -> NDArray[np.float64]:
    """.001, 12 geometric points .01 to .1, 40 even points .12 to .99, three decimals, distinct (formats 2)."""
    return np.unique(np.concatenate([[0.001], np.geomspace(0.01, 0.1, 12), np.linspace(0.12, 0.99, 40)]).round(3))


def random_rows(seed: int, rows: int = 300, days: int = 60, ids: int = 6, tie: int = 6 * 3600) -> pl.DataFrame:
    """Normalised rows in random order with many ties: times are multiples of `tie` seconds."""
    rng = np.random.default_rng(seed)
    time = rng.integers(0, days * DAY // tie, rows) * tie + 1_522_540_800
    label = rng.random(rows) < 0.2
    return pl.DataFrame(
        {
            "transaction": rng.permutation(rows).astype(np.int64),
            "customer": rng.integers(0, ids, rows),
            "entity": rng.integers(0, ids, rows),
            "time": time,
            "amount": rng.integers(0, 50_000, rows),
            "label": label.astype(np.uint8),
            "label_time": time + rng.integers(0, 14, rows) * DAY,
            "weekend": rng.integers(0, 2, rows).astype(np.uint8),
            "night": rng.integers(0, 2, rows).astype(np.uint8),
        }
    )
