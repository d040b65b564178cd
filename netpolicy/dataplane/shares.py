"""New connections spread over several classes, as nft chains: in turn by weight, and kept with their client's class.

Never changes what is decided: a connection has its class for as long as it lives. Never talks to the kernel; what a
share is comes with the policy. docs/dataplane.md ("Shares"). Runs on MicroPython.
"""

from netpolicy.core.address import V4, V6
from netpolicy.dataplane import names
from netpolicy.dataplane.sets import KernelSet

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.dataplane.policy import Share

# Clients of one class at a time that stay with it; more take their turn with every connection.
MOST_CLIENTS = 4096

_ADDRESS = {V4: ("ip saddr", "ipv4_addr"), V6: ("ip6 saddr", "ipv6_addr")}


def chains(share: "Share") -> "list[tuple[str, tuple[str, ...]]]":
    """The chain that a verdict leads to, and where clients stay the one that notes them, for each class."""
    found = []
    if share.sticky:
        for number in share.classes:
            notes = [f"update @{_clients(share, number, family)} {{ {_ADDRESS[family][0]} }}" for family in (V4, V6)]
            found.append((_noting(share, number), tuple(notes) + (f"goto {names.saving_chain(number)}",)))  # noqa: RUF005
    found.append((names.verdict_chain(share.number), _spread(share)))
    return found


def sets(share: "Share") -> "list[KernelSet]":
    """The clients of each class and family, where they stay."""
    if not share.sticky:
        return []
    return [
        KernelSet(
            _clients(share, number, family), (_ADDRESS[family][1],), (), size=MOST_CLIENTS, timeout=share.sticky,
            dynamic=True,
        )
        for number in share.classes
        for family in (V4, V6)
    ]  # fmt: skip


def _spread(share: "Share") -> "tuple[str, ...]":
    """Each new flow of a family goes to the next class in turn, as often as its weight says.

    In turn, not by a hash of addresses: of few clients and servers a hash makes shares that are far from the weights.
    """
    rules = ["meta priority set 0x0"]
    families = sorted(share.parts)
    if share.sticky:
        for family in families:
            for number, _ in share.parts[family]:
                address, known = _ADDRESS[family][0], _clients(share, number, family)
                again = f"update @{known} {{ {address} }}"
                rules.append(f"{address} @{known} {again} goto {names.saving_chain(number)}")
    is_same = all([share.parts[family] == share.parts[families[0]] for family in families])
    for family in families[:1] if is_same else families:
        guard = "" if is_same else f"meta nfproto ipv{family} "
        rules.extend([guard + rule for rule in _in_turn(share, share.parts[family])])
    return tuple(rules)


def _in_turn(share: "Share", rows: "tuple[tuple[int, int], ...]") -> "list[str]":
    leads = [
        (_noting(share, number) if share.sticky else names.saving_chain(number), weight) for number, weight in rows
    ]
    if len(leads) == 1:
        return [f"goto {leads[0][0]}"]
    turns = _turns([weight for _, weight in leads])
    elements, start = [], 0
    while start < len(turns):
        end = start
        while end + 1 < len(turns) and turns[end + 1] == turns[start]:
            end += 1
        which = f"{start}-{end}" if end > start else f"{start}"
        elements.append(f"{which} : goto {leads[turns[start]][0]}")
        start = end + 1
    # The map finds nothing for a packet that is here while the chain is filled anew.
    return [f"numgen inc mod {len(turns)} vmap {{ {', '.join(elements)} }}", f"goto {leads[0][0]}"]


def _turns(weights: "list[int]") -> "list[int]":
    """Whose turn it is, as often as the weights say and as evenly as can be: not a hundred for one line in a row."""
    total, owed, found = sum(weights), [0] * len(weights), []
    for _ in range(total):
        owed = [one + weight for one, weight in zip(owed, weights)]  # noqa: B905 - MicroPython's zip knows no strict
        first = owed.index(max(owed))
        owed[first] -= total
        found.append(first)
    return found


def _noting(share: "Share", number: int) -> str:
    return f"y_{share.number}_{number:02}"


def _clients(share: "Share", number: int, family: int) -> str:
    # With the time: a set keeps the one that it was made with.
    return f"y{family}_{share.number}_{number:02}_{share.sticky}"
