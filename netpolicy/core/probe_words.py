"""The words of a probe taken apart: `tcp:HOST:PORT`, `http:http://HOST/PATH#204`, and what is refused.

Reads no network and resolves no name; what is taken here can be sent. For the configuration and for the senders,
which read the same words. Forms: docs/rules.md, "Probes". Runs on MicroPython.
"""

from netpolicy.core.address import V6, parse_address
from netpolicy.core.value import ValueProblem

PING, TCP, HTTP, HTTPS, DNS = "ping", "tcp", "http", "https", "dns"
DEFAULT_PORTS = {HTTP: 80, HTTPS: 443}

WORDS_LIMIT = 256
NAME_LIMIT, LABEL_LIMIT = 253, 63
HINT = "ping:9.9.9.9, tcp:HOST:PORT, http:http://HOST/PATH or dns:NAME"

DIGITS = "0123456789"
LABEL_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_" + DIGITS


def take_apart(words: str) -> "tuple[str, str, int, str, str]":
    """Kind, host without brackets, port (0: none), path, and what a page must be ("": any). Raises ValueProblem."""
    kind, _, rest = words.partition(":")
    if len(words) > WORDS_LIMIT or any([not " " < c <= "~" for c in words]):
        raise _problem(words)
    if kind in (PING, DNS):
        return kind, _host(words, rest), 0, "", ""
    if kind == TCP:
        host, _, port = rest.rpartition(":")
        return kind, _host(words, host), _port(words, port), "", ""
    if kind in (HTTP, HTTPS):
        return _web(words, kind + ":" + rest if rest.startswith("//") else rest)
    raise _problem(words)


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address."""
    try:
        parse_address(text)
    except ValueProblem:
        return False
    return True


def _web(words: str, url: str) -> "tuple[str, str, int, str, str]":
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in DEFAULT_PORTS:
        raise _problem(words)
    cut = min([at for at in [rest.find(mark) for mark in "/?#"] if at >= 0] + [len(rest)])
    authority = rest[:cut]
    path, _, wanted = rest[cut:].partition("#")
    if "@" in authority:  # it would stand in the configuration, the log and the picture
        raise ValueProblem(repr(words) + " has a user name in it", "probes carry no credentials")
    host, port = authority, str(DEFAULT_PORTS[scheme])
    if ":" in authority.rpartition("]")[2]:
        host, _, port = authority.rpartition(":")
    if not path.startswith("/"):
        path = "/" + path
    return scheme, _host(words, host), _port(words, port), path, wanted


def _host(words: str, text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        if not is_address(text) or parse_address(text)[0] != V6:
            raise _problem(words)
        return text
    if is_address(text):
        return text
    if text.endswith("."):
        text = text[:-1]
    labels = text.split(".")
    fits = all([0 < len(one) <= LABEL_LIMIT and all([c in LABEL_CHARACTERS for c in one]) for one in labels])
    # What ends in a number would be an address, and is none.
    if not fits or len(text) > NAME_LIMIT or all([c in DIGITS for c in labels[-1]]):
        raise _problem(words)
    return text


def _port(words: str, text: str) -> int:
    number = int(text) if 0 < len(text) <= 5 and all([c in DIGITS for c in text]) else 0
    if not 0 < number < 65536:
        raise ValueProblem(repr(words[:64]) + " names no port from 1 to 65535", HINT)
    return number


def _problem(words: str) -> ValueProblem:
    return ValueProblem(repr(words[:64]) + " is not a probe that can be sent", HINT)
