"""Tests of the gate over documents, with planted faults, and of the pages that are generated."""

import enum
import importlib.util
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, UnionType
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, SecretStr

import documents
from tacit.runtime.settings import Group, Settings

FILES = frozenset({"README.md", "Makefile", "docs/a.md", "docs/deep/b.md"})
HEADINGS = {"docs/a.md": frozenset({"exit-codes"}), "README.md": frozenset({"top"})}
MAKEFILE = ".PHONY: help\nhelp: ## Help\n\t@true\ntest-slow: x\nBIN := y\n"


def load_generator() -> ModuleType:
    """The script docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate", documents.ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The script docs/generate.py as a module, once."""
    return load_generator()


def found(page: str, text: str) -> list[str]:
    """Faults of links."""
    return list(documents.links(page, text, FILES, HEADINGS))


@pytest.mark.parametrize(
    "text",
    [
        "[a](a.md)",
        "[up](../README.md#top)",
        "[folder](deep)",
        "[here](#exit-codes)",
        "[codes](a.md#exit-codes)",
        "[site](https://example.org/x.md)",
        "[mail](mailto:a@example.org)",
        "```\n[in code](gone.md)\n```",
        "matches `[a-z]([a-z]x)?`",
        "[`a`](a.md)",
    ],
)
def test_links_that_hold(text: str) -> None:
    """Files, folders, headings and other sites are fine, and code is no link."""
    assert found("docs/a.md", text) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[gone](gone.md)", "gone.md"),
        ("[up](../../README.md)", "README.md"),
        ("[heading](a.md#nothing)", "a.md#nothing"),
        ("[here](#nothing)", "#nothing"),
        ("[one](a.md) and [two](b.md)", "b.md"),
    ],
)
def test_broken_links_are_named(text: str, named: str) -> None:
    """A missing file or heading is one fault that names it."""
    faults = found("docs/a.md", text)
    assert len(faults) == 1
    assert named in faults[0]


def test_anchors_are_those_of_viewers() -> None:
    """Lower case, hyphens for blanks, no punctuation, nothing from code."""
    text = "# What a bank, says\n## REFUSED\n```\n# no heading\n```\n### `Code` 2.1\n"
    assert documents.anchors(text) == {"what-a-bank-says", "refused", "code-21"}


def test_snippets_are_lines_and_spans() -> None:
    """Fenced lines are joined where they go on; spans outside of blocks count."""
    text = "Run `make help` or\n```\ntacit up \\\n  --dir x\nls\n```\n"
    assert sorted(documents.snippets(text)) == ["ls", "make help", "tacit up    --dir x"]


@pytest.mark.parametrize(
    "line",
    [
        "tacit keys new bank --out keys/bank",
        "tacit --help",
        "tacit serve SERVICE --settings FILE",
        "tacit demo --out DIR # a comment",
        "TACIT_LOG__KIND=kafka tacit serve trainer",
        ".venv/bin/tacit federation show federation.yaml",
        "tacit keys",
        "tacitly true",
    ],
)
def test_commands_that_exist(line: str) -> None:
    """Groups, commands, options and placeholders pass."""
    assert list(documents.commands("p.md", f"`{line}`")) == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("tacit conquer", "conquer"),
        ("tacit keys steal bank", "steal"),
        ("tacit demo --fast", "--fast"),
        ("tacit keys new bank --output=x", "--output"),
    ],
)
def test_unknown_commands_are_named(line: str, named: str) -> None:
    """A command, subcommand or option that the program does not have is a fault, in blocks as well."""
    faults = list(documents.commands("p.md", f"```\n{line}\n```\n"))
    assert len(faults) == 1
    assert repr(named) in faults[0] or named in faults[0].rpartition(":")[2]


def test_targets_exist_or_are_named() -> None:
    """Targets count, variables do not; assignments of the Makefile are no targets."""
    text = "`make help test-slow LOG=kafka` `make sure` ```not a fence``` `make BIN`"
    assert list(documents.targets("p.md", text, MAKEFILE)) == ["p.md: `make sure`: no such target"]


def test_tests_exist_or_are_named() -> None:
    """A test that a page calls a proof must be there."""
    texts = {"tests/unit/test_x.py": "def test_one() -> None:\n    pass\n"}
    text = "`tests/unit/test_x.py::test_one` `tests/unit/test_x.py` `tests/unit/test_x.py::test_on` `tests/test_y.py`"
    assert list(documents.proofs("p.md", text, texts)) == [
        "p.md: tests/unit/test_x.py has no test_on",
        "p.md: tests/test_y.py is not in the tree",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("index-url = https://py" + "pi.org/simp" + "le", "package index"),
        ("http://mirror.local/repository/simp" + "le/x", "package index"),
        ("see /wo" + "rk/main/x.py", "path"),
        ("'/ho" + "me/someone/file'", "path"),
        ("-----BEGIN PRI" + "VATE KEY-----\nMC4CAQAwBQYDK2VwBCIE", "private key"),
        ("-----BEGIN EC PRI" + "VATE KEY-----\nMHcCAQEEIAbcdefg1234", "private key"),
        ("Co-Auth" + "ored-By: somebody", "workplace"),
        ("read HEL" + "PER first", "workplace"),
    ],
)
def test_leaks_are_found_with_their_line(text: str, what: str) -> None:
    """Each kind of text that no file may hold is found where it stands."""
    faults = list(documents.leaks("x.txt", f"first\n{text}\n"))
    assert len(faults) == 1
    assert faults[0].startswith("x.txt:2: ")
    assert what in faults[0]


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a",
        "http://127.0.0.1:8080/v1/score",
        "services/work/x and net/home/x",
        "/home/x",
        "-----BEGIN PUBLIC KEY-----",
        "a simple helper at work",
    ],
)
def test_harmless_text_passes(text: str) -> None:
    """Ordinary addresses, paths and words are no faults."""
    assert list(documents.leaks("x.txt", text)) == []


def test_readme_is_short() -> None:
    """199 lines pass, 200 do not."""
    assert list(documents.length("\n" * 199)) == []
    assert "200 lines" in next(documents.length("\n" * 200))


def test_a_tree_is_looked_at_as_a_whole(tmp_path: Path) -> None:
    """Every kind of fault of a small tree is found; binary and deleted files are passed over."""
    (tmp_path / "README.md").write_text(
        "# T\n[x](gone.md) `tacit conquer` `make sure` `tests/a.py`\n", encoding="utf-8"
    )
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (tmp_path / "x.bin").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "c.txt").write_text("/ro" + "ot/x", encoding="utf-8")
    faults = list(documents.faults(tmp_path, ["README.md", "Makefile", "x.bin", "c.txt", "deleted.md"]))
    assert [fault.partition(":")[0] for fault in faults] == ["README.md"] * 4 + ["c.txt"]


def test_a_tree_without_readme_is_at_fault(tmp_path: Path) -> None:
    """No README is not a short one."""
    assert len(list(documents.faults(tmp_path, []))) == 1


def test_tracked_files_are_those_of_git(tmp_path: Path) -> None:
    """What was added counts, what lies beside it does not."""
    for name in ("in.txt", "out.txt"):
        (tmp_path / name).touch()
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)  # noqa: S607  as the gate does
    subprocess.run(["git", "add", "in.txt"], cwd=tmp_path, check=True)  # noqa: S607  same
    assert documents.tracked(tmp_path) == ["in.txt"]


def test_the_gate_counts_and_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is the number of faults, and never wraps round to 0."""
    monkeypatch.setattr(documents, "tracked", lambda _root: [])
    monkeypatch.setattr(documents, "generated", lambda _root: iter(["stale"]))
    monkeypatch.setattr(documents, "faults", lambda _root, _names: iter(["one", "two"]))
    assert documents.main() == 3
    assert capsys.readouterr().out.split() == ["one", "two", "stale"]
    monkeypatch.setattr(documents, "faults", lambda _root, _names: iter(["x"] * 256))
    assert documents.main() == 255


def test_generated_pages_that_are_stale_are_told(tmp_path: Path) -> None:
    """What the generator says with --check is a fault a line; silence is none."""
    script = tmp_path / "docs" / "generate.py"
    script.parent.mkdir()
    script.write_text("import sys\nprint('docs/x.md is old')\nsys.exit(1)\n", encoding="utf-8")
    assert list(documents.generated(tmp_path)) == ["docs/x.md is old"]
    script.write_text("print('fine')\n", encoding="utf-8")
    assert list(documents.generated(tmp_path)) == []


def test_a_changed_or_missing_page_is_stale(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Pages are compared byte for byte."""
    monkeypatch.setattr(generator, "pages", lambda: {"a.md": "text\n", "b.md": "b", "c.md": "c"})
    (tmp_path / "a.md").write_text("text\n", encoding="utf-8")
    (tmp_path / "b.md").write_text("b ", encoding="utf-8")
    assert generator.stale(tmp_path) == ["b.md", "c.md"]


def test_pages_hold_every_setting_and_metric(generator: ModuleType) -> None:
    """Each field of each service has its environment name, each metric its row."""
    configuration, metrics = generator.configuration(), generator.metrics()
    for service in generator.SERVICES:
        for name in set(generator.settings_of(service).model_fields) - set(Settings.model_fields):
            assert f"`TACIT_{name.upper()}" in configuration
        for metric in importlib.import_module(f"tacit.{service}.metrics").TABLE:
            assert f"| `{metric.name}` |" in metrics


class Colour(enum.StrEnum):
    """Some values."""

    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (bool, "`true` or `false`"),
        (Path | None, "path or none"),
        (Literal["a", "b"], "`a`, `b`"),
        (Colour, "`red`, `blue`"),
        (SecretStr, "secret"),
        (tuple[Path, ...], "list, each a path"),
        (Mapping[str, Path], "names, each with a path"),
        (Annotated[int, Field(ge=1, le=9)], "whole number, from 1, at most 9"),
        (Annotated[float, Field(gt=0, lt=1)], "number, above 0, below 1"),
        (
            Annotated[str, Field(pattern="^x$", max_length=3)] | None,
            "text, at most 3 characters, matches `^x$` or none",
        ),
    ],
)
def test_annotations_in_words(generator: ModuleType, kind: type | UnionType, text: str) -> None:
    """Types, ranges, forms and alternatives are said as an operator reads them."""
    assert generator.words(kind) == text


class Inner(Group):
    """A group.

    Attributes:
        depth: How deep,
            in metres.
    """

    depth: Annotated[int, Field(ge=0)]
    colour: Colour = Colour.RED
    """The class's docstring says nothing of it."""


class Outer(Settings):
    """A service's settings.

    Attributes:
        inner: A group.
        form: Either | or.
        many: Files.
    """

    inner: Inner
    form: str = "a|b"
    many: tuple[Path, ...] = ()


def test_a_table_has_names_ranges_defaults_and_meanings(generator: ModuleType) -> None:
    """Groups are links, needed settings say so, and bars inside a cell are escaped."""
    rows = generator.table(Outer, frozenset(Settings.model_fields), "TACIT_").splitlines()
    assert rows[2:] == [
        "| `inner` | `TACIT_INNER__*` | group [Inner](#inner) | **needed** | A group. |",
        "| `form` | `TACIT_FORM` | text | `a\\|b` | Either \\| or. |",
        "| `many` | `TACIT_MANY` | list, each a path | none | Files. |",
    ]


def test_meanings_go_over_lines(generator: ModuleType) -> None:
    """A meaning of two lines is one; a subclass knows its base's attributes."""
    assert generator.attributes(Inner) == {"depth": "How deep, in metres."}
    assert set(generator.attributes(Outer)) == {"inner", "form", "many", "log_level", "ports_file"}


def test_a_setting_without_a_meaning_is_no_page(generator: ModuleType) -> None:
    """Every setting has to be explained in its class's docstring."""
    with pytest.raises(KeyError, match="colour"):
        generator.table(Inner, frozenset(), "TACIT_")


@pytest.mark.parametrize(("arguments", "code"), [(["--check"], 1), ([], 0)])
def test_the_command_checks_or_writes(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int
) -> None:
    """With --check nothing is written and stale pages are counted; without, they are written."""
    wanted: Any = lambda: {"a.md": "new"}  # noqa: E731  a stand-in
    monkeypatch.setattr(generator, "pages", wanted)
    monkeypatch.setattr(generator, "FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["generate.py", *arguments])
    assert generator.main() == code
    assert (tmp_path / "a.md").exists() == (code == 0)
