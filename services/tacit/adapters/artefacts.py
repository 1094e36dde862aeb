"""Model files by digest in a folder or an object store: ``sha256/ab/cdef..`` below a root (fsspec).

What is given out always has the digest that was asked for: a file whose bytes changed is an error, never a model.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tacit.versions import ArtefactCorruptError, ArtefactError, ArtefactMissingError

DIGEST_BYTES = 32


class FileArtefacts:
    """Content-addressed files.

    Args:
        root: A local folder or an fsspec URL, such as ``s3://bucket/tacit``; a local folder is created.

    Raises:
        ArtefactError: If no file system of this machine serves the URL.
    """

    def __init__(self, root: str) -> None:
        try:
            self._files, self._root = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise ArtefactError(f"artefacts {root}: no file system for it: {error}") from None
        self._local = isinstance(self._files, LocalFileSystem)

    def put(self, content: bytes) -> bytes:
        """Stores a file durably and returns its digest; one that is there and whole is left alone.

        A damaged file is replaced. On a local disk a reader sees the whole file or none, also after a power cut.

        Raises:
            ArtefactError: If the file cannot be written.
        """
        digest = hashlib.sha256(content).digest()
        try:
            if self.get(digest) == content:
                return digest
        except ArtefactError:
            pass
        try:
            self._write(self._path(digest), content)
        except OSError as error:
            raise ArtefactError(f"artefact {digest.hex()} cannot be written: {error}") from error
        return digest

    def get(self, digest: bytes) -> bytes:
        """The file of a digest.

        Raises:
            ArtefactMissingError: If there is none.
            ArtefactCorruptError: If its bytes are not those that were stored.
            ArtefactError: If it cannot be read.
            ValueError: If the digest is not 32 bytes.
        """
        path = self._path(digest)
        try:
            content: bytes = self._files.cat_file(path)
        except FileNotFoundError:
            raise ArtefactMissingError(f"artefact {digest.hex()} is not stored") from None
        except OSError as error:
            raise ArtefactError(f"artefact {digest.hex()} cannot be read: {error}") from error
        if hashlib.sha256(content).digest() != digest:
            raise ArtefactCorruptError(f"artefact {digest.hex()}: the stored file has another digest")
        return content

    def _path(self, digest: bytes) -> str:
        if len(digest) != DIGEST_BYTES:
            raise ValueError(f"a digest of {len(digest)} bytes: expected {DIGEST_BYTES}")
        name = digest.hex()
        return f"{self._root}/sha256/{name[:2]}/{name[2:]}"

    def _write(self, path: str, content: bytes) -> None:
        if self._local:
            _write_local(Path(path), content)
        else:
            # An object store shows an object once its upload is complete.
            self._files.pipe_file(path, content)


def _write_local(path: Path, content: bytes) -> None:
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    for folder in (path.parent, *(folder.parent for folder in made)):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    # A rename is durable only once its folder is.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
