"""What a line of a list says, by the format of its file: hosts, adblock, dnsmasq, names, networks, or our own.

A line in, the texts of entries out; never reads a file and never judges an entry itself (`list_entry` does).
Formats: hosts(5), dnsmasq(8), and the part of the adblock syntax that blocks a whole name (docs/rules.md, "Lists").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from netpolicy.config.geodata import GEOIP, GEOSITE
from netpolicy.core.address import parse_address
from netpolicy.core.list_entry import looks_like_address
from netpolicy.core.value import ValueProblem

AUTO, ENTRIES, DOMAINS, CIDR = "auto", "entries", "domains", "cidr"
HOSTS, ADBLOCK, DNSMASQ = "hosts", "adblock", "dnsmasq"
DAT = (GEOSITE, GEOIP)
FORMATS = (AUTO, ENTRIES, DOMAINS, CIDR, HOSTS, ADBLOCK, DNSMASQ, GEOSITE, GEOIP)

# The texts of entries; NOTHING for a comment, SKIPPED for what is right and no entry, BAD for what is neither.
Said = str | tuple[str, ...] | None
NOTHING = ""
SKIPPED: tuple[str, ...] = ()
BAD = None

# What stands at the beginning of every hosts file, and means no host of others.
# Those without a dot, such as ip6-allnodes, are known by that.
OWN_NAMES = ("localhost.localdomain",)

# Marks of an adblock rule that is no plain name: paths, wildcards, options, rules about parts of a page.
ADBLOCK_MARKS = "|^$/*#=,~@:?&!%"

# They leave a rule as wide as it is, for what decides about connections; any other makes it narrower.
HARMLESS = ("important", "all")

DNSMASQ_WORDS = frozenset(("address", "server", "local", "ipset", "nftset", "rebind-domain-ok"))

MOST_LOOKED_AT = 1000  # lines, to find out a format


def entries(line: str) -> Said:
    """Our own format: one entry, and # before a comment."""
    return (line.partition("#")[0] if "#" in line else line).strip()


def domains(line: str) -> Said:
    """One name or pattern of names; `.example.com` is `example.com`."""
    text = (line.partition("#")[0] if "#" in line else line).strip()
    if text[:1] == ".":
        text = text[1:]
    if text[-1:].isdigit() or "/" in text or ":" in text:
        return BAD if looks_like_address(text) else text
    return text


def cidr(line: str) -> Said:
    """One address, network or range; # and ; begin a comment."""
    text = line.partition("#")[0].partition(";")[0].strip()
    return text if not text or looks_like_address(text) else BAD


def hosts(line: str) -> Said:
    """An address and names: each of them alone is meant, not what is under it."""
    words = (line.partition("#")[0] if "#" in line else line).split()
    if not words:
        return NOTHING
    if len(words) < 2 or not _is_address(words[0]):
        return BAD
    if len(words) == 2:
        return SKIPPED if _is_own(words[1]) else "=" + words[1]
    return tuple(["=" + word for word in words[1:] if not _is_own(word)])


def adblock(line: str) -> Said:
    """`||name^`: the name and what is under it, as a name alone; what makes exceptions or is narrower is skipped."""
    text = line.strip()
    if text[:2] == "||":
        name, mark, options = text[2:].partition("^")
        if not mark or not _is_whole(options):
            return SKIPPED
        return name if not name.strip("*.").count("*") and "/" not in name and ":" not in name else SKIPPED
    if not text or text[0] in "![" or text == "#" or text[:2] == "# ":
        return NOTHING
    if any([mark in text for mark in ADBLOCK_MARKS]):
        return SKIPPED
    return hosts(text) if " " in text or "\t" in text else text


def dnsmasq(line: str) -> Said:
    """`address=/name/…`, `server=/name/…` and their like: the names between the slashes and what is under them."""
    text = line.strip()
    if not text or text[0] == "#":
        return NOTHING
    word, mark, rest = text.partition("=")
    word = word.strip()
    if not mark or word.removeprefix("--") not in DNSMASQ_WORDS:
        return BAD
    parts = rest.strip().split("/")
    if len(parts) < 3 or parts[0] or (parts[-1].strip() == "#" and word.endswith("server")):
        return SKIPPED  # for no name, or for names that are to be asked as usual
    return tuple([name.removeprefix("*.") for name in parts[1:-1] if name.strip("#*.")])


READERS: dict[str, Callable[[str], Said]] = {
    ENTRIES: entries, DOMAINS: domains, CIDR: cidr, HOSTS: hosts, ADBLOCK: adblock, DNSMASQ: dnsmasq,
}  # fmt: skip


def format_of_lines(lines: Iterable[str]) -> str:
    """The format that most of the first lines are in; what a file's first line says of itself counts more."""
    found: Counter[str] = Counter()
    for number, line in enumerate(lines):
        text = line.strip()
        if number >= MOST_LOOKED_AT:
            break
        if number == 0 and text[:1] in ("!", "[") and text[:2] != "[:":
            return ADBLOCK
        if text and text[0] not in "#;":
            found[_format_of(text)] += 1
    return max(found, key=lambda name: (found[name], name == ENTRIES)) if found else ENTRIES


def _format_of(text: str) -> str:
    if text[:2] in ("||", "@@") or text[0] == "!" or "##" in text:
        return ADBLOCK
    word, mark, rest = text.partition("=")
    if mark and rest[:1] == "/" and word.removeprefix("--") in DNSMASQ_WORDS:
        return DNSMASQ
    words = text.partition("#")[0].split()
    return HOSTS if len(words) > 1 and _is_address(words[0]) and words[1][:1] not in ";#" else ENTRIES


def _is_whole(options: str) -> bool:
    """Whether what stands behind the ^ of a rule leaves it about the whole name."""
    return not options or (options[0] == "$" and all([word in HARMLESS for word in options[1:].split(",")]))


def _is_own(name: str) -> bool:
    return name in OWN_NAMES or "." not in name or _is_address(name)


# Nearly every line of a hosts file has the same one.
_KNOWN_ADDRESSES = {"0.0.0.0": True, "127.0.0.1": True, "::": True, "::1": True}  # noqa: S104 - nothing is bound


def _is_address(word: str) -> bool:
    known = _KNOWN_ADDRESSES.get(word)
    if known is not None:
        return known
    if not looks_like_address(word.partition("%")[0]):
        return False
    try:
        parse_address(word.partition("%")[0])
    except ValueProblem:
        return False
    return True
