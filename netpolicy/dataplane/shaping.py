"""Where queues of ours hold limits of speed, and what separates them from what is there.

Values in, values out. A queue of somebody else is never replaced: that device has its limits dropped
by nft instead, and the reason is told. Queues: tc-htb(8); docs/dataplane.md ("Limits of speed").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netpolicy.dataplane.limits import DIRECTIONS, MAJOR, UP, Limit, Shaped
from netpolicy.dataplane.netlink_tc import ROOT, HtbClass, Queue
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.record import Record
from netpolicy.dataplane.state import Address

HANDLE = MAJOR << 16
HTB = "htb"

# For what no limit holds: its rate is never reached, and below it stands the kernel's usual queue.
REST = 1
REST_RATE = 100_000_000_000

FQ_CODEL, BFIFO = LEAVES = "fq_codel", "bfifo"


# How a limit is held on a device: packets wait, or those that are too much are dropped.
SHAPED, POLICED = "shaped", "policed"
PER_CLIENT = "each client has a limit of its own"


class Device(Record):
    """What stands on a device now: the root queue (None: the kernel's default), and of ours what is below."""

    __slots__ = ("classes", "index", "leaves", "name", "root")

    def __init__(
        self,
        name: str,
        index: int,
        root: Queue | None = None,
        classes: tuple[HtbClass, ...] = (),
        leaves: tuple[Queue, ...] = (),
    ) -> None:
        self.name = name
        self.index = index
        self.root = root
        self.classes = classes
        self.leaves = leaves

    def values(self) -> tuple[object, ...]:
        return (self.name, self.index, self.root, self.classes, self.leaves)

    @property
    def is_ours(self) -> bool:
        """Whether our queue stands there."""
        return self.root is not None and self.root.kind == HTB and self.root.handle == HANDLE

    @property
    def is_free(self) -> bool:
        """Whether nobody has put a queue there."""
        return self.root is None or self.root.handle == 0


class Observed(Record):
    """The devices, by name; `refusals`: why a queue cannot be had on a device, under "" on any."""

    __slots__ = ("devices", "refusals")

    def __init__(self, devices: Mapping[str, Device], refusals: Mapping[str, str]) -> None:
        self.devices = devices
        self.refusals = refusals

    def values(self) -> tuple[object, ...]:
        return (tuple(self.devices.items()), tuple(self.refusals.items()))

    def refusal(self, device: str) -> str:
        """Why the kernel gives that device no queue of ours, or ""."""
        return self.refusals.get("") or self.refusals.get(device, "")


class Way(Record):
    """How a direction of a limit is held back on a device: "shaped", or "policed" and why."""

    __slots__ = ("device", "direction", "how", "limit", "why")

    def __init__(self, limit: str, direction: str, device: str, how: str, why: str = "") -> None:
        self.limit = limit
        self.direction = direction
        self.device = device
        self.how = how
        self.why = why

    def values(self) -> tuple[object, ...]:
        return (self.limit, self.direction, self.device, self.how, self.why)


class Step(Record):
    """One thing to do: "add", "change" or "delete" a "root", or a "class" with what stands below it."""

    __slots__ = ("device", "index", "minor", "rate", "verb", "what")

    def __init__(self, verb: str, what: str, device: str, index: int, minor: int = 0, rate: int = 0) -> None:
        self.verb = verb
        self.what = what
        self.device = device
        self.index = index
        self.minor = minor
        self.rate = rate  # bit/s

    def values(self) -> tuple[object, ...]:
        return (self.verb, self.what, self.device, self.index, self.minor, self.rate)

    @property
    def text(self) -> str:
        """In the words of tc."""
        sign = {"add": "+", "change": "~", "delete": "-"}[self.verb]
        if self.what == "root":
            return f"{sign} tc qdisc dev {self.device} root handle {MAJOR:x}: {HTB}"
        rate = f" rate {self.rate}bit" if self.rate else ""
        return f"{sign} tc class dev {self.device} classid {MAJOR:x}:{self.minor:x}{rate}"


class ShapingChange(Record):
    """What to do before the chains change, and what after them."""

    __slots__ = ("after", "before")

    def __init__(self, before: tuple[Step, ...] = (), after: tuple[Step, ...] = ()) -> None:
        self.before = before
        self.after = after

    def values(self) -> tuple[object, ...]:
        return (self.before, self.after)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.before or self.after)

    @property
    def changes(self) -> tuple[str, ...]:
        """One line per change."""
        return tuple(step.text for step in self.before + self.after)


def place(policy: Policy, seen: Observed, addresses: Iterable[Address]) -> tuple[tuple[Shaped, ...], tuple[Way, ...]]:
    """The classes that queues should have, and how each direction of each limit is held back where."""
    inner, sources = _inner_devices(policy, addresses), _sources(policy)
    shaped: list[Shaped] = []
    ways: list[Way] = []
    for limit in policy.limits:
        for direction in [one for one in DIRECTIONS if limit.rate(one)]:
            devices = _outer_devices(policy, limit) if direction == UP else _towards(limit, inner, sources)
            for device in sorted(devices):
                why = _obstacle(limit, device, seen)
                ways.append(Way(limit.name, direction, device, POLICED if why else SHAPED, why))
                if not why:
                    shaped.append(Shaped(device, limit.minor(direction), limit.rate(direction)))
    return tuple(shaped), tuple(ways)


def _obstacle(limit: Limit, device: str, seen: Observed) -> str:
    if limit.per_client:
        return PER_CLIENT
    if seen.refusal(device):
        return seen.refusal(device)
    there = seen.devices.get(device)
    if there is None:
        return f"there is no device {device}"
    if there.is_ours or there.is_free:
        return ""
    assert there.root is not None
    return f"{device} has a queue of somebody else: {there.root.kind}"


def _outer_devices(policy: Policy, limit: Limit) -> set[str]:
    lines = {line.number: line for line in policy.lines}
    found: set[str] = set()
    for number in limit.numbers:
        # Without a line it is a pair with the main table, whose ways out are those of others.
        found.update(lines[number].leaves_by if number in lines else policy.ways_out)
    return found


def _inner_devices(policy: Policy, addresses: Iterable[Address]) -> set[str]:
    leading_out = set(policy.ways_out)
    for line in policy.lines:
        leading_out.update((line.device, *line.leaves_by))
    return {one.device for one in addresses if one.scope == "global"} - leading_out - {"lo"}


def _sources(policy: Policy) -> dict[int, set[str]]:
    """By class of a limit the devices that its rules name as source; "" where one names none. O(rules), once."""
    found: dict[int, set[str]] = {number: set() for limit in policy.limits for number in limit.numbers}
    for rule, number in policy.entries.pairs() if found else ():
        devices = found.get(number)
        if devices is not None:
            field = rule.field("src_iface")
            devices.update([policy.devices(name) for name in field.values] if field is not None else [""])
    return found


def _towards(limit: Limit, inner: set[str], sources: Mapping[int, set[str]]) -> set[str]:
    """The devices behind which the limit's clients are: those that its rules name, where all of them do."""
    named = set().union(*[sources[number] for number in limit.numbers])
    return named if named and named <= inner else inner


def change(shaped: Iterable[Shaped], seen: Observed) -> ShapingChange:
    """What leads from what is there to these classes; a queue of ours that holds none goes."""
    wanted: dict[str, dict[int, int]] = {}
    for one in shaped:
        wanted.setdefault(one.device, {REST: REST_RATE})[one.minor] = one.rate
    before: list[Step] = []
    after: list[Step] = []
    for name, device in sorted(seen.devices.items()):
        classes = wanted.get(name)
        if classes is None:
            after += [Step("delete", "root", name, device.index)] if device.is_ours else []
            continue
        there = _there(device) if device.is_ours else {}
        if not device.is_ours:
            before.append(Step("add", "root", name, device.index))
        for minor, rate in sorted(classes.items()):
            if there.get(minor) != rate // 8 * 8:
                before.append(Step("change" if minor in there else "add", "class", name, device.index, minor, rate))
        after += [Step("delete", "class", name, device.index, minor) for minor in sorted(set(there) - set(classes))]
    return ShapingChange(tuple(before), tuple(after))


def _there(device: Device) -> dict[int, int]:
    """Rates in bit/s by class; 0 where what stands below it is not what we put there."""
    below = {queue.parent: queue.kind for queue in device.leaves}
    return {
        one.handle & 0xFFFF: one.rate * 8 if below.get(one.handle) in LEAVES and one.ceil == one.rate else 0
        for one in device.classes
    }


def drops(seen: Observed) -> dict[int, int]:
    """Packets that queues of ours dropped since they were put there, by class."""
    found: dict[int, int] = {}
    for device in seen.devices.values():
        for one in device.classes:
            minor = one.handle & 0xFFFF
            found[minor] = found.get(minor, 0) + one.drops
    return found


def burst(rate: int) -> int:
    """Bytes that a class may send at once: two packets, or two milliseconds at full speed."""
    return max(3028, rate // 8 // 500)


def quantum(rate: int) -> int:
    """Bytes in a class's turn among others."""
    return min(max(1514, rate // 8 // 100), 60000)


def target_us(rate: int) -> int:
    """How long a packet may wait below a class: 5 ms, on slow ones as long as one and a half packets take."""
    return max(5000, 1514 * 8 * 1_500_000 // rate)


def fifo_size(rate: int) -> int:
    """Bytes that wait below a class without fq_codel: a fifth of a second, and two packets before they are cut."""
    return min(max(131072, rate // 8 // 5), 4 << 20)


def of_devices(
    names: Mapping[int, str], queues: Iterable[Queue], classes: Mapping[int, tuple[HtbClass, ...]]
) -> dict[str, Device]:
    """The devices by name, from what the kernel tells of all queues."""
    roots: dict[int, Queue] = {}
    leaves: dict[int, list[Queue]] = {}
    for queue in queues:
        if queue.parent == ROOT:
            roots[queue.index] = queue
        elif queue.parent >> 16 == MAJOR:
            leaves.setdefault(queue.index, []).append(queue)
    return {
        name: Device(name, index, roots.get(index), classes.get(index, ()), tuple(leaves.get(index, ())))
        for index, name in names.items()
    }
