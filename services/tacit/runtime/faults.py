"""Named points at which a fault test kills the process with SIGKILL, as a power cut would.

Nothing is armed unless `install` is called with both variables set: ``TACIT_FAULT=point[:n]`` names the point and the
n-th time it is passed (default 1); ``TACIT_TEST_FAULTS=1`` says that this process is a test.
"""

import os
import re
import signal
from collections.abc import Mapping

FAULT = "TACIT_FAULT"
ALLOW = "TACIT_TEST_FAULTS"
_FORM = re.compile(r"([a-z0-9]+(?:[.-][a-z0-9]+)*)(?::([1-9][0-9]{0,8}))?")


class FaultError(Exception):
    """A fault was asked for that cannot be, or must not be, installed."""


class _Armed:
    """The one fault of this process: its point, and how often that is still to be passed unharmed."""

    point: str | None = None
    left: int = 0


def install(environ: Mapping[str, str]) -> None:
    """Arms the fault that the environment names, or disarms if it names none; called by `main` once.

    Args:
        environ: The process environment.

    Raises:
        FaultError: If ``TACIT_FAULT`` is set without ``TACIT_TEST_FAULTS=1``, or is not ``point`` or ``point:n``.
    """
    wanted = environ.get(FAULT, "")
    _Armed.point = None
    if not wanted:
        return
    if environ.get(ALLOW) != "1":
        raise FaultError(f"{FAULT}={wanted!r} kills this process and is refused unless {ALLOW}=1 is set as well")
    match = _FORM.fullmatch(wanted)
    if match is None:
        raise FaultError(f"{FAULT}={wanted!r}: expected a point such as 'before-commit', or 'before-commit:3'")
    _Armed.point, _Armed.left = match[1], int(match[2] or 1) - 1


def hit(point: str) -> None:
    """Passes a named point: does nothing unless the fault of this process is due here, else dies by SIGKILL.

    Args:
        point: Name of the point, lower case, parts joined by ``-`` or ``.``.
    """
    if _Armed.point is None or point != _Armed.point:
        return
    if _Armed.left:
        _Armed.left -= 1
        return
    os.kill(os.getpid(), signal.SIGKILL)
