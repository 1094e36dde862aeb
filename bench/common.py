"""What all benches share: where the data lies, result files, tables."""

import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("TACIT_DATA") or ROOT.parent / "shared" / "data")
PACKAGES = ("numpy", "opendp", "dp-accounting", "polars", "scikit-learn", "xgboost")

EXIT_SKIPPED = 77
"""Exit code of a bench that could not run here; the reason stands on standard error."""


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        figure: What was measured, privacy parameters included.
        value: The figure; the mean where there are repeats.
        unit: Its unit.
        reference: What it is compared with, as text; empty for nothing.
        floor: Least value that counts as reached; None for none.
        ceiling: Largest value that counts as reached; None for none.
        repeats: How many values went in. Noise comes from the operating system, so these are repeats, not seeds.
        spread: Standard deviation over repeats; None for one value.
    """

    figure: str
    value: float
    unit: str
    reference: str = ""
    floor: float | None = None
    ceiling: float | None = None
    repeats: int = 1
    spread: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether floor and ceiling hold; None if there are none. A figure that is not finite reaches nothing."""
        if self.floor is None and self.ceiling is None:
            return None
        low = -math.inf if self.floor is None else self.floor
        high = math.inf if self.ceiling is None else self.ceiling
        return math.isfinite(self.value) and low <= self.value <= high


def repeated(
    figure: str, values: Sequence[float], unit: str, reference: str = "", *, floor: float | None = None
) -> Figure:
    """A figure from repeats: their mean, with the sample standard deviation as spread.

    Raises:
        ValueError: If there are no values.
    """
    if not values:
        raise ValueError(f"{figure}: expected one value or more, got none")
    spread = statistics.stdev(values) if len(values) > 1 else None
    return Figure(figure, statistics.fmean(values), unit, reference, floor, None, len(values), spread)


def need_data(name: str = "handbook.parquet") -> Path:
    """The path of a data file; ends the process with `EXIT_SKIPPED` where it is not there."""
    path = DATA / name
    if not path.exists():
        sys.stderr.write(f"skipped: no {name} in the folder that TACIT_DATA names (default ../shared/data)\n")
        raise SystemExit(EXIT_SKIPPED)
    return path


def table(figures: Sequence[Figure]) -> str:
    """Figures as text, one a line, the reference beside ours."""
    width = max([len("figure"), *(len(item.figure) for item in figures)])
    lines = [f"{'figure':<{width}}  {'ours':>10}  {'sd':>7}  {'n':>3}  {'unit':<8}  reached  reference"]
    for item in figures:
        spread = "" if item.spread is None else f"{item.spread:.4f}"
        mark = {None: "-", True: "yes", False: "NO"}[item.reached]
        lines.append(
            f"{item.figure:<{width}}  {_short(item.value):>10}  {spread:>7}  {item.repeats:>3}  {item.unit:<8}  "
            f"{mark:<7}  {item.reference}"
        )
    return "\n".join(lines)


def _short(value: float) -> str:
    if 0 < abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.4f}" if abs(value) < 100 and not float(value).is_integer() else f"{value:,.0f}"


def machine() -> dict[str, object]:
    """What a figure was measured on."""
    return {
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def write(name: str, figures: Sequence[Figure], folder: Path = RESULTS) -> int:
    """Prints the figures and writes `results/NAME.json`.

    Returns:
        Exit code: 0 if every floor and ceiling holds, else 1.
    """
    command = " ".join(["python", f"bench/{name}.py", *sys.argv[1:]])
    document = {
        "command": command,
        "seeds": "noise is drawn by the operating system: repeats, no seeds",
        "machine": machine(),
        "figures": [{**asdict(item), "reached": item.reached} for item in figures],
    }
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    return 0 if all(item.reached is not False for item in figures) else 1
