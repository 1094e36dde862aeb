"""The loop waits for a log that is away and passes everything else on."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_clock import FakeClock
from tacit.runtime.health import Status
from tacit.runtime.log import LogDeniedError, LogUnavailableError
from tacit.runtime.loop import LOOP_METRICS, Backoff, Loop
from tacit.runtime.observing import Metrics

Lines = Callable[[], list[dict[str, object]]]
AWAY = LogUnavailableError("broker is away")


def step_of(outcomes: Iterator[Exception | None]) -> Callable[[float], None]:
    """A step that raises what comes next."""

    def step(_timeout: float) -> None:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome

    return step


def loop_of(clock: FakeClock, *outcomes: Exception | None, draw: float = 1.0) -> tuple[Loop, Status, Metrics]:
    """A loop over given outcomes, jitter fixed."""
    status, metrics = Status(clock), Metrics(LOOP_METRICS)
    return Loop(step_of(iter(outcomes)), clock, status, metrics, draw=lambda: draw), status, metrics


def value(metrics: Metrics, name: str) -> float | None:
    """A metric's value."""
    return metrics.shareable.get_sample_value(name)


def test_a_step_gets_its_timeout_and_makes_ready(clock: FakeClock) -> None:
    """The first finished step ends the start."""
    seen: list[float] = []
    status = Status(clock)
    loop = Loop(seen.append, clock, status)
    assert status.ready() == (False, "starting")
    loop.turn(0.7)
    assert seen == [0.7]
    assert status.ready() == (True, "")


def test_an_outage_doubles_pauses_up_to_the_cap(clock: FakeClock) -> None:
    """0.2 s, 0.4 s, .. 10 s, and again 0.2 s after the log came back."""
    loop, _, _ = loop_of(clock, *[AWAY] * 9, None, AWAY)
    pauses = []
    for _ in range(11):
        before = clock.seconds
        loop.turn(1.0)
        pauses.append(round(clock.seconds - before, 6))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0, 0.0, 0.2]


def test_an_outage_is_told_once(clock: FakeClock, lines: Lines) -> None:
    """One warning, one count and one readiness change a streak; its length at the end."""
    loop, status, metrics = loop_of(clock, AWAY, AWAY, AWAY, None, AWAY, None, draw=0.0)
    for _ in range(3):
        loop.turn(1.0)
    assert status.ready() == (False, "the log is away")
    assert value(metrics, "tacit_log_away") == 1.0
    loop.turn(1.0)
    assert status.ready() == (True, "")
    assert value(metrics, "tacit_log_away") == 0.0
    loop.turn(1.0)
    loop.turn(1.0)
    assert value(metrics, "tacit_log_outages_total") == 2.0
    events = [line["event"] for line in lines()]
    assert events == ["log_unavailable", "log_available"] * 2
    assert lines()[0]["error"] == "broker is away"


def test_ten_minutes_away_need_no_hand(clock: FakeClock) -> None:
    """Fault 26: the loop stays alive for the probe and goes on by itself."""
    status = Status(clock)
    done: list[float] = []
    back = clock.seconds + 600.0

    def step(_timeout: float) -> None:
        if clock.seconds < back:
            raise AWAY
        done.append(clock.seconds)

    clock.on_sleep = lambda: alive.append(status.live()[0])
    alive: list[bool] = []
    loop = Loop(step, clock, status)
    while not done:
        loop.turn(1.0)
    assert all(alive)
    assert back <= done[0] <= back + 10.0


def test_a_stop_ends_the_pause(clock: FakeClock) -> None:
    """Nobody waits ten seconds for a process that was told to stop."""
    loop, status, _ = loop_of(clock, *[AWAY] * 8)
    for _ in range(7):
        loop.turn(1.0)
    clock.slept.clear()
    clock.on_sleep = lambda: setattr(status, "stopping", True)
    loop.turn(1.0)
    assert len(clock.slept) == 1
    assert clock.slept[0] <= 0.25


@pytest.mark.parametrize("error", [LogDeniedError("no"), ValueError("bug")])
def test_other_errors_pass_through(clock: FakeClock, error: Exception) -> None:
    """Denied is not away, and a bug is a bug."""
    loop, _, _ = loop_of(clock, error)
    with pytest.raises(type(error)):
        loop.turn(1.0)
    assert clock.slept == []


def test_turns_are_stamped(clock: FakeClock) -> None:
    """The gauge holds the time of the last turn."""
    loop, _, metrics = loop_of(clock, None, None)
    clock.seconds = 5_000.0
    loop.turn(1.0)
    assert value(metrics, "tacit_loop_turned_timestamp_seconds") == 5_000.0


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
def test_jitter_stays_between_half_and_all(draws: list[float]) -> None:
    """Every pause lies in [d/2, d] for the doubled and capped d."""
    numbers = iter(draws)
    backoff = Backoff(lambda: next(numbers), 0.2, 10.0)
    for turn in range(len(draws)):
        whole = min(0.2 * 2**turn, 10.0)
        assert whole / 2 - 1e-12 <= backoff.pause() <= whole + 1e-12


@pytest.mark.parametrize(("first", "longest"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_pauses_have_a_range(first: float, longest: float) -> None:
    """Above 0 and rising."""
    with pytest.raises(ValueError, match="must be above 0"):
        Backoff(lambda: 0.0, first, longest)
