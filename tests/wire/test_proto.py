"""The committed generated code and the .proto files: drift, lint, and what would break readers in the field."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
BUF = Path(sys.executable).with_name("buf")

pytestmark = pytest.mark.integration


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a command and keeps what it prints."""
    line = [str(part) for part in command]
    return subprocess.run(line, check=False, capture_output=True, text=True, cwd=cwd)  # noqa: S603  this file's own


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the .proto files to change."""
    shutil.copytree(PROTO, tmp_path / "proto")
    return tmp_path / "proto"


def change(folder: Path, name: str, old: str, new: str) -> None:
    """Changes one file of a copy."""
    path = folder / "tacit" / "wire" / "v1" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_generated_code_is_up_to_date() -> None:
    """The committed modules are what the .proto files give."""
    found = run(sys.executable, PROTO / "generate.py", "--check")
    assert found.returncode == 0, found.stdout + found.stderr


def test_drift_is_noticed(copy: Path) -> None:
    """A changed .proto file next to old code fails the check and names the module."""
    shutil.copytree(ROOT / "services" / "tacit" / "wire" / "v1", copy.parent / "services" / "tacit" / "wire" / "v1")
    change(copy, "bank.proto", "bytes boot = 1;", "bytes boot_id = 1;")
    found = run(sys.executable, copy / "generate.py", "--check")
    assert found.returncode == 1
    assert "bank_pb2.py " in found.stdout
    assert "control_pb2" not in found.stdout


def test_lint_and_breaking_checks_pass() -> None:
    """STANDARD and COMMENTS lint, and WIRE_JSON against the released image."""
    found = run(sys.executable, PROTO / "generate.py", "--lint")
    assert found.returncode == 0, found.stdout + found.stderr


def test_missing_comment_fails_lint(copy: Path) -> None:
    """Every element says what it means."""
    change(copy, "bank.proto", "  // Random bytes of this process, 16.\n", "")
    assert "boot" in run(BUF, "lint", cwd=copy).stdout


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("control.proto", "repeated sfixed64 sums = 2;", "repeated sint64 sums = 2;"),
        ("bank.proto", "repeated fixed64 cells = 1;", "repeated fixed64 cells = 2;"),
        ("record.proto", "bytes fence = 10;", "bytes lead = 10;"),
        ("record.proto", "KIND_MASKED = 18;", "KIND_MASKED = 30;"),
    ],
)
def test_breaking_change_is_refused(copy: Path, name: str, old: str, new: str) -> None:
    """Another type, number or name of a released element fails."""
    change(copy, name, old, new)
    assert run(BUF, "breaking", "--against", "released.binpb", cwd=copy).returncode == 100


def test_new_field_is_no_break(copy: Path) -> None:
    """Additive changes pass."""
    change(copy, "bank.proto", "bytes boot = 1;", "bytes boot = 1;\n  // New.\n  bytes extra = 2;")
    assert run(BUF, "breaking", "--against", "released.binpb", cwd=copy).returncode == 0


def test_vectors_are_fixed_width_integers() -> None:
    """No float stands in a bank's messages, so nothing that was noised is rounded."""
    text = (PROTO / "tacit" / "wire" / "v1" / "bank.proto").read_text()
    assert "repeated fixed64 cells = 1;" in text
    assert re.search(r"^\s*(repeated )?(float|double) ", text, re.MULTILINE) is None
