"""What is fuzzed: every parser of what comes from outside, each as a function of bytes.

A target returns nothing for whatever it is given; any exception is a defect. Where two readers
must agree, that they do not is one too.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from netpolicy.cli.excerpt import render
from netpolicy.config import load as loading
from netpolicy.config.convert import convert_text
from netpolicy.config.diagnostic import Diagnostic, Findings
from netpolicy.config.dsl import read_dsl
from netpolicy.config.linter import lint_text
from netpolicy.config.node import Node
from netpolicy.config.sarif import to_sarif
from netpolicy.config.schema import SECTIONS
from netpolicy.config.spelling import DSL, FORMATS, UCI, YAML
from netpolicy.config.uci import read_data, read_text
from netpolicy.config.uci_text import read_carefully
from netpolicy.config.yaml_library import load_module
from netpolicy.config.yaml_reader import read_yaml, read_yaml_data
from netpolicy.config.yaml_sections import sections_of
from netpolicy.core.domain import DomainSet, parse_domain
from netpolicy.core.facts import parse_facts
from netpolicy.core.field import FIELDS, parse_field
from netpolicy.core.pattern import compile_pattern
from netpolicy.core.value import ValueProblem
from netpolicy.flows import sockets
from netpolicy.flows.session import parse_ssh_connection
from netpolicy.outbounds import check_dns, check_gateway, check_http, check_ping, name_servers
from netpolicy.outbounds.check_target import parse_target
from netpolicy.service.dry_run import moment, question

from .list_targets import LIST_TARGETS
from .object_targets import OBJECT_TARGETS
from .packet_targets import PACKET_TARGETS
from .wire_targets import WIRE_TARGETS

Target = Callable[[bytes], object]

LONGEST_NAME = 253
HAS_LIBRARY = load_module() is not None


class Disagreement(Exception):
    """Two readers of the same text do not say the same."""


def uci(data: bytes) -> None:
    read_data(data, "<fuzz>")


def uci_words(data: bytes) -> None:
    """The careful reader, which must say what the quick one says."""
    text = _text(data)
    careful, quick = read_carefully(text, "<fuzz>"), read_text(text, "<fuzz>")
    if careful != quick:
        raise Disagreement("the quick reader of UCI takes it otherwise")


def yaml_builtin(data: bytes) -> None:
    findings = Findings()
    root = read_yaml_data(data, "<fuzz>", findings, "builtin")
    if root is None:
        _must(findings)
    else:
        sections_of(root, "<fuzz>", findings)


def yaml_library(data: bytes) -> None:
    """Through PyYAML; ours must say the same or refuse it as well."""
    theirs, ours = Findings(), Findings()
    root = read_yaml(_text(data), "<fuzz>", theirs, "pyyaml")
    twin = read_yaml(_text(data), "<fuzz>", ours, "builtin")
    _must(theirs) if root is None else sections_of(root, "<fuzz>", theirs)
    if (root is None) != (twin is None) or (root is not None and twin is not None and _said(root) != _said(twin)):
        raise Disagreement("the two readers of YAML take it differently")


def dsl(data: bytes) -> None:
    read_dsl(_text(data), "<fuzz>")


def facts(data: bytes) -> None:
    """Lines of NAME=VALUE, as `decide` is given them."""
    given = dict(line.partition("=")[::2] for line in _text(data).split("\n") if "=" in line)
    _refusing(lambda: parse_facts(given))
    _refusing(lambda: question(given))


def at(data: bytes) -> None:
    _refusing(lambda: moment({"at": _text(data)}, (0, 0)))


def domains(data: bytes) -> None:
    """A pattern, and a name to match in the second line."""
    pattern, _, name = _text(data).partition("\n")
    found = _refusing(lambda: parse_domain(pattern))
    if found is not None and found.matches(name) != DomainSet((found,)).matches(name):
        raise Disagreement("the table of names matches otherwise")


def patterns(data: bytes) -> None:
    """An expression, and a name to search in the second line; the work must be bounded."""
    text, _, name = _text(data).partition("\n")
    pattern = _refusing(lambda: compile_pattern(text))
    if pattern is not None:
        pattern.search(name[:LONGEST_NAME])
        if pattern.steps > 1002 * (LONGEST_NAME + 1):
            raise Disagreement(f"{pattern.steps} steps")


def fields(data: bytes) -> None:
    """Lines as the values of every match field."""
    values = tuple(_text(data).split("\n"))
    for name in FIELDS:
        found = _refusing(lambda name=name: parse_field(name, values))
        if found is not None and parse_field(name, found.values).values != found.values:
            raise Disagreement(f"{name}: {found.values!r} is not canonical")


def values(data: bytes) -> None:
    """The text as the value of every option; what is shown is read as the same."""
    text = _text(data)
    for section in SECTIONS.values():
        for option in section.options.values():
            found = _refusing(lambda option=option: option.read(text))
            if found is None or option.is_list or found == "" or option.is_match:
                continue
            if option.read(option.show(found)) != found:
                raise Disagreement(f"{section.type}.{option.name}: {option.show(found)!r}")


def list_file(data: bytes) -> None:
    """The file of a named list, through the loader that a configuration has."""
    folder = _folder()
    (folder / "entries").write_bytes(data)
    loading.load(str(folder / "netpolicy"), "builtin")


def lint(data: bytes) -> None:
    """Everything that lint says of a text, in each of its forms; the first byte chooses the spelling."""
    format, text = _spelled(data)
    found = lint_text(text, "<fuzz>", format)
    lines = ["", *text.split("\n")]

    def line_of(item: Diagnostic) -> str:
        return lines[item.line] if item.line < len(lines) else ""

    for item in found:
        item.text()
        render(item, line_of(item))
    if len(data) % 8 == 0:  # most of that document is always the same, and it is large
        json.dumps(to_sarif(found, line_of))


def convert(data: bytes) -> None:
    """To every spelling; that the result says the same is checked there."""
    format, text = _spelled(data)
    for target in FORMATS:
        convert_text(text, "<fuzz>", format, target)


def session(data: bytes) -> None:
    """The words of $SSH_CONNECTION, and lines of the kernel's tables of sockets."""
    text = _text(data)
    found = _refusing(lambda: parse_ssh_connection(text))
    if found is not None and parse_ssh_connection(" ".join(map(str, found))) != found:
        raise Disagreement(f"{found!r} is read otherwise")
    for line in text.split("\n"):
        sockets.parse(line)
        name_servers.by_interface(line)


def probe_words(data: bytes) -> None:
    found = _refusing(lambda: parse_target(_text(data)))
    if found is not None:
        check_http.request(found)


def probe_answers(data: bytes) -> None:
    """What the network sends back to probes: nothing of it is the answer to a question that was never asked."""
    token = b"0123456789abcdef"
    for family in (4, 6):
        if check_ping.is_answer(family, check_ping.without_ip_header(data), token):
            raise Disagreement("an echo without its token")
    if check_gateway.is_arp_reply(data, b"\xfe\xfd\xfc\xfb") or check_gateway.is_advertisement(data, token):
        raise Disagreement("a neighbour that nobody asked for")
    check_http.status(data)
    question = check_dns.encode("host.example", check_dns.A, 7)
    check_dns.decode(data, question)
    check_dns.decode(check_dns.HEADER.pack(7, 0x8180, 1, 0xFFFF, 0, 0) + question[12:] + data, question)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")  # as argv has what is not UTF-8


def _spelled(data: bytes) -> tuple[str, str]:
    return (UCI, DSL, YAML)[data[0] % 3 if data else 0], data[1:].decode("utf-8", "replace")


def _refusing(read: Callable[[], object]) -> object:
    try:
        return read()
    except ValueProblem as problem:
        if not problem.text:
            raise Disagreement("refused without a word") from None
        return None


def _must(findings: Findings) -> None:
    if not findings.has_errors:
        raise Disagreement("refused without a word")


def _said(node: Node) -> object:
    if node.kind == "map":
        return [(key.text, _said(value)) for key, value in node.value]
    if node.kind == "list":
        return [_said(one) for one in node.value]
    return node.kind, repr(node.value), node.raw


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def _folder() -> Path:
    """A folder of this process with a configuration that has a list with a file."""
    if not _FOLDERS:
        _FOLDERS.append(tempfile.TemporaryDirectory(prefix="netpolicy-fuzz-"))
        text = "config netpolicy 'main'\n\nconfig list 'a'\n\toption file 'entries'\n\n"
        text += "config rule 'r'\n\tlist domain '@a'\n\tlist dest_addr '@a'\n\toption block '1'\n"
        (Path(_FOLDERS[0].name) / "netpolicy").write_text(text)
    return Path(_FOLDERS[0].name)


TARGETS: dict[str, Target] = {
    "uci": uci,
    "uci-words": uci_words,
    "yaml-builtin": yaml_builtin,
    "yaml-library": yaml_library,
    "dsl": dsl,
    "facts": facts,
    "at": at,
    "domains": domains,
    "patterns": patterns,
    "fields": fields,
    "values": values,
    "list-file": list_file,
    "lint": lint,
    "convert": convert,
    "session": session,
    "probe-words": probe_words,
    "probe-answers": probe_answers,
    **WIRE_TARGETS,
    **PACKET_TARGETS,
    **OBJECT_TARGETS,
    **LIST_TARGETS,
}
