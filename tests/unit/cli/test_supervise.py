"""Children that die come back; the end takes them all along."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_clock import FakeClock
from tacit.cli.supervise import Child, ChildState, ChildStatus, Supervisor, SupervisorError

pytestmark = pytest.mark.integration

PATIENT = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def python(name: str, code: str, **env: str) -> Child:
    """A child that runs some Python."""
    return Child(name, (sys.executable, "-c", code), env)


def eventually(holds: Callable[[], bool]) -> None:
    """Waits for another process, at most ten seconds."""
    until = time.monotonic() + 10.0
    while not holds():
        assert time.monotonic() < until, "nothing happened in ten seconds"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has collected yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def started(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Supervisor]]:
    """Starts supervisors and stops them in the end."""
    made: list[Supervisor] = []

    def start(*children: Child, **options: object) -> Supervisor:
        supervisor = Supervisor(children, tmp_path / "logs", clock, **options)  # type: ignore[arg-type]
        made.append(supervisor)
        supervisor.start()
        return supervisor

    yield start
    for supervisor in made:
        supervisor.stop()


@pytest.fixture
def clock() -> FakeClock:
    """Pauses pass at once, with a breath for the other process."""
    fake = FakeClock()
    fake.on_sleep = lambda: time.sleep(0.001)
    return fake


def wait_for_end(supervisor: Supervisor) -> ChildStatus:
    """Polls until the first child has ended."""
    eventually(lambda: supervisor.poll()[0].state is ChildState.WAITING)
    return supervisor.poll()[0]


def test_children_run_with_log_and_environment(tmp_path: Path, started: Callable[..., Supervisor]) -> None:
    """Both outputs go to the child's own file; the environment is this one and more."""
    code = (
        "import os, sys, time; print(os.environ['EXTRA'], 'PATH' in os.environ, flush=True);"
        "print('oops', file=sys.stderr, flush=True); time.sleep(60)"
    )
    supervisor = started(python("trainer-a", code, EXTRA="x1"), python("registry", PATIENT))
    log = tmp_path / "logs" / "trainer-a.log"
    eventually(lambda: log.read_text() == "x1 True\noops\n")
    first, second = supervisor.poll()
    assert (first.name, second.name) == ("trainer-a", "registry")
    assert (first.state, first.restarts, first.last_exit) == (ChildState.RUNNING, 0, None)
    assert first.pid is not None
    assert alive(first.pid)


def test_a_dead_child_waits_then_comes_back(
    tmp_path: Path, started: Callable[..., Supervisor], clock: FakeClock
) -> None:
    """One second after the end it runs again, once, and the display is told."""
    told: list[ChildStatus] = []
    supervisor = started(python("a", "import sys; print('life'); sys.exit(7)"), on_restart=told.append)
    status = wait_for_end(supervisor)
    assert (status.state, status.pid, status.last_exit, status.restarts) == (ChildState.WAITING, None, 7, 0)
    clock.seconds += 0.9
    assert supervisor.poll()[0].restarts == 0
    clock.seconds += 0.2
    assert supervisor.poll()[0].restarts == 1
    assert [(item.name, item.restarts, item.state) for item in told] == [("a", 1, ChildState.RUNNING)]
    wait_for_end(supervisor)
    assert (tmp_path / "logs" / "a.log").read_text() == "life\nlife\n"


def pauses(supervisor: Supervisor, clock: FakeClock, count: int) -> list[float]:
    """Seconds to each of the next restarts."""
    found = []
    for _ in range(count):
        restarts, before = wait_for_end(supervisor).restarts, clock.seconds
        while supervisor.poll()[0].restarts == restarts:
            clock.seconds += 0.5
        found.append(clock.seconds - before)
    return found


def test_pauses_double_to_ten_seconds(started: Callable[..., Supervisor], clock: FakeClock) -> None:
    """1, 2, 4, 8, 10, 10."""
    supervisor = started(Child("a", ("true",)))
    assert pauses(supervisor, clock, 6) == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_minute_alive_starts_the_pauses_over(started: Callable[..., Supervisor], clock: FakeClock) -> None:
    """A child that was steady gets the short pause again."""
    supervisor = started(Child("a", ("cat", "/dev/zero")))

    def kill_after(seconds: float) -> None:
        clock.seconds += seconds
        pid = supervisor.poll()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    kill_after(0.0)
    assert pauses(supervisor, clock, 1) == [1.0]
    kill_after(59.0)
    assert pauses(supervisor, clock, 1) == [2.0]
    kill_after(60.0)
    assert pauses(supervisor, clock, 1) == [1.0]


def test_stop_is_polite_first(tmp_path: Path, started: Callable[..., Supervisor]) -> None:
    """SIGTERM lets a child finish; nobody is restarted afterwards."""
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    print('bye', flush=True)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up', flush=True)\ntime.sleep(60)"
    )
    supervisor = started(python("a", code), stop_seconds=10_000.0)
    log = tmp_path / "logs" / "a.log"
    eventually(lambda: log.read_text() == "up\n")
    supervisor.stop()
    assert log.read_text() == "up\nbye\n"
    (status,) = supervisor.poll()
    assert (status.state, status.last_exit, status.restarts) == (ChildState.STOPPED, 0, 0)


def test_stop_kills_what_does_not_end(tmp_path: Path, started: Callable[..., Supervisor]) -> None:
    """SIGKILL after the bound, to the whole group of the child."""
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); {STUBBORN}"
    supervisor = started(python("a", code), stop_seconds=0.5)
    log = tmp_path / "logs" / "a.log"
    eventually(lambda: log.read_text() == "up\nup\n")
    leader = supervisor.poll()[0].pid
    assert leader is not None
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    supervisor.stop()
    assert supervisor.poll()[0].last_exit == -signal.SIGKILL
    assert len(children) == 1
    eventually(lambda: not alive(int(children[0])))


def test_an_impatient_second_interrupt_kills_at_once(
    tmp_path: Path, started: Callable[..., Supervisor], clock: FakeClock
) -> None:
    """Ctrl-C while stopping does not leave anybody behind."""
    supervisor = started(python("a", STUBBORN), stop_seconds=1_000.0)
    eventually(lambda: (tmp_path / "logs" / "a.log").read_text() == "up\n")

    def interrupt() -> None:
        raise KeyboardInterrupt

    clock.on_sleep = interrupt
    with pytest.raises(KeyboardInterrupt):
        supervisor.stop()
    assert supervisor.poll()[0].last_exit == -signal.SIGKILL


def signalled_block(supervisor: Supervisor, pids: list[int | None]) -> None:
    """A block that SIGTERM ends."""
    with supervisor:
        pids.append(supervisor.poll()[0].pid)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)


def test_a_block_ends_everything_once(tmp_path: Path) -> None:
    """SIGTERM to the supervisor leaves the block by SystemExit, stops the children, and gives the handlers back."""
    before = signal.getsignal(signal.SIGTERM)
    supervisor = Supervisor([Child("a", ("cat", "/dev/zero"))], tmp_path)
    pids: list[int | None] = []
    with pytest.raises(SystemExit) as caught:
        signalled_block(supervisor, pids)
    (pid,) = pids
    assert caught.value.code == 128 + signal.SIGTERM
    assert pid is not None
    assert not alive(pid)
    assert signal.getsignal(signal.SIGTERM) == before
    supervisor.stop()


def test_ctrl_c_reaches_the_supervisor_alone(started: Callable[..., Supervisor]) -> None:
    """A child leads its own process group, so a terminal's SIGINT does not hit it."""
    supervisor = started(Child("a", ("cat", "/dev/zero")))
    pid = supervisor.poll()[0].pid
    assert pid is not None
    assert os.getpgid(pid) == pid != os.getpgid(0)


def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    """SIGKILL to the supervisor: the kernel ends its children."""
    code = (
        "import pathlib, sys, time; from tacit.cli.supervise import Child, Supervisor\n"
        f"s = Supervisor([Child('a', ('cat', '/dev/zero'))], pathlib.Path({str(tmp_path)!r})); s.start()\n"
        "print(s.poll()[0].pid, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(  # noqa: S603  this interpreter
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    eventually(lambda: not alive(pid))


def test_a_missing_program_stops_the_others(tmp_path: Path) -> None:
    """A start is whole or not at all."""
    supervisor = Supervisor([Child("a", ("cat", "/dev/zero")), Child("b", ("no-such-program",))], tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SupervisorError, match="cannot start b \\(no-such-program\\)"):
        supervisor.__enter__()
    assert [status.state for status in supervisor.poll()] == [ChildState.STOPPED] * 2
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    "children",
    [
        [Child("a", ())],
        [Child("a", ("true",)), Child("a", ("true",))],
        [Child("x/y", ("true",))],
        [Child("", ("true",))],
    ],
)
def test_children_have_programs_and_names_of_their_own(tmp_path: Path, children: list[Child]) -> None:
    """A name is a file name too."""
    with pytest.raises(SupervisorError, match="needs a program, and a name of its own"):
        Supervisor(children, tmp_path)


def test_stop_times_are_positive(tmp_path: Path) -> None:
    """Zero would kill at once."""
    with pytest.raises(ValueError, match="above 0"):
        Supervisor([], tmp_path, stop_seconds=0.0)


def test_nothing_comes_back_after_a_stop(started: Callable[..., Supervisor], clock: FakeClock) -> None:
    """A restart that was due is forgotten."""
    told: list[ChildStatus] = []
    supervisor = started(Child("a", ("true",)), on_restart=told.append)
    wait_for_end(supervisor)
    supervisor.stop()
    clock.seconds += 100.0
    (status,) = supervisor.poll()
    assert (status.state, status.restarts, status.last_exit, told) == (ChildState.STOPPED, 0, 0, [])


def test_a_program_that_vanishes_is_reported(
    tmp_path: Path, started: Callable[..., Supervisor], clock: FakeClock
) -> None:
    """A restart that cannot be is an error, not silence."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    supervisor = started(Child("a", (str(program),)))
    assert wait_for_end(supervisor).last_exit == 3
    program.unlink()
    clock.seconds += 2.0
    with pytest.raises(SupervisorError, match="cannot start a"):
        supervisor.poll()


def test_children_are_tended_one_by_one(started: Callable[..., Supervisor], clock: FakeClock) -> None:
    """One that dies again and again does not touch its neighbour."""
    supervisor = started(Child("bad", ("true",)), Child("good", ("cat", "/dev/zero")))
    pauses(supervisor, clock, 3)
    bad, good = supervisor.poll()
    assert (bad.restarts, good.restarts, good.state) == (3, 0, ChildState.RUNNING)


def test_children_read_nothing(tmp_path: Path, started: Callable[..., Supervisor]) -> None:
    """A child cannot take the keyboard from the display."""
    supervisor = started(python("a", "import sys; print(repr(sys.stdin.read()), flush=True)"))
    wait_for_end(supervisor)
    assert (tmp_path / "logs" / "a.log").read_text() == "''\n"
