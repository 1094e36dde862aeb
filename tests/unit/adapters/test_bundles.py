"""The bundle folder: the last two, whole or not at all."""

from pathlib import Path

import pytest

from tacit.adapters import bundles
from tacit.adapters.bundles import CURRENT, PREVIOUS, BundleFolder


@pytest.fixture
def folder(tmp_path: Path) -> BundleFolder:
    """A folder that was not there before."""
    return BundleFolder(tmp_path / "deep" / "cache")


def test_an_empty_folder_has_nothing(folder: BundleFolder) -> None:
    """Before the first save there is nothing to load."""
    assert folder.load() == []


def test_the_last_two_are_kept_newest_first(folder: BundleFolder) -> None:
    """A third save forgets the first."""
    for data in (b"one", b"two", b"three"):
        folder.save(data)
    assert folder.load() == [b"three", b"two"]


def test_a_crash_before_the_rename_leaves_the_old_ones(folder: BundleFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails while the new bundle is written changes nothing that is read."""
    folder.save(b"one")
    folder.save(b"two")

    def fail(_handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(bundles.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        folder.save(b"three")
    assert folder.load() == [b"two", b"one"]


def test_a_crash_between_the_renames_leaves_the_newest(folder: BundleFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the newest already moved aside it is still read."""
    folder.save(b"one")
    original = Path.replace

    def fail_last(path: Path, target: Path) -> Path:
        if target.name == CURRENT:
            raise OSError("crash")
        return original(path, target)

    monkeypatch.setattr(Path, "replace", fail_last)
    with pytest.raises(OSError, match="crash"):
        folder.save(b"two")
    assert folder.load() == [b"one"]


def test_a_file_beyond_the_limit_is_left_out(folder: BundleFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's large file is not read into memory."""
    folder.save(b"small")
    folder.save(b"much too large")
    monkeypatch.setattr(bundles, "MAX_BYTES", 5)
    assert folder.load() == [b"small"]


def test_a_second_process_reads_the_same(tmp_path: Path) -> None:
    """What one process saved the next one loads, from files of known names."""
    BundleFolder(tmp_path).save(b"one")
    BundleFolder(tmp_path).save(b"two")
    assert BundleFolder(tmp_path).load() == [b"two", b"one"]
    assert {path.name for path in tmp_path.iterdir()} == {CURRENT, PREVIOUS}
