# ruff: noqa: INP001  a script beside the pages that it writes
"""Generates the reference pages from the code: settings and metrics.

Run `python docs/generate.py` after a change of a settings class or a metrics table, `--check` to compare the committed
pages with what the code gives.
"""

import argparse
import enum
import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tacit.runtime.observing import render_table
from tacit.runtime.settings import PREFIX, Group, Settings

FOLDER = Path(__file__).resolve().parent
SERVICES = ("trainer", "scorer", "aggregator", "registry")
NOTE = "<!-- Written by docs/generate.py from the code; a change by hand is lost. -->\n"
PLAIN = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret",
}
BOUNDS = {"ge": "from {}", "gt": "above {}", "lt": "below {}", "le": "at most {}"}
LENGTHS = {"min_length": "length from {}", "max_length": "at most {} characters"}
ATTRIBUTE = re.compile(r"    (\w+): (.*)")

CONFIGURATION = """# Configuration

Every service reads its settings once, at start, and never again. Sources, the later ones stronger: the YAML file of
`tacit serve SERVICE --settings FILE`; the folder of secret files of `--secrets FOLDER` (one value a file, named as the
environment variable, with or without its prefix); the environment. A name in file or group that no service knows and a
value outside its range end the start with exit code 2 and one message that lists every fault. Secrets are never logged:
at start a process logs its effective settings once, as `settings_loaded`, with secrets masked.

The environment name of a setting is `TACIT_` and its name in capitals; inside a group two underscores part group and
name: `http.port` is `TACIT_HTTP__PORT`. `<GROUP>` below stands for the group's name at the service. In YAML:

```yaml
log_level: info
log:
  kind: embedded
  path: log.sqlite
http:
  port: 8080
```
"""

METRICS = """# Metrics

Every process answers `GET /metrics` in Prometheus' text format. What is scraped by the `federation` depends on plans,
releases and public sizes alone. What is `bank only` may depend on a bank's rows or budget, and is exposed on the bank's
own port and nowhere else; a bank's processes show CPU and memory there too. Aggregator and registry see no rows: they
show everything on their one port, CPU and memory included.
"""


def attributes(cls: type[BaseModel]) -> Mapping[str, str]:
    """What the docstrings say of a class's fields, on one line each; a subclass's word wins."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        section = (inspect.cleandoc(base.__dict__.get("__doc__") or "")).partition("Attributes:\n")[2]
        name = ""
        for line in section.splitlines():
            match = ATTRIBUTE.fullmatch(line)
            if match is not None:
                name, found[match[1]] = match[1], match[2]
            elif name and line.startswith("        "):
                found[name] += f" {line.strip()}"
            else:
                name = ""
    return {name: text for name, text in found.items() if name in cls.model_fields}


def words(kind: Any, metadata: typing.Iterable[Any] = ()) -> str:  # noqa: ANN401  annotations have no type
    """An annotation in words, with its range."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return words(parts[0], [*metadata, *parts[1:]])
    if origin in {typing.Union, types.UnionType}:
        return " or ".join("none" if part is type(None) else words(part, metadata) for part in parts)
    choices = parts if origin is typing.Literal else enumerated(kind)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    if origin is tuple:
        return f"list, each a {words(parts[0], metadata)}"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"names, each with a {words(parts[1], metadata)}"
    return ", ".join([PLAIN[kind], *limits(metadata)])


def enumerated(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401  same
    """The values of an enumeration, none for any other annotation."""
    return tuple(member.value for member in kind) if inspect.isclass(kind) and issubclass(kind, enum.Enum) else ()


def limits(metadata: typing.Iterable[Any]) -> Iterator[str]:
    """Ranges, lengths and forms in words."""
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from limits(item.metadata)
        for name, text in {**BOUNDS, **LENGTHS}.items():
            if getattr(item, name, None) is not None:
                yield text.format(f"{getattr(item, name):g}")
        if getattr(item, "pattern", None) is not None:
            yield f"matches `{item.pattern}`"


def default(field: FieldInfo) -> str:
    """A field's default."""
    if field.default is PydanticUndefined:
        return "**needed**"
    if isinstance(field.default, enum.Enum):
        return f"`{field.default.value}`"
    if field.default is None or field.default in ((), {}, ""):
        return "none"
    return f"`{field.default}`"


def group_of(field: FieldInfo) -> type[Group] | None:
    """The group that a field is, None for a single value."""
    kind = field.annotation
    return kind if inspect.isclass(kind) and issubclass(kind, Group) else None


def table(cls: type[BaseModel], inherited: frozenset[str], prefix: str) -> str:
    """The settings of a class as a Markdown table; groups are links to their own tables."""
    said = attributes(cls)
    rows = ["| setting | environment | value | default | meaning |", "|---|---|---|---|---|"]
    for name, field in cls.model_fields.items():
        if name in inherited:
            continue
        group = group_of(field)
        variable = f"`{prefix}{name.upper()}{'__*' if group else ''}`"
        value = (
            f"group [{group.__name__}](#{group.__name__.lower()})" if group else words(field.annotation, field.metadata)
        )
        fallback = ("**needed**" if field.is_required() else "its defaults") if group else default(field)
        cells = [f"`{name}`", variable, value, fallback, said[name]]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def configuration() -> str:
    """The page of settings."""
    classes = {service: settings_of(service) for service in SERVICES}
    shared = frozenset(Settings.model_fields)
    parts = [NOTE, CONFIGURATION, "## Every service\n", table(Settings, frozenset(), PREFIX)]
    groups: dict[str, type[Group]] = {}
    for service, cls in classes.items():
        parts += [f"## {service}\n", f"`tacit serve {service}`\n", table(cls, shared, PREFIX)]
        found = [group_of(field) for field in cls.model_fields.values()]
        groups |= {group.__name__: group for group in found if group is not None}
    for name, group in sorted(groups.items()):
        summary = inspect.cleandoc(group.__doc__ or "").splitlines()[0]
        parts += [f"## {name}\n", f"{summary}\n", table(group, frozenset(), f"{PREFIX}<GROUP>__")]
    return "\n".join(parts)


def metrics() -> str:
    """The page of metrics."""
    parts = [NOTE, METRICS]
    for service in SERVICES:
        module = importlib.import_module(f"tacit.{service}.metrics")
        parts += [f"## {service}\n", render_table(module.TABLE)]
    return "\n".join(parts)


def settings_of(service: str) -> type[Settings]:
    """The settings class of a service."""
    module = importlib.import_module(f"tacit.{service}.settings")
    found: type[Settings] = getattr(module, f"{service.capitalize()}Settings")
    return found


def pages() -> dict[str, str]:
    """Every generated page by file name."""
    return {"configuration.md": configuration(), "metrics.md": metrics()}


def stale(folder: Path) -> list[str]:
    """Names of the pages of a folder that are not what the code gives."""
    return [
        name
        for name, text in pages().items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Runs the command line; the number of stale pages with --check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if parser.parse_args().check:
        found = stale(FOLDER)
        for name in found:
            print(f"docs/{name} is not what the code gives: run python docs/generate.py")  # noqa: T201  a command
        return len(found)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
