"""`tacit up`: one at a time, what runs is told, and Ctrl-C is the regular end."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Self

import pytest

from cli_cases import make
from tacit.adapters.lock_file import LockFileLease
from tacit.cli import broker, supervise
from tacit.cli import up as subject
from tacit.cli.main import run
from tacit.cli.supervise import Child, ChildState, ChildStatus
from tacit.runtime.bound_ports import add_ports
from tacit.runtime.exit_codes import ExitCode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A founded folder."""
    return make(tmp_path / "fed").path


class FakeSupervisor:
    """Polls a few times, then Ctrl-C."""

    made: ClassVar["list[FakeSupervisor]"] = []

    def __init__(self, children: Sequence[Child], logs: Path, on_restart: object) -> None:
        self.children, self.logs, self.on_restart = children, logs, on_restart
        self.polls, self.ended = 0, False
        self.made.append(self)

    def poll(self) -> tuple[ChildStatus, ...]:
        """Every child runs."""
        self.polls += 1
        if self.polls > 3:
            raise KeyboardInterrupt
        add_ports(self.logs.parent / "ports.json", {f"port-{number}": 4000 + number for number in range(8)})
        return tuple(ChildStatus(child.name, ChildState.RUNNING, 7, 0, None) for child in self.children)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True


@pytest.fixture
def supervisors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeSupervisor]]:
    """The supervisors that were made."""
    monkeypatch.setattr(supervise, "Supervisor", FakeSupervisor)
    monkeypatch.setattr(subject, "POLL_SECONDS", 0.0)
    FakeSupervisor.made.clear()
    yield FakeSupervisor.made
    FakeSupervisor.made.clear()


def test_all_processes_of_the_folder_run_until_ctrl_c(
    folder: Path, supervisors: list[FakeSupervisor], capsys: pytest.CaptureFixture[str]
) -> None:
    """Said once, with ports; the end is regular and the children are stopped."""
    assert run(["up", "--dir", str(folder)]) == ExitCode.OK
    (made,) = supervisors
    names = [child.name for child in made.children]
    assert names == ["aggregator", "registry", "trainer-ash", "trainer-elm", "trainer-oak"]
    assert made.ended
    shown = capsys.readouterr().out
    assert shown.count("trainer-ash") == 1
    assert "port-0                  http://127.0.0.1:4000" in shown
    assert shown.endswith("Stopped.\n")


def test_ports_of_killed_processes_are_forgotten(folder: Path, supervisors: list[FakeSupervisor]) -> None:
    """They would be taken for running ones."""
    add_ports(folder / "ports.json", {"old": 9})
    run(["up", "--dir", str(folder)])
    assert '"old"' not in (folder / "ports.json").read_text()


def test_a_second_one_is_refused(
    folder: Path, supervisors: list[FakeSupervisor], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two supervisors would fight over the journals; after the first ended it works again."""
    lease = LockFileLease(folder / subject.LOCK)
    assert lease.try_hold()
    assert run(["up", "--dir", str(folder)]) == ExitCode.TEMPORARY
    assert "another `tacit up`" in capsys.readouterr().err
    assert supervisors == []
    lease.release()
    assert run(["up", "--dir", str(folder)]) == ExitCode.OK
    assert run(["up", "--dir", str(folder)]) == ExitCode.OK


def test_an_empty_folder_is_no_federation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what makes one."""
    assert run(["up", "--dir", str(tmp_path)]) == ExitCode.DATA
    assert "tacit demo" in capsys.readouterr().err


def test_a_folders_broker_starts_first_and_ends_last(
    folder: Path, supervisors: list[FakeSupervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where there is one."""
    events: list[str] = []

    class FakeBroker:
        def __init__(self, path: Path, users: Sequence[str]) -> None:
            events.append(f"{path.name} {list(users)}")

        def __enter__(self) -> None:
            events.append(f"start before {len(supervisors)}")

        def __exit__(self, *_: object) -> None:
            events.append(f"stop after {supervisors[0].ended}")

    monkeypatch.setattr(broker, "Broker", FakeBroker)
    (folder / "kafka").mkdir()
    assert run(["up", "--dir", str(folder)]) == ExitCode.OK
    assert events == ["kafka []", "start before 0", "stop after True"]


def status(name: str, restarts: int = 0) -> ChildStatus:
    """A running child."""
    return ChildStatus(name, ChildState.RUNNING, 42, restarts, 1 if restarts else None)


def test_the_table_waits_for_every_port() -> None:
    """A trainer has two; it is said once they have stayed for a look, later ports one by one."""
    reporter = subject.Reporter(["aggregator", "trainer-ash"])
    children = (status("aggregator"), status("trainer-ash"))
    ports = {"aggregator": 1, "ash.bank": 2}
    assert reporter.look(children, ports) is None
    assert reporter.look(children, ports) is None
    assert reporter.look(children, {**ports, "ash.health": 3}) is None
    assert "ash.health              http://127.0.0.1:3" in str(reporter.look(children, {**ports, "ash.health": 3}))
    assert reporter.look(children, {**ports, "ash.health": 3}) is None
    assert reporter.look(children, {**ports, "ash.health": 4}) == "ash.health listens on http://127.0.0.1:4"


def test_a_restart_is_told() -> None:
    """With what the process ended with."""
    assert subject.restarted(status("trainer-ash", 2)) == "trainer-ash ended with 1 and was started again (restart 2)"
