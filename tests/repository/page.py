"""The code blocks of a page of docs/, run: what a page shows is what happens.

A fence says what it is in its first line: a language, then what it claims.

    ```dsl                 a snippet without errors and warnings (notes are allowed)
    ```uci NP204 NP107     a snippet with exactly these errors and warnings
    ```yaml same           says the same as the snippet before it
    ```dsl rules.np        is also written to that file, for the commands of the page
    ```console             `$ command` lines, each with what it prints

Commands are `netpolicy …` and `cat FILE`, in a folder with the examples; `$ echo $?` prints how the
one before ended. `python -m tests.repository.page PAGE…` writes what is printed now into the page.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from netpolicy.config.diagnostic import INFO
from netpolicy.config.linter import lint_text
from netpolicy.config.load import load_text
from netpolicy.config.spelling import FORMATS, format_of
from netpolicy.config.unload import as_key

from .tree import ROOT

FENCE = re.compile(r"^```([a-z]+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"NP\d{3}")
CONSOLE = "console"
SAME = "same"


@dataclass
class Block:
    """One fenced block. `words` stand behind the language."""

    language: str
    words: list[str]
    text: str
    line: int

    @property
    def file(self) -> str:
        return next((word for word in self.words if word != SAME and not CODE.fullmatch(word)), "")

    @property
    def codes(self) -> set[str]:
        return {word for word in self.words if CODE.fullmatch(word)}


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page that name a language."""
    return [
        Block(found[1], found[2].split(), found[3], text.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(text)
    ]


@dataclass
class Run:
    """One page in a folder of its own. `problems` are what it says wrongly."""

    folder: Path
    problems: list[str] = field(default_factory=list)
    _before: object = None
    _code: int = 0

    def take(self, block: Block) -> str:
        """Run one block; its text as it should be."""
        if block.language == CONSOLE:
            return self._console(block)
        if block.language in FORMATS:
            self._snippet(block)
        return block.text

    def _snippet(self, block: Block) -> None:
        if block.file:
            (self.folder / block.file).write_text(block.text, encoding="utf-8")
            if format_of(block.file) != block.language:
                self.problems.append(f"line {block.line}: {block.file} is not read as {block.language}")
        found = [item for item in lint_text(block.text, "page", block.language) if item.severity != INFO]
        if {item.code for item in found} != block.codes:
            said = ", ".join(item.text() for item in found) or "nothing"
            self.problems.append(f"line {block.line}: says {sorted(block.codes)}, found {said}")
        key = as_key(load_text(block.text, "page", block.language).ruleset)
        if SAME in block.words and key != self._before:
            self.problems.append(f"line {block.line}: is not the same as the block before it")
        self._before = key

    def _console(self, block: Block) -> str:
        printed = []
        for command in (line[2:] for line in block.text.splitlines() if line.startswith("$ ")):
            printed.append(f"$ {command}\n" + self._run(command))
        text = "".join(printed)
        if text != block.text:
            self.problems.append(f"line {block.line}: prints\n{text}instead of\n{block.text}")
        return text

    def _run(self, command: str) -> str:
        if command == "echo $?":
            return f"{self._code}\n"
        program, *words = shlex.split(command)
        if program == "cat":
            return (self.folder / words[0]).read_text(encoding="utf-8")
        if program != "netpolicy":
            self.problems.append(f"{command}: a page runs netpolicy and cat only")
            return ""
        places = {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        done = subprocess.run(
            [sys.executable, "-m", "netpolicy.cli.main", *words],
            cwd=self.folder, env=places, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self._code = done.returncode
        return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


def run(page: str, folder: Path) -> tuple[list[str], str]:
    """What is wrong on the page, and its text as it should be."""
    text = (ROOT / page).read_text(encoding="utf-8")
    shutil.copytree(ROOT / "examples", folder / "examples")
    running = Run(folder)
    fresh = FENCE.sub(lambda found: _fresh(found, running, text), text)
    return running.problems, fresh


def _fresh(found: re.Match[str], running: Run, text: str) -> str:
    block = Block(found[1], found[2].split(), found[3], text.count("\n", 0, found.start()) + 1)
    return f"```{found[1]}{found[2]}\n{running.take(block)}```"


def main(pages: list[str]) -> None:
    """Write what the commands of the pages print now."""
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            problems, fresh = run(page, Path(folder))
        (ROOT / page).write_text(fresh, encoding="utf-8")
        print(f"{page}: {len(problems)} blocks said something else", *problems, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
