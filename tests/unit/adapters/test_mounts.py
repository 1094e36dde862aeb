"""Finding the file system of a path in the kernel's mount table."""

import logging
from pathlib import Path

import pytest

from tacit.adapters.mounts import file_system_type, is_network_type, network_file_system

TABLE = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
30 22 0:40 / /mnt/nfs rw,relatime shared:7 master:3 - nfs4 server:/export rw,vers=4.2
31 30 8:1 / /mnt/nfs/local rw - xfs /dev/sdb rw
32 22 0:41 / /mnt/my\040share rw - cifs //server/share rw
33 22 0:42 / /srv rw - ext4 /dev/vdb rw
34 22 0:43 / /srv rw - fuse.sshfs user@host: rw
broken line
35 22 - ext4
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/x", "ext4"),
        ("/proc/self", "proc"),
        ("/mnt/nfs", "nfs4"),
        ("/mnt/nfs/a/b", "nfs4"),
        ("/mnt/nfsx/a", "ext4"),
        ("/mnt/nfs/local/a", "xfs"),
        ("/mnt/my share/a", "cifs"),
        ("/srv/a", "fuse.sshfs"),
    ],
)
def test_longest_and_latest_mount_point_wins(path: str, kind: str) -> None:
    """The deepest mount point above the path counts, of two on one folder the later one."""
    assert file_system_type(Path(path), TABLE) == kind


def test_no_mount_point_at_all() -> None:
    """A table that says nothing gives no type."""
    assert file_system_type(Path("/a"), "") is None
    assert file_system_type(Path("/a"), "1 2 0:1 / /b rw - nfs x rw") is None


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "fuse.sshfs", "fuse.glusterfs", "fuse.unknown"]
)
def test_network_types(kind: str) -> None:
    """Shared file systems are network ones, and so is every FUSE layer that is not known as local."""
    assert is_network_type(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs"])
def test_local_types(kind: str) -> None:
    """Disks, memory and container layers are local."""
    assert not is_network_type(kind)


def test_follows_links(tmp_path: Path) -> None:
    """A link that leads to a share does not hide it."""
    share, table = tmp_path / "share", tmp_path / "mountinfo"
    share.mkdir()
    (tmp_path / "link").symlink_to(share)
    table.write_text(f"1 1 0:1 / / rw - ext4 d rw\n2 1 0:2 / {share.resolve()} rw - nfs s rw\n", encoding="utf-8")
    assert network_file_system(tmp_path / "link", table) == "nfs"
    assert network_file_system(tmp_path, table) is None


def test_missing_table_warns_and_counts_as_local(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Off Linux there is no table: the check is left out and says so."""
    with caplog.at_level(logging.WARNING):
        assert network_file_system(tmp_path, tmp_path / "absent") is None
    assert "not checking" in caplog.text
    assert str(tmp_path / "absent") in caplog.text
