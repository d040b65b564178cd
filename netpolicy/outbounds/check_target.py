"""The words of an outbound's `probe` as a target, taken apart once and sent many times.

Reads no network and resolves no name; refuses what cannot be sent. Forms: docs/rules.md, "Probes".
"""

from __future__ import annotations

from dataclasses import dataclass

from netpolicy.core.address import V6, parse_address
from netpolicy.core.value import ValueProblem

PING, TCP, HTTP, HTTPS, DNS = "ping", "tcp", "http", "https", "dns"
DEFAULT_PORTS = {HTTP: 80, HTTPS: 443}

WORDS_LIMIT = 256
NAME_LIMIT, LABEL_LIMIT = 253, 63
HINT = "ping:9.9.9.9, tcp:HOST:PORT, http:http://HOST/PATH or dns:NAME"


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked. `host` is a name or an address without brackets; `port` and `path` where the kind has them."""

    words: str  # as configured
    kind: str
    host: str
    port: int = 0
    path: str = ""

    @property
    def is_address(self) -> bool:
        """Whether the host is an address, so that no name has to be resolved."""
        return is_address(self.host)

    @property
    def authority(self) -> str:
        """The host and, where it is not the usual one, the port: what HTTP calls Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS.get(self.kind) else f"{host}:{self.port}"


def parse_target(words: str) -> Target:
    """The target of one value of `probe`. Raises ValueProblem."""
    kind, _, rest = words.partition(":")
    if not words.isascii() or len(words) > WORDS_LIMIT or any(c <= " " or c == "\x7f" for c in words):
        raise _problem(words)
    if kind in (PING, DNS):
        return Target(words, kind, _host(words, rest))
    if kind == TCP:
        host, _, port = rest.rpartition(":")
        return Target(words, kind, _host(words, host), _port(words, port))
    if kind in (HTTP, HTTPS):
        return _web(words, f"{kind}:{rest}" if rest.startswith("//") else rest)
    raise _problem(words)


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address."""
    try:
        parse_address(text)
    except ValueProblem:
        return False
    return True


def _web(words: str, url: str) -> Target:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in DEFAULT_PORTS:
        raise _problem(words)
    cut = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:].partition("#")[0]
    if "@" in authority:  # it would stand in the configuration, the log and the picture
        raise ValueProblem(f"{words!r} has a user name in it", "probes carry no credentials")
    host, port = authority, str(DEFAULT_PORTS[scheme])
    if ":" in authority.rpartition("]")[2]:
        host, _, port = authority.rpartition(":")
    if not path.startswith("/"):
        path = "/" + path
    return Target(words, scheme, _host(words, host), _port(words, port), path)


def _host(words: str, text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        if not is_address(text) or parse_address(text)[0] != V6:
            raise _problem(words)
        return text
    if is_address(text):
        return text
    labels = text.removesuffix(".").split(".")
    fits = all(0 < len(one) <= LABEL_LIMIT and all(c.isalnum() or c in "-_" for c in one) for one in labels)
    # What ends in a number would be an address, and is none.
    if not fits or len(text) > NAME_LIMIT or labels[-1].isdigit():
        raise _problem(words)
    return text.removesuffix(".")


def _port(words: str, text: str) -> int:
    number = int(text) if text.isdigit() and len(text) <= 5 else 0
    if not 0 < number < 65536:
        raise ValueProblem(f"{words!r} names no port from 1 to 65535", HINT)
    return number


def _problem(words: str) -> ValueProblem:
    return ValueProblem(f"{words[:64]!r} is not a probe that can be sent", HINT)
