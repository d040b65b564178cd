"""What a share link becomes: a node, or a problem.

Records only. Nothing here shows a secret: the outbound, which holds passwords and keys, is in no
`repr`, and the reason of a problem is our own words, never a part of the link.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Settings = dict[str, Any]  # a part of Xray's JSON


@dataclass(frozen=True, slots=True)
class Node:
    """A server to go through. `outbound` is Xray's object, `tag` in it is unique among the nodes."""

    tag: str
    label: str  # the link's own name for it, for people; may be empty or occur twice
    outbound: Settings = field(repr=False)

    @property
    def protocol(self) -> str:
        """Xray's name of the protocol."""
        return str(self.outbound["protocol"])


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the link with that number (from 1) is left out; `line` is 0 where there are no lines."""

    number: int
    line: int
    reason: str


class BadLink(Exception):
    """A link that cannot become a node; the text is for its owner and quotes nothing of it."""
