"""Work beside the loop: started once, kept until forgotten, errors passed on and tried again."""

import threading
from collections.abc import Iterator

import pytest

from tacit.runtime.worker import ThreadWorker


@pytest.fixture
def worker() -> Iterator[ThreadWorker]:
    """A worker, closed afterwards."""
    made = ThreadWorker()
    yield made
    made.close()


def finish(worker: ThreadWorker, key: str) -> None:
    """Waits for a key's work, whatever comes of it."""
    worker._futures[key].exception()


def test_a_result_is_there_once_the_work_is_done(worker: ThreadWorker) -> None:
    """None before, the result after, and the work is not started twice."""
    gate, calls = threading.Event(), []

    def work() -> str:
        calls.append(1)
        gate.wait(10)
        return "done"

    assert worker.done("a", work) is None
    assert worker.busy
    gate.set()
    finish(worker, "a")
    assert [worker.done("a", work), worker.done("a", work)] == ["done", "done"]
    assert (calls, worker.busy) == ([1], False)


def test_a_forgotten_key_starts_again(worker: ThreadWorker) -> None:
    """After `forget` the same key is new work; forgetting what is unknown is harmless."""
    numbers = iter(range(5))
    worker.forget("a")
    for expected in (0, 1):
        worker.done("a", lambda: next(numbers))
        finish(worker, "a")
        assert worker.done("a", lambda: next(numbers)) == expected
        worker.forget("a")


def test_an_error_reaches_the_caller_once_and_is_tried_again(worker: ThreadWorker) -> None:
    """What the work raised is raised; the next call starts the work anew."""
    gate = threading.Event()

    def fails() -> None:
        gate.wait(10)
        raise ValueError("no rows")

    worker.done("a", fails)
    gate.set()
    finish(worker, "a")
    with pytest.raises(ValueError, match="no rows"):
        worker.done("a", fails)
    worker.done("a", lambda: 7)
    finish(worker, "a")
    assert worker.done("a", lambda: 7) == 7


def test_one_piece_of_work_at_a_time(worker: ThreadWorker) -> None:
    """The second waits for the first."""
    gate, order = threading.Event(), []
    worker.done("a", lambda: (gate.wait(10), order.append("a")))
    worker.done("b", lambda: order.append("b"))
    gate.set()
    for key in ("a", "b"):
        finish(worker, key)
    assert order == ["a", "b"]
