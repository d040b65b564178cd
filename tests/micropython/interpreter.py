"""A real MicroPython for tests: the WebAssembly build under node, one process for each program.

Runs programs over the real sources of the package; changes nothing on disk. The interpreter is
the npm package that scripts/setup unpacks; `why_not` says why there is none.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.repository.dialect import dialect
from tests.repository.tree import ROOT

PACKAGE = "@micropython/micropython-webassembly-pyscript"
MODULE = ROOT / ".venv/npm" / PACKAGE / "micropython.mjs"
RUNNER = Path(__file__).with_name("runner.mjs")

OLDEST_NODE = 16  # the build refuses older ones
SECONDS = 60  # a program takes one at most; a machine may be busy


@functools.cache
def why_not() -> str:
    """Why no MicroPython can run here, or ""."""
    node = shutil.which("node")
    if node is None:
        return "node is not installed: scripts/setup test, as root"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if not version.startswith("v") or int(version[1:].split(".")[0]) < OLDEST_NODE:
        return f"node is {version or 'broken'}, MicroPython needs {OLDEST_NODE}"
    if not MODULE.exists():
        reason = ROOT / ".venv/npm" / f"{PACKAGE}.missing"
        return reason.read_text().strip() if reason.exists() else f"{PACKAGE} is not unpacked: scripts/setup test"
    return ""


def sources() -> dict[str, Path]:
    """The files in dialect and their places, as if the root of the file system were the checkout."""
    return {f"/{path}": ROOT / path for path in dialect()}


def on_micropython(
    program: Path, *arguments: str, files: dict[str, Path] | None = None
) -> subprocess.CompletedProcess[str]:
    """The program's output and exit status under MicroPython; `files` are further real files by place."""
    place = f"/{program.name}"
    held = {**sources(), **(files or {}), place: program}
    pairs = [f"{name}={file}" for name, file in held.items()]
    return _run(["node", str(RUNNER), str(MODULE), place, *pairs, "--", *arguments])


def on_cpython(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same, under the interpreter of the tests."""
    return _run([sys.executable, str(program), *arguments])


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=str(ROOT), PYTHONIOENCODING="utf-8")
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=SECONDS, check=False)
