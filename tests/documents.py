"""The documents against the tree: links, commands, targets, tests, generated pages, and what no file may hold.

`make check` runs it; the exit code is the number of faults, at most 255.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import typer

from tacit.cli.main import GROUPS, LazyCommand

ROOT = Path(__file__).resolve().parent.parent
README_LINES = 200
MOST_FAULTS = 255

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
SCHEME = re.compile(r"[a-z][a-z+.-]*:")
HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
COMMAND = re.compile(r"^(?:\S+=\S+ )*(?:\.venv/bin/)?tacit (.*)$")
MAKE = re.compile(r"^make ([a-z].*)$")
WORD = re.compile(r"[a-z][a-z-]*")
PROOF = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
OPTION = re.compile(r"--[a-z][a-z-]*")

# The brackets keep a pattern from matching the line that declares it.
FORBIDDEN = {
    "address of a package index": re.compile(
        r"https?://[^\s\"')]*(?:[p]ypi\.|[p]ythonhosted\.|/[s]imple\b|[m]aven\.|[n]pmjs\.|[a]rtifactory|/[n]exus/)"
    ),
    "path of one machine": re.compile(r"(?<![\w.~-])/(?:[w]ork|[r]oot|[h]ome/\w{2,}|[U]sers)/[\w.]"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*[P]RIVATE KEY-----\s*[A-Za-z0-9+/]{16}"),
    "word of the workplace": re.compile(r"\b[H]ELPER\b|[s]hared/design|\b[C]laude\b|\b[A]nthropic\b|[C]o-Authored-By:"),
}


def links(page: str, text: str, files: frozenset[str], headings: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Relative links of a page to files or headings that are not there.

    Args:
        page: The page's path from the root.
        text: Its text.
        files: Every file of the tree, by its path from the root.
        headings: Anchors of every page.
    """
    for target, anchor in LINK.findall(SPAN.sub("", FENCE.sub("", text))):
        if SCHEME.match(target):
            continue
        found = os.path.normpath(PurePosixPath(page).parent / target) if target else page
        if found not in files and not any(name.startswith(f"{found}/") for name in files):
            yield f"{page}: link to {target}, which is not in the tree"
        elif anchor and anchor not in headings.get(found, frozenset()):
            yield f"{page}: link to {target}#{anchor}, which has no such heading"


def anchors(text: str) -> frozenset[str]:
    """The anchors of a page's headings, as its viewers make them."""
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(FENCE.sub("", text)))
    return frozenset(title.strip().replace(" ", "-") for title in plain)


def snippets(text: str) -> Iterator[str]:
    """What a page shows as code: lines of fenced blocks, joined where they go on, and spans."""
    for block in FENCE.findall(text):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines()[1:-1])
    yield from SPAN.findall(FENCE.sub("", text))


def commands(page: str, text: str) -> Iterator[str]:
    """Commands, subcommands and options of `tacit` that a page names and the program does not have."""
    for snippet in snippets(text):
        match = COMMAND.match(snippet)
        if match is not None:
            fault = unknown(shlex.split(match[1].replace("|", " "), comments=True))
            yield from [f"{page}: `{snippet}`: {fault}"] if fault else []


def unknown(words: list[str]) -> str:
    """What is wrong with the words behind `tacit`, nothing if they name a command."""
    if not words or WORD.fullmatch(words[0]) is None:
        return ""
    if words[0] not in GROUPS:
        return f"no command {words[0]!r}"
    command = LazyCommand(words[0], *GROUPS[words[0]]).load()
    named = [command]
    inner = getattr(command, "commands", {})
    if inner and len(words) > 1 and WORD.fullmatch(words[1]):
        if words[1] not in inner:
            return f"{words[0]} has no command {words[1]!r}"
        named = [inner[words[1]]]
    elif inner:
        named = list(inner.values())
    return _unknown_option(words, named)


def _unknown_option(words: Iterable[str], named: Iterable[Any]) -> str:
    have = {option for command in named for parameter in command.params for option in parameter.opts} | {"--help"}
    missing = [
        word for word in words if OPTION.fullmatch(word.partition("=")[0]) and word.partition("=")[0] not in have
    ]
    return f"no option {', '.join(missing)}" if missing else ""


def targets(page: str, text: str, makefile: str) -> Iterator[str]:
    """Targets of make that a page names and the Makefile does not have."""
    have = set(TARGET.findall(makefile))
    for snippet in snippets(text):
        match = MAKE.match(snippet.partition("#")[0].strip())
        words = match[1].split() if match is not None else []
        yield from (f"{page}: `make {word}`: no such target" for word in words if "=" not in word and word not in have)


def proofs(page: str, text: str, texts: Mapping[str, str]) -> Iterator[str]:
    """Test files and tests that a page names and the tree does not have."""
    for snippet in snippets(text):
        match = PROOF.fullmatch(snippet)
        if match is not None and match[1] not in texts:
            yield f"{page}: {match[1]} is not in the tree"
        elif match is not None and match[2] and f"def {match[2]}(" not in texts[match[1]]:
            yield f"{page}: {match[1]} has no {match[2]}"


def leaks(name: str, text: str) -> Iterator[str]:
    """What no committed file may hold."""
    for what, pattern in FORBIDDEN.items():
        for match in pattern.finditer(text):
            yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {what}: {match[0][:60]!r}"


def length(text: str) -> Iterator[str]:
    """README stays short enough to be read."""
    lines = text.count("\n")
    if lines >= README_LINES:
        yield f"README.md: {lines} lines, expected fewer than {README_LINES}"


def read(root: Path, names: Iterable[str]) -> dict[str, str]:
    """The text files among these names; others are left out."""
    found = {}
    for name in names:
        try:
            found[name] = (root / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
    return found


def faults(root: Path, names: Iterable[str]) -> Iterator[str]:
    """Every fault of a tree, the generated pages apart.

    Args:
        root: The tree.
        names: Its files, from the root.
    """
    texts, files = read(root, names := list(names)), frozenset(names)
    pages = {name: text for name, text in texts.items() if name.endswith(".md")}
    headings = {name: anchors(text) for name, text in pages.items()}
    yield from length(texts.get("README.md", "\n" * README_LINES))
    for name, text in pages.items():
        yield from links(name, text, files, headings)
        yield from commands(name, text)
        yield from targets(name, text, texts.get("Makefile", ""))
        yield from proofs(name, text, texts)
    for name, text in texts.items():
        yield from leaks(name, text)


def tracked(root: Path) -> list[str]:
    """The files that git has."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True)  # noqa: S607
    return [name for name in done.stdout.split("\0") if name]


def generated(root: Path) -> Iterator[str]:
    """Generated pages that are not what the code gives."""
    command = [sys.executable, str(root / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603  the line above
    if done.returncode:
        yield from (done.stdout + done.stderr).strip().splitlines()


def main() -> int:
    """Prints every fault; their number."""
    found = [*faults(ROOT, tracked(ROOT)), *generated(ROOT)]
    for fault in found:
        typer.echo(fault)
    return min(len(found), MOST_FAULTS)


if __name__ == "__main__":
    sys.exit(main())
