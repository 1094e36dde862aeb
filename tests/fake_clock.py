"""A clock that tests own: sleeping only moves it."""

from collections.abc import Callable


class FakeClock:
    """Implements `tacit.runtime.clock.Clock`.

    Attributes:
        seconds: Both times; set it to jump.
        slept: Every sleep, in order.
        on_sleep: Called after each sleep.
    """

    def __init__(self, seconds: float = 1_000.0) -> None:
        self.seconds = seconds
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def now(self) -> float:
        """The test's time."""
        return self.seconds

    def monotonic(self) -> float:
        """The test's time."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Moves the time."""
        self.slept.append(seconds)
        self.seconds += seconds
        self.on_sleep()
