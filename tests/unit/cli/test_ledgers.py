"""Where a ledger is found and how it is read: the trainer that runs, else the file; and its text for people."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import cli_cases
from tacit.adapters.journal import JournalError
from tacit.cli import ledgers as subject
from tacit.cli.client import ClientError, ServiceClient
from tacit.cli.ledgers import LedgerError, Source
from tacit.federation import Policy
from tacit.privacy import accounting
from tacit.runtime import documents

URL = "http://127.0.0.1:9"
REPORT: dict[str, Any] = {
    "account": "cards",
    "unit": "customer",
    "delta": "1/100000",
    "lifetime": {"name": "lifetime", "charged_nano": 1_500_000_000, "cap_nano": 4_000_000_001, "epsilon": 1.2345671},
    "buckets": [
        {"name": "*", "charged_nano": 0, "cap_nano": 10**9, "epsilon": 0.0},
        {"name": "2018-05", "charged_nano": 1, "cap_nano": 10**9, "epsilon": 0.0000001},
    ],
    "runs": [],
}
RUN = {
    "run": "ab" * 32,
    "state": "OPEN",
    "epsilon": 0.5,
    "reserved_nano": 3,
    "spent_nano": 2,
    "charged_nano": 1,
    "buckets": ["2018-05", "2018-06"],
}


class Client(ServiceClient):
    """A trainer that answers, or fails, as told."""

    def __init__(self, answer: Any) -> None:  # noqa: ANN401
        super().__init__(URL, service="trainer")
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def call(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401
        """Notes the call."""
        assert options == {}
        self.asked.append((method, path))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def place(tmp_path: Path) -> cli_cases.Federation3:
    """A founded folder."""
    return cli_cases.make(tmp_path / "fed")


@pytest.fixture
def policy(place: cli_cases.Federation3) -> Policy:
    """The policy of bank ash."""
    return documents.load(Policy, place.policy())


@pytest.fixture
def journal(place: cli_cases.Federation3, policy: Policy) -> tuple[Path, Path]:
    """A stopped trainer's journal and its policy."""
    with subject.open_journal(place.journal(), policy):
        pass
    return place.journal(), place.policy()


FILES = (Path("j.sqlite"), Path("p.json"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None, None, None, None, None), "give one of"),
        ((URL, Path("d"), "ash", None, None), "give one of"),
        ((URL, None, None, *FILES), "give one of"),
        ((None, Path("d"), "ash", *FILES), "give one of"),
        ((None, Path("d"), None, None, None), "go together"),
        ((None, None, "ash", None, None), "go together"),
        ((None, None, None, FILES[0], None), "go together"),
        ((URL, None, None, None, FILES[1]), "go together"),
    ],
)
def test_options_that_do_not_name_one_ledger(options: tuple[Any, ...], message: str) -> None:
    """Pairs go together, and one of the three ways is taken."""
    with pytest.raises(LedgerError, match=message):
        subject.source(*options)


def test_a_url_is_a_trainer_alone() -> None:
    """No file can stand in for it."""
    found = subject.source(URL, None, None, None, None)
    assert (found.client is not None and found.client.url, found.journal) == (URL, None)


def test_two_files_are_a_stopped_trainer() -> None:
    """Nobody is asked."""
    assert subject.source(None, None, None, *FILES) == Source(None, FILES)


@pytest.mark.parametrize("running", [True, False])
def test_a_folder_is_both_while_the_trainer_runs(place: cli_cases.Federation3, *, running: bool) -> None:
    """The bank's own port, and its own files."""
    place.folder.ports.write_text('{"ash.bank": 9, "elm.bank": 8}' if running else '{"elm.bank": 8}')
    found = subject.source(None, place.path, "ash", None, None)
    assert (found.client.url if found.client else None) == (URL if running else None)
    assert found.journal == (place.journal(), place.policy())


def test_a_trainer_that_answers_is_believed() -> None:
    """Each question has its path; the file is not opened."""
    client = Client({"faults": ["one"], "path": "/bank/copy"})
    found = Source(client, FILES)
    assert subject.report(found) == client.answer
    assert subject.faults(found) == ["one"]
    assert subject.backup(found, "copy", None) == "/bank/copy"
    assert client.asked == [
        ("GET", "/v1/ledger"),
        ("GET", "/v1/ledger/faults"),
        ("POST", "/v1/ledger/backups/copy"),
    ]


def test_a_refusal_is_not_worked_around(journal: tuple[Path, Path]) -> None:
    """A trainer that says no has the last word, though its file is there."""
    found = Source(Client(ClientError("refused (403): no")), journal)
    for ask in (subject.report, subject.faults, lambda found: subject.backup(found, "copy", None)):
        with pytest.raises(ClientError, match="refused"):
            ask(found)


def test_the_file_of_a_stopped_trainer(journal: tuple[Path, Path], policy: Policy) -> None:
    """Nothing is charged yet; caps are the policy's; every record is whole."""
    found = Source(None, journal)
    report = subject.report(found)
    assert (report["account"], report["runs"]) == (policy.account, [])
    assert report["lifetime"]["charged_nano"] == 0
    assert report["lifetime"]["cap_nano"] == accounting.cap_nano(policy.lifetime_cap.epsilon, policy.lifetime_cap.delta)
    assert Fraction(report["delta"]) == policy.lifetime_cap.delta
    assert subject.faults(found) == []


def test_a_journal_that_was_lost_is_not_made(place: cli_cases.Federation3) -> None:
    """The command that makes it again is named."""
    with pytest.raises(LedgerError, match="made again by `tacit ledger rebuild`"):
        subject.report(Source(None, (place.journal(), place.policy())))
    assert not place.journal().exists()


def test_no_trainer_and_no_file() -> None:
    """There is nothing to open."""
    with pytest.raises(LedgerError, match="give --journal FILE and --policy FILE"), subject.opened(Source(None, None)):
        pass


def test_a_journal_is_closed_whatever_happens(place: cli_cases.Federation3, policy: Policy) -> None:
    """So that the next one can open it."""
    with pytest.raises(ValueError, match="inside"), subject.open_journal(place.journal(), policy):
        raise ValueError("inside")
    with subject.open_journal(place.journal(), policy) as journal:
        assert journal.position().seq == 1


def test_two_processes_never_share_a_journal(place: cli_cases.Federation3, policy: Policy) -> None:
    """The second is told to stop the trainer."""
    with (
        subject.open_journal(place.journal(), policy),
        pytest.raises(JournalError) as told,
        subject.open_journal(place.journal(), policy),
    ):
        pass
    assert any("stop the trainer first" in note for note in told.value.__notes__)


def test_a_backup_goes_beside_the_journal_or_where_told(journal: tuple[Path, Path], tmp_path: Path) -> None:
    """The folder is made; nobody else may look into it; a file is never overwritten."""
    found = Source(None, journal)
    beside = Path(subject.backup(found, "copy.sqlite", None))
    assert beside == journal[0].parent / "backups" / "copy.sqlite"
    assert beside.stat().st_size > 0
    assert beside.parent.stat().st_mode & 0o077 == 0
    told = tmp_path / "deep" / "copy.sqlite"
    assert subject.backup(found, "ignored", told) == str(told)
    with pytest.raises(JournalError):
        subject.backup(found, "copy.sqlite", None)


def test_out_is_never_asked_of_a_running_trainer() -> None:
    """It writes beside its journal only."""
    client = Client({"path": "x"})
    with pytest.raises(LedgerError, match="--out needs the journal's file"):
        subject.backup(Source(client, None), "copy", Path("out"))
    assert client.asked == []


def test_a_ledger_for_people() -> None:
    """Lifetime first, then months; charged, cap and what is left; epsilon rounded up."""
    lines = subject.render(REPORT).splitlines()
    assert lines[0] == "account    cards: epsilon at delta 0.00001, adding or removing one customer"
    assert lines[2].split() == ["lifetime", "1.234568", "1.500000000", "4.000000001", "2.500000001"]
    assert lines[3].startswith("all months ")
    assert lines[4].split() == ["2018-05", "0.000001", "0.000000001", "1.000000000", "0.999999999"]
    assert len(lines) == 5


@pytest.mark.parametrize(("run", "name"), [("ab" * 32, "abababababab"), ("", "(gap)")])
def test_runs_are_listed_if_there_are_any(run: str, name: str) -> None:
    """By the beginning of their id; a gap has none."""
    row = subject.render({**REPORT, "runs": [{**RUN, "run": run}]}).splitlines()[-1]
    assert row.split() == [
        name,
        "OPEN",
        "0.500000",
        "0.000000003",
        "0.000000002",
        "0.000000001",
        "2018-05,",
        "2018-06",
    ]
