"""Where inputs begin: valid documents, and the words of each language.

The documents are random rule sets in each spelling, the vectors, and values from the schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from netpolicy.config.convert import print_ruleset
from netpolicy.config.schema import SECTION_TYPES, SECTIONS
from netpolicy.config.spelling import DSL, FORMATS, UCI, YAML
from netpolicy.core.facts import FACT_PARSERS
from netpolicy.core.packet import DSCP_CLASSES, PROTOCOLS
from tests.config import rulesets
from tests.config.rulesets import random_ruleset
from tests.spellings import as_yaml

from . import list_targets, object_targets, packet_seeds, wire_seeds

DATA = Path(__file__).parents[1] / "data"
DOCUMENTS = 40  # of each spelling

VALUES = (
    *rulesets.DOMAINS, *rulesets.REGEXES, *rulesets.ENTRIES, *rulesets.PROBES, *rulesets.ASSERTS, *rulesets.DAYS,
    *[value for values in rulesets.MATCHES.values() for value in values],
    "ssh://me@vps:22", "18:00", "24:00", "2mbit", "1.5gbit", "30m", "0x77000000", "ffff:255.255.255.255", "١٢", "1_0",
)  # fmt: skip
PATTERNS = (
    "^(ads|trk)[0-9]{1,2}\\.\nads12.example", "((a*)*)*b\naaaaaaaaaaaaaaaaaaaaaaaaaaaa", "[^a-z\\d]$\n1",
    "(?:a|b)+?c\nabc", "a{0,100}a{100}\n" + "a" * 200, "[]a]\n]",
    "\\.\\-\\/\n.", "(((((((((((((((((((a)))))))))))))))))))\na",
)  # fmt: skip
TIMES = ("18:30", "fri,18:30", "2026-11-20T18:30", "mon-fri 1:00", "24:00", "2026-W01-1T00:00", "20261120t1:00", "")

SESSIONS = (
    "192.168.1.5 40000 192.168.1.1 22", "fe80::5%br-lan 40000 fe80::1%br-lan 22", "::ffff:192.168.1.5 1 192.168.1.1 22",
    "   0: 0101A8C0:0016 0A01A8C0:9C40 01 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000 100 0 0",
    "# Interface wan\nnameserver 198.51.100.53\n", "nameserver fe80::1%wan",
)  # fmt: skip
WEB_ANSWERS = ("HTTP/1.1 204 No Content", "HTTP/1.0 302 Found", "\x00\x07\x01\x00\x00\x01\x00\x01\x00\x00\x00\x00")

COMMON = (
    "\n", "\n\n", "\r\n", "\r", "\t", " ", "  ", "    ", "\0", "\ufeff", "\u2028", "\x7f", "\x85", "\ud800", "é",
    "\U0010ffff", "'", '"', "\\", "\\\\", "''", '\\"', "#", " #", ":", ": ", ",", ";", "=", "-", "- ", "[", "]",
    "{", "}", "(", ")", "!", "@", "*", "&a", "*a", "<<: ", "|\n", ">\n", "---\n", "...\n", "%", "? ", "~", "null",
    "true", "false", "yes", "no", "[]", "{}", "0", "1", "-1", "+1", "1e9", "0x10", ".inf", "nan", "99999999999",
    "1" * 41, "a" * 300, "\\x41", "\\u0041", "\\\n",
)  # fmt: skip


def tokens(name: str = "") -> tuple[bytes, ...]:
    """Words that a mutation puts in for that target: marks, and what the languages are made of."""
    for strangers in (wire_seeds, packet_seeds, object_targets, list_targets):
        if name in strangers.CORPORA:
            return strangers.words()
    words = [*COMMON, *VALUES, *SECTION_TYPES, *PROTOCOLS, *DSCP_CLASSES, "config ", "option ", "list ", "package "]
    words += [
        "rule a:\n",
        "  match ",
        "  action ",
        "  when state=",
        "  disable ",
        "  priority 1\n",
        "config rule 'a'\n",
    ]
    for spec in SECTIONS.values():
        words.append(spec.plural + ":\n")
        for word in spec.words:
            words += [word, word + "=", word + ": ", f"\toption {word} '"]
        for option in spec.options.values():
            words += [*option.choices, *option.examples]
    words += [name + "=" for name in FACT_PARSERS]
    return tuple(dict.fromkeys(word.encode("utf-8", "surrogatepass") for word in words))


def documents(format: str) -> tuple[bytes, ...]:
    """Valid texts in a spelling, and the vectors that are written in it."""
    found = [print_ruleset(random_ruleset(Random(number)), format) for number in range(DOCUMENTS)]
    vectors = json.loads((DATA / "vectors.json").read_text(encoding="utf-8"))
    if format == DSL:
        found += [one["dsl"] for one in vectors["dsl"] if "dsl" in one]
    if format == YAML:
        found += [as_yaml(one["rules"]) for one in vectors["lint"] if "rules" in one]
    return tuple(text.encode() for text in found)


def corpus(name: str) -> tuple[bytes, ...]:
    """What inputs of a target begin with."""
    for strangers in (wire_seeds, packet_seeds, object_targets, list_targets):
        if name in strangers.CORPORA:
            return strangers.CORPORA[name]
    if name in ("lint", "convert"):
        order = (UCI, DSL, YAML)
        return tuple(bytes([order.index(one)]) + text for one in FORMATS for text in documents(one))
    if name.startswith("uci"):
        return documents(UCI)
    if name.startswith("yaml"):
        return documents(YAML)
    if name == "dsl":
        return documents(DSL)
    if name == "facts":
        lines = [f"{fact}={value}" for fact in FACT_PARSERS for value in VALUES]
        return tuple("\n".join(lines[start::97]).encode() for start in range(97))
    texts = {
        "session": SESSIONS,
        "probe-words": rulesets.PROBES,
        "probe-answers": WEB_ANSWERS,
        "at": TIMES,
        "patterns": PATTERNS,
        "list-file": ("\n".join(VALUES), "# none\n\n192.0.2.1 # one\n"),
    }
    if name == "domains":
        return tuple(f"{value}\nwww.example.com".encode() for value in VALUES)
    return tuple(text.encode() for text in texts.get(name, VALUES))
