"""Federations for the simulation's tests, closed afterwards; journals lie in memory where there is a memory disk."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import federation_cases as cases
from tacit.sim.federation import Federation

MEMORY_DISK = Path("/dev/shm")  # noqa: S108  a journal's fsync is free there


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a memory disk, else on the disk."""
    if not MEMORY_DISK.is_dir():
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(dir=MEMORY_DISK))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def make(folder: Path) -> Iterator[Callable[..., Federation]]:
    """Makes federations, each in a folder of its own."""
    made: list[Federation] = []

    def one(count: int = 3, **changes: object) -> Federation:
        made.append(cases.federation(folder / str(len(made)), count, **changes))
        return made[-1]

    yield one
    for fed in made:
        fed.close()
