"""Share links to nodes: the one door of this room for text from elsewhere.

A bad link costs itself only: it becomes a problem with its number and reason, and no text of
it is quoted, for it may hold secrets. Bounded: so many links, each so long, in linear time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .hysteria import hysteria
from .link import Link, take_apart
from .node import BadLink, Node, Problem, Settings
from .proxies import http, socks
from .shadowsocks import shadowsocks
from .tags import Tags
from .vless import trojan, vless
from .vmess import vmess

LONGEST = 16 << 10  # characters; a link with keys that resist quantum computers has about 5000
MOST = 1000  # nodes; Xray probes every one of them
LONGEST_SCHEME = 16  # quoted when unknown

SCHEMES: dict[str, Callable[[Link], Settings]] = {
    "vless": vless,
    "trojan": trojan,
    "ss": shadowsocks,
    "socks": socks,
    "socks5": socks,
    "http": http,
    "https": http,
    "hysteria2": hysteria,
    "hy2": hysteria,
}


def parse_links(source: str | Iterable[str]) -> tuple[list[Node], list[Problem]]:
    """The nodes of a text (as `lines` reads it) or of a list of links, and what is wrong with the others."""
    numbered = lines(source) if isinstance(source, str) else ((0, link) for link in source)
    nodes: list[Node] = []
    problems: list[Problem] = []
    tags = Tags()
    for number, (line, text) in enumerate(numbered, 1):
        if number > MOST:
            problems.append(Problem(number, line, f"more than {MOST} links: this one and all after it are left out"))
            break
        try:
            nodes.append(_node(text, number, tags))
        except BadLink as bad:
            problems.append(Problem(number, line, str(bad)))
    return nodes, problems


def lines(text: str) -> Iterable[tuple[int, str]]:
    """The links of a text, one a line, each with the number of its line; # begins a comment line."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        link = line.strip()
        if link and not link.startswith("#"):
            yield number, link


def _node(text: str, number: int, tags: Tags) -> Node:
    if len(text) > LONGEST:
        raise BadLink(f"longer than {LONGEST} characters")
    link = text.strip()
    if not link:
        raise BadLink(f"url at index {number} is empty")
    _refuse_unreadable(link)
    label, outbound = _outbound(take_apart(link))
    tag = tags.take(label, number)
    return Node(tag, label, {"tag": tag, **outbound})


def _refuse_unreadable(link: str) -> None:
    try:
        link.encode()
    except UnicodeEncodeError:  # how Python carries bytes that are not UTF-8
        raise BadLink("not UTF-8 text") from None
    if any(one < " " or one == "\x7f" for one in link):
        raise BadLink("control characters in the link")


def _outbound(link: Link) -> tuple[str, Settings]:
    if link.scheme == "vmess":
        outbound, name = vmess(link)
        return name or link.label, outbound
    make = SCHEMES.get(link.scheme)
    if make is None:
        # Something that is long or has odd characters is no scheme, and may be anything.
        is_word = len(link.scheme) <= LONGEST_SCHEME and link.scheme.isascii() and link.scheme.isalnum()
        raise BadLink(f"unsupported scheme {link.scheme!r}" if is_word else "unsupported scheme")
    return link.label, make(link)
