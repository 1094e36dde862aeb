"""Fault points: armed only where a test asks, and deadly only at their turn."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from tacit.runtime import faults

CHILD = """
import os
from tacit.runtime import faults
faults.install(os.environ)
for number in range(5):
    print(number, flush=True)
    faults.hit("before-commit")
    faults.hit("after-commit")
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """Leaves no fault behind."""
    yield
    faults.install({})


def run_child(environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a process that passes two points five times."""
    return subprocess.run(  # noqa: S603  this interpreter, the script above
        [sys.executable, "-c", CHILD],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_is_armed_without_a_request() -> None:
    """A service that names a point pays nothing and lives on."""
    faults.install({})
    faults.hit("before-commit")


def test_an_import_arms_nothing() -> None:
    """The environment is read by `install` alone."""
    code = "from tacit.runtime import faults; faults.hit('before-commit'); print('alive')"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TACIT_FAULT": "before-commit"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "alive\n"


@pytest.mark.parametrize("allow", [{}, {"TACIT_TEST_FAULTS": ""}, {"TACIT_TEST_FAULTS": "true"}])
def test_a_fault_outside_a_test_is_refused(allow: dict[str, str]) -> None:
    """Without the second variable, exactly 1, the process says so instead of dying later."""
    with pytest.raises(faults.FaultError, match="TACIT_TEST_FAULTS=1"):
        faults.install({"TACIT_FAULT": "before-commit", **allow})


@pytest.mark.parametrize("text", ["Before", "a:0", "a:", ":1", "a:x", "a b", "-a", "a..b", "a:1:2"])
def test_a_malformed_fault_is_refused(text: str) -> None:
    """The message shows what was given and the form."""
    with pytest.raises(faults.FaultError, match="expected a point"):
        faults.install({"TACIT_FAULT": text, "TACIT_TEST_FAULTS": "1"})


def test_a_refused_fault_is_not_armed() -> None:
    """A process that goes on after the error does not die at the point."""
    with pytest.raises(faults.FaultError):
        faults.install({"TACIT_FAULT": "before-commit"})
    faults.hit("before-commit")


def test_another_point_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the named point kills."""
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: killed.append(number))
    faults.install({"TACIT_FAULT": "sent", "TACIT_TEST_FAULTS": "1"})
    faults.hit("seen")
    assert killed == []
    faults.hit("sent")
    assert killed == [signal.SIGKILL]


def test_the_nth_pass_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    """`point:3` lets two passes go."""
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: killed.append(number))
    faults.install({"TACIT_FAULT": "sent:3", "TACIT_TEST_FAULTS": "1"})
    faults.hit("sent")
    faults.hit("sent")
    assert killed == []
    faults.hit("sent")
    assert len(killed) == 1


@pytest.mark.parametrize(("fault", "lines"), [("before-commit", 1), ("after-commit:3", 3)])
def test_a_process_dies_by_sigkill(fault: str, lines: int) -> None:
    """The process ends at once, without clean-up, at its turn."""
    done = run_child({"TACIT_FAULT": fault, "TACIT_TEST_FAULTS": "1"})
    assert done.returncode == -signal.SIGKILL
    assert len(done.stdout.splitlines()) == lines


def test_a_process_without_fault_ends_well() -> None:
    """The permission alone arms nothing."""
    done = run_child({"TACIT_TEST_FAULTS": "1"})
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 5)
