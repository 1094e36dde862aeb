"""Runs every bench, one after the other, and prints each one's table beside its reference figures.

Usage: python bench/run.py [NAME ...]

Each bench writes bench/results/NAME.json. A bench whose data is not there is skipped, and the end says so.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from common import EXIT_SKIPPED, ROOT

BENCHES = ("exactness", "cost", "quality_week", "handbook", "run_cost")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
STATES: Mapping[int, str] = {0: "reached", EXIT_SKIPPED: "skipped"}


def environment() -> dict[str, str]:
    """One thread a library, so that CPU seconds are those of one core, and the product on the path."""
    paths = [str(ROOT / "services"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONPATH": os.pathsep.join(paths)}


def run(name: str) -> tuple[str, float]:
    """Runs one bench; returns how it ended and its wall seconds."""
    print(f"\n== {name}", flush=True)
    begun = time.perf_counter()
    command = [sys.executable, str(ROOT / "bench" / f"{name}.py")]
    done = subprocess.run(command, env=environment(), check=False)  # noqa: S603  own code
    return STATES.get(done.returncode, f"NOT reached or failed (exit {done.returncode})"), time.perf_counter() - begun


def main(names: Sequence[str]) -> int:
    """Runs the benches that are named, by default all.

    Returns:
        0 if all ran and reached their figures or were skipped for want of data, 2 for an unknown name, else 1.
    """
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.stderr.write(f"no bench {', '.join(unknown)}; benches are {', '.join(BENCHES)}\n")
        return 2
    ended = {name: run(name) for name in names or BENCHES}
    print("\n== summary")
    for name, (state, seconds) in ended.items():
        print(f"{name:<14}{state}, {seconds:.0f} s")
    return 0 if all(state in STATES.values() for state, _ in ended.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
