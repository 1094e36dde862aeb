"""The command as a whole: lazy groups, examples everywhere, one way to report errors."""

import importlib
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
import typer
from typer.core import TyperGroup

from tacit.cli import main as subject
from tacit.federation import FederationError
from tacit.runtime.exit_codes import KNOWN_ERRORS, ExitCode
from tacit.runtime.lifecycle import exit_code_of
from tacit.runtime.log import LogDeniedError, LogError, LogUnavailableError, TopicMissingError
from tacit.wire.errors import DocumentError

HEAVY = ("numpy", "kafka", "fastapi", "pydantic", "sqlalchemy", "xgboost", "polars", "cryptography", "opendp", "rich")


def run(*arguments: str) -> int:
    """Runs a command line."""
    return subject.run(arguments)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A command `fail` that raises `error`, and notes what it got."""
    told = SimpleNamespace(error=None)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    def fail(number: int = 0) -> None:
        """Fails as told."""
        told.number = number
        if told.error is not None:
            raise told.error

    module = ModuleType("failing_commands")
    module.app = app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "failing_commands", module)
    monkeypatch.setattr(subject, "GROUPS", {**subject.GROUPS, "fail": ("failing_commands:app", "Fails.")})
    return told


def test_overview_lists_every_group_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Names and lines come from the table."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for name, (_, line) in subject.GROUPS.items():
        assert f"{name} " in shown
        assert line in shown


def test_overview_loads_nothing_heavy() -> None:
    """A fresh interpreter prints the help without any library but Typer."""
    code = (
        "import sys; from tacit.cli.main import run; run(['--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603  this interpreter
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def commands() -> list[tuple[str, ...]]:
    """Every command line that has a help page below the overview."""
    found: list[tuple[str, ...]] = []
    for name in subject.GROUPS:
        loaded = subject.LazyCommand(name, *subject.GROUPS[name]).load()
        found += [(name, inner) for inner in loaded.commands] if isinstance(loaded, TyperGroup) else [(name,)]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_shows_examples_of_itself(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Help ends in lines to copy."""
    assert run(*command, "--help") == 0
    shown = capsys.readouterr().out
    assert "Usage: tacit " + " ".join(command) in shown
    assert "Examples:\n" in shown
    assert "    tacit " + " ".join(command) in shown


def test_a_lazy_command_runs_the_real_one(failing: SimpleNamespace) -> None:
    """Arguments reach it."""
    assert run("fail", "--number", "7") == 0
    assert failing.number == 7


def test_no_arguments_shows_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    """As people expect; with the code of a wrong call."""
    assert run() == ExitCode.USAGE
    shown = capsys.readouterr()
    assert "Commands:" in shown.out + shown.err


def test_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The installed distribution's."""
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("tacit ")


@pytest.mark.parametrize("arguments", [("nothing",), ("--nothing",), ("fail", "--number", "x")])
def test_wrong_calls_are_usage_errors(failing: SimpleNamespace, arguments: tuple[str, ...]) -> None:
    """Code 2 from the table."""
    assert run(*arguments) == ExitCode.USAGE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FederationError("t = 9: expected 0 to 3"), ExitCode.DATA),
        (DocumentError("line 3: a float"), ExitCode.DATA),
        (LogUnavailableError("broker away"), ExitCode.TEMPORARY),
        (LogDeniedError("no access"), ExitCode.DENIED),
        (TopicMissingError("no topic"), ExitCode.UNAVAILABLE),
        (PermissionError(13, "Permission denied", "x"), ExitCode.UNAVAILABLE),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_known_errors_are_one_message(
    failing: SimpleNamespace, error: BaseException, code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """No trace; the code of the nearest base class."""
    failing.error = error
    assert run("fail") == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown == ("" if isinstance(error, KeyboardInterrupt) else f"Error: {error}\n")


def test_notes_of_an_error_are_shown(failing: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    """The file's name may stand in a note."""
    failing.error = FederationError("t = 9")
    failing.error.add_note("in federation.yaml")
    run("fail")
    assert capsys.readouterr().err == "Error: t = 9 (in federation.yaml)\n"


def test_unknown_errors_say_how_to_see_more(failing: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug is told apart from an answer."""
    failing.error = ZeroDivisionError("division by zero")
    assert run("fail") == ExitCode.FATAL
    shown = capsys.readouterr().err
    assert shown.startswith("Unexpected ZeroDivisionError: division by zero")
    assert "--debug" in shown
    assert "Traceback" not in shown


def test_debug_shows_the_trace(failing: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    """Same code, whole trace."""
    failing.error = LogError("broken")
    assert run("--debug", "fail") == ExitCode.UNAVAILABLE
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1, 75])
def test_exit_codes_of_commands_pass_through(failing: SimpleNamespace, code: int) -> None:
    """What a command decides is what the shell sees."""
    failing.error = typer.Exit(code)
    assert run("fail") == code


def test_console_script_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` is `run` over the process's arguments."""
    monkeypatch.setattr(sys, "argv", ["tacit", "nothing"])
    with pytest.raises(SystemExit) as caught:
        subject.main()
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize("name", KNOWN_ERRORS)
def test_a_known_error_has_one_code(name: str, failing: SimpleNamespace) -> None:
    """Command line and service end alike, whichever meets it; a renamed class must not fall out of the table unseen."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    failing.error = found.__new__(found)
    assert run("fail") == exit_code_of(failing.error) == KNOWN_ERRORS[name]
