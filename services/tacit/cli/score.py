"""`tacit score`: scores a file of contract features, or of the bank's own transactions."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli.text import examples
from tacit.runtime.exit_codes import ExitCode

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tacit.features.spec import Contract

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Score a file of rows.")

BATCH = 4096
"""Rows that are scored between two moves of the progress bar."""

REVIEW, DECLINE = 0.5, 0.9
"""Probabilities at and above which rows are reviewed and declined where `--model` is given and no other figure."""


class ScoreError(Exception):
    """Input that cannot be scored, or a scorer that does not answer; the message says what is expected."""


class OutputFormat(StrEnum):
    """How scores are written."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Scored:
    """One scored row."""

    score: float
    margin: float
    decision: str


Scoring = Callable[["NDArray[np.float32]"], list[Scored]]
"""Scores of rows, float32 of shape (rows, columns) in contract order, NaN for missing."""


@app.command(
    epilog=examples(
        "tacit score rows.parquet --model model.json --contract contract.yaml --out scores.parquet",
        "tacit score rows.csv --url http://127.0.0.1:8080 --contract contract.yaml",
        "tacit score transactions.parquet --mapping mapping.yaml --contract contract.yaml \\",
        "  --model model.json --feed network=feed.parquet --out scores.csv",
    )
)
def score(
    file: Annotated[Path, typer.Argument(help="Rows: .parquet, .csv, .json (a list of objects) or .ndjson.")],
    *,
    contract: Annotated[Path, typer.Option("--contract", help="The feature contract that the model follows.")],
    url: Annotated[str | None, typer.Option("--url", help="Base URL of a scorer; rows are sent one by one.")] = None,
    model: Annotated[Path | None, typer.Option("--model", help="Score here with this model file instead.")] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="FILE holds transactions; this says which column is which.")
    ] = None,
    feed: Annotated[list[str] | None, typer.Option("--feed", metavar="NAME=FILE", help="Feed of the contract.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write here; the suffix says how. Default: CSV.")] = None,
    review: Annotated[float, typer.Option(help="With --model: probability from which a row is reviewed.")] = REVIEW,
    decline: Annotated[float, typer.Option(help="With --model: probability from which it is declined.")] = DECLINE,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Score a file of contract features, or with --mapping of the bank's own transactions.

    Give either --url (a running scorer: the live model, the bank's own choice and thresholds) or --model (a model file,
    scored here). Columns of FILE beside the contract's are not used; a column of ids named `transaction` is kept. Rows
    are answered in the order of the file; with --mapping in the order of time, unusable rows left out.
    """
    if (url is None) == (model is None):
        raise typer.BadParameter("give exactly one of --url and --model")
    kind = _format(out)
    if out is not None and out.exists():
        typer.echo(f"Error: {out} exists already; remove it or name another file", err=True)
        raise typer.Exit(ExitCode.CANNOT_CREATE)
    spec = _contract(contract)
    ids, values = _raw(file, mapping, _feeds(feed), spec) if mapping is not None else _features(file, spec)
    with _scoring(url, model, spec, (review, decline)) as scoring:
        scored = _score_all(values, scoring, quiet=quiet)
    _write(ids, scored, out, kind)


def _format(out: Path | None) -> OutputFormat:
    suffix = ".csv" if out is None else out.suffix
    try:
        return OutputFormat(suffix.removeprefix("."))
    except ValueError:
        allowed = ", ".join(f".{kind}" for kind in OutputFormat)
        raise typer.BadParameter(f"--out {out}: expected one of the suffixes {allowed}") from None


def _contract(path: Path) -> "Contract":
    from tacit.features.spec import Contract  # noqa: PLC0415  only what is used is loaded
    from tacit.runtime import documents  # noqa: PLC0415  same

    return documents.load(Contract, path)


def _feeds(given: Sequence[str] | None) -> dict[str, Path]:
    found = {}
    for text in given or ():
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise typer.BadParameter(f"--feed {text}: expected NAME=FILE")
        found[name] = Path(path)
    return found


def _features(file: Path, contract: "Contract") -> "tuple[pl.Series | None, NDArray[np.float32]]":
    """Ids, if the file has some, and values, from a file of contract features."""
    import polars as pl  # noqa: PLC0415  only what is used is loaded

    frame = _read(file)
    names = [column.name for column in contract.columns]
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise ScoreError(f"{file} lacks the columns {', '.join(absent)} of the contract")
    usable = (pl.Boolean, pl.Null)
    wrong = [name for name in names if not (frame.schema[name].is_numeric() or frame.schema[name] in usable)]
    if wrong:
        raise ScoreError(f"{file}: columns {', '.join(wrong)} hold no numbers")
    ids = frame["transaction"] if "transaction" in frame.columns and "transaction" not in names else None
    return ids, _finite(frame.select(pl.col(names).cast(pl.Float64)), file)


def _finite(frame: "pl.DataFrame", file: Path) -> "NDArray[np.float32]":
    """Float32 values, NaN for null; infinities and what float32 cannot hold are refused."""
    import numpy as np  # noqa: PLC0415  only what is used is loaded

    values = frame.to_numpy()
    beyond = np.abs(values) > np.finfo(np.float32).max
    if beyond.any():
        row, column = (int(place[0]) for place in np.nonzero(beyond))
        raise ScoreError(f"{file}: row {row}, column {frame.columns[column]}: expected a finite float32 or nothing")
    return np.ascontiguousarray(values, dtype=np.float32)


def _read(file: Path) -> "pl.DataFrame":
    import polars as pl  # noqa: PLC0415  only what is used is loaded

    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".parquet": pl.read_parquet,
        ".csv": lambda path: pl.read_csv(path, infer_schema_length=None),
        ".json": lambda path: pl.read_json(path, infer_schema_length=None),
        ".ndjson": lambda path: pl.read_ndjson(path, infer_schema_length=None),
    }
    if file.suffix not in readers:
        raise ScoreError(f"{file}: expected one of the suffixes {', '.join(readers)}")
    try:
        return readers[file.suffix](file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ScoreError(f"{file} cannot be read: {str(error).splitlines()[0]}") from error


def _raw(
    file: Path, mapping: Path, feeds: dict[str, Path], contract: "Contract"
) -> "tuple[pl.Series | None, NDArray[np.float32]]":
    """Ids and values from the bank's own transactions."""
    from tacit.adapters import rows  # noqa: PLC0415  only what is used is loaded
    from tacit.features import windows  # noqa: PLC0415  same
    from tacit.runtime import documents  # noqa: PLC0415  same

    known = {name: rows.load_feed(str(path)) for name, path in feeds.items()}
    frame, findings = rows.load_usable(str(file), documents.load(rows.RowMapping, mapping))
    for finding in findings:
        typer.echo(f"Warning: {finding.render()}", err=True)
    return frame["transaction"], _finite(windows.compute(frame, contract, known), file)


@contextmanager
def _scoring(
    url: str | None, model: Path | None, contract: "Contract", rates: tuple[float, float]
) -> Iterator[Scoring]:
    if model is not None:
        yield _here(model, contract, rates)
    elif url is not None:
        with _remote(url, contract) as scoring:
            yield scoring


def _here(path: Path, contract: "Contract", rates: tuple[float, float]) -> Scoring:
    from tacit.scorer.engine import Engine  # noqa: PLC0415  only what is used is loaded
    from tacit.scorer.live import Thresholds, probability  # noqa: PLC0415  same
    from tacit.scorer.settings import DefaultThresholds  # noqa: PLC0415  same

    try:
        content = path.read_bytes()
        thresholds = Thresholds(*DefaultThresholds(review=rates[0], decline=rates[1]).margins)
    except OSError as error:
        raise ScoreError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise typer.BadParameter(
            f"--review {rates[0]} and --decline {rates[1]}: expected 0 < review <= decline < 1"
        ) from error
    engine = Engine.load(content, contract)

    def scoring(values: "NDArray[np.float32]") -> list[Scored]:
        margins = engine.margins(values).tolist()
        return [Scored(probability(margin), margin, str(thresholds.decide(margin))) for margin in margins]

    return scoring


@contextmanager
def _remote(url: str, contract: "Contract") -> Iterator[Scoring]:
    import httpx  # noqa: PLC0415  only what is used is loaded

    names = [column.name for column in contract.columns]
    with httpx.Client(base_url=url, timeout=10.0, trust_env=False) as client:

        def scoring(values: "NDArray[np.float32]") -> list[Scored]:
            try:
                return [_ask(client, dict(zip(names, row, strict=True))) for row in values.tolist()]
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise ScoreError(f"the scorer at {url} does not answer: {error}") from error

        yield scoring


def _ask(client: Any, row: dict[str, float]) -> Scored:  # noqa: ANN401  httpx is loaded where it is used
    # NaN is the one value that differs from itself.
    body = {name: value if value == value else None for name, value in row.items()}  # noqa: PLR0124  NaN
    response = client.post("/v1/score", json=body)
    try:
        answer = response.json()
        if response.status_code != 200:  # noqa: PLR2004  OK
            raise ScoreError(f"the scorer answered {response.status_code}: {str(answer.get('detail', ''))[:300]}")
        return Scored(float(answer["score"]), float(answer["margin"]), str(answer["decision"]))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ScoreError(f"the scorer answered {response.status_code} with something else than a score") from error


def _score_all(values: "NDArray[np.float32]", scoring: Scoring, *, quiet: bool) -> list[Scored]:
    scored: list[Scored] = []
    batch = max(1, min(BATCH, values.shape[0] // 50))
    # On a pipe or in a log the bar would be noise, and standard output carries the scores.
    hidden = quiet or not sys.stderr.isatty()
    with typer.progressbar(length=values.shape[0], label="Scoring", file=sys.stderr, hidden=hidden) as bar:
        for start in range(0, values.shape[0], batch):
            part = scoring(values[start : start + batch])
            scored += part
            bar.update(len(part))
    return scored


def _write(ids: "pl.Series | None", scored: list[Scored], out: Path | None, kind: OutputFormat) -> None:
    import polars as pl  # noqa: PLC0415  only what is used is loaded

    columns = {
        "transaction": ids if ids is not None else pl.Series(range(len(scored)), dtype=pl.Int64),
        "score": pl.Series([row.score for row in scored], dtype=pl.Float64),
        "margin": pl.Series([row.margin for row in scored], dtype=pl.Float64),
        "decision": pl.Series([row.decision for row in scored], dtype=pl.String),
    }
    frame = pl.DataFrame(columns)
    if out is None:
        typer.echo(frame.write_csv(), nl=False)
        return
    _save(frame, out, kind)
    counts = frame["decision"].value_counts(sort=True).rows()
    told = ", ".join(f"{count} {decision}" for decision, count in counts) or "nothing"
    typer.echo(f"Wrote {len(scored)} scores to {out}: {told}.", err=True)


def _save(frame: "pl.DataFrame", out: Path, kind: OutputFormat) -> None:
    try:
        if kind is OutputFormat.PARQUET:
            frame.write_parquet(out)
        elif kind is OutputFormat.JSON:
            out.write_text(json.dumps(frame.to_dicts(), indent=1) + "\n", encoding="utf-8")
        else:
            frame.write_csv(out)
    except OSError as error:
        typer.echo(f"Error: {out} cannot be written: {error.strerror or error}", err=True)
        raise typer.Exit(ExitCode.CANNOT_CREATE) from error
