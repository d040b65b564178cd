"""Choose what reads YAML files: PyYAML's parser, or our own reader.

Never imports PyYAML before somebody asks for it. Both give the same tree, from the subset of docs/yaml.md.
"""

from __future__ import annotations

from netpolicy.config.diagnostic import Findings
from netpolicy.config.node import Node
from netpolicy.config.yaml_builtin import read_builtin
from netpolicy.config.yaml_gate import clean_text, decode_yaml
from netpolicy.config.yaml_library import load_module, read_library

YAML_READERS = ("auto", "pyyaml", "builtin")


def read_yaml(text: str, file: str, findings: Findings, reader: str = "auto") -> Node | None:
    """The tree of a YAML text, or None after reporting what is wrong.

    An empty text is a null. Raises ReaderUnavailable for a reader that cannot be had, and
    nothing else, whatever the text is. "auto" is PyYAML where it has libyaml (without, it takes ten
    times as long as our own reader); when that refuses, our own says why: it does not stop at the
    first mistake.
    """
    if reader not in YAML_READERS:
        raise _unavailable(f"no YAML reader is called {reader!r}: one of {', '.join(YAML_READERS)}")
    module = None if reader == "builtin" else load_module()
    if module is None and reader == "pyyaml":
        raise _unavailable("PyYAML is not installed; the builtin reader needs nothing")
    if reader == "auto" and not hasattr(module, "CSafeLoader"):
        module = None
    cleaned = clean_text(text, file, findings)
    if cleaned is None:
        return None
    if module is None:
        return read_builtin(cleaned, file, findings)
    theirs = Findings()
    node = read_library(module, cleaned, file, theirs)
    if node is None and reader == "auto":
        ours = Findings()
        theirs = ours if read_builtin(cleaned, file, ours) is None else theirs
    findings.take(theirs.all)
    return node


def read_yaml_data(data: bytes, file: str, findings: Findings, reader: str = "auto") -> Node | None:
    """The same for a file's content: what is not UTF-8 is reported, too."""
    text = decode_yaml(data, file, findings)
    return None if text is None else read_yaml(text, file, findings, reader)


def _unavailable(reason: str) -> Exception:
    """The exception of reader.py, imported only now: it brings the whole UCI reader with it."""
    from netpolicy.config.reader import ReaderUnavailable

    return ReaderUnavailable(reason)
