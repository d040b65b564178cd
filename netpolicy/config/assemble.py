"""Put what files say together into one Ruleset: settings, outbounds, parts, rules, references.

One broken rule never takes the others down; what is wrong is reported, and `fatal` and
`blocked_skip` say whether the result may replace a running one. Opens no file, raises nothing
for what a file contains. Runs on MicroPython.
"""

from binascii import crc32

from netpolicy.config.diagnostic import ERROR, Findings, Place
from netpolicy.config.lint import check_rule
from netpolicy.config.loaded import Loaded
from netpolicy.config.main import TABLES, read_settings
from netpolicy.config.outbound import read_outbound
from netpolicy.config.parts import read_list, read_schedule, read_throttle
from netpolicy.config.references import References
from netpolicy.config.rule import is_protective, read_rule
from netpolicy.config.schema import SECTION_TYPES, SECTIONS, suggestion
from netpolicy.config.source import Option, Section, SourceFile
from netpolicy.config.value import MAX_NAME, NAME_CHARACTERS, identifier, is_clean, is_name
from netpolicy.core.calendar import Schedule
from netpolicy.core.field import parse_field
from netpolicy.core.field_kind import Field
from netpolicy.core.model import BLOCK, Outbound, Rule, Ruleset, Settings, Throttle
from netpolicy.core.named_list import Lists, NamedList

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from netpolicy.core.list_content import ListContent

    # What a list's file, or what was fetched for it, holds, None where there is neither; what is wrong goes to the
    # findings, and False before it means: too wrong to use any of it.
    Entries = Callable[[Section, str], tuple[bool, ListContent | None]]

    # Whether there is memory for what a rule makes of these lists; False after it was said that there is none.
    Fits = Callable[[Rule, Iterable[NamedList]], bool]

MAX_RULES = 10_000  # what a router with 128 MB can hold and load (docs/rules.md)

# Rules repeat themselves (tcp, 443, one guest network): equal fields of one load are parsed once
# and shared. When so many different ones came the memory starts anew, so that it stays small.
MAX_SHARED_FIELDS = 1024

# Errors of form: nobody can say what else the file was to mean.
FATAL_CODES = ("NP001", "NP002", "NP003", "NP004", "NP007")


class FieldMemory:
    """Parses fields, equal ones once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[str, ...]], Field] = {}

    def __call__(self, name: str, values: tuple[str, ...], lists: Lists) -> Field:
        """As parse_field, which never sees another set of lists within one load."""
        key = (name, values)
        found = self._known.get(key)
        if found is None:
            found = parse_field(name, values, lists)
            if len(self._known) >= MAX_SHARED_FIELDS:
                self._known.clear()
            self._known[key] = found
        return found


def assemble(files: tuple[SourceFile, ...], keeps_sources: bool = False) -> Loaded:
    """The rule set of these files, of which the first may have the main section."""
    assembly = Assembly(keeps_sources=keeps_sources)
    assembly.begin(files[0])
    for file in files[1:]:
        assembly.add(file)
    return assembly.finish()


class Assembly:
    """Collects files, then makes the whole of them."""

    def __init__(self, entries: "Entries | None" = None, keeps_sources: bool = False) -> None:
        self.findings = Findings()
        self.settings: Settings | None = None
        self.main: Section | None = None
        self.has_main = False
        self.fatal = False
        self.blocked_skip = False
        self.files: list[SourceFile] = []
        self.sources: dict[tuple[str, str], tuple[str, Section]] = {}
        self.skipped: list[tuple[str, str]] = []
        self.broken_rules: list[tuple[Section, str, str]] = []  # with file and name
        self.fits: Fits | None = None
        self._entries = entries
        self._keeps_sources = keeps_sources
        self._taken: dict[str, str] = {}  # section name: position of the first
        self._order: dict[str, list[str]] = {type: [] for type in SECTION_TYPES}  # no dict has an order everywhere
        self._outbounds: dict[str, Outbound] = {}
        self._schedules: dict[str, Schedule] = {}
        self._throttles: dict[str, Throttle] = {}
        self._lists: dict[str, NamedList] = {}
        self._rules: dict[str, Rule] = {}
        self._rule_names: set[str] = {"main"}  # the section of the settings, in UCI
        self.broken: dict[str, set[str]] = {type: set() for type in SECTION_TYPES}
        self._parse = FieldMemory()

    def break_off(self, code: str, place: Place, message: str, hint: str = "") -> None:
        """The configuration cannot be used."""
        self.findings.error(code, place, message, hint)
        self.fatal = True

    def begin(self, file: SourceFile) -> "Option | None":
        """Take the main file; the option that lists further files, or None."""
        self._take_form(file)
        sections = [one for one in file.sections if one.type == "netpolicy"]
        for section in sections:
            if section.name != "main":
                text = "the settings are in one section: config netpolicy 'main'"
                self.break_off("NP106", Place(file.file, section.line, 1), text, "call it 'main'; of several keep one")
            elif self.main is None:
                self.main = section
        if self.main is None:
            return None
        self._remember("netpolicy", self.main, file.file)
        self.settings, includes = read_settings(self.main, file.file, self.findings)
        self.has_main = not _only_asserts(self.main)
        self.fatal = self.fatal or self.settings is None or self.main.broken
        return includes

    def add(self, file: SourceFile) -> None:
        """Take a further file: it holds no settings."""
        self._take_form(file)
        for section in file.sections:
            if section.type == "netpolicy" and _only_asserts(section):
                self._add_asserts(section, file.file)
            elif section.type == "netpolicy":
                text = "further files hold no netpolicy section: the settings are in the main file"
                self.break_off("NP007", Place(file.file, section.line, 1), text, "move it there")

    def _add_asserts(self, section: Section, file: str) -> None:
        found, _ = read_settings(section, file, self.findings)
        if found is not None and self.settings is not None:
            self.settings.asserts = self.settings.asserts + found.asserts

    def finish(self) -> Loaded:
        """Make everything and check what it refers to."""
        self._take_outbounds()
        self._take_parts()
        self._take_rules()
        ruleset = self._ruleset()
        references = References(self, ruleset)
        references.check()
        if references.dropped:
            for name in references.dropped:
                del self._rules[name]
            ruleset = self._ruleset()
        return Loaded(
            ruleset,
            self.findings.all,
            tuple(self.skipped),
            self.fatal,
            self.blocked_skip,
            self.sources,
            tuple(self.files) if self._keeps_sources else (),
        )

    def _ruleset(self) -> Ruleset:
        def made(type: str, found: "dict[str, object]") -> "tuple[object, ...]":
            return tuple([found[name] for name in self._order[type] if name in found])

        return Ruleset(
            made("rule", self._rules),  # type: ignore[arg-type]
            made("outbound", self._outbounds),  # type: ignore[arg-type]
            self.settings,
            made("schedule", self._schedules),  # type: ignore[arg-type]
            made("throttle", self._throttles),  # type: ignore[arg-type]
            made("list", self._lists),  # type: ignore[arg-type]
            self.has_main,
        )

    def _take_form(self, file: SourceFile) -> None:
        self.files.append(file)
        self.findings.take(file.diagnostics)
        if any(item.severity == ERROR and item.code in FATAL_CODES for item in file.diagnostics):
            self.fatal = True

    def _remember(self, type: str, section: Section, file: str) -> None:
        if self._keeps_sources:
            self.sources[(type, section.name)] = (file, section)

    def _of_type(self, type: str) -> "list[tuple[Section, str]]":
        return [(section, file.file) for file in self.files for section in file.sections if section.type == type]

    def _take_outbounds(self) -> None:
        for section, file in self._of_type("outbound"):
            is_new = self._is_new(section, file)
            if not is_new and section.name in self._outbounds:
                del self._outbounds[section.name]  # nobody can say which of the two is meant
            outbound = read_outbound(section, file, self.findings) if is_new else None
            if outbound is None or section.broken or not self._table_is_free(outbound, Place(file, section.line, 1)):
                self.broken["outbound"].add(section.name)
            else:
                self._keep(self._outbounds, section, file, outbound)

    def _table_is_free(self, outbound: Outbound, place: Place) -> bool:
        base = (self.settings or Settings()).table_base
        if not base <= outbound.table < base + TABLES:
            return True
        text = f"table {outbound.table} is one of our own ({base} to {base + TABLES - 1})"
        self.findings.error("NP109", place, text, "use another table, or set table_base")
        return False

    def _take_parts(self) -> None:
        for section, file in self._of_type("schedule"):
            self._take_part(section, file, self._schedules, read_schedule)
        for section, file in self._of_type("throttle"):
            self._take_part(section, file, self._throttles, read_throttle)
        for section, file in self._of_type("list"):
            self._take_part(section, file, self._lists, self._read_list)

    def _take_part(self, section: Section, file: str, kept: "dict[str, object]", read: "Callable[..., object]") -> None:  # type: ignore[valid-type]
        part = read(section, file, self.findings) if self._is_new(section, file) else None
        if part is None or section.broken:
            self.broken[section.type].add(section.name)
        else:
            self._keep(kept, section, file, part)

    def _read_list(self, section: Section, file: str, findings: Findings) -> NamedList | None:
        if self._entries is None:
            return read_list(section, file, findings)
        is_good, held = self._entries(section, file)
        found = read_list(section, file, findings, held)
        # Not what is left of it: a rule that blocks by half a list would look like one that blocks by all of it.
        return found if is_good else None

    def _keep(self, kept: "dict[str, object]", section: Section, file: str, made: object) -> None:
        kept[section.name] = made
        self._order[section.type].append(section.name)
        self._remember(section.type, section, file)

    def _is_new(self, section: Section, file: str) -> bool:
        """Whether the name is good and free; all sections share their names, because in UCI they do."""
        place = Place(file, section.line, section.column, "", len(section.name))
        if not is_name(section.name):
            what = "name is required" if not section.name else f"name: {section.name[:64]!r} is not a name"
            self.findings.error("NP106", place, section.type + " " + what, "1 to 64 letters, digits and _")
            return False
        other = self._taken.get(section.name)
        if other is not None:
            text = f"the name {section.name!r} is already used at {other}"
            self.findings.error("NP107", place, text, "rename one of them")
            return False
        self._taken[section.name] = f"{file}:{section.line}"
        return True

    def _take_rules(self) -> None:
        lists = Lists(tuple([self._lists[name] for name in self._order["list"]]), tuple(sorted(self.broken["list"])))
        blocking = (BLOCK,) + tuple(  # noqa: RUF005 - not in MicroPython
            [name for name, outbound in self._outbounds.items() if outbound.type == BLOCK]
        )
        found = self._of_type("rule")
        if len(found) > MAX_RULES:
            text = f"{len(found)} rules, at most {MAX_RULES} are possible"
            self.break_off(
                "NP004", Place(self.files[0].file), text, "use lists: one rule can name thousands of addresses"
            )
            return
        for section, file in found:
            rule = self._take_rule(section, file, lists, blocking)
            if rule is not None and self.fits is not None and not self.fits(rule, self._lists.values()):
                self.fatal = True
                return  # what follows would take more memory yet
        for file in self.files:
            for section in file.sections:
                if section.type not in SECTIONS:
                    self._take_unknown(section, file.file, blocking)
        if not found and not self.fatal and not any(item.code == "NP208" for item in self.findings.all):
            text = "there are no rules: the default decides everything"
            self.findings.info("NP208", Place(self.files[0].file), text, "add one, or list a file that has some")

    def _take_rule(self, section: Section, file: str, lists: Lists, blocking: tuple[str, ...]) -> Rule | None:
        before = self.findings.errors
        title = " ".join(section.name.split())
        if not title and not section.anonymous:
            place = Place(file, section.line, section.column)
            self.findings.error("NP106", place, "rule name is required", "1 to 64 letters, digits and _")
        elif len(title) > MAX_NAME and all(c in NAME_CHARACTERS for c in title):
            place = Place(file, section.line, section.column)
            text = f"rule name: {title[:MAX_NAME]!r} is not a name"
            self.findings.error("NP106", place, text, "1 to 64 letters, digits and _")
        name = self._rule_name(section, title, file)
        if title and title != name:
            section = _with_title(section, title)
        rule = read_rule(section, name, file, self.findings, self._parse, lists)
        place = Place(file, section.line, section.column, name, len(section.name))
        other = self._taken.get(title or name)
        if other is not None:
            self.findings.error("NP107", place, f"the name {title!r} is already used at {other}", "rename one of them")
        self._taken[title or name] = f"{file}:{section.line}"
        if rule is not None and not section.broken and self.findings.errors == before:
            self._rules[name] = rule
            self._order["rule"].append(name)
            check_rule(rule, place, self.findings, section)
            if self._keeps_sources:
                self.sources[("rule", name)] = (file, section)
            return rule
        self.broken_rules.append((section, file, name))
        self._skip(section, name, blocking)
        return None

    def _rule_name(self, section: Section, title: str, file: str) -> str:
        """The identifier: the title where it is one, else made from it or from the content."""
        if is_name(title) and title not in self._rule_names:
            name = title
        elif title:
            name = self._free(identifier(title))
        else:
            name = self._free(f"rule_{crc32(_content(section).encode()) & 0xFFFFFF:06x}")
            if section.anonymous:
                place = Place(file, section.line, 1, name)
                text = f"the rule has no name and is called {name}"
                self.findings.info("NP108", place, text, f"write `config rule '{name}'`, or a better name")
        self._rule_names.add(name)
        return name

    def _free(self, base: str) -> str:
        """The name, or one like it that no other section has."""
        name, number = base, 2
        while name in self._rule_names or name in self._taken:
            name, number = f"{base}_{number}", number + 1
        return name

    def _skip(self, section: Section, name: str, blocking: tuple[str, ...]) -> None:
        self.skipped.append((name, self.findings.last_error()))
        self.blocked_skip = self.blocked_skip or is_protective(section, blocking)

    def _take_unknown(self, section: Section, file: str, blocking: tuple[str, ...]) -> None:
        meant = suggestion(section.type, SECTION_TYPES)
        hint = f"did you mean {meant!r}?" if meant else ""
        # Only a plain word: a file of something else, with a secret in it, must not be quoted.
        shown = f" {section.type!r}" if is_name(section.type) else ""
        self.findings.error("NP102", Place(file, section.line, 1), "unknown section type" + shown, hint)
        self._skip(section, section.name, blocking)


def _only_asserts(section: Section) -> bool:
    """A file of rules may say what must hold; that makes it no main file."""
    return bool(section.options) and all(option.name == "assert" for option in section.options)


def _with_title(section: Section, title: str) -> Section:
    """The section, with its name as title where it has none of its own."""
    if not is_clean(title) or section.option("name") is not None or section.option("title") is not None:
        return section
    named = Option("name", (title,), False, section.line, section.column)
    options = section.options + (named,)  # noqa: RUF005 - not in MicroPython
    return Section(section.type, section.name, section.anonymous, section.line, options, section.column, section.broken)


def _content(section: Section) -> str:
    lines = [section.type]
    for option in section.options:
        lines.extend(f"{option.name}={value}" for value in option.values)
    return "\n".join(lines)
