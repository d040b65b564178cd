"""What is wrong with a configuration, where, and what to do about it.

Findings are values: collected, sorted by place, never raised. Never decides whether a
configuration may be used: that is load.py. The codes are a public contract. Runs on MicroPython.
"""

ERROR = "error"
WARNING = "warning"
INFO = "info"
SEVERITIES = (ERROR, WARNING, INFO)

# Code: its meaning in one line. A code is never given a second meaning.
CODES = {
    "NP001": "a file cannot be read",
    "NP002": "a file is not plain UTF-8 text",
    "NP003": "a file breaks the syntax of its format",
    "NP004": "a file, a list of rules or a list of findings is longer than the limit",
    "NP005": "a later line replaces or joins an earlier one",
    "NP006": "an option without a value counts as absent in UCI",
    "NP007": "a further rule file cannot be included",
    "NP101": "unknown option",
    "NP102": "unknown section type",
    "NP105": "a value is not acceptable",
    "NP106": "a name is missing or not acceptable",
    "NP107": "a name is used twice",
    "NP108": "a section without a name was given one",
    "NP109": "an option is missing, or does not fit the others",
    "NP201": "a rule says nothing about what it matches",
    "NP202": "a rule has no action, or more than one",
    "NP203": "a list of states is not acceptable",
    "NP204": "a rule names an outbound that does not exist",
    "NP205": "the main section names an outbound that does not exist",
    "NP206": "a rule can never match",
    "NP207": "a rule is understood, but not enforced in the kernel yet",
    "NP208": "there are no rules",
    "NP209": "a name pattern matches more than it seems",
    "NP210": "there is no main section",
    "NP211": "the default is a line that can go down",
    "NP212": "a rule names a list that does not exist",
    "NP213": "a group of outbounds contains itself",
    "NP214": "a group names an outbound that does not exist",
    "NP215": "a rule names a throttle profile that does not exist",
    "NP216": "a rule names a schedule that does not exist",
    "NP217": "a list's file is missing, or has lines that are no entries",
    "NP219": "there are rules, and NetPolicy is switched off",
    "NP301": "a text in another spelling does not keep the comments",
    "NP401": "a rule never wins, because rules above it match everything that it matches",
    "NP402": "not every rule was compared with all rules above it",
    "NP403": "a rule says what another rule says already",
    "NP404": "a value is written twice",
    "NP405": "a value is covered by another value beside it",
    "NP406": "an exclusion excludes nothing",
    "NP408": "a comparator is always true",
    "NP409": "a wildcard is longer than it needs to be",
    "NP410": "a route is for what comes in by an outbound, which no rule sends anywhere",
    "NP411": "a block counts only while a line is down",
    "NP420": "a protection forgets IPv6",
    "NP421": "a route forgets IPv6",
    "NP430": "a protection depends on what is not known at the first packet",
    "NP431": "a block by name depends on who answers DNS",
    "NP432": "on_fail block never has its turn",
    "NP433": "traffic for a private line goes on without it while it is down",
    "NP440": "a rule by domain needs a name server that tells",
    "NP441": "the dnsmasq of this machine cannot tell addresses of names",
    "NP442": "a domain pattern is one that dnsmasq cannot follow",
    "NP450": "mark bits are those of another package",
    "NP451": "routing tables or priorities are those of another package",
    "NP460": "two outbounds are the same line",
    "NP461": "a group has one member",
    "NP462": "an outbound stands behind one that is never down",
    "NP463": "a definition is used by nothing",
    "NP464": "two rules are called alike",
    "NP465": "many rules are looked at one by one",
    "NP466": "a name in an assertion is almost one that is defined",
    "NP467": "a group knows nothing of how its lines are",
    "NP468": "more outbounds, and pairs of one with a speed limit, than connections can be marked for",
    "NP469": "rules ask for many different names",
    "NP470": "a list is fetched unencrypted",
    "NP471": "a list is fetched never again, or too often",
    "NP472": "a block is empty until its list was fetched",
}


# A quote that nobody closed makes a value of the rest of the file; nobody wants to read that.
LONGEST_MESSAGE = 400


class Diagnostic:
    """One finding. `line` and `column` count from 1; 0 is "not known"; `rule` may be empty.

    `length` is how many characters it is about, `fix` what to write in their place ("" is no proposal).
    """

    __slots__ = ("code", "column", "file", "fix", "hint", "length", "line", "message", "rule", "severity")

    def __init__(
        self,
        code: str,
        severity: str,
        file: str,
        line: int,
        column: int,
        rule: str,
        message: str,
        hint: str = "",
        length: int = 0,
        fix: str = "",
    ) -> None:
        self.code = code
        self.severity = severity
        self.file = file
        self.line = line
        self.column = column
        self.rule = rule
        self.message = message
        self.hint = hint
        self.length = length
        self.fix = fix

    def as_dict(self) -> "dict[str, str | int]":
        """The JSON form; the keys are a public contract."""
        return {
            "code": self.code,
            "severity": self.severity,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "rule": self.rule,
            "message": self.message,
            "hint": self.hint,
        }

    def text(self) -> str:
        """For people: `file:line:column: severity[code] rule 'name': message`, the hint on its own line."""
        rule = f" rule {self.rule!r}:" if self.rule else ""
        place = f"{self.file}:{self.line}:{self.column}"
        first = f"{place}: {self.severity}[{self.code}]{rule} {self.message}"
        return f"{first}\n  hint: {self.hint}" if self.hint else first

    def _key(self) -> tuple[object, ...]:
        return tuple([getattr(self, name) for name in sorted(self.__slots__)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Diagnostic) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return self.text()


class Place:
    """Where something was written; `length` is how many characters it has, 0 is "not known"."""

    __slots__ = ("column", "file", "length", "line", "rule")

    def __init__(self, file: str, line: int = 0, column: int = 0, rule: str = "", length: int = 0) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.rule = rule
        self.length = length


class Findings:
    """A growing list of diagnostics, bounded so that a hostile file cannot fill the memory."""

    # Per severity. A person corrects the first dozen; a megabyte of garbage would give millions.
    LIMIT = 1000

    def __init__(self) -> None:
        self._items: list[Diagnostic] = []
        self._counts = {ERROR: 0, WARNING: 0, INFO: 0}

    def add(self, code: str, severity: str, place: Place, message: str, hint: str = "", fix: str = "") -> None:
        """Remember one finding; past the limit only a last one of that severity that says so."""
        self._keep(_diagnostic(code, severity, place, message, hint, fix))

    def _keep(self, item: Diagnostic) -> None:
        self._counts[item.severity] += 1
        count = self._counts[item.severity]
        if count <= self.LIMIT:
            self._items.append(item)
        elif count == self.LIMIT + 1:
            text = f"more than {self.LIMIT} findings of this severity, the rest is not listed"
            self._items.append(_diagnostic("NP004", item.severity, Place(item.file), text, "", ""))

    def error(self, code: str, place: Place, message: str, hint: str = "", fix: str = "") -> None:
        """The configuration is wrong there."""
        self.add(code, ERROR, place, message, hint, fix)

    def warning(self, code: str, place: Place, message: str, hint: str = "", fix: str = "") -> None:
        """The configuration is usable, but probably not what was meant."""
        self.add(code, WARNING, place, message, hint, fix)

    def info(self, code: str, place: Place, message: str, hint: str = "", fix: str = "") -> None:
        """Good to know."""
        self.add(code, INFO, place, message, hint, fix)

    def take(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        """Add the findings of another reader."""
        for item in diagnostics:
            self._keep(item)

    @property
    def all(self) -> tuple[Diagnostic, ...]:
        """Everything so far, in the order of discovery."""
        return tuple(self._items)

    @property
    def errors(self) -> int:
        """How many errors so far, listed or not."""
        return self._counts[ERROR]

    def last_error(self) -> str:
        """The message of the newest listed error, "" without one."""
        for item in reversed(self._items):
            if item.severity == ERROR:
                return item.message
        return ""

    @property
    def has_errors(self) -> bool:
        """Whether one of them is an error."""
        return self._counts[ERROR] > 0


def _diagnostic(code: str, severity: str, place: Place, message: str, hint: str, fix: str) -> Diagnostic:
    if code not in CODES or severity not in SEVERITIES:
        raise ValueError(f"{code} or {severity} is not registered")
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE] + "…"
    return Diagnostic(
        code, severity, place.file, place.line, place.column, place.rule, message, hint, place.length, fix
    )
