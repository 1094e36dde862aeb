"""YAML or JSON files into frozen classes.

A value has one spelling: duplicate keys, unknown keys, YAML floats, anchors and aliases are refused, so that a file
means the same to every reader and its digest can be told from its content.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import yaml

from tacit.wire.documents import FLOAT_HINT, MAX_BYTES, parse
from tacit.wire.errors import DocumentError

T = TypeVar("T")

_TAG = "tag:yaml.org,2002:"
_PLAIN = {"int": re.compile(r"-?(0|[1-9][0-9]*)"), "bool": re.compile("true|false")}
_TAGS = frozenset({"str", "int", "bool", "null", "timestamp", "map", "seq"})


def load(cls: type[T], path: Path) -> T:
    """Reads a document from a file.

    Args:
        cls: The frozen dataclass that describes the document.
        path: A ``.json``, ``.yaml`` or ``.yml`` file of at most 960 KiB, UTF-8.

    Raises:
        DocumentError: If the file cannot be read or is not such a document; the message begins with the path.
        Exception: Whatever `cls.__post_init__` raises, unchanged but for a note that names the path.
    """
    try:
        return parse(cls, _content(path))
    except DocumentError as error:
        raise DocumentError(f"{path}: {error}") from None
    except Exception as error:
        error.add_note(f"in {path}")
        raise


def _content(path: Path) -> bytes | dict[str, object]:
    if path.suffix not in {".json", ".yaml", ".yml"}:
        raise DocumentError(f"suffix {path.suffix!r}: expected .json, .yaml or .yml")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise DocumentError(f"over {MAX_BYTES} bytes")
    return data if path.suffix == ".json" else read_yaml(data)


def read_yaml(data: bytes) -> dict[str, object]:
    """Reads one YAML mapping into plain data.

    Raises:
        DocumentError: If the bytes are not one YAML mapping of text, whole numbers, dates, booleans, lists, mappings.
    """
    try:
        loader = yaml.SafeLoader(data)
        root = loader.get_single_node()
        for fault in _faults(root, set()):
            raise DocumentError(fault)
        found = loader.construct_document(root) if root is not None else None
    except RecursionError:
        raise DocumentError("nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise DocumentError(f"not YAML: {error}") from None
    if not isinstance(found, dict):
        raise DocumentError("expected a mapping of keys to values")
    return found


def _faults(node: yaml.Node | None, seen: set[int]) -> Iterator[str]:
    if node is None:
        return
    if id(node) in seen:
        yield f"{_line(node)}: an alias: write the value out"
        return
    seen.add(id(node))
    yield from _tag_faults(node)
    if isinstance(node, yaml.MappingNode):
        yield from _key_faults(node)
    for child in _children(node):
        yield from _faults(child, seen)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        yield from (part for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _tag_faults(node: yaml.Node) -> Iterator[str]:
    tag = node.tag.removeprefix(_TAG)
    if tag == "float":
        yield f"{_line(node)}: {node.value}: {FLOAT_HINT}"
    elif tag in _PLAIN and _PLAIN[tag].fullmatch(node.value) is None:
        yield f"{_line(node)}: {node.value}: quote it, or write a plain decimal number, true or false"
    elif tag not in _TAGS:
        yield f"{_line(node)}: tag {node.tag!r}: expected plain text, whole number, date, boolean, list or mapping"


def _key_faults(node: yaml.MappingNode) -> Iterator[str]:
    seen = set()
    for key, _ in node.value:
        if key.tag != f"{_TAG}str":
            yield f"{_line(key)}: a key that is not text: quote it"
        elif key.value in seen:
            yield f"{_line(key)}: key {key.value!r} stands twice"
        seen.add(str(key.value))


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
