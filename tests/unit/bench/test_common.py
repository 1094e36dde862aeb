"""Figures of benches: when one counts as reached, and what is written."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Load = Callable[[str], ModuleType]


@pytest.fixture
def common(bench: Load) -> Any:  # noqa: ANN401  a module
    """The module under test."""
    return bench("common")


@pytest.mark.parametrize(
    ("value", "floor", "ceiling", "reached"),
    [
        (0.5, None, None, None),
        (0.62, 0.62, None, True),
        (0.6199, 0.62, None, False),
        (8.0, None, 8.0, True),
        (8.1, None, 8.0, False),
        (0.0, None, 0.0, True),
        (math.nan, 0.0, None, False),
        (math.inf, 0.0, None, False),
    ],
)
def test_reached(common: Any, value: float, floor: float | None, ceiling: float | None, reached: bool | None) -> None:  # noqa: ANN401
    """Bounds are inclusive; what is not finite reaches nothing; no bound, no verdict."""
    assert common.Figure("f", value, "u", floor=floor, ceiling=ceiling).reached is reached


def test_repeats_give_mean_and_sample_deviation(common: Any) -> None:  # noqa: ANN401
    """Three values: mean 2, standard deviation 1 (n - 1)."""
    made = common.repeated("f", [1.0, 2.0, 3.0], "u", floor=2.0)
    assert (made.value, made.spread, made.repeats, made.reached) == (2.0, 1.0, 3, True)


def test_one_repeat_has_no_spread(common: Any) -> None:  # noqa: ANN401
    """One value says nothing of spread; none is refused."""
    assert common.repeated("f", [1.0], "u").spread is None
    with pytest.raises(ValueError, match="one value or more"):
        common.repeated("f", [], "u")


@pytest.mark.parametrize(("value", "code"), [(1.0, 0), (0.1, 1)])
def test_results_are_written_with_the_verdict(common: Any, tmp_path: Path, value: float, code: int) -> None:  # noqa: ANN401
    """The file holds figure, verdict, machine and versions; the exit code says whether all was reached."""
    figures = [common.Figure("free", 3.0, "u"), common.Figure("bound", value, "u", "ref", floor=0.5)]
    assert common.write("name", figures, tmp_path) == code
    written = json.loads((tmp_path / "name.json").read_text("utf-8"))
    assert [item["reached"] for item in written["figures"]] == [None, code == 0]
    assert written["machine"]["versions"]["numpy"]
    assert written["command"].startswith("python bench/name.py")


def test_the_table_has_the_reference_beside_the_figure(common: Any) -> None:  # noqa: ANN401
    """One line a figure, with verdict and reference; tiny values keep their size."""
    text = common.table([common.Figure("small", 2.5e-7, "margin", "<= 1e-5", ceiling=1e-5)])
    assert text.splitlines()[1].split() == ["small", "2.5e-07", "1", "margin", "yes", "<=", "1e-5"]


def test_missing_data_ends_with_the_reason(
    common: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bench without data says so and exits with the code for skipped."""
    monkeypatch.setattr(common, "DATA", tmp_path)
    with pytest.raises(SystemExit) as ended:
        common.need_data("some.parquet")
    assert ended.value.code == common.EXIT_SKIPPED
    assert "no some.parquet" in capsys.readouterr().err
    (tmp_path / "some.parquet").touch()
    assert common.need_data("some.parquet") == tmp_path / "some.parquet"
