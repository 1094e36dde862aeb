"""`tacit score`: files of features and of transactions, a scorer or a model file, and clear refusals."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
import yaml
from click.testing import Result
from typer.testing import CliRunner

from feature_cases import card_document
from scorer_cases import CONTRACT, MODELS, NAMES, World, rows_of
from tacit import canonical
from tacit.cli import score as subject
from tacit.cli.score import ScoreError
from tacit.features.spec import Contract
from tacit.learning.ensemble import booster
from tacit.learning.types import Ensemble, LineTable
from tacit.runtime import documents
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.http_server import HttpServer
from tacit.runtime.observing import Metrics
from tacit.scorer import http, metrics
from tacit.scorer.engine import Engine, ModelError
from tacit.scorer.live import probability

VALUES = rows_of(3, 40)
ENGINE = Engine.load(MODELS[0], CONTRACT)

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a contract, a model and rows in every format."""
    (tmp_path / "contract.json").write_bytes(canonical.encode(CONTRACT))
    (tmp_path / "model.json").write_bytes(MODELS[0])
    frame = pl.DataFrame(VALUES, schema=list(NAMES)).fill_nan(None)
    frame = frame.with_columns(transaction=pl.Series([f"tx{row}" for row in range(40)]), note=pl.lit("x"))
    frame.write_parquet(tmp_path / "rows.parquet")
    frame.write_csv(tmp_path / "rows.csv", float_precision=9)
    frame.write_ndjson(tmp_path / "rows.ndjson")
    (tmp_path / "rows.json").write_text(json.dumps(frame.to_dicts()))
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in that folder."""
    monkeypatch.chdir(folder)

    def call(*arguments: str, model: Sequence[str] = ("--model", "model.json")) -> Result:
        return CliRunner().invoke(subject.app, [*arguments, "--contract", "contract.json", *model])

    return call


def frame_of(text: str) -> pl.DataFrame:
    """Scores as the command prints them."""
    return pl.read_csv(text.encode())


def refusal(result: Result) -> str:
    """The message of an error of ours."""
    assert isinstance(result.exception, ScoreError)
    return str(result.exception)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "json", "ndjson"])
def test_every_format_gives_the_models_margins(run: Run, suffix: str) -> None:
    """Margins, probabilities and decisions by row, ids kept, other columns passed over."""
    result = run(f"rows.{suffix}")
    assert result.exit_code == 0, result.output
    found = frame_of(result.stdout)
    margins = ENGINE.margins(VALUES)
    np.testing.assert_allclose(found["margin"], margins, rtol=1e-9)
    np.testing.assert_allclose(found["score"], [probability(margin) for margin in margins.tolist()], rtol=1e-9)
    assert found["transaction"].to_list() == [f"tx{row}" for row in range(40)]


def test_thresholds_are_probabilities(run: Run) -> None:
    """Decisions follow --review and --decline."""
    found = frame_of(run("rows.parquet", "--review", "0.2", "--decline", "0.6").stdout)
    for score, decision in found.select("score", "decision").rows():
        assert decision == ("decline" if score >= 0.6 else "review" if score >= 0.2 else "approve")
    assert found["decision"].n_unique() == 3


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_scores_are_written_to_a_file(run: Run, folder: Path, suffix: str) -> None:
    """The suffix says how; what was written is told, and never over a file that is there."""
    name = f"scores.{suffix}"
    result = run("rows.parquet", "--out", name)
    assert result.exit_code == 0, result.output
    readers = {"csv": pl.read_csv, "json": pl.read_json, "parquet": pl.read_parquet}
    assert readers[suffix](folder / name).height == 40  # type: ignore[operator]
    assert "40 scores" in result.stderr
    assert run("rows.parquet", "--out", name).exit_code == ExitCode.CANNOT_CREATE


def test_without_ids_rows_are_numbered(run: Run, folder: Path) -> None:
    """A file without ids has row numbers in their place."""
    pl.DataFrame({"amount": [1.0, 2.0], "mean_amount": [1, 2], "visits": [None, None]}).write_parquet(
        folder / "bare.parquet"
    )
    assert frame_of(run("bare.parquet").stdout)["transaction"].to_list() == [0, 1]


def test_no_rows_are_no_scores(run: Run, folder: Path) -> None:
    """An empty file gives a header."""
    pl.DataFrame(schema=dict.fromkeys(NAMES, pl.Float64)).write_parquet(folder / "none.parquet")
    result = run("none.parquet")
    assert result.stdout == "transaction,score,margin,decision\n"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"amount": [1.0]}, "mean_amount, visits"),
        ({"amount": ["x"], "mean_amount": [1.0], "visits": [1.0]}, "amount hold no numbers"),
        ({"amount": [1.0], "mean_amount": [1e39], "visits": [1.0]}, "row 0, column mean_amount"),
        ({"amount": [1.0], "mean_amount": [1.0], "visits": [float("inf")]}, "column visits"),
    ],
)
def test_wrong_rows_are_refused(run: Run, folder: Path, columns: dict[str, list[object]], words: str) -> None:
    """A missing column, text and numbers beyond float32 are named."""
    pl.DataFrame(columns).write_parquet(folder / "wrong.parquet")
    assert words in refusal(run("wrong.parquet"))


@pytest.mark.parametrize("name", ["rows.txt", "absent.parquet", "model.parquet"])
def test_other_files_are_refused(run: Run, folder: Path, name: str) -> None:
    """An unknown suffix, no file and no Parquet are named with the file."""
    (folder / "model.parquet").write_bytes(MODELS[0])
    assert name in refusal(run(name))


def test_a_file_that_is_no_model_is_refused(run: Run, folder: Path) -> None:
    """The engine's own words reach the caller."""
    (folder / "model.json").write_text("{}")
    assert isinstance(run("rows.parquet").exception, ModelError)
    (folder / "model.json").unlink()
    assert "model.json" in refusal(run("rows.parquet"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "http://127.0.0.1:9"], "exactly one"),
        (["--out", "scores.xlsx"], ".parquet"),
        (["--review", "0.9", "--decline", "0.5"], "review <= decline"),
        (["--mapping", "m.yaml", "--feed", "network"], "NAME=FILE"),
    ],
)
def test_wrong_options_are_refused(run: Run, arguments: list[str], words: str) -> None:
    """Contradicting or malformed options end with usage, and say what is expected."""
    result = run("rows.parquet", *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert words in result.stderr.replace("\n", " ")


def test_one_of_url_and_model_is_needed(run: Run) -> None:
    """Neither is as wrong as both."""
    assert run("rows.parquet", model=()).exit_code == ExitCode.USAGE


@pytest.fixture
def scorer() -> Iterator[str]:
    """The URL of a running scorer with the first model."""

    def well() -> tuple[bool, str]:
        return True, ""

    server = HttpServer(http.app(World().serving(), well, well, Metrics(metrics.TABLE)))
    yield f"http://127.0.0.1:{server.start()}"
    server.stop()


@pytest.mark.integration
def test_a_scorer_gives_the_same_scores(run: Run, scorer: str) -> None:
    """Row by row over HTTP: the margins of the file, missing values included."""
    result = run("rows.parquet", model=("--url", scorer))
    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(frame_of(result.stdout)["margin"], ENGINE.margins(VALUES), rtol=1e-9)


@pytest.mark.integration
def test_a_scorers_refusal_is_told(run: Run, scorer: str, folder: Path) -> None:
    """Rows of another contract are refused by the scorer, field by field."""
    document = card_document()
    (folder / "contract.json").write_text(json.dumps(document))
    names = [column["name"] for column in document["columns"]]
    pl.DataFrame({name: [1.0] for name in names}).write_parquet(folder / "card.parquet")
    assert "422" in refusal(run("card.parquet", model=("--url", scorer)))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nowhere"])
def test_a_scorer_that_is_away_is_told(run: Run, url: str) -> None:
    """No answer names the URL."""
    assert url in refusal(run("rows.parquet", model=("--url", url)))


def customer_contract() -> Contract:
    """Amount, the hour's flag and a customer's window: what transactions alone can give."""
    document = card_document()
    columns = [column for column in document["columns"] if column.get("key") != "terminal"]
    document.update(columns=columns, linear=[columns[0]["name"]], hats=[], ratios=[], pairs=[])
    return documents.parse(Contract, document)


def transactions() -> pl.DataFrame:
    """A bank's own table, newest first, one row without a customer."""
    count = 30
    return pl.DataFrame(
        {
            "id": list(range(count)),
            "client": [row % 4 if row else None for row in range(count)],
            "at": [1_600_000_000 - row * 7_200 for row in range(count)],
            "eur": [float(row) + 0.25 for row in range(count)],
            "shop": [row % 3 for row in range(count)],
            "fraud": [0] * count,
        }
    )


MAPPING = {
    "transaction": "id",
    "customer": "client",
    "time": "at",
    "amount": "eur",
    "entity": "shop",
    "label": "fraud",
    "api": "tacit.rows/v1",
}


def test_raw_transactions_are_scored(run: Run, folder: Path) -> None:
    """With a mapping features are computed, unusable rows are told and left out, and order is that of time."""
    contract = customer_contract()
    lines = tuple(LineTable(c, tuple(np.linspace(-1, 1, one.bins).tolist())) for c, one in enumerate(contract.columns))
    (folder / "contract.json").write_bytes(canonical.encode(contract))
    (folder / "model.json").write_bytes(booster(Ensemble(-1.0, lines), contract))
    (folder / "mapping.yaml").write_text(yaml.safe_dump(MAPPING))
    transactions().write_parquet(folder / "raw.parquet")
    result = run("raw.parquet", "--mapping", "mapping.yaml")
    assert result.exit_code == 0, result.output
    assert "customer" in result.stderr
    assert frame_of(result.stdout)["transaction"].to_list() == list(range(29, 0, -1))


def test_larger_amounts_score_higher(run: Run, folder: Path) -> None:
    """Scores of raw rows are the model's over the computed features."""
    contract = customer_contract()
    rising = LineTable(0, tuple(np.linspace(-3, 3, contract.columns[0].bins).tolist()))
    (folder / "contract.json").write_bytes(canonical.encode(contract))
    (folder / "model.json").write_bytes(booster(Ensemble(0.0, (rising,)), contract))
    (folder / "mapping.yaml").write_text(yaml.safe_dump(MAPPING))
    transactions().write_parquet(folder / "raw.parquet")
    found = frame_of(run("raw.parquet", "--mapping", "mapping.yaml").stdout)
    amounts = np.array([[row + 0.25] for row in found["transaction"]], dtype=np.float32)
    one = documents.parse(Contract, json.loads(canonical.encode(contract)))
    first = np.searchsorted(np.array(one.columns[0].cuts), amounts[:, 0], side="right")
    np.testing.assert_allclose(found["margin"], np.array(rising.values)[first], atol=1e-5)


def test_the_help_has_examples() -> None:
    """The help shows commands to copy."""
    help_text = CliRunner().invoke(subject.app, ["--help"]).output
    assert help_text.count("tacit score ") >= 3
    assert isinstance(subject.app, typer.Typer)
