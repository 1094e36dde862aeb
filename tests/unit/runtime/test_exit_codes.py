"""The one table of exit codes."""

import pytest

from tacit.runtime.exit_codes import ExitCode, known_code
from tacit.runtime.http_server import PortTakenError
from tacit.runtime.log import LogDeniedError, TopicMissingError
from tacit.versions import ArtefactMissingError
from tacit.wire.errors import DocumentError


def test_codes_are_stable() -> None:
    """Charts, runbooks and scripts name these numbers: a change is a breaking change."""
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "REFUSED": 1,
        "USAGE": 2,
        "DATA": 65,
        "UNAVAILABLE": 69,
        "FATAL": 70,
        "CANNOT_CREATE": 73,
        "TEMPORARY": 75,
        "DENIED": 77,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DocumentError("x"), ExitCode.DATA),
        (TopicMissingError("x"), ExitCode.UNAVAILABLE),
        (LogDeniedError("x"), ExitCode.DENIED),
        (PortTakenError("x"), ExitCode.TEMPORARY),
        (ArtefactMissingError("x"), ExitCode.UNAVAILABLE),
        (FileNotFoundError("x"), ExitCode.UNAVAILABLE),
        (KeyError("x"), None),
    ],
)
def test_the_nearest_known_base_class_decides(error: BaseException, code: ExitCode | None) -> None:
    """A subclass without a line of its own has its base's code; what no line names has none."""
    assert known_code(error) is code
