"""The manual pages, made of the command lines and of the table of options: `make generated` writes docs/man.

Says nothing that the tools and the reader of configurations do not know; explanations are in docs/. Never
depends on the day or the machine. Format: man(7). Not in the packages: routers have no `man`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from netpolicy.cli.arguments import whole_parser as tool_parser
from netpolicy.config.schema import SECTION_TYPES, SECTIONS, OptionSpec, SectionSpec
from netpolicy.daemon.arguments import whole_parser as daemon_parser

FIRST = """\
config netpolicy 'main'
	option enabled '1'

config outbound 'fibre'
	option type 'interface'
	option interface 'wan'

config outbound 'film_line'
	option type 'interface'
	option interface 'wan2'

config list 'films'
	list entry 'video.example.net'

config rule 'films'
	option priority '50'
	list domain '@films'
	option route 'film_line'
	option on_fail 'block'
"""


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {"netpolicy.1": _tool(), "netpolicyd.8": _daemon(), "netpolicy.5": _file()}


# -- the three pages -------------------------------------------------------------------------------


def _tool() -> str:
    parser = tool_parser()
    lines = [*_head("netpolicy", 1, "see and steer the NetPolicy daemon")]
    lines += [".B netpolicy", "[\\fB\\-\\-json\\fR] [\\fB\\-\\-socket\\fR \\fIPATH\\fR] \\fICOMMAND\\fR ..."]
    lines += [".SH DESCRIPTION", _text("Talks to a running netpolicyd over ubus. Some commands work on files alone.")]
    lines += [".SH OPTIONS", *_options(parser)]
    lines += [".SH COMMANDS"]
    for name, command in _commands(parser).items():
        lines += [f".SS {_text(name)}"]
        lines += [_text(_meaning(parser, name)), *_options(command, ("--json", "--socket"))]
    lines += [".SH EXIT STATUS"]
    lines += [_text("0 when all is well, 1 for findings, 2 to 5 for changes, 64 for a wrong command line;")]
    lines += [_text("docs/cli.md has them for each command.")]
    return _page(lines, "netpolicyd(8), netpolicy(5)")


def _daemon() -> str:
    parser = daemon_parser()
    lines = [*_head("netpolicyd", 8, "the NetPolicy daemon")]
    lines += [".B netpolicyd", "\\fB\\-\\-config\\fR \\fIFILE\\fR [\\fIOPTION\\fR]..."]
    lines += [".SH DESCRIPTION", _text(str(parser.description)), ".SH OPTIONS", *_options(parser)]
    lines += [".SH SIGNALS", ".TP", "SIGHUP", "Reads the configuration again."]
    lines += [".TP", "SIGTERM, SIGINT", "Takes away what it put into the kernel, and ends."]
    return _page(lines, "netpolicy(1), netpolicy(5)")


def _file() -> str:
    lines = [*_head("netpolicy", 5, "the configuration of NetPolicy"), ".I /etc/config/netpolicy"]
    lines += [".SH DESCRIPTION"]
    lines += [_text("Sections and options in UCI's format. The same words make rules in YAML and in the DSL.")]
    lines += [_text("A word of a list may stand several times."), ".PP", ".EX", *map(_text, FIRST.splitlines()), ".EE"]
    for kind in SECTION_TYPES:
        lines += _section(SECTIONS[kind])
    return _page(lines, "netpolicy(1), netpolicyd(8)")


def _section(spec: SectionSpec) -> Iterator[str]:
    yield f".SH {_text(f'config {spec.type}')}"
    yield _text(f"{spec.meaning[:1].upper()}{spec.meaning[1:]}.")
    for option in spec.options.values():
        yield ".TP"
        yield f"{'list' if option.is_list else 'option'} \\fB{_text(option.name)}\\fR"
        yield _text(_about(option))


def _about(option: OptionSpec) -> str:
    parts = [f"{option.meaning[:1].upper()}{option.meaning[1:]}."]
    if option.choices:
        parts.append(f"One of {', '.join(option.choices)}.")
    elif option.examples:
        parts.append(f"For example {' or '.join(option.examples[:2])}.")
    if option.default:
        parts.append(f"Default {option.default}.")
    if option.types:
        parts.append(f"For the types {', '.join(option.types)}.")
    if option.word != option.name:
        parts.append(f"In the DSL and YAML {option.word}.")
    return " ".join(parts)


# -- pieces ----------------------------------------------------------------------------------------


def _head(name: str, section: int, meaning: str) -> Iterator[str]:
    yield '.\\" Generated: make generated'
    yield f'.TH {name.upper()} {section} "" NetPolicy'
    yield from (".SH NAME", f"{name} \\- {_text(meaning)}", ".SH SYNOPSIS")


def _options(parser: argparse.ArgumentParser, known: tuple[str, ...] = ()) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)) or action.nargs == argparse.REMAINDER:
            continue
        if not set(known) & set(action.option_strings):
            yield ".TP"
            yield _words_of(action)
            yield _text((action.help or "") % {"default": action.default})


def _words_of(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else ""
    if not value and action.choices:
        value = "|".join(map(str, action.choices))
    if not action.option_strings:
        return f"\\fI{_text(value or action.dest)}\\fR"
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in action.option_strings)
    return names if action.nargs == 0 else f"{names} \\fI{_text(value or action.dest.upper())}\\fR"


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (found,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found.choices)


def _meaning(parser: argparse.ArgumentParser, name: str) -> str:
    (found,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    text = next(one.help for one in found._choices_actions if one.dest == name) or ""
    return f"{text[:1].upper()}{text[1:]}."


def _text(text: str) -> str:
    """Characters as they are: roff would read a backslash, a dash and a dot or quote that begins a line."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{safe}" if safe[:1] in (".", "'") else safe


def _page(lines: list[str], others: str) -> str:
    return "\n".join([*lines, ".SH SEE ALSO", _text(others), ""])


def main(folder: Path) -> None:
    """Writes the pages into the folder."""
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
