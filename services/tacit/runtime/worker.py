"""Long work beside the loop, so that the loop keeps turning."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class ThreadWorker:
    """Runs one piece of work at a time in a thread; results are kept until they are forgotten."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="work")
        self._futures: dict[Hashable, Future[Any]] = {}

    def done(self, key: Hashable, work: Callable[[], T]) -> T | None:
        """Starts the work on the first call for a key; its result once it is there, None before.

        Raises:
            Exception: What the work raised; the next call starts it again.
        """
        if key not in self._futures:
            self._futures[key] = self._pool.submit(work)
        future = self._futures[key]
        if not future.done():
            return None
        if future.exception() is not None:
            self.forget(key)
        result: T = future.result()
        return result

    def forget(self, key: Hashable) -> None:
        """Drops a key's result."""
        self._futures.pop(key, None)

    @property
    def busy(self) -> bool:
        """Whether any work is under way."""
        return any(not future.done() for future in self._futures.values())

    def close(self) -> None:
        """Waits for running work and ends the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)
