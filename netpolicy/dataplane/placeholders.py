"""A table under names that do not tell what its sets hold, so that two of one structure have one text.

Never changes a table. Sets named after their content get a number instead; `rehearse` once, use often.
"""

from __future__ import annotations

import re

from netpolicy.dataplane.script import structure_text
from netpolicy.dataplane.table import Table

# What `names.content_name` makes: hex digits of a hash at the end.
_CONTENT = re.compile(r"_[0-9a-f]{10}$")
_NAME = re.compile(r"\b[gl][46]?[afio]?(?:_[a-z]{2})*_[0-9a-f]{10}\b")


def placeholders(table: Table) -> dict[str, str]:
    """The stand-in for the name of every set that is named after its content."""
    content_named = [one.name for one in table.sets if _CONTENT.search(one.name)]
    return {name: f"{_CONTENT.sub('', name)}_x{index}" for index, name in enumerate(content_named)}


def structure(table: Table) -> str:
    """The table with empty sets under stand-in names, as nft reads it."""
    stand_in = placeholders(table)
    return _NAME.sub(lambda found: stand_in.get(found[0], found[0]), structure_text(table))


def unhooked(text: str) -> str:
    """The same with its base chains off their hooks: it can be loaded beside the real one to be read back."""
    return re.sub(r"(?m)^(add chain \S+ \S+ \S+) \{.*\}$", r"\1", text)
