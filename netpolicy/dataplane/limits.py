"""Limits of speed as nft chains: which packets they hold, in which direction, and who holds them back.

Where a queue of ours stands on the way out (shaping.py) a chain only says which class of it a packet is
for; elsewhere it drops what is too much. Never talks to the kernel. docs/dataplane.md ("Limits of speed").
"""

from netpolicy.core.address import V4, V6
from netpolicy.dataplane import names
from netpolicy.dataplane.record import Record
from netpolicy.dataplane.sets import KernelSet

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.dataplane.policy import Policy

UP, DOWN = "up", "down"
DIRECTIONS = (UP, DOWN)
_DIRECTION = {UP: "original", DOWN: "reply"}  # in the words of conntrack: the client is who began

# The handle of our root queue, "NP" in ASCII; a packet's priority then is the class of it that it is for.
MAJOR = 0x4E50

# Classes of limits begin here; 1 is for everything that no limit holds.
FIRST_MINOR = 0x100
# Of what is dropped, in the set that counts.
DROPPED = 0x8000
# Two classes of ours for each.
MOST_NUMBER = (DROPPED - FIRST_MINOR) // 2 - 1

COUNTS = "np_limits"  # a bare "limits" is a word of nft

# After the second lock (mangle + 1), which drops, and before source addresses change: the client's is still there.
POST_PRIORITY = "mangle + 2"
INPUT_PRIORITY = "filter - 10"

# A packet may be one of 64 kB that the network card cuts: a smaller bucket would never let it pass.
LEAST_BURST = 65536
# Seconds at full speed that a client gets at once beyond the second that the kernel adds.
BURST_SECONDS = 0.1

# Addresses at a time in a limit for each client; more pass unlimited until somebody was silent for so long.
MOST_CLIENTS = 4096
CLIENT_SECONDS = 60


class Limit(Record):
    """A profile of speeds in bit/s (0: none), shared by all that has one of these classes, or by each client.

    `number`: names what belongs to it, 1 to MOST_NUMBER, so that its counters and queues stay while its classes
    change; 0: the first of its classes does.
    """

    __slots__ = ("down", "name", "number", "numbers", "per_client", "up")

    def __init__(
        self, name: str, up: int, down: int, per_client: bool, numbers: "tuple[int, ...]", number: int = 0
    ) -> None:
        self.name = name
        self.up = up
        self.down = down
        self.per_client = per_client
        self.numbers = numbers  # classes, ascending
        self.number = number or numbers[0]

    def values(self) -> "tuple[object, ...]":
        return (self.name, self.up, self.down, self.per_client, self.numbers, self.number)

    def rate(self, direction: str) -> int:
        """Bits in a second, 0 where that direction is free."""
        return self.up if direction == UP else self.down

    def minor(self, direction: str) -> int:
        """The class of our queues that holds this direction."""
        return FIRST_MINOR + 2 * self.number + DIRECTIONS.index(direction)


class Shaped(Record):
    """A class of the queue on a device, with its rate in bit/s."""

    __slots__ = ("device", "minor", "rate")

    def __init__(self, device: str, minor: int, rate: int) -> None:
        self.device = device
        self.minor = minor
        self.rate = rate

    def values(self) -> "tuple[object, ...]":
        return (self.device, self.minor, self.rate)


def priority(minor: int) -> int:
    """What a packet for this class says in its priority."""
    return MAJOR << 16 | minor


def chains(policy: "Policy") -> "list[tuple[str, tuple[str, ...], str]]":
    """Name, rules and hook of every chain that the limits need; none without limits."""
    if not policy.limits:
        return []
    found = []
    for limit in policy.limits:
        directions = [one for one in DIRECTIONS if limit.rate(one)]
        for direction in directions:
            found.append((names.direction_chain(direction, limit.number), _rules(policy, limit, direction), ""))
        goes = [f"ct direction {_DIRECTION[one]} goto {names.direction_chain(one, limit.number)}" for one in directions]
        found.append((names.limit_chain(limit.number), tuple(goes), ""))
    marks = f"ct mark & {policy.marks.mask:#010x} vmap"
    every = [(number, names.limit_chain(limit.number)) for limit in policy.limits for number in limit.numbers]
    hook = f"type filter hook postrouting priority {POST_PRIORITY}; policy accept;"
    found.append(("post", (f"{marks} {_led(policy, every)}",), hook))
    # What answers the router itself is not sent on by anything: it is held back where it comes in.
    down = [
        (number, names.direction_chain(DOWN, limit.number))
        for limit in policy.limits
        for number in limit.numbers
        if limit.down
    ]
    if down:
        hook = f"type filter hook input priority {INPUT_PRIORITY}; policy accept;"
        found.append(("in_np", (f"ct direction reply {marks} {_led(policy, down)}",), hook))
    return found


def sets(policy: "Policy") -> "list[KernelSet]":
    """What the chains ask: the counters, and for limits of each client their buckets."""
    if not policy.limits:
        return []
    elements = []
    found = []
    for limit in policy.limits:
        for direction in DIRECTIONS:
            if limit.rate(direction):
                minor = limit.minor(direction)
                elements.append((priority(minor), f"{limit.name} {direction}"))
                elements.append((priority(minor | DROPPED), f"{limit.name} {direction} dropped"))
                found.extend(_buckets(limit, direction) if limit.per_client else [])
    counted = tuple([(((key, key),), None, comment) for key, comment in sorted(elements)])
    found.insert(0, KernelSet(COUNTS, ("classid",), counted, counter=True))
    return found


def _led(policy: "Policy", chains: "list[tuple[int, str]]") -> str:
    marks = policy.marks
    led = sorted([(marks.bits(number) | marks.done, chain) for number, chain in chains])
    return "{ " + ", ".join([f"{mark:#010x} : goto {chain}" for mark, chain in led]) + " }"


def _rules(policy: "Policy", limit: Limit, direction: str) -> "tuple[str, ...]":
    minor = limit.minor(direction)
    rules = [f"meta priority set {priority(minor):#x}", f"meta priority @{COUNTS}"]
    devices = sorted([one.device for one in policy.shaped if one.minor == minor])
    if devices:
        rules.append("oifname {{ {} }} accept".format(", ".join([f'"{device}"' for device in devices])))
    over = _over(limit.rate(direction))
    drop = f"meta priority set {priority(minor | DROPPED):#x} meta priority @{COUNTS} drop"
    if limit.per_client:
        side = "saddr" if direction == UP else "daddr"
        for family, bucket in ((V4, "ip"), (V6, "ip6")):
            rules.append(f"update @{_bucket_name(limit, direction, family)} {{ {bucket} {side} {over} }} {drop}")
    else:
        rules.append(f"{over} {drop}")
    # Another queue on the device must not take the number for one of its own.
    rules.append("meta priority set 0x0")
    return tuple(rules)


def _over(rate: int) -> str:
    bytes_per_second = max(rate // 8, 1)
    burst = max(int(bytes_per_second * BURST_SECONDS), LEAST_BURST)
    return f"limit rate over {bytes_per_second} bytes/second burst {burst} bytes"


def _buckets(limit: Limit, direction: str) -> "list[KernelSet]":
    return [
        KernelSet(
            _bucket_name(limit, direction, family), (kind,), (), size=MOST_CLIENTS, timeout=CLIENT_SECONDS, dynamic=True
        )
        for family, kind in ((V4, "ipv4_addr"), (V6, "ipv6_addr"))
    ]


def _bucket_name(limit: Limit, direction: str, family: int) -> str:
    # With the rate: a bucket keeps the one that it was made with.
    return f"c{4 if family == V4 else 6}_{direction[0]}_{limit.number:02}_r{limit.rate(direction)}"
