"""Where the entries of a list come from while a configuration is loaded: what was fetched for it, else its file.

Fetches nothing: it takes the last good copy that stands in a folder, if it was made from this very address. What
is wrong is reported; a copy of another address does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.kept_list import head_of, path_of, source_of
from netpolicy.config.list_file import ListFiles
from netpolicy.config.list_line import AUTO, ENTRIES, FORMATS
from netpolicy.config.source import Section
from netpolicy.config.value import category, is_name
from netpolicy.core.list_content import ListContent
from netpolicy.core.value import ValueProblem
from netpolicy.core.web_address import parse_web_address

# The path of the file that a configuration names so, at a place; "" after an error was reported.
Named = Callable[[str, Place, Findings], str]

# What it says was within the budget when it was made; its text may be longer than that of the list it came as.
LARGEST_COPY = 64 << 20

NOTHING = (True, None)
REFUSED = (False, None)


class ListSources:
    """One load's. `kept` is the folder with copies, "" for none; `fresh` are lists whose new copy is to be tried."""

    def __init__(self, named: Named, kept: str = "", fresh: Collection[str] = ()) -> None:
        self.lists = ListFiles(Findings())
        self._named = named
        self._kept = kept
        self._fresh = fresh

    def entries(self, section: Section, file: str) -> tuple[bool, ListContent | None]:
        """What there is beside the entries of the configuration; False first after an error was reported."""
        format, categories = _format(section), _categories(section)
        if self._kept and _text(section, "url") and is_name(section.name):
            path = self._copy(section, source_of(_text(section, "url"), format, categories))
            if path:
                place = self._place(section, file, "url")
                content = self.lists.read(path, "its copy", place, ENTRIES, largest=LARGEST_COPY)
                return content is not None, content
        return self._from_file(section, file, format, categories)

    def _copy(self, section: Section, source: str) -> str:
        """The path of the copy that counts; "" where there is none."""
        for is_new in (True, False) if section.name in self._fresh else (False,):
            path = path_of(self._kept, section.name, source, is_new)
            head = head_of(path)
            if head is not None and head.source == source:
                return path
        return ""

    def _from_file(
        self, section: Section, file: str, format: str, categories: tuple[str, ...]
    ) -> tuple[bool, ListContent | None]:
        name = _text(section, "file")
        if not name:
            if self._kept and _text(section, "url"):
                self._tell_nothing_is_there(section, file)
            return NOTHING
        place = self._place(section, file, "file")
        path = self._named(name, place, self.lists.findings)
        if not path:
            return REFUSED
        content = self.lists.read(path, name, place, format, categories)
        return content is not None, content

    def _tell_nothing_is_there(self, section: Section, file: str) -> None:
        try:
            shown = parse_web_address(_text(section, "url")).shown
        except ValueProblem:  # who reads the option says so
            return
        text = f"the list {section.name!r} has nothing from {shown} yet: it is being fetched"
        hint = "netpolicy lists says how that goes; option file may hold a copy for the time until then"
        self.lists.findings.warning("NP217", self._place(section, file, "url"), text, hint)

    def _place(self, section: Section, file: str, name: str) -> Place:
        option = section.option(name)
        return Place(file, option.line, option.column) if option is not None else Place(file, section.line)


def _text(section: Section, name: str) -> str:
    option = section.option(name)
    return option.values[0].strip() if option is not None and option.values else ""


def _format(section: Section) -> str:
    found = _text(section, "format")
    return found if found in FORMATS else AUTO  # who reads the option says what is wrong with another


def _categories(section: Section) -> tuple[str, ...]:
    option = section.option("category")
    try:
        return tuple([category(one) for one in option.values]) if option is not None else ()
    except ValueProblem:
        return ()
