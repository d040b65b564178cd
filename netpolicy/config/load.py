"""A configuration, from files to one Ruleset, with everything that is wrong with it.

One broken rule never takes the others down. Whether the result may replace a running
one is said by `fatal` and `blocked_skip`; nothing is raised and nothing is applied here.
"""

from binascii import crc32
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from netpolicy.config.diagnostic import Diagnostic, Findings, Place
from netpolicy.config.main import TABLES, read_settings
from netpolicy.config.outbound import read_outbound
from netpolicy.config.reader import Reader, ReaderUnavailable, open_reader
from netpolicy.config.rule import ROUTES, is_protective, read_rule
from netpolicy.config.schema import SECTIONS, nearest
from netpolicy.config.uci import MAX_BYTES, NAME, UciFile, read_text
from netpolicy.config.uci_section import Option, Section
from netpolicy.config.value import name as check_name
from netpolicy.core.field import parse_field
from netpolicy.core.model import BLOCK, BUILT_IN_OUTBOUNDS, Outbound, Rule, Ruleset, Settings
from netpolicy.core.value import ValueProblem

MAX_RULES = 10_000  # what a router with 128 MB can hold and load (docs/rules.md)
MAX_FILES = 64

# Rules repeat themselves (tcp, 443, one guest network): equal fields of one load are parsed once
# and shared. Least used ones go, so that ten thousand different ones cost little.
MAX_SHARED_FIELDS = 1024
LATER_FORMATS = (".np", ".dsl", ".yaml", ".yml")

# Beside the folder of the main file. Whoever may write the configuration must not have any file
# of the system read and its mistakes shown.
FURTHER_FILES = ("/etc/netpolicy", "/etc/config")

# Errors of form: nobody can say what else the file was to mean.
FATAL_CODES = ("NP001", "NP002", "NP003", "NP004", "NP007")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a configuration says.

    `fatal`: do not use it, keep what is running: a file could not be read or breaks the
    syntax, the main section is missing or broken, or a rule or setting names a broken outbound.
    `blocked_skip`: a rule that blocks (or has on_fail block) is among the skipped: what it
    stopped would pass, so apply only when somebody insists.
    """

    ruleset: Ruleset
    diagnostics: tuple[Diagnostic, ...]
    skipped: tuple[tuple[str, str], ...]  # (rule name, why)
    fatal: bool
    blocked_skip: bool


def load(path: str, reader: str = "auto", needs_main: bool = True) -> Loaded:
    """The configuration in a file and in the files that its main section lists.

    Without a main section it is fatal: a full disk leaves an empty file, and that must not
    switch off what is running. Tools that look at rules alone set `needs_main` to False.
    """
    assembly = _Assembly()
    try:
        chosen = open_reader(reader)
    except ReaderUnavailable as problem:
        assembly.break_off("NP001", Place(path), str(problem))
        return assembly.finish()
    assembly.take_first(chosen.read(path), chosen)
    assembly.check_main(path, needs_main)
    return assembly.finish()


def load_text(text: str, file: str = "<text>") -> Loaded:
    """The configuration in a text alone; further files that it lists are reported, not read.

    A text may be a part: that it has no main section is not reported.
    """
    assembly = _Assembly()
    if len(text) > MAX_BYTES:
        assembly.break_off("NP004", Place(file), f"the text is larger than {MAX_BYTES >> 20} MiB")
    else:
        assembly.take_first(read_text(text, file), None)
    return assembly.finish()


class _Assembly:
    """Puts the parts together: settings first, then outbounds, then rules, then references."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.settings: Settings | None = None
        self.outbounds: dict[str, Outbound] = {}
        self.broken_outbounds: set[str] = set()
        self.rules: dict[str, Rule] = {}
        self.names: set[str] = set()
        self.skipped: list[tuple[str, str]] = []
        self.fatal = False
        self.blocked_skip = False
        self.files: list[UciFile] = []
        self.parse = lru_cache(MAX_SHARED_FIELDS)(parse_field)

    def break_off(self, code: str, place: Place, message: str, hint: str = "") -> None:
        """The configuration cannot be used."""
        self.findings.error(code, place, message, hint)
        self.fatal = True

    def take_first(self, file: UciFile, reader: Reader | None) -> None:
        """The main file, and with a reader the files that it lists."""
        self._take_form(file)
        includes = self._take_settings(file)
        if includes is not None:
            self._take_includes(file.file, includes, reader)
        self._take_outbounds()
        self._take_rules()
        self._check_references()

    def check_main(self, path: str, needed: bool) -> None:
        """Report a file without a main section, unless it is unusable as it is."""
        if self.fatal or self.settings is not None:
            return
        text = "there is no main section: config netpolicy 'main'"
        if needed:
            hint = "to switch off write one with option enabled '0'; an empty or cut file is not taken for that"
            self.break_off("NP210", Place(path), text, hint)
        else:
            hint = "it can be tried, or be listed as a ruleset of another file; alone it is not applied"
            self.findings.warning("NP210", Place(path), text, hint)

    def finish(self) -> Loaded:
        """The result."""
        ruleset = Ruleset(tuple(self.rules.values()), tuple(self.outbounds.values()), self.settings)
        return Loaded(ruleset, self.findings.all, tuple(self.skipped), self.fatal, self.blocked_skip)

    def _take_form(self, file: UciFile) -> None:
        self.files.append(file)
        self.findings.take(file.diagnostics)
        self.fatal |= any(item.severity == "error" and item.code in FATAL_CODES for item in file.diagnostics)

    def _take_settings(self, file: UciFile) -> Option | None:
        sections = [one for one in file.sections if one.type == "netpolicy"]
        for section in sections:
            if section.name != "main":
                text = "the settings are in one section: config netpolicy 'main'"
                self.break_off("NP106", Place(file.file, section.line, 1), text)
        main = next((one for one in sections if one.name == "main"), None)
        if main is None:
            return None
        self.settings, includes = read_settings(main, file.file, self.findings)
        self.fatal |= self.settings is None
        return includes

    def _take_includes(self, first: str, includes: Option, reader: Reader | None) -> None:
        place = Place(first, includes.line, includes.column)
        if len(includes.values) > MAX_FILES:
            self.break_off("NP007", place, f"more than {MAX_FILES} files", "join some of them")
            return
        seen = {_resolved(first)}
        folders = (_resolved(str(Path(first).parent)), *map(_resolved, FURTHER_FILES))
        for name in includes.values:
            path = str(Path(first).parent / name)
            if reader is None:
                self.findings.warning("NP007", place, f"{name} is not read: only a text was given")
            elif path.endswith(LATER_FORMATS):
                self.break_off("NP007", place, f"{name}: only UCI files can be included yet", "write the rules in UCI")
            elif not any(Path(_resolved(path)).is_relative_to(folder) for folder in folders):
                text = f"{name}: a further file must be in the folder of the main file, " + " or ".join(FURTHER_FILES)
                self.break_off("NP007", place, text, "move it there; a link to it elsewhere does not count")
            elif _resolved(path) in seen:
                self.break_off("NP007", place, f"{name} is included twice, or includes itself")
            else:
                seen.add(_resolved(path))
                self._take_include(reader.read(path))

    def _take_include(self, file: UciFile) -> None:
        self._take_form(file)
        for section in file.sections:
            if section.type == "netpolicy":
                text = "a further rule file cannot hold settings or list files"
                self.break_off("NP007", Place(file.file, section.line, 1), text, "only rule and outbound sections")

    def _take_outbounds(self) -> None:
        for file in self.files:
            for section in file.sections:
                if section.type == "outbound":
                    self._take_outbound(section, file.file)

    def _take_outbound(self, section: Section, file: str) -> None:
        place = Place(file, section.line, 1)
        if not _has_good_name(section, place, self.findings):
            return
        outbound = read_outbound(section, file, self.findings)
        if section.name in self.outbounds or section.name in self.broken_outbounds:
            self.findings.error("NP107", place, f"outbound {section.name!r} is defined twice", "rename one of them")
            self.outbounds.pop(section.name, None)
            outbound = None
        if outbound is None or not self._table_is_free(outbound, place):
            self.broken_outbounds.add(section.name)
        else:
            self.outbounds[outbound.name] = outbound

    def _table_is_free(self, outbound: Outbound, place: Place) -> bool:
        base = (self.settings or Settings()).table_base
        if not base <= outbound.table < base + TABLES:
            return True
        text = f"table {outbound.table} is one of our own ({base} to {base + TABLES - 1})"
        self.findings.error("NP109", place, text, "use another table, or set table_base")
        return False

    def _take_rules(self) -> None:
        found = [(section, file.file) for file in self.files for section in file.sections]
        count = sum(section.type == "rule" for section, _ in found)
        if count > MAX_RULES:
            place = Place(self.files[0].file)
            self.break_off(
                "NP004", place, f"{count} rules, at most {MAX_RULES} are possible", "use networks and ranges"
            )
            return
        blocking = {BLOCK} | {one.name for one in self.outbounds.values() if one.type == BLOCK}
        for section, file in found:
            if section.type == "rule":
                self._take_rule(section, file, frozenset(blocking))
            elif section.type not in ("netpolicy", "outbound"):
                self._take_other(section, file, frozenset(blocking))
        if not count and not self.fatal:
            self.findings.info("NP208", Place(self.files[0].file), "there are no rules: the default decides everything")

    def _take_rule(self, section: Section, file: str, blocking: frozenset[str]) -> None:
        before = self.findings.errors
        name = section.name or self._stable_name(section, file)
        self.names.add(name)
        place = Place(file, section.line, 1, name)
        rule = None
        if section.anonymous or _has_good_name(section, place, self.findings):
            rule = read_rule(section, name, file, self.findings, self.parse)
        other = self.rules.get(name) or self.outbounds.get(name)
        if rule is not None and other is not None:
            text = f"the name {name!r} is already used at {other.position}"
            self.findings.error("NP107", place, text, "rename one of them")
            rule = None
        if rule is not None and self.findings.errors == before:
            self.rules[name] = rule
        else:
            self._skip(section, name, blocking)

    def _skip(self, section: Section, name: str, blocking: frozenset[str]) -> None:
        self.skipped.append((name, self.findings.last_error()))
        self.blocked_skip |= is_protective(section, blocking)

    def _stable_name(self, section: Section, file: str) -> str:
        """A name from the content, the same at every load; numbered where two sections are equal."""
        content = [section.type, *(f"{one.name}={value}" for one in section.options for value in one.values)]
        base = f"rule_{crc32(chr(10).join(content).encode()) & 0xFFFFFF:06x}"
        name, number = base, 2
        while name in self.names:
            name, number = f"{base}_{number}", number + 1
        text = f"the rule has no name and is called {name}"
        place = Place(file, section.line, 1, name)
        self.findings.info("NP108", place, text, f"write `config rule '{name}'`, or a better name")
        return name

    def _take_other(self, section: Section, file: str, blocking: frozenset[str]) -> None:
        place = Place(file, section.line, 1)
        known = SECTIONS.get(section.type)
        if known is not None:
            text = f"{section.type} sections are not supported yet and have no effect"
            self.findings.warning("NP104", place, text, known.meaning)
            return
        hint = nearest(section.type, tuple(SECTIONS))
        # Only a plain word: a file of something else, with a secret in it, must not be quoted.
        shown = f" {section.type!r}" if NAME.fullmatch(section.type) else ""
        self.findings.error("NP102", place, f"unknown section type{shown}", hint)
        self._skip(section, section.name, blocking)

    def _check_references(self) -> None:
        if self.settings is not None:
            for option in ("primary", "default"):
                self._check_setting(option, getattr(self.settings, option))
            self._check_default(self.settings.default)
        for rule in list(self.rules.values()):
            if rule.action.kind in ROUTES and not self._exists(rule.action.target):
                self._check_route(rule)

    def _exists(self, name: str) -> bool:
        return name in self.outbounds or (name in BUILT_IN_OUTBOUNDS and name not in self.broken_outbounds)

    def _check_setting(self, option: str, name: str) -> None:
        if name and not self._exists(name):
            text = f"{option} {name!r} {self._what_is_wrong(name)}"
            self.break_off("NP205", Place(self.files[0].file), text, nearest(name, tuple(self.outbounds)))

    def _check_default(self, name: str) -> None:
        """A default has no on_fail: who means it as a tunnel that must not leak has to know."""
        outbound = self.outbounds.get(name)
        if outbound is None or outbound.type not in ("interface", "table"):
            return
        text = f"default {name!r}: while it is down, traffic without a rule goes by the main table"
        hint = f"where that must not be, add a last rule: any '1', route {name!r}, on_fail 'block'"
        self.findings.warning("NP211", Place(self.files[0].file), text, hint)

    def _check_route(self, rule: Rule) -> None:
        name = rule.action.target
        file, _, line = rule.position.rpartition(":")
        place = Place(file, int(line), 1, rule.name)
        text = f"{rule.action.kind} {name!r} {self._what_is_wrong(name)}"
        if not self.outbounds and not self.broken_outbounds:
            self.findings.warning("NP204", place, text, "the file can be tried with `decide`, not applied")
            return
        self.findings.error("NP204", place, text, nearest(name, (*self.outbounds, *BUILT_IN_OUTBOUNDS)))
        self.fatal |= name in self.broken_outbounds
        self.skipped.append((rule.name, text))
        self.blocked_skip |= rule.enabled and rule.action.on_fail == BLOCK
        del self.rules[rule.name]

    def _what_is_wrong(self, name: str) -> str:
        if name in self.broken_outbounds:
            return "names an outbound that has errors"
        return "is not an outbound"


def _has_good_name(section: Section, place: Place, findings: Findings) -> bool:
    try:
        check_name(section.name)
    except ValueProblem as problem:
        what = f"name: {problem.text}" if section.name else "name is required"
        findings.error("NP106", place, f"{section.type} {what}", problem.hint)
        return False
    return True


def _resolved(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL byte: reading will say so
        return path
