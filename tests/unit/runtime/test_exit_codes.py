"""The one table of exit codes."""

from tacit.runtime.exit_codes import ExitCode


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
