"""Ask the daemon what it does, for the picture.

Only reads; a daemon that is silent or gone leaves the last picture and a reason.
Documents are those of the bus object `netpolicy` (docs of its methods: `netpolicy call`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Document = dict[str, Any]
Call = Callable[[str, Document], Document]
QUESTIONS: tuple[tuple[str, Document], ...] = (
    ("status", {}),
    ("rules", {}),
    ("connections", {"limit": 300, "offset": 0, "filter": ""}),
    ("logs", {"since": 0, "limit": 20, "level": "info"}),
)


class Unanswered(Exception):
    """The daemon did not answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The last documents, and why they may be old ('' when they are not)."""

    status: Document = field(default_factory=dict)
    rules: Document = field(default_factory=dict)
    connections: Document = field(default_factory=dict)
    logs: Document = field(default_factory=dict)
    # What the daemon decides about (source, destination, port): asked for what left no connection.
    decisions: dict[tuple[str, str, int], Document] = field(default_factory=dict)
    silence: str = "the daemon has not answered yet"

    @property
    def outbounds(self) -> list[Document]:
        """The ways out as the daemon sees them."""
        return list(self.status.get("outbounds") or [])

    def connection(self, protocol: str, src: str, src_port: int | None) -> Document | None:
        """The newest connection with this origin, or None."""
        found = None
        for entry in self.connections.get("connections") or []:
            if (entry.get("protocol"), entry.get("src"), entry.get("src_port")) == (protocol, src, src_port):
                found = entry
        return found


def look(call: Call, last: Answers, unexplained: Sequence[Document] = ()) -> Answers:
    """Ask everything once, and what is decided about each of the `unexplained` facts. The rest stays as it was."""
    found: dict[str, Any] = {}
    try:
        for method, arguments in QUESTIONS:
            found[method] = call(method, arguments)
        found["decisions"] = {
            (facts["src_addr"], facts["dest_addr"], facts["dest_port"]): call("decide", {"facts": facts})
            for facts in unexplained
        }
    except Unanswered as reason:
        return replace(last, **found, silence=str(reason))
    return replace(last, **found, silence="")


def bus_call(path: str, timeout: float) -> Call:
    """A `Call` over the bus socket at `path`."""
    from netpolicy.bus import blocking
    from netpolicy.bus.status import UbusError

    def call(method: str, arguments: Document) -> Document:
        try:
            return blocking.call("netpolicy", method, arguments, timeout, path)
        except (UbusError, OSError) as error:
            raise Unanswered(str(error)) from None

    return call
