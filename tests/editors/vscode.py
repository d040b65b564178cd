"""What VS Code's own tokenizer makes of texts, by one process of node for all of them.

Changes nothing on disk. The packages are those that scripts/setup unpacks; `why_not` says why
they are not there.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from tests.editors.samples import HERE, VSCODE
from tests.repository.tree import ROOT

PACKAGES = ROOT / ".venv/npm"
NEEDED = ("vscode-oniguruma", "vscode-textmate")
GRAMMAR = VSCODE / "syntaxes/netpolicy.tmLanguage.json"
OLDEST_NODE = 16
SECONDS = 60


@dataclass(frozen=True)
class Token:
    """A piece of a line and its scopes, without the language's own and its ending."""

    line: int
    text: str
    scopes: tuple[str, ...]

    @property
    def scope(self) -> str:
        """The innermost one, or ""."""
        return self.scopes[-1] if self.scopes else ""

    @property
    def is_invalid(self) -> bool:
        return any(scope.startswith("invalid") for scope in self.scopes)


@functools.cache
def why_not() -> str:
    """Why nothing can be tokenized here, or ""."""
    node = shutil.which("node")
    if node is None:
        return "node is not installed: scripts/setup test, as root"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if not version.startswith("v") or int(version[1:].split(".")[0]) < OLDEST_NODE:
        return f"node is {version or 'broken'}, the tokenizer needs {OLDEST_NODE}"
    for name in NEEDED:
        if not (PACKAGES / name / "package.json").exists():
            reason = PACKAGES / f"{name}.missing"
            return reason.read_text().strip() if reason.exists() else f"{name} is not unpacked: scripts/setup test"
    return ""


def ask(texts: dict[str, str], expression: str = "", lines: tuple[str, ...] = ()) -> tuple[dict[str, list[Token]], Any]:
    """The tokens of each text that are not blank, and what the expression makes of each line."""
    request = json.dumps({"texts": texts, "expression": expression, "lines": lines})
    command = ["node", str(HERE / "tokenize.mjs"), str(PACKAGES), str(GRAMMAR)]
    done = subprocess.run(command, input=request, capture_output=True, encoding="utf-8", timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    answer = json.loads(done.stdout)
    return {name: _tokens(text, answer["tokens"][name]) for name, text in texts.items()}, answer["matched"]


def _tokens(text: str, lines: list[list[list[Any]]]) -> list[Token]:
    found = []
    for number, (line, tokens) in enumerate(zip(text.split("\n"), lines, strict=True), 1):
        units = line.encode("utf-16-le")
        for start, end, _, *scopes in tokens:
            piece = units[2 * start : 2 * end].decode("utf-16-le", "replace")
            if piece.strip():
                found.append(Token(number, piece, tuple(scope.removesuffix(".netpolicy") for scope in scopes)))
    return found
