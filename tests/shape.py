"""The shape of the code: prints its figures beside the house limits; the result is the number of limits broken."""

import ast
import io
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {"fn50": 8, "fn95": 35, "fnmax": 80, "br95": 6, "args95": 5, "file95": 400, "filemax": 600}
DECISIONS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.match_case)
NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Shape:
    """Figures of one function."""

    lines: int
    branches: int
    arguments: int


def docstring(node: ast.AST) -> int:
    """Lines of a node's docstring."""
    body = getattr(node, "body", [])
    first = body[0] if isinstance(body, list) and body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return (first.end_lineno or first.lineno) - first.lineno + 1
    return 0


def shape(function: Function) -> Shape:
    """Body lines without the docstring, McCabe's branches, arguments without self."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1 - docstring(function)
    inner = {
        id(node)
        for item in ast.walk(function)
        if isinstance(item, Function) and item is not function
        for node in ast.walk(item)
    }
    own = [node for node in ast.walk(function) if id(node) not in inner]
    branches = 1 + sum(isinstance(node, DECISIONS) for node in own)
    branches += sum(len(node.values) - 1 for node in own if isinstance(node, ast.BoolOp))
    branches += sum(len(node.ifs) for node in own if isinstance(node, ast.comprehension))
    names = [item.arg for item in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return Shape(lines, branches, len([name for name in names if name not in {"self", "cls"}]))


def code_lines(source: str) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    tree = ast.parse(source)
    texts = {
        line
        for node in ast.walk(tree)
        if docstring(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }  # type: ignore[attr-defined]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    held = {
        line
        for token in tokens
        if token.type not in NOT_CODE and token.string
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(held - texts)


def files(folder: Path) -> Iterator[Path]:
    """Python files of a folder, generated ones left out."""
    yield from (path for path in sorted(folder.rglob("*.py")) if "_pb2" not in path.name)


def percentile(values: Sequence[int], share: float) -> int:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(len(ordered) * share * 100) // 100) - 1))] if ordered else 0


def main() -> int:
    """Prints the row; the number of broken limits."""
    functions, sizes = [], []
    library = list(files(ROOT / "services" / "tacit"))
    for path in library:
        source = path.read_text(encoding="utf-8")
        functions += [shape(node) for node in ast.walk(ast.parse(source)) if isinstance(node, Function)]
        if path.name != "__init__.py":
            sizes.append(len(source.splitlines()))
    lengths = [item.lines for item in functions]
    found = {
        "fn50": percentile(lengths, 0.5),
        "fn95": percentile(lengths, 0.95),
        "fnmax": max(lengths),
        "br95": percentile([item.branches for item in functions], 0.95),
        "args95": percentile([item.arguments for item in functions], 0.95),
        "file95": percentile(sizes, 0.95),
        "filemax": max(sizes),
    }
    code = sum(code_lines(path.read_text(encoding="utf-8")) for path in library)
    tests = sum(code_lines(path.read_text(encoding="utf-8")) for path in files(ROOT / "tests"))
    for name, limit in LIMITS.items():
        print(f"{name:8} {found[name]:5} of {limit:5} {'' if found[name] <= limit else 'ABOVE THE LIMIT'}")  # noqa: T201
    print(f"code {code}, tests {tests}, tests per line of code {tests / code:.2f} (at least 1.30)")  # noqa: T201
    return sum(found[name] > limit for name, limit in LIMITS.items()) + (tests < 1.3 * code)


if __name__ == "__main__":
    sys.exit(main())
