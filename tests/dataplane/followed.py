"""A kernel that follows policies, some rules for them, and what our table then holds: for tests of what changes do.

Asks the kernel itself, by netlink; never the object under test.
"""

from __future__ import annotations

from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.nft_messages import AddElements, DeleteElements
from netpolicy.dataplane.policy import Entry, Policy
from netpolicy.dataplane.set_key import from_host_number
from tests.router import rule

MARKS = Marks(0x77000000)
VIDEO = Entry(rule("video", dest_port="443", proto="tcp"), 2)
MAIL = Entry(rule("mail", ("block", "reject"), src_addr="192.168.3.0/24", dest_port="25"), MARKS.reject, blocks=True)
WORK = Entry(rule("work", ("route", "wan_a"), dest_addr="203.0.113.0/24 !203.0.113.9"), 1)
OTHER = Entry(rule("other", dest_port="8080", proto="tcp"), 1)  # of one shape with VIDEO


async def follow(kernel: Kernel, wanted: Policy) -> tuple[str, ...]:
    """Plan and apply; the changes. Afterwards nothing is left to do, for this object and for a new one."""
    plan = await kernel.plan(wanted)
    await kernel.apply(plan)
    assert (await kernel.plan(wanted)).changes == ()
    assert (await Kernel(open_netlink("builtin")).plan(wanted)).changes == ()
    return plan.changes


def elements(name: str) -> list[Element]:
    with NftLink(TABLE) as link:
        return sorted(link.elements(name), key=repr)


def labels(slot: str = "a") -> dict[str, int]:
    """The label of every rule, as the kernel has it."""
    return {element.comment: from_host_number(element.key) for element in elements(f"hits_{slot}")}


def leads(slot: str = "a") -> dict[str, str]:
    """Where every rule that stands leads, as the kernel has it."""
    names = {label: name for name, label in labels(slot).items()}
    return {names[from_host_number(element.key)]: element.verdict for element in elements(f"verdicts_{slot}")}


def maps() -> set[str]:
    """The interval maps, whose names tell what they hold."""
    with NftLink(TABLE) as link:
        return {name for name in link.sets() if name[0] in "gl"}


def count_hits(slot: str = "a", **hits: int) -> None:
    """As if so many first packets had met the rules."""
    name = f"hits_{slot}"
    found = [element for element in elements(name) if element.comment in hits]
    with NftLink(TABLE) as link:
        link.commit([DeleteElements(name, found)])
        for element in found:
            element.counter = (hits[element.comment], 100)
        link.commit([AddElements(name, found)])


def hits(kernel_counters: dict[str, tuple[int, int]]) -> dict[str, int]:
    return {name: packets for name, (packets, _) in kernel_counters.items()}
