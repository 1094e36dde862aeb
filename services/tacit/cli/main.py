"""The `tacit` command: groups by name, loaded when they are called, and one way to report errors."""

import importlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from tacit.cli.text import examples
from tacit.runtime.exit_codes import ExitCode, known_code

GROUPS: Mapping[str, tuple[str, str]] = {
    "demo": ("tacit.cli.demo:app", "Train a whole federation on this machine, and score."),
    "serve": ("tacit.cli.serve:app", "Run one service, as a pod does."),
    "up": ("tacit.cli.up:app", "Run the processes of a federation's folder."),
    "data": ("tacit.cli.data:app", "Check a bank's rows; generate made-up ones."),
    "plan": ("tacit.cli.plan:app", "Write a plan; say what it costs."),
    "run": ("tacit.cli.run:app", "Submit, watch, list and cancel runs."),
    "models": ("tacit.cli.models:app", "List and show published models."),
    "score": ("tacit.cli.score:app", "Score a file of rows."),
    "ledger": ("tacit.cli.ledger:app", "What a bank's account was charged; recovery after a loss."),
    "log": ("tacit.cli.log:app", "Show the federation's log."),
    "keys": ("tacit.cli.keys:app", "Make and show Ed25519 keys."),
    "federation": ("tacit.cli.federation:app", "Found a federation, sign and accept its epochs."),
}
"""Command or group: where its Typer app is, and its line in the overview. One line here adds one."""


@dataclass
class Options:
    """Options before the command; the callback fills them.

    Attributes:
        debug: Whether errors show their trace.
    """

    debug: bool = False


class LazyCommand(TyperCommand):
    """Stands in for a command or group in the overview, and becomes it when it is called.

    Args:
        name: Name.
        target: `module:attribute` of a Typer app.
        line: Help line.
    """

    def __init__(self, name: str, target: str, line: str) -> None:
        super().__init__(name, help=line)
        self._target = target

    def make_context(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  Typer's classes for these are private
        """The context of the real command."""
        return self.load().make_context(*args, **options)

    def load(self) -> Any:  # noqa: ANN401  same
        """Imports the real command."""
        module, _, attribute = self._target.partition(":")
        found = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        found.name = self.name
        return found


def build() -> TyperGroup:
    """The command with all groups, none of them loaded."""
    app = typer.Typer(name="tacit", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback(
        help="Federated fraud detection for banks: one model, no shared transactions.",
        epilog=examples("tacit keys new bank --out keys/bank", "tacit federation show federation.yaml"),
    )(_root)
    command = typer.main.get_group(app)
    for name, (target, line) in GROUPS.items():
        command.add_command(LazyCommand(name, target, line))
    return command


def run(arguments: Sequence[str]) -> int:
    """Runs one command line.

    Args:
        arguments: What stands behind `tacit`.

    Returns:
        The exit code (`runtime.exit_codes`).
    """
    options = Options()
    try:
        build().main(args=list(arguments), prog_name="tacit", obj=options)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK
    except Exception as error:  # noqa: BLE001  the last handler of the process
        return _report(error, options.debug)
    return ExitCode.OK


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


def _report(error: Exception, debug: bool) -> ExitCode:
    code = known_code(error)
    if debug:
        traceback.print_exception(error)
    elif code is not None:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        typer.echo(f"Error: {error}{notes}", err=True)
    else:
        typer.echo(f"Unexpected {type(error).__name__}: {error} (run `tacit --debug ...` for the trace)", err=True)
    return code if code is not None else ExitCode.FATAL


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # noqa: PLC0415  takes a tenth of the start

        typer.echo(f"tacit {metadata.version('tacit')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    del version
    context.ensure_object(Options).debug = debug
