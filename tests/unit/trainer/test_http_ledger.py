"""The journal's questions on the bank-only port: whole or not, and copies under safe names."""

import threading
from http import HTTPStatus
from pathlib import Path

import pytest
from fastapi import FastAPI

from asgi_client import AsgiClient
from journal_cases import Bank, open_journal
from tacit.rounds.ledger import JournalError
from tacit.trainer.http_ledger import add_ledger


class Watched:
    """A journal that must be asked under the lock."""

    def __init__(self, lock: threading.Lock, faults: list[str]) -> None:
        self.lock, self.faults, self.copies = lock, faults, list[Path]()

    def verify(self) -> list[str]:
        """The faults."""
        assert self.lock.locked()
        return self.faults

    def backup(self, path: Path) -> None:
        """Refuses a second copy of a name."""
        assert self.lock.locked()
        if path in self.copies:
            raise JournalError(f"{path} exists")
        self.copies.append(path)


@pytest.fixture
def journal() -> Watched:
    """A journal with a fault."""
    return Watched(threading.Lock(), ["entry 3: was changed"])


@pytest.fixture
def client(journal: Watched, tmp_path: Path) -> AsgiClient:
    """The port."""
    app = FastAPI()
    add_ledger(app, journal, journal.lock, tmp_path)
    return AsgiClient(app)


def test_faults_are_the_journals(client: AsgiClient) -> None:
    """In its words."""
    assert client.get("/v1/ledger/faults").json() == {"faults": ["entry 3: was changed"]}


def test_a_copy_lies_in_its_folder(client: AsgiClient, journal: Watched, tmp_path: Path) -> None:
    """Which is made for the bank's user alone."""
    answer = client.post("/v1/ledger/backups/a.sqlite")
    assert answer.status_code == HTTPStatus.CREATED
    assert journal.copies == [tmp_path / "backups" / "a.sqlite"]
    assert answer.json() == {"path": str(journal.copies[0])}
    assert (tmp_path / "backups").stat().st_mode & 0o077 == 0


def test_a_second_copy_of_a_name_is_a_conflict(client: AsgiClient) -> None:
    """With the journal's reason."""
    client.post("/v1/ledger/backups/a.sqlite")
    answer = client.post("/v1/ledger/backups/a.sqlite")
    assert answer.status_code == HTTPStatus.CONFLICT
    assert "exists" in answer.json()["detail"]


@pytest.mark.parametrize("name", [".hidden", "..", "a%2Fb", "a b", "x" * 101])
def test_names_that_could_leave_the_folder_are_refused(client: AsgiClient, journal: Watched, name: str) -> None:
    """No path, no hidden file, no long name."""
    assert client.post(f"/v1/ledger/backups/{name}").is_client_error
    assert journal.copies == []


def test_a_copy_of_a_real_journal_opens(tmp_path: Path) -> None:
    """With its records, without its open run."""
    bank = Bank(open_journal(tmp_path / "journal.sqlite"))
    bank.join()
    app = FastAPI()
    add_ledger(app, bank.journal, threading.Lock(), tmp_path)
    path = AsgiClient(app).post("/v1/ledger/backups/copy").json()["path"]
    copy = open_journal(Path(path))
    assert copy.ledger().lifetime == bank.journal.ledger().lifetime
    assert copy.open_runs() == {}
    copy.close()
    bank.journal.close()
