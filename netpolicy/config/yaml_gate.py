"""What every YAML reader refuses before it begins: bytes, characters and sizes.

Never looks at the meaning of a character. Both readers get the same text from here, with plain
line ends, so that they cannot differ about it. Printable characters: YAML 1.2.2, section 5.1,
without those that are line ends for one version of YAML and not for the other.
"""

from __future__ import annotations

import re

from netpolicy.config.diagnostic import Findings, Place

MAX_BYTES = 4 << 20  # as for UCI files: far above 10 000 rules, below what hurts a small router
MAX_DEPTH = 32  # the rule language needs six
# 10 000 rules that fill 4 MiB have 450 000 values; more would take more than 64 MB on the way to rules.
MAX_NODES = 500_000
MAX_KEY = 256  # characters from a key's first to its colon; libyaml's own limit is 1024
MAX_NUMBER = 40  # no number of the language is longer; converting a long one takes quadratic time
MAX_FAULTS = 100  # a person corrects the first dozen

FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]|\r(?!\n)")


def decode_yaml(data: bytes, file: str, findings: Findings) -> str | None:
    """The text of a file's content; None after reporting why not."""
    if len(data) > MAX_BYTES:
        findings.error("NP004", Place(file), f"the file is larger than {MAX_BYTES >> 20} MiB")
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        findings.error("NP002", Place(file, line), "not UTF-8 text", "save the file as UTF-8")
        return None


def clean_text(text: str, file: str, findings: Findings) -> str | None:
    """The text with `\\n` as its only line end; None after reporting what cannot be read."""
    if len(text) > MAX_BYTES or (not text.isascii() and len(text.encode("utf-8", "replace")) > MAX_BYTES):
        findings.error("NP004", Place(file), f"the file is larger than {MAX_BYTES >> 20} MiB")
        return None
    if text.startswith("\ufeff"):
        findings.error("NP002", Place(file, 1, 1), "the file begins with a byte order mark", "save it without one")
        return None
    found = FORBIDDEN.search(text)
    if found is None:
        return text.replace("\r\n", "\n") if "\r" in text else text
    at = found.start()
    place = Place(file, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at), length=1)
    findings.error("NP002", place, _name(ord(found[0])), _hint(ord(found[0])))
    return None


def _name(code: int) -> str:
    if code == 0x0D:
        return "a carriage return without a line feed"
    if 0xD800 <= code <= 0xDFFF:
        return "not UTF-8 text"
    if code < 0xA0:
        return f"control character 0x{code:02x}"
    return f"character U+{code:04X}, which nobody sees"


def _hint(code: int) -> str:
    if code == 0x0D:
        return "end lines with a line feed, or with both"
    if 0xD800 <= code <= 0xDFFF:
        return "save the file as UTF-8"
    return "remove it"
