"""`netpolicy-lite`: lint, decide, and the data plane as text, with nothing but MicroPython.

Reads /etc/config/netpolicy, prints, changes nothing: a shell line hands the text to nft and ip
(docs/lite.md). No daemon: what it prints holds until the network changes.
"""

import os
import sys
import time

from netpolicy.config.assemble import Assembly, Loaded
from netpolicy.config.diagnostic import ERROR, Findings, Place
from netpolicy.config.source import SourceFile
from netpolicy.config.spelling import DSL, YAML, format_of
from netpolicy.config.uci_text import read_carefully
from netpolicy.core.calendar import active
from netpolicy.core.evaluate import decide
from netpolicy.core.facts import parse_facts
from netpolicy.core.health import NORMAL, STATES
from netpolicy.core.list_budget import SMALL
from netpolicy.core.list_content import Gathering
from netpolicy.core.pairs import needs_class
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.arrange import TooManyBoxes
from netpolicy.dataplane.routing import Routing, desired
from netpolicy.dataplane.script import ip_batch, ip_commands, nft_script, removal_text
from netpolicy.dataplane.state import IPV4, IPV6
from netpolicy.lite.network import MAX_FILE, read_text, read_view
from netpolicy.outbounds.group_order import Condition, uses
from netpolicy.outbounds.lines import line_states
from netpolicy.service.compile import compile_policy
from netpolicy.service.devices import by_device

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.config.source import Section
    from netpolicy.core.list_content import ListContent
    from netpolicy.outbounds.lines import View
    from netpolicy.service.compile import Compiled

USAGE = """\
usage: netpolicy-lite [--config FILE] [--root DIR] COMMAND
  lint                 everything that is wrong with the configuration
  decide [FACT=VALUE]  which rule a connection hits, where it goes, and why
  nft                  our nft table as text for `nft -f -`
  ip                   our routes and rules as command lines
  ip4, ip6             the same as text for `ip -4 -batch -` and `ip -6 -batch -`
"""

CONFIG = "/etc/config/netpolicy"

FURTHER_FILES = "/etc/netpolicy/"

S_IFMT, S_IFREG = 0o170000, 0o100000  # stat(2)
EPIPE = 32

FINE, FINDINGS, WRONG_USAGE, READER_LEFT = 0, 1, 64, 141


class Refused(Exception):
    """The command cannot be done; the text says why."""


def main(argv: "list[str]") -> int:
    """The exit code: 0 fine, 1 something is wrong with the configuration, 64 with the command line."""
    words = list(argv)
    config, root = CONFIG, ""
    while len(words) > 1 and words[0] in ("--config", "--root"):
        if words[0] == "--config":
            config = words[1]
        else:
            root = words[1]
        words = words[2:]
    if not words or words[0] not in COMMANDS:
        sys.stderr.write(USAGE)
        return WRONG_USAGE
    try:
        return COMMANDS[words[0]](root + config, root, words[1:])
    except OSError as problem:
        if problem.args and problem.args[0] == EPIPE:
            return READER_LEFT  # `| head`
        raise
    except Refused as problem:
        sys.stderr.write(f"netpolicy-lite: {problem}\n")
        return FINDINGS
    except ValueProblem as problem:
        sys.stderr.write(f"netpolicy-lite: {problem.text}\n  hint: {problem.hint}\n")
        return WRONG_USAGE


def load(path: str, root: str = "") -> Loaded:
    """The configuration, the files that it lists and those of its lists. Raises Refused for no file at all."""
    folder = path[: path.rfind("/") + 1]
    assembly = Assembly(lambda section, file: _held(section, file, folder, root, assembly.findings))
    includes = assembly.begin(_source(path))
    for name in includes.values if includes is not None else ():
        found = _place(folder, root, name)
        if not found:
            assembly.break_off("NP007", Place(path), name + ": only files beside this one and in /etc/netpolicy")
        else:
            assembly.add(_source(found))
    loaded = assembly.finish()
    if not loaded.fatal and not loaded.ruleset.has_main:
        text = "there is no main section: config netpolicy 'main'"
        hint = "to switch off write one with option enabled '0'; an empty or cut file is not taken for that"
        assembly.break_off("NP210", Place(path), text, hint)
        loaded.fatal = True
        loaded.diagnostics = assembly.findings.all
    return loaded


def _place(folder: str, root: str, name: str) -> str:
    """The path of a file beside the configuration or in /etc/netpolicy, "" for any other."""
    if ".." in name.split("/") or name in ("", "."):
        return ""
    if name.startswith(FURTHER_FILES):
        return root + name
    return "" if "/" in name else folder + name


def _held(
    section: "Section", file: str, folder: str, root: str, findings: Findings
) -> "tuple[bool, ListContent | None]":
    """What the file of a list holds: one entry for each line. Nothing is fetched here, and no other format is read."""
    option = section.option("file")
    if option is None or not option.values:
        return True, None
    name = option.values[0]
    found = _entries(_place(folder, root, name), name, Place(file, option.line, option.column), findings)
    return found is not None, found


def _entries(path: str, name: str, place: Place, findings: Findings) -> "ListContent | None":
    """What a list's file holds; other lines, and a missing file, are a warning. None where it is too long a list."""
    text = read_text(path) if path and _is_plain(path) else ""
    if not text:
        findings.warning("NP217", place, "the list has no entries from " + name)
    gathering, bad = Gathering(), 0
    for line in text.split("\n"):
        entry = line.split("#", 1)[0].strip()
        if not entry or gathering.take_plain(entry):
            continue
        try:
            gathering.take(entry)
        except ValueProblem:
            bad += 1
    if bad:
        findings.warning("NP217", place, f"{bad} lines of {name} are no entries of a list and are left out")
    content = gathering.finish()
    excess = content.excess(SMALL)
    if excess:
        findings.error("NP004", place, f"{name}: {excess}", "use a shorter list: this program prints all of it")
        return None
    return content


def _is_plain(path: str) -> bool:
    """Whether it is a plain file: opening a FIFO would wait for ever."""
    try:
        return os.stat(path)[0] & S_IFMT == S_IFREG
    except OSError:
        return True  # opening it says why


def _source(path: str) -> SourceFile:
    if not _is_plain(path):
        raise Refused(f"{path} is not a plain file")
    try:
        with open(path) as stream:
            text = stream.read(MAX_FILE + 1)
    except (OSError, ValueError) as problem:
        raise Refused(f"failed to read {path}: {_reason(problem)}")  # noqa: B904 - not in MicroPython
    if len(text) > MAX_FILE:
        raise Refused(f"{path} is larger than 1 MiB")
    format = format_of(path)
    if format == YAML:
        raise Refused(f"{path}: YAML needs the full netpolicy; convert it: netpolicy convert {path} --to dsl")
    if format == DSL:
        from netpolicy.config.dsl import read_dsl

        return read_dsl(text, path)
    return read_carefully(text, path)


def _reason(problem: Exception) -> str:
    """MicroPython tells a number only, and 2 is all that people meet."""
    number = problem.args[0] if problem.args else 0
    return "no such file" if number == 2 else f"error {number}" if isinstance(number, int) else "not UTF-8 text"


def _usable(path: str, root: str) -> Loaded:
    """The configuration, when it may be used. Raises Refused."""
    loaded = load(path, root)
    errors = [item for item in loaded.diagnostics if item.severity == ERROR]
    for item in errors:
        sys.stderr.write(item.text() + "\n")
    if loaded.fatal or loaded.blocked_skip:
        raise Refused("the configuration is not used: correct it first")
    return loaded


def _lint(path: str, root: str, words: "list[str]") -> int:
    loaded = load(path, root)
    for item in loaded.diagnostics:
        sys.stderr.write(item.text() + "\n")
    failed = any(item.severity == ERROR for item in loaded.diagnostics)
    sys.stderr.write("lint failed: " + path + "\n") if failed else print("lint ok: " + path)
    return FINDINGS if failed else FINE


def _compiled(path: str, root: str, state: str = NORMAL) -> "tuple[Loaded, View, Compiled]":
    loaded = _usable(path, root)
    view = read_view(root)
    states = line_states(loaded.ruleset.outbounds, view)
    names = needs_class(loaded.ruleset)
    numbers = {name: number for number, name in enumerate(names, 1)}
    now = time.localtime()
    opened = active(loaded.ruleset.schedules, now[6], now[3] * 60 + now[4])
    known = {one.name: Condition(not one.up, families=tuple([hop.family for hop in one.hops])) for one in states}
    groups = uses(loaded.ruleset, known, {})
    compiled = compile_policy(
        loaded.ruleset, state, states, view, numbers, active=opened, groups=groups, learns=False
    )  # fmt: skip
    return loaded, view, compiled


def _decide(path: str, root: str, words: "list[str]") -> int:
    given = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueProblem(f"{word!r} is not FACT=VALUE", "for example proto=tcp dest_port=443")
        given[name] = value
    state = given.pop("state", NORMAL).upper()
    if state not in STATES:
        raise ValueProblem("invalid state value: " + state, "one of " + ", ".join(STATES))
    facts = parse_facts(given)
    loaded, _, compiled = _compiled(path, root, state)
    if facts.schedule is None:
        now = time.localtime()
        facts.schedule = active(loaded.ruleset.schedules, now[6], now[3] * 60 + now[4])
    names = dict(compiled.policy.device_names)
    if facts.src_iface is not None:
        facts.src_iface = names.get(facts.src_iface, facts.src_iface)
    ruleset = loaded.ruleset
    ruleset = type(ruleset)(by_device(ruleset.rules, names), ruleset.outbounds, ruleset.settings, ruleset.schedules)
    made = decide(ruleset, facts, state, compiled.world)
    print("decision: state={} {}".format(state, "rule=" + made.rule.name if made.rule else "no match"))
    print("action: " + (made.action or "none") + (", log" if made.log else ""))
    print("outbound: " + made.outbound)
    for reason in made.why:
        print("  " + reason)
    return FINE


def _nft(path: str, root: str, words: "list[str]") -> int:
    loaded, _, compiled = _compiled(path, root)
    if not _is_in_force(loaded):
        sys.stdout.write(removal_text())
        return FINE
    _say_what_waits(loaded, compiled)
    try:
        text = nft_script(compiled.policy)
    except TooManyBoxes as problem:
        raise Refused(str(problem))  # noqa: B904 - not in MicroPython
    sys.stdout.write(text)
    return FINE


def _is_in_force(loaded: Loaded) -> bool:
    """Whether the rules are to be in the kernel; else what is printed takes ours away."""
    settings = loaded.ruleset.settings
    if settings.enabled and settings.mode == "enforce":
        return True
    why = "mode is " + settings.mode if settings.enabled else "enabled is 0"
    sys.stderr.write(f"netpolicy-lite: {why}: what is printed removes ours from the kernel\n")
    return False


def _say_what_waits(loaded: Loaded, compiled: "Compiled") -> None:
    for name, why in compiled.not_enforced:
        sys.stderr.write(f"{name}: {why}\n")
    for named in loaded.ruleset.lists:
        if named.url:
            sys.stderr.write(f"list {named.name}: nothing is fetched here: what its file and entries say counts\n")


def _routing(path: str, root: str) -> Routing:
    loaded, view, compiled = _compiled(path, root)
    return desired(compiled.policy, view.routes, view.addresses) if _is_in_force(loaded) else NOTHING


def _ip(path: str, root: str, words: "list[str]") -> int:
    for line in ip_commands(_routing(path, root)):
        print(line)
    return FINE


def _ip4(path: str, root: str, words: "list[str]") -> int:
    return _batch(path, root, IPV4)


def _ip6(path: str, root: str, words: "list[str]") -> int:
    return _batch(path, root, IPV6)


def _batch(path: str, root: str, family: int) -> int:
    for line in ip_batch(_routing(path, root), family):
        print(line)
    return FINE


NOTHING = Routing()

COMMANDS = {"lint": _lint, "decide": _decide, "nft": _nft, "ip": _ip, "ip4": _ip4, "ip6": _ip6}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
