"""`ports.json` with several writers."""

import json
import threading
from pathlib import Path

import pytest

from tacit.runtime.bound_ports import PortsFileError, add_ports, read_ports, remove_ports


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "ports.json"


def test_ports_are_added_beside_others(file: Path) -> None:
    """Names of other processes stay; a new port replaces an old one."""
    assert read_ports(file) == {}
    add_ports(file, {"scorer": 4001})
    add_ports(file, {"aggregator": 4000, "registry": 4002})
    add_ports(file, {"scorer": 4009})
    assert json.loads(file.read_text()) == {"aggregator": 4000, "registry": 4002, "scorer": 4009}


def test_only_own_entries_are_removed(file: Path) -> None:
    """A successor that bound before its predecessor ended keeps its entry."""
    add_ports(file, {"a": 1, "b": 2})
    add_ports(file, {"a": 7})
    remove_ports(file, {"a": 1, "b": 2, "c": 3})
    assert read_ports(file) == {"a": 7}


def test_many_writers_lose_nothing(file: Path) -> None:
    """Every writer's entry is there at the end, and no temporary file."""
    writers = [threading.Thread(target=add_ports, args=(file, {f"p{n}": 1000 + n})) for n in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert read_ports(file) == {f"p{n}": 1000 + n for n in range(20)}
    assert {path.name for path in file.parent.iterdir()} == {"ports.json", "ports.json.lock"}


def test_a_failed_write_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a file is never seen, and the temporary one is gone."""
    add_ports(file, {"a": 1})

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(json, "dump", fail)
    with pytest.raises(OSError, match="disk full"):
        add_ports(file, {"b": 2})
    monkeypatch.undo()
    assert read_ports(file) == {"a": 1}
    assert not [path for path in file.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("port", [0, 65_536, -1, True, "80"])
def test_wrong_ports_are_refused(file: Path, port: object) -> None:
    """Port 0 was never bound."""
    with pytest.raises(PortsFileError, match="must be 1 to 65535"):
        add_ports(file, {"a": port})  # type: ignore[dict-item]
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not JSON"), ("[1]", "an object, not list"), ('{"a": "x"}', "'x'")]
)
def test_damaged_files_are_refused(file: Path, text: str, message: str) -> None:
    """The message names the file."""
    file.write_text(text)
    with pytest.raises(PortsFileError, match=message) as caught:
        read_ports(file)
    assert str(file) in str(caught.value)
