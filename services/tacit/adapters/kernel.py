"""The optional compiled kernel: built by the machine's C compiler, loaded by ctypes, never required.

`python -m tacit.adapters.kernel build` puts it into the cache folder; a process that finds no library, an unusable
one or `TACIT_KERNEL=off` works with NumPy alone and sends the same integers.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tacit.learning.kernel import CHUNK, Kernel, Terms
from tacit.learning.sigmoid import FACTORIALS

SWITCH = "TACIT_KERNEL"
FLAGS = ("-std=c99", "-O3", "-ffp-contract=off", "-fno-fast-math", "-fPIC", "-shared")

_POINTER, _INT32, _INT64, _DOUBLE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_double
_Types = list[type[ctypes.c_void_p] | type[ctypes.c_int32] | type[ctypes.c_int64] | type[ctypes.c_double]]
_MARGINS: _Types = [_POINTER, _INT64, _INT64, _POINTER, _INT32, _POINTER, _DOUBLE, _POINTER]
_SUMS: _Types = [
    *(_POINTER, _INT64, _INT64, _POINTER, _POINTER, _POINTER, _INT32, _POINTER, _INT32, _POINTER, _POINTER, _INT32),
    *(_POINTER, _POINTER, _POINTER, _INT32, _DOUBLE, _DOUBLE, _INT64, _POINTER, _INT64, _POINTER, _POINTER),
]


class KernelError(Exception):
    """The kernel cannot be built; the message says what is missing."""


class CompiledKernel:
    """`learning/kernel.c` behind the `Kernel` port. Its results have the bits of the NumPy path.

    Args:
        path: The shared library.

    Raises:
        OSError: If the library cannot be loaded on this machine.
    """

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._margins, self._sums = library.tacit_margins, library.tacit_sums
        self._margins.argtypes, self._margins.restype = _MARGINS, None
        self._sums.argtypes, self._sums.restype = _SUMS, None
        self._factorials = np.array(FACTORIALS, dtype=np.float64)

    def margins(
        self, bins: NDArray[np.uint8], tables: NDArray[np.void], values: NDArray[np.float64], intercept: float
    ) -> NDArray[np.float64]:
        """As `Kernel.margins`."""
        bins, out = _by_rows(bins), np.empty(bins.shape[1], dtype=np.float64)
        self._margins(
            *(bins.ctypes.data, bins.strides[0], len(out), tables.ctypes.data, len(tables)),
            *(values.ctypes.data, intercept, out.ctypes.data),
        )
        return out

    def sums(
        self,
        bins: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        margins: NDArray[np.float64],
        terms: Terms,
        *,
        square: bool,
        scale: float,
        cuts: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """As `Kernel.sums`."""
        bins, labels, margins = _by_rows(bins), np.ascontiguousarray(labels), np.ascontiguousarray(margins)
        cuts = np.ascontiguousarray(cuts, dtype=np.int64)
        out = np.zeros((len(cuts), terms.size), dtype=np.int64)
        work = np.empty(len(terms.tables) * CHUNK, dtype=np.int32)
        self._sums(
            *(bins.ctypes.data, bins.strides[0], bins.shape[1], labels.ctypes.data, margins.ctypes.data),
            *(terms.tables.ctypes.data, len(terms.tables), terms.dense.ctypes.data, len(terms.dense)),
            *(terms.values.ctypes.data, terms.sparse.ctypes.data, len(terms.sparse)),
            *(terms.functions.ctypes.data, terms.entries.ctypes.data, self._factorials.ctypes.data, int(square)),
            *(scale, terms.intercept, terms.size, cuts.ctypes.data, len(cuts), work.ctypes.data, out.ctypes.data),
        )
        return out


def _by_rows(bins: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bins whose neighbouring rows are neighbours in memory; a slice of rows is taken as it is."""
    return bins if bins.strides[1] == 1 else np.ascontiguousarray(bins)


def _source() -> bytes:
    return resources.files("tacit.learning").joinpath("kernel.c").read_bytes()


def library_path() -> Path:
    """Where this version's library for this machine's kind of processor lies, built or not.

    The folder is `TACIT_CACHE`, by default the user's cache folder; the name holds a digest of source and flags, so a
    library of another version is never loaded.
    """
    digest = hashlib.sha256(_source() + " ".join(FLAGS).encode()).hexdigest()[:16]
    base = Path(os.environ.get("TACIT_CACHE") or Path.home() / ".cache" / "tacit")
    return base / f"kernel-{platform.system().lower()}-{platform.machine()}-{digest}.so"


def build() -> Path:
    """Compiles the kernel, unless this version's library is there already.

    Returns:
        The library's path.

    Raises:
        KernelError: If there is no C compiler, or it refuses the source.
        OSError: If the cache folder cannot be written.
    """
    path = library_path()
    if path.exists():
        return path
    wanted = os.environ.get("CC") or "cc"
    compiler = shutil.which(wanted)
    if compiler is None:
        raise KernelError(f"no C compiler {wanted!r} on PATH; name one in CC, or work without the kernel")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        source, made = Path(folder) / "kernel.c", Path(folder) / "kernel.so"
        source.write_bytes(_source())
        command = [compiler, *FLAGS, "-o", str(made), str(source), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  the user's compiler
        if done.returncode:
            raise KernelError(f"{wanted} failed: {done.stderr.strip()}")
        made.replace(path)
    return path


@cache
def find() -> Kernel | None:
    """The built kernel, or None where it is switched off, not built or cannot be loaded."""
    path = library_path()
    if os.environ.get(SWITCH) == "off" or not path.exists():
        return None
    try:
        return CompiledKernel(path)
    except (OSError, AttributeError):
        return None


def main(arguments: Sequence[str]) -> int:
    """Builds the kernel and prints its path; 1 if it cannot be built, 2 for anything but `build`."""
    if list(arguments) != ["build"]:
        sys.stderr.write(f"expected one argument, build, got {list(arguments)}\n")
        return 2
    try:
        sys.stdout.write(f"{build()}\n")
    except (KernelError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
