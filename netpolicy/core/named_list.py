"""Named lists: addresses and names that rules refer to as @name.

Values only: entries arrive as texts, also those that somebody read from a file. Never reads
a file or asks the network. An entry is an address, network or range, or else a domain pattern.
"""

from netpolicy.core.address import format_range, parse_range
from netpolicy.core.domain import parse_domain
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.domain import DomainPattern


class NamedList:
    """One list. `entries` are those of the configuration, in canonical form; `read` came from its file."""

    __slots__ = ("domains", "entries", "file", "name", "position", "ranges", "refresh", "title", "url")

    def __init__(
        self,
        name: str,
        entries: tuple[str, ...] = (),
        file: str = "",
        url: str = "",
        refresh: int = 0,
        title: str = "",
        position: str = "",
        read: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.file = file
        self.url = url
        self.refresh = refresh  # seconds; 0: only when the configuration is loaded
        self.title = title or name
        self.position = position
        self.ranges: list[tuple[int, int, int]] = []  # (family, first, last)
        domains: list[DomainPattern] = []
        self.entries = tuple([self._take(entry, domains) for entry in entries])
        for entry in read:
            self._take(entry, domains)
        self.domains = tuple(domains)

    def _take(self, entry: str, domains: "list[DomainPattern]") -> str:
        """Remember what the entry means; its canonical text. Raises ValueProblem."""
        found = parse_entry(entry)
        if isinstance(found, tuple):
            self.ranges.append(found)
            return format_range(found[0], found[1], found[2])
        domains.append(found)
        return found.text

    @property
    def is_open(self) -> bool:
        """Whether more entries may come from elsewhere than the configuration holds."""
        return bool(self.file or self.url)


def parse_entry(text: str) -> "tuple[int, int, int] | DomainPattern":
    """A range (family, first, last), or a domain pattern. Raises ValueProblem."""
    text = text.strip()
    if not text or text[0] in "!@":
        raise ValueProblem("{!r} is not an entry of a list".format(text), "an address, a network or a name")
    if looks_like_address(text):
        return parse_range(text)
    return parse_domain(text)


HEX = "0123456789abcdef"


def looks_like_address(text: str) -> bool:
    """Whether the text is meant as an address: what follows decides whether it is one.

    Hex digits and colons are IPv6; digits and dots IPv4, because the last label of no domain is a number.
    """
    head = text.lower().split("/")[0].split("-")[0]
    if ":" in head:
        return "." not in head.split(":")[0] and all(c in HEX or c in ":." for c in head)
    return "." in head and all("0" <= c <= "9" or c == "." for c in head)


class Lists:
    """The named lists that rules may refer to."""

    __slots__ = ("_by_name",)

    def __init__(self, lists: "tuple[NamedList, ...]" = ()) -> None:
        self._by_name = {one.name: one for one in lists}

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, sorted."""
        return tuple(sorted(self._by_name))

    def get(self, name: str, what: str) -> NamedList:
        """The list of that name, with entries of that kind ("addresses" or "names"). Raises ValueProblem."""
        found = self._by_name.get(name)
        if found is None:
            raise UnknownList(name)
        entries = found.ranges if what == "addresses" else found.domains
        if not entries and not found.is_open:
            raise ValueProblem("the list {!r} has no {}".format(name, what), "add some, or use another list")
        return found


class UnknownList(ValueProblem):
    """A named list that does not exist; `name` is what was asked for."""

    def __init__(self, name: str) -> None:
        super().__init__("the list {!r} is not defined".format(name), "")
        self.name = name


NO_LISTS = Lists()
