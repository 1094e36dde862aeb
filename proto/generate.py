# ruff: noqa: INP001  a script beside the .proto files
"""Generates the Python code of the wire format, or checks that the committed code is what the .proto files give.

Run `python proto/generate.py` after a change of a .proto file, `--check` to compare, `--lint` for buf's lint and its
breaking check against `released.binpb`, `--release` to write that image anew when a version is released.
"""

import argparse
import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
GENERATED = ROOT.parent / "services" / "tacit" / "wire" / "v1"
IMAGE = ROOT / "released.binpb"


def generate(target: Path) -> None:
    """Writes the generated modules below `target`, in the package tacit.wire.v1."""
    sources = sorted(str(path) for path in ROOT.glob("tacit/wire/v1/*.proto"))
    outputs = (f"--python_out={target}", f"--pyi_out={target}")
    run(sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", *outputs, *sources)


def drift() -> list[str]:
    """Names of the generated modules that differ from the committed ones, in either direction."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = Path(folder, "tacit", "wire", "v1")
        names = {path.name for path in [*fresh.glob("*_pb2.py*"), *GENERATED.glob("*_pb2.py*")]}
        _, different, missing = filecmp.cmpfiles(fresh, GENERATED, names, shallow=False)
    return sorted([*different, *missing])


def buf(*arguments: str) -> None:
    """Runs buf, which the development dependencies bring, on the .proto files."""
    program = Path(sys.executable).with_name("buf")
    run(str(program), *arguments, cwd=ROOT)


def run(*command: str, cwd: Path | None = None) -> None:
    """Runs a command and raises CalledProcessError if it fails."""
    subprocess.run(command, check=True, cwd=cwd)  # noqa: S603  the commands are the literals above


def main() -> int:
    """Reads the arguments; 0 when all is well, 1 when the committed code differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name in ("check", "lint", "release"):
        parser.add_argument(f"--{name}", action="store_true")
    chosen = parser.parse_args()
    if chosen.lint:
        buf("lint")
        buf("breaking", "--against", str(IMAGE))
    elif chosen.release:
        buf("build", "-o", str(IMAGE))
    elif chosen.check:
        stale = drift()
        sys.stdout.writelines(f"{name} is not what the .proto files give: run proto/generate.py\n" for name in stale)
        return 1 if stale else 0
    else:
        generate(GENERATED.parents[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
