"""The content of a list from entries written in a test."""

from __future__ import annotations

from netpolicy.core.list_content import Gathering, ListContent


def gathered(*entries: str) -> ListContent:
    """What a file with these lines holds."""
    gathering = Gathering()
    for entry in entries:
        if not gathering.take_plain(entry):
            gathering.take(entry)
    return gathering.finish()
