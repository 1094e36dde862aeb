"""`make check`: every gate that needs no running system; prints each and fails if any fails."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ["services", "tests", "bench", "proto", "docs"]
GATES: dict[str, list[str]] = {
    "ruff": ["ruff", "check", "--quiet", *FOLDERS],
    "format": ["ruff", "format", "--quiet", "--check", *FOLDERS],
    "types": ["mypy", "services"],
    "layers": ["lint-imports", "--no-cache"],
    "wire drift": ["python", "proto/generate.py", "--check"],
    "wire lint": ["python", "proto/generate.py", "--lint"],
    "shape": ["python", "tests/shape.py"],
    "documents": ["python", "tests/documents.py"],
}


def main() -> int:
    """Runs every gate; the number of failed ones."""
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": "services", "PATH": f"{folder}:{os.environ['PATH']}"}
    failed = 0
    for name, command in GATES.items():
        began = time.monotonic()
        done = subprocess.run(  # noqa: S603  the table above
            [str(folder / command[0]), *command[1:]],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        verdict = "ok" if done.returncode == 0 else "FAILED"
        print(f"{name:12} {verdict:7} {time.monotonic() - began:5.1f} s", flush=True)  # noqa: T201  a command
        if done.returncode != 0:
            failed += 1
            print(done.stdout + done.stderr, flush=True)  # noqa: T201  a command
    return failed


if __name__ == "__main__":
    sys.exit(main())
