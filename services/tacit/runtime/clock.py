"""Time as a port, so that tests and the simulation own it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC; advisory, may jump."""

    def monotonic(self) -> float:
        """Seconds since an unknown moment; never goes back. Deadlines use this one."""

    def sleep(self, seconds: float) -> None:
        """Waits; a fake clock only moves itself."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic counter."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Blocks the calling thread for `seconds`."""
        time.sleep(seconds)
