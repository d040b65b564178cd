#!/usr/bin/env python3
"""Collect the texts of the LuCI app into po/templates/netpolicy.pot.

    pot.py            print the template
    pot.py --write    write it

Knows where such texts stand: `_('…')` in the views, "title" in the menu, "description" in
the permission file. Translations (po/<language>/netpolicy.po) are people's work, not touched.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

APP = Path(__file__).resolve().parent.parent / "luci-app-netpolicy"
TEMPLATE = APP / "po/templates/netpolicy.pot"

# The views use single quotes only and no text of theirs contains one.
CALL = re.compile(r"\b_\('((?:[^'\\]|\\.)*)'\)")
JSON_KEYS = {"title", "description"}


def texts_of_view(source: str) -> list[str]:
    """The arguments of `_()` in the order they stand."""
    return CALL.findall(source)


def texts_of_document(document: object) -> list[str]:
    """The texts that LuCI translates in a menu or permission document."""
    if not isinstance(document, dict):
        return []
    found = []
    for key, value in document.items():
        if key in JSON_KEYS and isinstance(value, str):
            found.append(value)
        found += texts_of_document(value)
    return found


def collect(app: Path = APP) -> dict[str, list[str]]:
    """Every text with the files it stands in, sorted by text."""
    found: dict[str, list[str]] = {}
    views = sorted((app / "htdocs").rglob("*.js"))
    documents = sorted((app / "root").rglob("*.json"))
    for path in views + documents:
        content = path.read_text(encoding="utf-8")
        is_view = path.suffix == ".js"
        texts = texts_of_view(content) if is_view else texts_of_document(json.loads(content))
        name = path.relative_to(app.parent).as_posix()
        for text in texts:
            places = found.setdefault(text, [])
            if name not in places:
                places.append(name)
    return dict(sorted(found.items()))


def render(found: dict[str, list[str]]) -> str:
    """The template. No line numbers: they would change it with every edit of a view."""
    parts = ['msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"\n']
    for text, places in found.items():
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        where = "".join(f"#: {place}\n" for place in places)
        parts.append(f'{where}msgid "{quoted}"\nmsgstr ""\n')
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """0; with `--write` the template is renewed."""
    template = render(collect())
    if arguments == ["--write"]:
        TEMPLATE.write_text(template, encoding="utf-8")
    else:
        print(template, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
