"""The command line of netpolicyd: words in, a checked namespace out.

Never reads the configuration. Ends the process as every tool does: 0 after --help, 1 with the
usage when --config is missing (as the predecessor), 2 for anything that makes no sense: the
predecessor ignored that in silence.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

from netpolicy.core.value import ValueProblem
from netpolicy.service.dry_run import moment, question

if TYPE_CHECKING:
    import argparse

STATE_DIRECTORY = "/var/run/netpolicy"
STORE_DIRECTORY = "/etc/netpolicy"
LOG_LEVELS = ("debug", "info", "warning", "error")

NO_CONFIG = 1  # the predecessor's code

# Option: the fact it gives, what to write, what it is.
FACT_OPTIONS = (
    ("--sni", "sni", "NAME", "server name seen in TLS, QUIC or HTTP"),
    ("--protocol", "protocol", "NAME", "tcp, udp, … or a number"),
    ("--port", "port", "PORT", "destination port"),
    ("--latency-ms", "latency_ms", "MS", "measured latency"),
    ("--rtt-ms", "rtt_ms", "MS", "measured round trip time"),
    ("--state", "state", "STATE", "NORMAL (default), DEGRADED, FAILOVER or RECOVERY"),
)


def parse(argv: Sequence[str] | None = None) -> SimpleNamespace:
    """The options, plus for --dry-run `facts` (parsed), `state` and `given` (the facts as texts).

    `argv` is without the program's name. Nothing of argparse is in what is returned, so that a daemon can
    forget it. Raises SystemExit, with the reason on standard error.
    """
    parser = whole_parser()
    options = parser.parse_args(sys.argv[1:] if argv is None else list(argv), SimpleNamespace())
    options.given = _given(options, parser)
    if options.given and not options.dry_run:
        parser.error("facts and --state are for --dry-run")
    if options.json and not options.dry_run:
        parser.error("--json is for --dry-run")
    try:
        options.facts, options.state = question(options.given)
        moment(options.given, (0, 0))  # a time that is none is a mistake of the command line too
    except ValueProblem as problem:
        parser.error(f"{problem.text} ({problem.hint})" if problem.hint else problem.text)
    if not options.config:
        _refuse_without_config(parser)
    return options


def _refuse_without_config(parser: argparse.ArgumentParser) -> NoReturn:
    parser.print_usage(sys.stderr)
    parser.exit(NO_CONFIG, f"{parser.prog}: --config is needed, for example --config /etc/config/netpolicy\n")
    raise AssertionError  # `exit` does not return


def _given(options: SimpleNamespace, parser: argparse.ArgumentParser) -> dict[str, str]:
    """The facts as texts, in the order of FACT_OPTIONS; a fact given twice ends the process."""
    given: dict[str, str] = {}
    for name, value in _named(options, parser):
        if name in given:
            parser.error(f"the fact {name} is given twice")
        given[name] = value
    return given


def _named(options: SimpleNamespace, parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for _, name, _, _ in FACT_OPTIONS:
        value = getattr(options, "fact_" + name)
        if value is not None:
            yield name, value
    for text in options.fact:
        name, equals, value = text.partition("=")
        if not (name and equals):
            parser.error(f"--fact {text!r}: write it as NAME=VALUE")
        yield name, value


def whole_parser() -> argparse.ArgumentParser:
    """The parser of all that netpolicyd takes. It says what the manual page says."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="netpolicyd",
        description="The NetPolicy daemon; with --dry-run it prints one decision and ends.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="the configuration, usually /etc/config/netpolicy")
    parser.add_argument("--foreground", action="store_true", help="stay in the foreground, as procd wants it")
    parser.add_argument("--mode", choices=("observe", "enforce"), help="overrides the mode of the configuration")
    parser.add_argument("--state-dir", metavar="DIR", default=STATE_DIRECTORY, help="default: %(default)s")
    parser.add_argument("--store-dir", metavar="DIR", default=STORE_DIRECTORY, help="default: %(default)s")
    parser.add_argument("--socket", metavar="PATH", help="the ubus socket (default: where ubusd listens)")
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="default: %(default)s")
    # Only there to make the command line differ, so that procd restarts the daemon of an older package.
    parser.add_argument("--release", metavar="VERSION", help="ignored: marks the installed package")
    _add_dry_run(parser.add_argument_group("decide one connection on paper"))
    return parser


def _add_dry_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dry-run", action="store_true", help="print one decision and end; touches nothing")
    for option, name, metavar, meaning in FACT_OPTIONS:
        group.add_argument(option, dest="fact_" + name, metavar=metavar, help=meaning)
    group.add_argument(
        "--fact", metavar="NAME=VALUE", action="append", default=[], help="any match field, for example src_addr"
    )
    group.add_argument("--json", action="store_true", help="print the decision as a JSON document")
