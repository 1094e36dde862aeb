"""`tacit demo`: options reach the demo as they were meant, and wrong ones are refused before anything is made."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tacit.cli import demo_run
from tacit.cli.demo_data import Source
from tacit.cli.demo_stage import Wish
from tacit.cli.main import run
from tacit.privacy.types import Mode
from tacit.runtime.exit_codes import ExitCode


@pytest.fixture
def wishes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Wish]:
    """What reaches the demo, which does not run; the working folder is empty."""
    made: list[Wish] = []
    monkeypatch.setattr(demo_run, "run", made.append)
    monkeypatch.chdir(tmp_path)
    return made


def test_no_option_is_the_default_demo(wishes: list[Wish]) -> None:
    """Generated data, embedded log, epsilon 1, mode local, seed 0, a folder by the time."""
    assert run(["demo"]) == 0
    folder = wishes[0].folder
    expected = Wish(None, None, kafka=False, epsilon=Fraction(1), mode=Mode.LOCAL, seed=0, folder=folder)
    assert wishes == [expected]
    assert re.fullmatch(r"runs/demo-\d{8}-\d{6}", folder.as_posix())


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (["--epsilon", "0.5"], "epsilon", Fraction(1, 2)),
        (["--seed", "7"], "seed", 7),
        (["--log", "kafka"], "kafka", True),
        (["--log", "embedded"], "kafka", False),
        (["--out", "there"], "folder", Path("there")),
        (["--feed", "feed.parquet"], "feed", Path("feed.parquet")),
        (["--mode", "local"], "mode", Mode.LOCAL),
    ],
)
def test_an_option_is_passed_on(wishes: list[Wish], options: list[str], field: str, value: Any) -> None:  # noqa: ANN401
    """Read exactly."""
    assert run(["demo", *options]) == 0
    assert getattr(wishes[0], field) == value


def test_real_input_is_passed_on(wishes: list[Wish], tmp_path: Path) -> None:
    """Three options that go together."""
    for name in ("cards.parquet", "mapping.yaml"):
        (tmp_path / name).touch()
    options = ["--data", "cards.parquet", "--mapping", "mapping.yaml", "--banks", "c.parquet:BANK"]
    assert run(["demo", *options]) == 0
    assert wishes[0].source == Source(Path("cards.parquet"), Path("mapping.yaml"), "c.parquet:BANK")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epsilon", "0"], "epsilon = 0: expected a number above 0 and at most 64"),
        (["--epsilon", "x"], "epsilon = x"),
        (["--mode", "distributed"], "secure aggregation"),
        (["--mode", "both"], "mode = 'both': expected local or distributed"),
        (["--banks", "c.parquet:BANK"], "--data, --mapping and --banks go together"),
        (["--data", "a", "--mapping", "b", "--banks", "c:d"], "a does not exist"),
        (["--seed", "-1"], "'--seed': Input should be greater than or equal to 0"),
        (["--log", "paper"], "paper"),
        (["--colour"], "--colour"),
    ],
)
def test_wrong_options_are_refused(
    wishes: list[Wish], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    """With the value; nothing runs and nothing is made."""
    assert run(["demo", *options]) not in {ExitCode.OK, ExitCode.FATAL}
    assert message in capsys.readouterr().err
    assert wishes == []
    assert list(tmp_path.iterdir()) == []
