"""Put the commands of a UCI text together into sections, joining as libuci does.

Knows what an option given twice means and says so as a finding; never sees characters,
quotes or lines without a command: that is uci.py. Behaviour: libuci's file parser
(openwrt/uci, file.c and list.c), held against it by tests/config/test_uci_contract.py.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.schema import labelled
from netpolicy.config.source import Option, Section, spot


class OpenSection:
    """A section that is still being filled. A list may grow long, so what follows its first value grows in place."""

    __slots__ = ("further", "line", "name", "options", "order", "type")

    def __init__(self, type: str, name: str, line: int) -> None:
        self.type = type
        self.name = name
        self.line = line
        self.options: dict[str, Option] = {}
        self.order: list[str] = []  # a dict has no order on MicroPython
        self.further: dict[str, list[tuple[str, int]]] = {}

    def closed(self) -> Section:
        """The section as a value."""
        for name, values in self.further.items():
            first = self.options[name]  # order does not matter here
            first.values = first.values + tuple([value for value, _ in values])
            first.spots = first.spots + tuple([place for _, place in values])
        self.further = {}
        return Section(
            self.type, self.name, not self.name, self.line, tuple([self.options[name] for name in self.order])
        )


class Sections:
    """The sections of one text, in the order of their first lines."""

    def __init__(self, file: str, findings: Findings) -> None:
        self._file = file
        self._findings = findings
        self._opened: list[OpenSection] = []
        self._named: dict[str, OpenSection] = {}
        self._current: OpenSection | None = None
        self.is_refused = False
        self.commands = 0

    @property
    def is_open(self) -> bool:
        """Whether an option would have a section to belong to."""
        return self._current is not None

    def all(self) -> tuple[Section, ...]:
        """Everything taken so far."""
        return tuple(one.closed() for one in self._opened)

    def named(self, name: str) -> OpenSection | None:
        """The section that already has that name, or None."""
        return self._named.get(name)

    def close(self) -> None:
        """A section that may be refused begins: its options must not fall into the one before, nor be reported each."""
        self._current = None
        self.is_refused = True

    def open(self, type: str, name: str, line: int) -> None:
        """Begin a section, or go on with the one of that name (which must be of that type)."""
        self.is_refused = False
        known = self._named.get(name)
        if known is not None:
            text = f"the section goes on, it began in line {known.line}"
            self._warn("NP005", known, line, 1, text, "write it once, or give one of the two another name")
            self._current = known
            return
        self._current = OpenSection(type, name, line)
        self._opened.append(self._current)
        if name:
            self._named[name] = self._current

    def add(self, name: str, value: str, is_list: bool, line: int, column: int, at: int = 0) -> None:
        """Give the open section an option; `at` is the spot of the value."""
        assert self._current is not None
        options = self._current.options
        old = options.get(name)
        if old is None:
            self._current.order.append(name)
        new = Option(name, (value,), is_list, line, column, (at or spot(line, column),))
        options[name] = new if old is None and value else self._joined(self._current, old, new)

    def _joined(self, section: OpenSection, old: Option | None, new: Option) -> Option:
        """What libuci makes of an option that is given again, or without a value."""
        name = new.name
        if _is_absent(new):
            text = f"option {name} has no value, UCI ignores the line"
            self._warn("NP006", section, new.line, new.column, text, "write a value, or remove the line")
            return old or new
        if old is None or _is_absent(old):
            return new
        if not new.is_list:
            text = f"option {name} replaces what line {old.line} says"
            self._warn("NP005", section, new.line, new.column, text, "write it once")
            section.further.pop(name, None)
            return new
        if not old.is_list:
            text = f"list {name} also takes the value of line {old.line}"
            self._warn("NP005", section, new.line, new.column, text, f"write `list {name}` in both lines")
        section.further.setdefault(name, []).append((new.values[0], new.spots[0]))
        old.is_list = True
        return old

    def _warn(self, code: str, section: OpenSection, line: int, column: int, text: str, hint: str) -> None:
        place = Place(self._file, line, column, section.name if section.type == "rule" else "")
        self._findings.warning(code, place, labelled(section.type, section.name) + text, hint)


def _is_absent(option: Option) -> bool:
    """Whether UCI would not store it: a plain option without a value."""
    return not option.is_list and option.values == ("",)
