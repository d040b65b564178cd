"""Sets that fill while packets pass: the addresses of the names that a rule asks for.

Says what such a set is called and how it is declared; never what is in it: name servers and the daemon fill it, and
no change of rules empties it. From the values of `domain` and `sni`. Runs on MicroPython.
"""

from netpolicy.dataplane import names

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.field_kind import Field

FIELDS = ("domain", "sni")
PREFIX = "d"

# A name server answers from its memory without telling us again: an address stays as long as an answer is kept.
LONGEST_SECONDS = 86400

# Addresses. What a day of a busy network asks for is a tenth; a full one takes no more, and the rest of the rule holds.
MOST_ADDRESSES = 65536


def base_name(field: "Field") -> str:
    """What both sets of a field are called, without the family: rules that ask alike share them.

    A named list counts by its name, so that what was learned is kept when a new version of it is read.
    """
    return names.content_name(PREFIX, field.name + "\n" + "\n".join(field.values))


def set_name(base: str, family: int) -> str:
    """The name of the set of one family: 4 or 6."""
    return f"{base}{family}"


def base_of(name: str) -> str:
    """The counterpart of `set_name`; "" for the name of another set."""
    return name[:-1] if is_learned(name) else ""


def is_learned(name: str) -> bool:
    """Whether a set of our table has such a name: others fill it, and what is in it is nobody's drift."""
    return name[:2] == PREFIX + "_" and name[-1:] in ("4", "6")
