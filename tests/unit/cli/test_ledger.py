"""`tacit ledger`: the running trainer is asked, a stopped one's file is opened, and both exits work from files."""

import datetime as dt
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from cli_cases import CONTRACT, Federation3, answers, make, serving
from tacit.cli import ledgers, planning
from tacit.cli.main import run
from tacit.federation import Policy
from tacit.rounds.ledger import RunState
from tacit.rounds.plan import Plan
from tacit.rounds.types import Kind
from tacit.runtime import documents
from tacit.runtime.exit_codes import ExitCode
from tacit.wire import topics

TOPIC = topics.bank(topics.DEFAULT_PREFIX, "ash").name
REPORT = {
    "account": "cards",
    "unit": "customer",
    "delta": "1/100000",
    "lifetime": {"name": "lifetime", "charged_nano": 4, "cap_nano": 10, "epsilon": 0.1234561},
    "buckets": [{"name": "*", "charged_nano": 4, "cap_nano": 10, "epsilon": 0.5}],
    "runs": [],
}


@pytest.fixture
def place(tmp_path: Path) -> Federation3:
    """A founded folder."""
    return make(tmp_path / "fed")


@pytest.fixture
def plan(place: Federation3) -> Plan:
    """A plan of it."""
    wish = planning.Wish(end=None)
    return planning.read(planning.new(wish, place.manifest, place.contract, dt.date(2018, 9, 1)).encode())


def ledger(place: Federation3, command: str, *more: str) -> int:
    """A command for bank ash of a folder."""
    return run(["ledger", command, "--dir", str(place.path), "--bank", "ash", *more])


def charged(place: Federation3) -> int:
    """Nano-rho charged to the account."""
    with ledgers.open_journal(place.journal(), documents.load(Policy, place.policy())) as journal:
        return journal.ledger().lifetime.charged_nano


def kinds(place: Federation3) -> list[str]:
    """What stands on the bank's topic."""
    settings = place.folder.settings("trainer-ash")
    with ledgers.bench(settings, place.folder.governance_key("ash"), None) as bench:
        return [record.header.kind.name for record in bench.findings().own]


@pytest.fixture
def held(place: Federation3) -> Iterator[None]:
    """The journal in use by a trainer."""
    with ledgers.open_journal(place.journal(), documents.load(Policy, place.policy())):
        yield


def test_the_running_trainer_is_asked(place: Federation3, capsys: pytest.CaptureFixture[str]) -> None:
    """By folder or URL, for machines as it says; epsilon is rounded up."""
    with serving(answers({"/v1/ledger": REPORT}), place.folder, "ash.bank") as url:
        assert ledger(place, "show") == 0
        shown = capsys.readouterr().out
        assert run(["ledger", "show", "--url", url, "--json"]) == 0
    assert "epsilon at delta 0.00001" in shown
    assert "0.123457" in shown
    assert "all months" in shown
    assert json.loads(capsys.readouterr().out) == REPORT


def test_a_stopped_trainers_file_is_opened(place: Federation3, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """By folder, by files, and where a port is left over from a killed process."""
    found = place.run(plan)
    place.folder.ports.write_text('{"ash.bank": 1}')
    assert ledger(place, "show") == 0
    assert found.hex()[:12] in capsys.readouterr().out
    files = ["--journal", str(place.journal()), "--policy", str(place.policy())]
    assert run(["ledger", "show", *files, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["runs"][0]["run"] == found.hex()
    assert Fraction(report["delta"]) == Fraction(1, 10**5)


def test_a_journal_in_use_says_what_to_do(place: Federation3, held: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Stop the trainer, or ask its port."""
    assert ledger(place, "show") == ExitCode.REFUSED
    assert ledger(place, "resume") == ExitCode.REFUSED
    assert ledger(place, "rebuild", "--yes") == ExitCode.REFUSED
    assert capsys.readouterr().err.count("stop the trainer first") == 3


def test_verify_finds_a_changed_journal(place: Federation3, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole, then with one byte of an amount changed."""
    place.run(plan)
    assert ledger(place, "verify") == 0
    assert "whole" in capsys.readouterr().out
    content = place.journal().read_bytes()
    place.journal().write_bytes(content.replace(b'"rho_nano":', b'"rho_nanO":', 1))
    assert ledger(place, "verify") == ExitCode.REFUSED
    assert "was changed" in capsys.readouterr().err


def test_verify_reports_what_the_trainer_finds(capsys: pytest.CaptureFixture[str]) -> None:
    """Its words, and exit code 1."""
    with serving(answers({"/v1/ledger/faults": {"faults": ["entry 3: was changed"]}})) as url:
        assert run(["ledger", "verify", "--url", url]) == ExitCode.REFUSED
        assert capsys.readouterr().out == "entry 3: was changed\n"
        assert run(["ledger", "verify", "--url", url, "--json"]) == ExitCode.REFUSED
    assert json.loads(capsys.readouterr().out) == {"faults": ["entry 3: was changed"]}


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--dir", "x"],
        ["--journal", "j"],
        ["--url", "http://127.0.0.1:1", "--journal", "j", "--policy", "p"],
    ],
)
def test_one_ledger_is_named(options: list[str]) -> None:
    """Options that do not name one are a wrong call."""
    assert run(["ledger", "show", *options]) == ExitCode.USAGE


def test_a_file_that_is_not_there_is_not_made(place: Federation3, capsys: pytest.CaptureFixture[str]) -> None:
    """Showing a lost journal must not start an empty one."""
    assert ledger(place, "show") == ExitCode.USAGE
    assert ledger(place, "resume") == ExitCode.USAGE
    assert capsys.readouterr().err.count("tacit ledger rebuild") == 2
    assert not place.journal().exists()


def test_a_trainer_that_refuses_is_not_worked_around(place: Federation3, plan: Plan) -> None:
    """Only a stopped one's file is opened."""
    place.run(plan)
    with serving(answers({}), place.folder, "ash.bank"):
        assert ledger(place, "show") == ExitCode.UNAVAILABLE


def test_a_backup_is_written_once(place: Federation3, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the journal, or where told; never over a file."""
    place.run(plan)
    assert ledger(place, "backup") == 0
    assert Path(capsys.readouterr().out.strip()).parent == place.journal().parent / "backups"
    out = place.path / "copy" / "ash.sqlite"
    assert ledger(place, "backup", "--out", str(out)) == 0
    before = out.read_bytes()
    assert ledger(place, "backup", "--out", str(out)) == ExitCode.REFUSED
    assert out.read_bytes() == before


def test_out_needs_the_file() -> None:
    """A running trainer writes only beside its journal."""
    with serving(answers({})) as url:
        assert run(["ledger", "backup", "--url", url, "--out", "x.sqlite"]) == ExitCode.USAGE


def test_resume_after_a_lost_topic(place: Federation3, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """The new topic begins with RESUME; nothing is charged."""
    place.run(plan)
    before = charged(place)
    place.folder.log.unlink()
    assert ledger(place, "resume") == 0
    assert f"RESUME is record 2 of {TOPIC}; nothing was charged" in capsys.readouterr().out
    assert kinds(place) == [Kind.RESUME.name]
    assert charged(place) == before > 0


def test_rebuild_after_a_lost_journal(place: Federation3, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """Says what it charges, charges it, and the run is left for ever."""
    found = place.run(plan)
    before = charged(place)
    place.journal().unlink()
    assert ledger(place, "rebuild", "--yes") == 0
    shown = capsys.readouterr().out
    assert f"run {found.hex()[:12]}: rho {before / 10**9:.9f} in 2018-04" in shown
    assert "WHOLE ACCOUNT" not in shown
    assert charged(place) == before
    assert kinds(place) == ["JOIN", "RESUME"]
    with ledgers.open_journal(place.journal(), documents.load(Policy, place.policy())) as journal:
        assert journal.state(found) is RunState.LEFT


def test_rebuild_asks_first(place: Federation3, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """No writes nothing, neither journal nor topic."""
    place.run(plan)
    place.journal().unlink()
    monkeypatch.setattr("typer.confirm", lambda _: False)
    assert ledger(place, "rebuild") == ExitCode.REFUSED
    assert not place.journal().exists()
    assert kinds(place) == ["JOIN"]


def test_rebuild_refuses_the_old_file_with_the_command(
    place: Federation3, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole or damaged, it is kept, and moved by a hand."""
    place.run(plan)
    file = place.journal()
    assert ledger(place, "rebuild", "--yes") == ExitCode.USAGE
    assert f"mv {file} {file}.old" in capsys.readouterr().err
    file.write_bytes(file.read_bytes().replace(b'"rho_nano":', b'"rho_nanO":', 1))
    assert ledger(place, "rebuild", "--yes") == ExitCode.REFUSED
    assert f"mv {file} {file}.old" in capsys.readouterr().err


def test_rebuild_of_nothing_needs_the_cap(place: Federation3, capsys: pytest.CaptureFixture[str]) -> None:
    """Journal and topic lost: only the whole account is safe, and it has to be said."""
    assert ledger(place, "rebuild", "--yes") == ExitCode.REFUSED
    assert "--charge-to-cap" in capsys.readouterr().err
    assert ledger(place, "rebuild", "--yes", "--charge-to-cap") == 0
    assert "THE WHOLE ACCOUNT" in capsys.readouterr().out
    with ledgers.open_journal(place.journal(), documents.load(Policy, place.policy())) as journal:
        assert journal.ledger().lifetime.left_nano <= 0


def test_rebuild_names_a_missing_contract(place: Federation3, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """The operator puts it back and runs the command again."""
    place.run(plan)
    place.journal().unlink()
    contract = place.folder.contracts / "contract.json"
    kept = contract.read_bytes()
    contract.unlink()
    other = (CONTRACT.parent / "card-feed.yaml").read_text()
    (place.folder.contracts / "other.yaml").write_text(other)
    assert ledger(place, "rebuild", "--yes") == ExitCode.REFUSED
    assert plan.contract in capsys.readouterr().err
    contract.write_bytes(kept)
    assert ledger(place, "rebuild", "--yes") == 0


def test_records_of_an_earlier_epoch_count(place: Federation3, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """The trainer's own settings name the epochs before the one in force."""
    place.run(plan)
    place.journal().unlink()
    place.move_on("trainer-ash")
    assert ledger(place, "rebuild", "--yes") == 0
    assert "could not be read" not in capsys.readouterr().out
    assert kinds(place) == ["JOIN", "RESUME"]
    assert charged(place) > 0


def test_epochs_and_the_record_key_have_to_be_accepted(
    place: Federation3, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    """Epoch 2 without epoch 1, or another's record key: nothing is opened."""
    place.run(plan)
    place.folder.key("ash").write_bytes(place.folder.key("elm").read_bytes())
    assert ledger(place, "resume") == ExitCode.DATA
    assert "the manifest names" in capsys.readouterr().err
    place.move_on()
    assert ledger(place, "resume") == ExitCode.DATA


def test_the_governance_key_has_to_be_the_banks(
    place: Federation3, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another member's is refused before anything is read; without a folder both files are needed."""
    place.run(plan)
    assert ledger(place, "resume", "--governance-key", str(place.folder.governance_key("elm"))) == ExitCode.REFUSED
    assert "governance key is ed25519:" in capsys.readouterr().err
    assert run(["ledger", "resume", "--settings", str(place.folder.settings("trainer-ash"))]) == ExitCode.USAGE
    assert run(["ledger", "resume", "--dir", str(place.path)]) == ExitCode.USAGE
