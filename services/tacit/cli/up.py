"""`tacit up`: runs the processes of a federation's folder until Ctrl-C."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tacit.cli.text import examples
from tacit.runtime.exit_codes import ExitCode

if TYPE_CHECKING:
    from tacit.cli.layout import Folder
    from tacit.cli.supervise import Child, ChildStatus

app = typer.Typer(add_completion=False, rich_markup_mode=None)

LOCK = "up.lock"
POLL_SECONDS = 0.2


@app.command(epilog=examples("tacit up --dir demo"))
def up(
    directory: Annotated[Path, typer.Option("--dir", help="Folder of a federation, as `tacit demo` leaves it.")],
) -> None:
    """Run every process of a folder; what dies is started again. Ctrl-C ends all of them."""
    from tacit.adapters.lock_file import LockFileLease  # noqa: PLC0415  loads what it needs only when called
    from tacit.cli import layout  # noqa: PLC0415  same

    folder = layout.Folder(directory)
    children = layout.children(folder)
    lease = LockFileLease(directory / LOCK)
    if not lease.try_hold():
        typer.echo(f"Error: another `tacit up` runs {directory}", err=True)
        raise typer.Exit(ExitCode.TEMPORARY)
    try:
        _run(folder, children)
    except KeyboardInterrupt:
        typer.echo("Stopped.")
    finally:
        lease.release()


def table(statuses: "Sequence[ChildStatus]", ports: Mapping[str, int]) -> str:
    """Processes with their states, and where they listen."""
    lines = [f"{'process':<24}{'state':<10}{'pid':>8}{'restarts':>10}"]
    lines += [f"{item.name:<24}{item.state:<10}{item.pid or '-':>8}{item.restarts:>10}" for item in statuses]
    lines += ["", *(f"{name:<24}http://127.0.0.1:{port}" for name, port in sorted(ports.items()))]
    return "\n".join(lines)


class Reporter:
    """Says the table once every process listens, and a line for each later change.

    Args:
        names: Names of the processes; a trainer has two ports, every other process one at least.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._expected = sum(2 if name.startswith("trainer-") else 1 for name in names)
        self._ports: Mapping[str, int] = {}
        self._shown = False

    def look(self, statuses: "Sequence[ChildStatus]", ports: Mapping[str, int]) -> str | None:
        """What is to be said now; None for nothing."""
        steady = ports == self._ports and len(ports) >= self._expected
        changed = [f"{name} listens on http://127.0.0.1:{port}" for name, port in _new(ports, self._ports)]
        self._ports = dict(ports)
        if not self._shown:
            self._shown = steady
            return table(statuses, ports) if steady else None
        return "\n".join(changed) or None


def restarted(status: "ChildStatus") -> str:
    """A line about a process that was started again."""
    return f"{status.name} ended with {status.last_exit} and was started again (restart {status.restarts})"


def _new(ports: Mapping[str, int], before: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted((name, port) for name, port in ports.items() if before.get(name) != port)


def _run(folder: "Folder", children: "Sequence[Child]") -> None:
    from tacit.cli.supervise import Supervisor  # noqa: PLC0415  loads what it needs only when called
    from tacit.runtime.bound_ports import read_ports  # noqa: PLC0415  same

    # What a killed process left there would be taken for a running one.
    folder.ports.unlink(missing_ok=True)
    reporter = Reporter([child.name for child in children])
    with contextlib.ExitStack() as stack:
        _start_broker(folder, stack)
        supervisor = stack.enter_context(
            Supervisor(children, folder.logs, on_restart=lambda status: typer.echo(restarted(status)))
        )
        typer.echo(f"{len(children)} processes start; their output is in {folder.logs}. Ctrl-C ends them.")
        while True:
            said = reporter.look(supervisor.poll(), read_ports(folder.ports))
            if said is not None:
                typer.echo(said)
            time.sleep(POLL_SECONDS)


def _start_broker(folder: "Folder", stack: contextlib.ExitStack) -> None:
    """Starts the folder's own Kafka broker, if it has one, with the users and topics that it has."""
    broker_folder = folder.path / "kafka"
    if not broker_folder.is_dir():
        return
    from tacit.cli.broker import Broker  # noqa: PLC0415  loads Kafka's client

    typer.echo("The Kafka broker starts.")
    stack.enter_context(Broker(broker_folder, users=()))
