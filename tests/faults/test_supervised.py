"""A federation as a person runs it: `tacit serve` processes under the supervisor, each killed within a run."""

import os
import signal

import pytest

from federation_processes import BANKS, Running, check_bank, plan_for, rounds
from tacit.cli import layout
from tacit.cli.supervise import Supervisor

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]


def test_every_process_may_be_killed_once(running: Running) -> None:
    """The supervisor starts each again; the run finishes, the version is published, every slot is spent once."""
    children = [child for child in layout.children(running.folder) if not child.name.startswith("scorer")]
    with Supervisor(children, running.folder.logs) as supervisor:
        run = running.submit(plan_for(running.folder, learner=rounds(12)))
        running.at_round(run, 1)
        for status in supervisor.poll():
            assert status.pid is not None
            os.kill(status.pid, signal.SIGKILL)

        def restarted() -> bool:
            return all(status.restarts == 1 and status.pid is not None for status in supervisor.poll())

        running.wait("all restarts", restarted)
        assert running.ended(run)["outcome"] == "FINISHED"
        running.settled(run)
        running.wait("the version", lambda: (running.get("registry", "/v1/versions") or {}).get("versions"))
        assert restarted()
    found = running.fold()
    done = found.state.runs[bytes.fromhex(run)]
    assert found.deviation(done) == ""
    for bank in BANKS:
        check_bank(running, found, done, bank)
