"""`tacit keys`."""

from pathlib import Path

import pytest

from tacit.cli.main import run
from tacit.federation import fingerprint, verify
from tacit.runtime.exit_codes import ExitCode
from tacit.wire.keys import SigningKey


@pytest.mark.parametrize("role", ["governance", "operator", "aggregator", "registry", "bank"])
def test_new_writes_a_pair_that_fits(tmp_path: Path, role: str) -> None:
    """The public file verifies what the private one signs; only its owner reads the secret."""
    folder = tmp_path / "a" / "b"
    assert run(["keys", "new", role, "--out", str(folder)]) == 0
    private = folder / f"{role}.pem"
    public = (folder / f"{role}.pub").read_text()
    assert private.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert public.endswith("\n")
    assert verify(public.strip(), SigningKey.load(private).sign(b"x"), b"x")


@pytest.mark.parametrize("suffix", ["pem", "pub"])
def test_new_never_overwrites(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Either file is enough to stop; nothing is written."""
    old = tmp_path / f"bank.{suffix}"
    old.write_text("precious")
    assert run(["keys", "new", "bank", "--out", str(tmp_path)]) == ExitCode.CANNOT_CREATE
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_text() == "precious"
    assert f"{old} exists" in capsys.readouterr().err


def test_new_knows_the_roles(tmp_path: Path) -> None:
    """Another word is a wrong call."""
    assert run(["keys", "new", "director", "--out", str(tmp_path)]) == ExitCode.USAGE


@pytest.mark.parametrize("suffix", ["pem", "pub"])
def test_show_prints_public_half_and_fingerprint(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both files of a pair give the same answer, and never the secret."""
    run(["keys", "new", "bank", "--out", str(tmp_path)])
    key = (tmp_path / "bank.pub").read_text().strip()
    capsys.readouterr()
    assert run(["keys", "show", str(tmp_path / f"bank.{suffix}")]) == 0
    shown = capsys.readouterr().out
    assert key in shown
    assert fingerprint(key) in shown
    assert (tmp_path / "bank.pem").read_text().splitlines()[1] not in shown


def test_show_refuses_what_is_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One message that names the file."""
    file = tmp_path / "x.pub"
    file.write_text("ed25519:12")
    assert run(["keys", "show", str(file)]) == ExitCode.DATA
    assert capsys.readouterr().err == f"Error: {file} holds no public key: expected ed25519:<64 hex digits>\n"
