"""The command line of `netpolicy`: one table of commands, and the parser made from it.

Imports no command: each row says where its function is, so that a run pays for one only.
A wrong command line ends with 64, as sysexits.h and docs/cli.md say.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .exit_code import USAGE
from .terminal import screen_width

FORMATS = ("dsl", "yaml", "uci")
BY_HAND = ("up", "down", "auto")
WEIGHT, MEMBER = "weight", "member"
LOG_LEVELS = ("debug", "info", "warning", "error")
MOST_DAYS = 3650
LONGEST_WINDOW = 3600
MOST = 1000  # rows in one answer: a bus message is at most 1 MiB

# Command: module and function, help. The options stand in the functions below.
COMMANDS = {
    "status": ("live:status", "the whole picture: mode, outbounds, rules, warnings"),
    "rules": ("live:rules", "every rule, whether it is in force, and what it did"),
    "outbounds": ("live:outbounds", "every way out, whether it is up and why; `set` takes one out by hand"),
    "lists": ("lists:run", "every list: where it is from, how much is in it, how old that is"),
    "connections": ("connections:run", "the open connections, and which rule and outbound they have"),
    "explain": ("explain:run", "why one open connection is where it is"),
    "decide": ("decide:run", "which rule a connection would hit, why, and where it would go"),
    "plan": ("change:plan", "what an apply would change now; exit code 2 if anything"),
    "apply": ("change:apply", "bring the configuration into force, and take it back unless it is confirmed"),
    "confirm": ("change:confirm", "the change stays; say it over a new connection"),
    "extend": ("change:extend", "wait longer for the confirmation"),
    "abort": ("change:abort", "take the change back now"),
    "rollback": ("change:rollback", "go back to an earlier generation, as guarded as any change"),
    "history": ("change:history", "who changed what, when, why, and how it ended"),
    "show": ("change:show_generation", "one generation of the configuration"),
    "diff": ("change:diff", "what two generations say differently; exit code 1 if anything"),
    "drift": ("change:drift", "what others changed of ours in the kernel; exit code 1 if it is still so"),
    "doctor": ("doctor:run", "what is wrong with this box, and what to do; also without a daemon"),
    "lint": ("lint:run", "everything that is wrong with configuration files"),
    "dsl-lint": ("lint:run_dsl", "the same for rules in the DSL, whatever their file is called"),
    "fmt": ("rewrite:fmt", "rewrite rule files in canonical form"),
    "convert": ("rewrite:convert", "print rules in another spelling: dsl, yaml or uci"),
    "migrate": ("rewrite:migrate", "print the predecessor's YAML in the DSL, and say what remains to do"),
    "xray-gen": ("xray_gen:run", "write a configuration of Xray for share links (vless://, ss://, …)"),
    "reload": ("live:reload", "read the configuration again and bring it into force"),
    "logs": ("logs:run", "what the daemon did lately"),
    "events": ("events:run", "what the daemon announces, as it happens"),
    "call": ("live:call", "one method of the bus object, for hosts without the ubus tool"),
    "lab": ("laboratory:run", "the router in network namespaces on this machine (development)"),
    "version": ("live:version", "the version of this tool"),
}


class Help(argparse.HelpFormatter):
    """argparse's, told its width: to find it out, argparse imports 1 MB, for every run."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=screen_width(sys.stdout) - 2)


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong command line ends with 64."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Help, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.print_usage()
        self.exit(USAGE, f"{self.prog}: {message}\n")
        raise AssertionError  # `exit` does not return

    def print_usage(self, file: object = None) -> None:
        super().print_usage(sys.stderr)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options of one run, `command` among them. Raises SystemExit for help and mistakes."""
    parser = whole_parser()
    words = _help_asked(argv)
    _check_command(parser, words)
    return parser.parse_args(words)


def whole_parser() -> Parser:
    """The parser of every command. It says what the manual page says."""
    parser = Parser(
        prog="netpolicy", description="See and steer the NetPolicy daemon.",
        epilog="netpolicy help COMMAND, or COMMAND --help, lists the options of one.",
    )  # fmt: skip
    _add_common(parser, None, False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, meaning) in COMMANDS.items():
        if name == "lab":
            _add_lab(commands, meaning)
            continue
        command = commands.add_parser(name, help=meaning, description=_sentence(meaning))
        # SUPPRESS: what stands before the command must survive when it is not repeated after it.
        _add_common(command, argparse.SUPPRESS, argparse.SUPPRESS)
        OPTIONS.get(name, _nothing)(command)
    return parser


def _help_asked(argv: Sequence[str]) -> list[str]:
    """`help` and `help apply` say the same as `--help` and `apply --help`."""
    words = list(argv)
    return [*words[1:2], "--help"] if words[:1] == ["help"] else words


def _first_word(words: Sequence[str]) -> str:
    """The word behind the options that every command has; "-" where there is none."""
    rest = list(words)
    while rest and rest[0].partition("=")[0] in ("--json", "--socket"):
        del rest[: 2 if rest[0] == "--socket" else 1]
    return rest[0] if rest else "-"


def _check_command(parser: Parser, words: Sequence[str]) -> None:
    """Ends with what was probably meant; what is right, or no word, is argparse's to judge."""
    command = _first_word(words)
    if command.startswith("-") or command in COMMANDS:
        return
    from netpolicy.config.nearest import closest

    meant = closest(command, (*COMMANDS, "help"))
    hint = f"did you mean {meant!r}?" if meant else "netpolicy help lists all of them"
    parser.error(f"there is no command {command!a}: {hint}")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _add_common(parser: argparse.ArgumentParser, no_socket: str | None, no_json: str | bool) -> None:
    parser.add_argument("--json", action="store_true", default=no_json, help="one JSON document instead of text")
    parser.add_argument("--socket", metavar="PATH", default=no_socket, help="the ubus socket to use")


def _add_lab(commands: argparse._SubParsersAction[Parser], meaning: str) -> None:
    # Everything after `lab` is the lab's: with a prefix that nobody can type, nothing is an option here.
    lab = commands.add_parser("lab", help=meaning, prefix_chars="\x00", add_help=False)
    lab.add_argument("words", nargs=argparse.REMAINDER)  # keeps a --, which is the lab's too


def _nothing(command: argparse.ArgumentParser) -> None:
    """A command without options of its own."""


def _connections(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=_rows, default=50, metavar="N", help="at most N (default: %(default)s)")
    command.add_argument("--offset", type=_count, default=0, metavar="N", help="leave out the first N")
    command.add_argument("--filter", default=None, metavar="TEXT", help="an address, port, rule or outbound")
    command.add_argument("--follow", action="store_true", help="print new and changed ones until interrupted")


def _outbounds(command: argparse.ArgumentParser) -> None:
    command.add_argument("set", nargs="?", choices=("set",), help="take a line out, or back in, until a restart")
    command.add_argument("name", nargs="?", default="", metavar="NAME", help="the line")
    command.add_argument(
        "state", nargs="?", choices=(*BY_HAND, WEIGHT, MEMBER),
        help="down: it carries nothing; up: whatever its probes say; auto: as its health says; "
             "weight N: its share in a balance; member A,B: another order of a group's members",
    )  # fmt: skip
    command.add_argument("value", nargs="?", default="", metavar="VALUE", help="of weight (0: as configured) or member")


def _rules(command: argparse.ArgumentParser) -> None:
    command.add_argument("--unused", action="store_true", help="only those that took no connection for long")
    command.add_argument("--days", type=_days, default=30, metavar="N", help="how long that is (default: %(default)s)")


def _explain(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "flow", nargs="+", metavar="CONNECTION",
        help="its id, or its ends and protocol as `connections` prints them: 192.168.1.7:50000 198.51.100.4:443 tcp",
    )  # fmt: skip


def _decide(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rules", metavar="FILE", help="decide by this file instead of asking the daemon")
    command.add_argument("facts", nargs="*", metavar="FACT=VALUE", help="such as proto=tcp dest_port=443 state=NORMAL")


def _lint(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--format", choices=("text", "short", "json", "sarif"), default="text",
        help="with the lines they are about, one line each, or for programs (default: %(default)s)",
    )  # fmt: skip
    command.add_argument("--sarif", action="store_true", help="the same as --format sarif")
    command.add_argument("--strict", action="store_true", help="warnings fail too")
    command.add_argument("--explain", metavar="CODE", default="", help="what a code such as NP204 means")
    command.add_argument("files", nargs="*", metavar="FILE")


def _fmt(command: argparse.ArgumentParser) -> None:
    command.add_argument("--check", action="store_true", help="change nothing; 1 when a file is not canonical")
    command.add_argument("--diff", action="store_true", help="change nothing; print what would change, 1 if anything")
    command.add_argument("--drop-comments", action="store_true", help="also where comments would be lost (UCI, YAML)")
    command.add_argument("files", nargs="+", metavar="FILE")


def _convert(command: argparse.ArgumentParser) -> None:
    command.add_argument("--to", required=True, choices=FORMATS, help="the spelling to print")
    command.add_argument("--from", dest="source", choices=FORMATS, help="the spelling of FILE (default: by its name)")
    _migrate(command)


def _migrate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", metavar="PATH", help="write to this file instead of printing")
    command.add_argument("--force", action="store_true", help="replace the file of --output when it is there already")
    command.add_argument("file", metavar="FILE")


def _logs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--since", type=_count, default=0, metavar="ID", help="only entries after this one")
    command.add_argument("--limit", type=_rows, default=50, metavar="N", help="the newest N (default: %(default)s)")
    command.add_argument("--level", choices=LOG_LEVELS, help="this level and worse")
    command.add_argument("--follow", action="store_true", help="print new entries until interrupted")


def _events(command: argparse.ArgumentParser) -> None:
    command.add_argument("--follow", action="store_true", help="until interrupted (what happens without --count too)")
    command.add_argument("--count", type=_rows, metavar="N", help="end after N events")


def _call(command: argparse.ArgumentParser) -> None:
    command.add_argument("method", metavar="METHOD")
    command.add_argument("arguments", nargs="?", default="{}", metavar="JSON", help="an object (default: {})")


def _xray_gen(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", default="config.json", metavar="FILE", help="default: %(default)s; mode 0600")
    visible = "a share link; everybody on this machine can read command lines: --url-file keeps its password private"
    command.add_argument("--url", action="append", default=[], metavar="URL", help=visible)
    lines = "links, one a line, # begins a comment; - reads standard input"
    command.add_argument("--url-file", action="append", default=[], metavar="FILE", help=lines)


def _plan(command: argparse.ArgumentParser) -> None:
    command.add_argument("--verbose", action="store_true", help="list every change in the kernel")
    _candidate(command)


def _candidate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rules", metavar="FILE", help="this file in place of the configuration")


def _guarded(command: argparse.ArgumentParser) -> None:
    command.add_argument("--confirm", type=_seconds, metavar="SECONDS", help="how long to wait for a confirmation")
    command.add_argument("-m", "--message", metavar="WHY", help="why, for the journal")
    command.add_argument(
        "--force", action="store_true", help="also with mistakes in rules, a lock-out or an assertion that fails"
    )
    command.add_argument("--console", action="store_true", help="I sit at the router itself: --confirm 0 is allowed")
    command.add_argument("--wait", action="store_true", help="end when the change is confirmed or taken back")


def _apply(command: argparse.ArgumentParser) -> None:
    _candidate(command)
    command.add_argument("--plan", metavar="HASH", help="only if nothing changed since that plan")
    _guarded(command)


def _rollback(command: argparse.ArgumentParser) -> None:
    command.add_argument("generation", nargs="?", type=_count, default=0, metavar="N", help="default: the one before")
    _guarded(command)


def _confirm(command: argparse.ArgumentParser) -> None:
    command.add_argument("token", metavar="TOKEN", help="what `netpolicy apply` printed")
    command.add_argument("--console", action="store_true", help="I sit at the router itself; for --console applies")


def _extend(command: argparse.ArgumentParser) -> None:
    command.add_argument("seconds", type=_seconds, metavar="SECONDS", help="from now")
    command.add_argument("id", nargs="?", default="", metavar="ID", help="of the change (default: the one that waits)")


def _abort(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", nargs="?", default="", metavar="ID", help="of the change (default: the one under way)")


def _history(command: argparse.ArgumentParser) -> None:
    command.add_argument("verify", nargs="?", choices=("verify",), help="whether the journal is what was written")
    command.add_argument("--limit", type=_rows, default=20, metavar="N", help="the newest N (default: %(default)s)")


def _show(command: argparse.ArgumentParser) -> None:
    command.add_argument("generation", nargs="?", type=_count, default=0, metavar="N", help="default: the current one")


def _diff(command: argparse.ArgumentParser) -> None:
    command.add_argument("first", type=_count, metavar="N", help="a generation; 0: what is in force")
    command.add_argument("second", nargs="?", type=_count, default=0, metavar="M", help="default: what is in force")


def _drift(command: argparse.ArgumentParser) -> None:
    command.add_argument("--heal", action="store_true", help="put it right now")


def _doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument("areas", nargs="*", metavar="AREA", help="only these, such as kernel, fw4, guard")
    command.add_argument("--verbose", action="store_true", help="every check, also those that are fine")
    command.add_argument("--bundle", metavar="FILE", help="write a .tar.gz for whoever helps, without secrets")
    command.add_argument("--anonymous", action="store_true", help="numbers for public and hardware addresses in it")
    command.add_argument("--config", metavar="FILE", default="/etc/config/netpolicy", help="default: %(default)s")
    command.add_argument("--state-dir", metavar="DIR", default="/var/run/netpolicy", help="default: %(default)s")
    command.add_argument("--store-dir", metavar="DIR", default="/etc/netpolicy", help="default: %(default)s")


def _lists(command: argparse.ArgumentParser) -> None:
    command.add_argument("--refresh", nargs="?", const="", default=None, metavar="LIST", help="fetch it, or all, now")


OPTIONS = {
    "outbounds": _outbounds,
    "lists": _lists,
    "doctor": _doctor,
    "plan": _plan,
    "apply": _apply,
    "rollback": _rollback,
    "confirm": _confirm,
    "extend": _extend,
    "abort": _abort,
    "history": _history,
    "show": _show,
    "diff": _diff,
    "drift": _drift,
    "rules": _rules,
    "explain": _explain,
    "connections": _connections,
    "decide": _decide,
    "lint": _lint,
    "dsl-lint": _lint,
    "fmt": _fmt,
    "convert": _convert,
    "migrate": _migrate,
    "xray-gen": _xray_gen,
    "logs": _logs,
    "events": _events,
    "call": _call,
}


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a count")
    return int(text)


def _seconds(text: str) -> int:
    number = _count(text)
    if number > LONGEST_WINDOW:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {LONGEST_WINDOW} seconds")
    return number


def _rows(text: str) -> int:
    number = _count(text)
    if not 0 < number <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and {MOST}")
    return number


def _days(text: str) -> int:
    number = _count(text)
    if not 0 < number <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and {MOST_DAYS}")
    return number
