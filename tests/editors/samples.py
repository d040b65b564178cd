"""Texts in the DSL for the tests of what editors show: all that the repository has, and random ones.

Reads tracked files only. Names say where a text comes from.
"""

from __future__ import annotations

import functools
import json
import random
import re
from pathlib import Path

from netpolicy.config.print_dsl import to_dsl
from netpolicy.config.spelling import DSL, format_of
from tests.config.rulesets import random_sections
from tests.repository.tree import ROOT, tracked

HERE = Path(__file__).parent
VSCODE = ROOT / "editors/vscode"
REFERENCE = HERE / "reference.np"

FENCE = re.compile(r"^```(?:netpolicy|dsl)\b[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RANDOM_TEXTS = 100
CHANGED_TEXTS = 300
SPLINTERS = (" ", '"', "'", "#", ":", "=", ",", "!", "\\", "\n", "\t", "@", "any", "rule", " = ", "-", "1", "é")


@functools.cache
def written() -> dict[str, str]:
    """Files and code blocks of pages."""
    found = {}
    for name in tracked():
        if format_of(name) == DSL and not name.startswith("tests/"):
            found[name] = (ROOT / name).read_text(encoding="utf-8")
        elif name.endswith(".md"):
            for number, block in enumerate(FENCE.findall((ROOT / name).read_text(encoding="utf-8")), 1):
                found[f"{name} block {number}"] = block
    return found


@functools.cache
def printed() -> dict[str, str]:
    """Random rule sets in canonical form."""
    return {f"random {seed}": to_dsl(random_sections(random.Random(seed))) for seed in range(RANDOM_TEXTS)}


@functools.cache
def changed() -> dict[str, str]:
    """The same with one change of a person who is not careful; some are correct still."""
    found = {}
    for seed in range(CHANGED_TEXTS):
        choice = random.Random(seed)
        text = to_dsl(random_sections(choice)) or "rule a:\n  match any\n  action block\n"
        place = choice.randrange(len(text))
        found[f"changed {seed}"] = text[:place] + choice.choice(SPLINTERS) + text[place + choice.randrange(2) :]
    return found


def expanded(body: list[str]) -> str:
    """The text of a snippet whose placeholders were all left as they are."""
    text = re.sub(r"\$\{\d+\|([^,|}]*)[^}]*\}", r"\1", "\n".join(body))
    return re.sub(r"\$\{\d+:([^}]*)\}", r"\1", text).replace("$0", "")


@functools.cache
def snippets() -> dict[str, str]:
    """Every snippet by its name."""
    held = json.loads((VSCODE / "snippets/netpolicy.json").read_text(encoding="utf-8"))
    return {f"snippet {name}": expanded(one["body"]) for name, one in held.items()}
