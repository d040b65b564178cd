"""What the repository holds, for tests about the repository itself.

Tracked and new files as git sees them; in an unpacked archive, or where git refuses another
user's checkout, every file that is not built. Reads files, changes nothing.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What .gitignore names, for the walk without git.
BUILT = {".git", ".venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis",
         "build", "dist", "node_modules", "netpolicy.egg-info"}  # fmt: skip


@cache
def tracked() -> tuple[str, ...]:
    """Files under version control; work that is not added yet is nobody's business here."""
    done = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return tuple(name for name in done.stdout.splitlines() if (ROOT / name).is_file())
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return tuple(sorted(str(path) for path in found if not BUILT.intersection(path.parts)))


def modules() -> tuple[str, ...]:
    """The Python files of the package."""
    return tuple(name for name in tracked() if name.startswith("netpolicy/") and name.endswith(".py"))


def room_of(path: str) -> str:
    """`core` for netpolicy/core/model.py; "" for netpolicy/__init__.py."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else ""


@cache
def parsed(path: str) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), path)


@dataclass(frozen=True)
class Import:
    """One imported module. `lazy`: it happens in a function, or never at run time."""

    path: str
    line: int
    module: str  # absolute: netpolicy.core.model
    lazy: bool
    runs: bool  # False under `if TYPE_CHECKING`

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"


def imports(path: str) -> list[Import]:
    """Every import of a file, at any depth, `importlib.import_module("name")` included."""
    return [
        Import(path, line, module, lazy, runs)
        for node, lazy, runs in _walk(parsed(path), lazy=False, runs=True)
        for line, module in _modules(node, path)
    ]


def _walk(node: ast.AST, lazy: bool, runs: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, lazy, runs
        inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part in child.body:
                yield part, True, False
                yield from _walk(part, True, False)
            continue
        yield from _walk(child, inside, runs)


def _modules(node: ast.AST, path: str) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = path.removesuffix(".py").split("/")[: -node.level]
            base = ".".join([*package, base]) if base else ".".join(package)
        # `from netpolicy import core` names a room in its second half.
        deeper = base == "netpolicy"
        yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names) if deeper else ((node.lineno, base),)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield node.lineno, name.value
