"""The words of an outbound's `probe` as a target, taken apart once and sent many times.

Reads no network and resolves no name; refuses what cannot be sent. Forms: docs/rules.md, "Probes".
"""

from __future__ import annotations

from dataclasses import dataclass

from netpolicy.core.probe_words import DEFAULT_PORTS, DNS, HTTP, HTTPS, PING, TCP, is_address, take_apart

__all__ = ["DNS", "HTTP", "HTTPS", "PING", "TCP", "Target", "is_address", "parse_target"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked. `host` is a name or an address without brackets; `port` and `path` where the kind has them."""

    words: str  # as configured
    kind: str
    host: str
    port: int = 0
    path: str = ""
    wanted: str = ""  # of a page: its status in three digits, or a text in it with % escapes; "": any of 200 to 299

    @property
    def is_address(self) -> bool:
        """Whether the host is an address, so that no name has to be resolved."""
        return is_address(self.host)

    @property
    def authority(self) -> str:
        """The host and, where it is not the usual one, the port: what HTTP calls Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS.get(self.kind) else f"{host}:{self.port}"

    @property
    def wanted_status(self) -> int:
        """The status that the page must have; 0 where any that says success will do."""
        return int(self.wanted) if len(self.wanted) == 3 and self.wanted.isdigit() else 0

    @property
    def wanted_text(self) -> bytes:
        """What the page must hold; b"" where that is not asked."""
        return b"" if self.wanted_status else _unescaped(self.wanted)


def parse_target(words: str) -> Target:
    """The target of one value of `probe`. Raises ValueProblem."""
    return Target(words, *take_apart(words))


def _unescaped(text: str) -> bytes:
    """With what % and two hexadecimal digits say; a % that says nothing is itself."""
    first, *rest = text.encode("ascii").split(b"%")
    made = first
    for part in rest:
        try:
            made += bytes.fromhex(part[:2].decode("ascii")) + part[2:] if len(part) >= 2 else b"%" + part
        except ValueError:
            made += b"%" + part
    return made
