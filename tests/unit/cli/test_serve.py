"""`tacit serve`: the named service gets its own settings, by file, secrets and environment, and its exit code."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

import cli_cases
from tacit.cli.layout import Processes, write_settings
from tacit.cli.main import run
from tacit.cli.serve import ServiceName
from tacit.runtime import lifecycle
from tacit.runtime.exit_codes import ExitCode

SERVICES = [str(name) for name in ServiceName]


@pytest.fixture
def place(tmp_path: Path) -> cli_cases.Federation3:
    """A founded folder with a scorer's settings too."""
    made = cli_cases.make(tmp_path / "fed")
    write_settings(made.folder, cli_cases.BANKS, Processes(scoring=["ash"]))
    return made


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Settings that reached a service, which does not run; processes end with code 0."""
    found: list[Any] = []
    for name in SERVICES:
        monkeypatch.setattr(importlib.import_module(f"tacit.{name}.main"), "serve", found.append)

    def run_process(work: Any) -> int:  # noqa: ANN401
        work()
        return 0

    monkeypatch.setattr(lifecycle, "run_process", run_process)
    return found


def file(place: cli_cases.Federation3, service: str) -> str:
    """A settings file of a service."""
    names = {"trainer": "trainer-ash", "scorer": "scorer-ash"}
    return str(place.folder.settings(names.get(service, service)))


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_gets_its_own_settings(place: cli_cases.Federation3, served: list[Any], service: str) -> None:
    """Of its own class, from its file."""
    assert run(["serve", service, "--settings", file(place, service)]) == 0
    assert [type(item).__name__ for item in served] == [f"{service.title()}Settings"]
    assert served[0].ports_file == place.folder.ports


def test_the_environment_is_stronger_than_the_file(
    place: cli_cases.Federation3, served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pod's variables are."""
    monkeypatch.setenv("TACIT_LOG__TOPIC_PREFIX", "other")
    assert run(["serve", "registry", "--settings", file(place, "registry")]) == 0
    assert served[0].log.topic_prefix == "other"


@pytest.mark.parametrize("code", [0, 2, 75])
def test_the_exit_code_is_the_processes(
    place: cli_cases.Federation3, served: list[Any], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A supervisor decides by it."""
    monkeypatch.setattr(lifecycle, "run_process", lambda _: code)
    assert run(["serve", "registry", "--settings", file(place, "registry")]) == code
    assert served == []


@pytest.mark.parametrize("arguments", [[], ["cook"], ["trainer", "--colour"], ["trainer", "registry"]])
def test_wrong_calls_are_usage_errors(served: list[Any], arguments: list[str]) -> None:
    """Nothing starts."""
    assert run(["serve", *arguments]) == ExitCode.USAGE
    assert served == []


@pytest.mark.parametrize(
    "change", [{"colour": "red"}, {"log": {"kind": "paper"}}, {"signing_key": None}, {"ports_file": [1]}]
)
def test_wrong_settings_are_usage_errors(
    place: cli_cases.Federation3, served: list[Any], capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    """The field is named; a restart would not help."""
    path = Path(file(place, "registry"))
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    assert run(["serve", "registry", "--settings", str(path)]) == ExitCode.USAGE
    assert next(iter(change)) in capsys.readouterr().err
    assert served == []


def test_a_settings_file_that_is_not_there(served: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """It is named."""
    assert run(["serve", "registry", "--settings", "nowhere.yaml"]) != 0
    assert "nowhere.yaml" in capsys.readouterr().err
    assert served == []
