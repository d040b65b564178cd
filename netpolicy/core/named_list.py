"""Named lists: addresses and names that rules refer to as @name.

Values only: entries arrive as texts, and what somebody read from a file as their meaning. Never reads
a file or asks the network.
"""

from netpolicy.core.address import V4, V6
from netpolicy.core.domain import DomainSet, parse_domain
from netpolicy.core.list_content import Gathering, ListContent
from netpolicy.core.list_entry import looks_like_address
from netpolicy.core.range_table import compact
from netpolicy.core.ranges import united
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.domain import DomainPattern
    from netpolicy.core.ranges import Ranges


class NamedList:
    """One list. `entries` are those of the configuration, in canonical form; `read` is what its file holds.

    `ranges` (merged, by family) and `names` are what both mean together: rules share them, so nobody changes
    them. `domains` are the patterns among `entries` alone.
    """

    __slots__ = (
        "categories", "domains", "entries", "file", "format", "name", "names", "position", "ranges", "refresh", "title",
        "url",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        entries: tuple[str, ...] = (),
        file: str = "",
        url: str = "",
        refresh: int = 0,
        title: str = "",
        position: str = "",
        read: "ListContent | None" = None,
        format: str = "auto",
        categories: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.file = file
        self.url = url
        self.refresh = refresh  # seconds; 0: only when the configuration is loaded
        self.format = format  # of the file, and of what is fetched
        self.categories = categories  # of geosite.dat or geoip.dat
        self.title = title or name
        self.position = position
        own = Gathering()
        self.entries = tuple([own.take(entry) for entry in entries])
        self.domains: tuple[DomainPattern, ...] = tuple(
            [parse_domain(entry) for entry in self.entries if not looks_like_address(entry)]
        )
        content = own.finish()
        if read is None or not entries:
            both = content if read is None else read
            self.ranges: dict[int, Ranges] = both.ranges
            self.names = both.names
        else:
            self.ranges = {
                family: compact(family, united(content.ranges[family], read.ranges[family])) for family in (V4, V6)
            }
            self.names = DomainSet((), (content.names, read.names))

    @property
    def is_open(self) -> bool:
        """Whether more entries may come from elsewhere than the configuration holds."""
        return bool(self.file or self.url)


class Lists:
    """The named lists that rules may refer to; `broken` are the names of those that cannot be used."""

    __slots__ = ("_broken", "_by_name")

    def __init__(self, lists: "tuple[NamedList, ...]" = (), broken: "tuple[str, ...]" = ()) -> None:
        self._by_name = {one.name: one for one in lists}
        self._broken = broken

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, sorted."""
        return tuple(sorted(self._by_name))

    def get(self, name: str, what: str) -> NamedList:
        """The list of that name, with entries of that kind ("addresses" or "names"). Raises ValueProblem."""
        found = self._by_name.get(name)
        if found is None:
            raise UnknownList(name, name in self._broken)
        has = found.ranges[V4] or found.ranges[V6] if what == "addresses" else not found.names.is_empty
        if not has and not found.is_open:
            raise ValueProblem("the list {!r} has no {}".format(name, what), "add some, or use another list")
        return found


class UnknownList(ValueProblem):
    """A named list that does not exist or cannot be used; `name` is what was asked for."""

    def __init__(self, name: str, is_broken: bool = False) -> None:
        super().__init__("the list {!r} {}".format(name, "has errors" if is_broken else "is not defined"), "")
        self.name = name
        self.is_broken = is_broken


NO_LISTS = Lists()
