"""`tacit federation`, from the first key to the accepted epoch."""

import io
import sys
from pathlib import Path

import pytest

import wire_cases
from tacit.cli.main import run
from tacit.federation import Manifest, Policy
from tacit.runtime import documents
from tacit.runtime.exit_codes import ExitCode

BANKS = ("ash", "birch", "cedar")
POLICY = f"""\
bank: birch
account: cards
unit: customer
bucket_cap: {{epsilon: "4", delta: "0.00001"}}
lifetime_cap: {{epsilon: "10", delta: "0.0001"}}
contracts: ["{wire_cases.CONTRACT}"]
modes: [distributed]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with everybody's keys and a policy."""
    monkeypatch.chdir(tmp_path)
    for role in ("aggregator", "registry", "operator"):
        assert run(["keys", "new", role, "--out", "keys"]) == 0
    for bank in BANKS:
        assert run(["keys", "new", "bank", "--out", bank]) == 0
        assert run(["keys", "new", "governance", "--out", bank]) == 0
    Path("policy.yaml").write_text(POLICY)
    return tmp_path


def init(*more: str) -> int:
    """Founds a federation of the three banks."""
    command = ["federation", "init", "--federation", "demo", "--contract", wire_cases.CONTRACT]
    command += ["--aggregator", "keys/aggregator.pub", "--registry", "keys/registry.pub"]
    command += ["--operator", "ops=keys/operator.pub"]
    for bank in BANKS:
        command += ["--member", f"id={bank},signing={bank}/bank.pub,governance={bank}/governance.pub"]
    return run([*command, *more])


def sign_all() -> int:
    """Everybody signs at once."""
    signers = ["keys/operator.pem", *(f"{bank}/governance.pem" for bank in BANKS)]
    return init(*(part for signer in signers for part in ("--sign", signer)))


def test_an_epoch_is_founded_signed_and_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way, one signer after another."""
    assert init("--sign", "keys/operator.pem") == 0
    assert "NOT COMPLETE, missing ash, birch, cedar" in capsys.readouterr().out
    for bank in BANKS:
        assert run(["federation", "sign", "federation.yaml", "--sign", f"{bank}/governance.pem"]) == 0
    assert "ash, birch, cedar, ops: complete" in capsys.readouterr().out
    assert run(["federation", "accept", "federation.yaml", "--policy", "policy.yaml", "--yes"]) == 0
    manifest = documents.load(Manifest, Path("federation.yaml"))
    policy = documents.load(Policy, Path("policy.yaml"))
    assert policy.root == f"sha256:{manifest.digest.hex()}"
    assert set(policy.peers) == {"ash", "birch", "cedar"}


def test_options_reach_the_manifest() -> None:
    """Quorums, modes, persons and the file's name."""
    options = ("-t", "3", "-q", "3", "-c", "1", "--mode", "distributed", "--max-banks-per-person", "2")
    assert init(*options, "--out", "first.yaml") == 0
    manifest = documents.load(Manifest, Path("first.yaml"))
    assert (manifest.t, manifest.q, manifest.c) == (3, 3, 1)
    assert (manifest.modes, manifest.max_banks_per_person) == (("distributed",), 2)


def test_init_does_not_overwrite(capsys: pytest.CaptureFixture[str]) -> None:
    """An epoch that others may have signed stays."""
    Path("federation.yaml").write_text("signed")
    assert init() == ExitCode.CANNOT_CREATE
    assert Path("federation.yaml").read_text() == "signed"
    assert "exists" in capsys.readouterr().err


def test_broken_terms_write_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """One message with the rule; no file."""
    assert init("-t", "2", "-c", "1") == ExitCode.DATA
    assert "2t > n + c, with t = 2, n = 3, c = 1" in capsys.readouterr().err
    assert not Path("federation.yaml").exists()


def test_sign_needs_a_key() -> None:
    """A signature of nobody is a wrong call."""
    init()
    assert run(["federation", "sign", "federation.yaml"]) == ExitCode.USAGE


def test_show_prints_the_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    """Terms, warnings and signatures."""
    sign_all()
    capsys.readouterr()
    assert run(["federation", "show", "federation.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "federation demo, epoch 1" in shown
    assert "WARNING" in shown
    assert "complete" in shown


def test_show_of_a_file_that_is_no_epoch_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the file."""
    assert run(["federation", "show", "policy.yaml"]) == ExitCode.DATA
    assert capsys.readouterr().err.startswith("Error: policy.yaml: ")


@pytest.mark.parametrize(
    ("answer", "code"), [("n\n", ExitCode.REFUSED), ("\n", ExitCode.REFUSED), ("y\n", ExitCode.OK)]
)
def test_accept_asks_first(
    answer: str, code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows what will be pinned; anything but yes changes nothing."""
    sign_all()
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert run(["federation", "accept", "federation.yaml", "--policy", "policy.yaml"]) == code
    assert (Path("policy.yaml").read_text() == POLICY) == (code is ExitCode.REFUSED)
    shown = capsys.readouterr().out
    assert "birch pins the root sha256:" in shown
    assert "the keys of ash, birch, cedar" in shown


def test_accept_shows_the_epoch_before_it_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    """A person sees what was offered and why the policy says no."""
    sign_all()
    Path("policy.yaml").write_text(POLICY + "least_c: 2\n")
    capsys.readouterr()
    assert run(["federation", "accept", "federation.yaml", "--policy", "policy.yaml", "--yes"]) == ExitCode.DATA
    shown = capsys.readouterr()
    assert "federation demo, epoch 1" in shown.out
    assert "c = 1: the policy asks for at least 2" in shown.err
    assert "root" not in Path("policy.yaml").read_text()
