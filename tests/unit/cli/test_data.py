"""`tacit data`: a made-up table fits, a wrong one is told, and files are never overwritten."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

from cli_cases import CONTRACT
from tacit.cli.main import run
from tacit.runtime.exit_codes import ExitCode


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated bank."""
    folder = tmp_path_factory.mktemp("generated")
    assert run(["data", "generate", "--out", str(folder), "--bank", "ash=20", "--days", "50", "--seed", "3"]) == 0
    return folder / "ash"


def check(folder: Path, *more: str) -> int:
    """Checks a folder's rows."""
    files = ["--mapping", str(folder / "mapping.yaml"), "--data", str(folder / "data")]
    return run(["data", "check", *files, "--contract", str(CONTRACT), *more])


def test_generated_rows_fit(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the product makes, the product takes."""
    assert check(rows) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "verdict    fits" in shown
    assert "t_risk30" in shown


def test_json_holds_the_report(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Machines read the verdict and every column."""
    assert check(rows, "--json") == ExitCode.OK
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["customers"] == 20
    assert len(report["columns"]) == 15


def test_rows_that_do_not_fit_are_told_and_counted_in_the_exit_code(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mapping that names a wrong column gets a suggestion."""
    mapping = yaml.safe_load((rows / "mapping.yaml").read_text()) | {"amount": "amuont"}
    (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    (tmp_path / "data").symlink_to(rows / "data")
    assert check(tmp_path) == ExitCode.REFUSED
    assert "did you mean 'amount'?" in capsys.readouterr().out


def test_equal_seeds_give_equal_rows(rows: Path, tmp_path: Path) -> None:
    """And another seed gives others."""
    options = ["--bank", "ash=20", "--days", "50"]
    assert run(["data", "generate", "--out", str(tmp_path / "same"), "--seed", "3", *options]) == 0
    assert run(["data", "generate", "--out", str(tmp_path / "other"), "--seed", "4", *options]) == 0
    first, same, other = (
        pl.read_parquet(folder / "data" / "transactions.parquet")
        for folder in (rows, tmp_path / "same" / "ash", tmp_path / "other" / "ash")
    )
    assert first.equals(same)
    assert not first.equals(other)


def test_a_bank_that_exists_is_not_overwritten(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Real rows may lie there."""
    before = (rows / "data" / "transactions.parquet").read_bytes()
    assert run(["data", "generate", "--out", str(rows.parent), "--bank", "ash=1"]) == ExitCode.CANNOT_CREATE
    assert f"{rows} exists" in capsys.readouterr().err
    assert (rows / "data" / "transactions.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--bank", "ash"], "expected NAME=CUSTOMERS"),
        (["--bank", "ash=many"], "whole number of customers"),
        (["--days", "0"], "World.days"),
        (["--seed", "-1"], "World.seed"),
    ],
)
def test_wrong_worlds_are_usage_errors(
    tmp_path: Path, options: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the option or the range."""
    assert run(["data", "generate", "--out", str(tmp_path), *options]) == ExitCode.USAGE
    assert named in " ".join(capsys.readouterr().err.split())


def test_a_feed_needs_a_name_and_a_file(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One without '=' is a usage error, a missing file a fault of the data."""
    assert check(rows, "--feed", "network") == ExitCode.USAGE
    assert "NAME=FILE" in capsys.readouterr().err
    assert check(rows, "--feed", f"network={rows / 'none.parquet'}") == ExitCode.DATA
