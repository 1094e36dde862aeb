"""A federation that is laid out once, and copied for every test that starts its processes."""

import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from multiprocessing import forkserver as forkserver_module
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
    mains = [f"tacit.{name}.main" for name in SERVICES]
    context.set_forkserver_preload(["federation_processes", "journal_lives", *mains])
    # The server of Python 3.11 looks for what it preloads on its own path alone, not on pytest's.
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver_module.ensure_running()
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
