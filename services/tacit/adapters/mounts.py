"""Which file system a path lies on: SQLite's locks and shared memory need one of this machine."""

import logging
import re
from pathlib import Path

_log = logging.getLogger(__name__)

MOUNT_TABLE = Path("/proc/self/mountinfo")
"""The kernel's list of mounts of this process; Linux only."""

_NETWORK_TYPES = frozenset(
    {"9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs", "gfs2", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs"}
)
# Local layers that happen to run in user space: rootless containers and NTFS disks.
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.ntfs-3g"})
_OCTAL = re.compile(r"\\([0-7]{3})")


def file_system_type(path: Path, table: str) -> str | None:
    """The type of the file system that holds a path.

    Args:
        path: An absolute path without links.
        table: Text in the form of `/proc/self/mountinfo` (proc(5)).

    Returns:
        The type of the longest mount point above the path, of the last one where several share it; None where the
        table names none.
    """
    best: tuple[int, str] | None = None
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or not kinds:  # noqa: PLR2004  the mount point is the fifth field of a line
            continue
        mount = Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4]))
        if path.is_relative_to(mount) and (best is None or len(mount.parts) >= best[0]):
            best = len(mount.parts), kinds[0]
    return best[1] if best is not None else None


def is_network_type(kind: str) -> bool:
    """Whether a file system of this type is shared with other machines, or cannot be known not to be."""
    return kind in _NETWORK_TYPES or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def network_file_system(path: Path, mount_table: Path = MOUNT_TABLE) -> str | None:
    """The type of the network file system that holds a path, or None if it lies on a disk of this machine.

    Where there is no mount table the path counts as local, with a warning in the log.
    """
    try:
        table = mount_table.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        _log.warning("cannot read %s: not checking that %s lies on a disk of this machine", mount_table, path)
        return None
    kind = file_system_type(path.resolve(), table)
    return kind if kind is not None and is_network_type(kind) else None
