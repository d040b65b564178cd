"""Names of nodes inside Xray: unique, printable, and never one that means something else.

Xray's selectors take every tag that begins with theirs, so that a node called `d` would bring
`direct` into its balancer: such names are taken too.
"""

from __future__ import annotations

DIRECT = "direct"
REJECT = "reject"
BALANCERS = ("best_ping", "load_balance", "fallback")
RESERVED = frozenset((DIRECT, REJECT, *BALANCERS, "api", "dns"))
LONGEST = 64  # characters; longer labels are advertisements


class Tags:
    """Gives each node its tag, in the order of the links."""

    def __init__(self) -> None:
        self._taken = set(RESERVED)
        self._next: dict[str, int] = {}  # so that a thousand equal labels cost a thousand steps

    def take(self, label: str, number: int) -> str:
        """The label, made printable and unique; `proxy-<number>` where there is none."""
        base = _printable(label) or f"proxy-{number}"
        tag = base
        while tag in self._taken or DIRECT.startswith(tag) or REJECT.startswith(tag):
            count = self._next.get(base, 2)
            self._next[base] = count + 1
            tag = f"{base}-{count}"
        self._taken.add(tag)
        return tag


def _printable(label: str) -> str:
    plain = "".join(one if one.isprintable() else " " for one in label[: LONGEST * 4])
    return " ".join(plain.split())[:LONGEST].strip()
