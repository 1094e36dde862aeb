"""A federation that is laid out once, and copied for every test that starts its processes."""

import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation_processes import SERVICES, Running, lay_out, settings_of
from tacit.cli.layout import Folder


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Data, keys, epoch and policies; nothing has run in it."""
    return lay_out(tmp_path_factory.mktemp("federation"))


@pytest.fixture(scope="session")
def forkserver() -> multiprocessing.context.ForkServerContext:
    """Starts processes quickly: a server that has imported every service forks them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["federation_processes", "journal_lives", *(f"tacit.{name}.main" for name in SERVICES)]
    )
    return context


@pytest.fixture
def running(
    tmp_path: Path, laid_out: Folder, forkserver: multiprocessing.context.ForkServerContext
) -> Iterator[Running]:
    """A fresh copy with the embedded log; whatever still runs is killed in the end."""
    folder = Folder(shutil.copytree(laid_out.path, tmp_path / "federation"))
    settings_of(folder)
    made = Running(folder, forkserver)
    yield made
    made.close()
