"""Cost of one run of the default plan with five banks, as processes, on the embedded log and on a real Kafka broker.

Usage: python bench/run_cost.py [embedded] [kafka]
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import EXIT_SKIPPED, Figure, write

LOGS = ("embedded", "kafka")
SECONDS = 900
DEMO_SECONDS = 60.0
VECTOR_BYTES = 20_000.0


def summary(log: str) -> Mapping[str, Any] | str:
    """Runs `tacit demo` and reads its summary; the last lines of its output where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        command = [sys.executable, "-m", "tacit.cli", "demo", "--log", log, "--out", str(out)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603  own code
        except subprocess.TimeoutExpired:
            return f"no end within {SECONDS} s"
        if done.returncode:
            return f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}"
        document: Mapping[str, Any] = json.loads((out / "summary.json").read_text("utf-8"))
        return document


def figures(log: str, found: Mapping[str, Any]) -> list[Figure]:
    """Wall, CPU and bytes of one run."""
    privacy, wall, sizes = found["privacy"], found["wall_seconds"], found["bytes_per_bank"]
    run = f"{log}, 5 banks, eps {privacy['epsilon']}, {privacy['mode']}, {privacy['rounds']} rounds"
    ceiling = DEMO_SECONDS if log == "embedded" else None
    made = [
        Figure(f"{run}: wall, whole demo", wall["total"], "s", "<= 60 on an idle machine", ceiling=ceiling),
        Figure(f"{run}: wall, training", wall["train"], "s"),
        Figure(f"{run}: vectors a bank", sizes["vectors"], "bytes", "<= 20,000", ceiling=VECTOR_BYTES),
        Figure(f"{run}: all bytes a bank", sizes["all"], "bytes"),
    ]
    if found["cpu_seconds_per_round"] is not None:
        made.append(Figure(f"{run}: CPU a round, all processes", found["cpu_seconds_per_round"], "CPU s"))
    return made


def main() -> int:
    """Measures the logs that are named, by default both."""
    found: list[Figure] = []
    failed: dict[str, str] = {}
    for log in sys.argv[1:] or LOGS:
        answer = summary(log)
        if isinstance(answer, str):
            failed[log] = answer
        else:
            found += figures(log, answer)
    for log, reason in failed.items():
        sys.stderr.write(f"{log}: {reason}\n")
    code = write("run_cost", found) if found else EXIT_SKIPPED
    return 1 if failed and found else code


if __name__ == "__main__":
    sys.exit(main())
