"""A small router in a private namespace for tests of the data plane, the service and the daemon.

Two lines `wana` (192.0.2.2/24) and `wanb` (198.51.100.2/24, 2001:db8:b::2/64), a LAN `lan`
(192.168.1.1/24, fd00:1::1/64); the far end of each cable is in the same namespace and only gives
carrier. Beside them things of other people: a table, sets, rules and routes that must stay as they are.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule
from netpolicy.dataplane.policy import Entry, Hop, Line, Policy
from tests.netns import Namespace, private_netns, run

DEVICES = ("wana", "wanb", "lan")

_NETWORK = """
addr add 192.0.2.2/24 dev wana
addr add 198.51.100.2/24 dev wanb
addr add 192.168.1.1/24 dev lan
addr add 2001:db8:b::2/64 dev wanb nodad
addr add fd00:1::1/64 dev lan nodad
route add default via 192.0.2.1 dev wana
route add 10.9.0.0/16 via 192.168.1.77 dev lan
"""

FOREIGN_TABLE = """
table inet other {
	set np_words { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.0.2.9 } }
	counter c_other { packets 3 bytes 99 }
	chain pre { type filter hook prerouting priority mangle; policy accept;
		ip saddr @np_words meta mark set meta mark & 0xffff00ff | 0x00000100
	}
	chain classify { counter name "c_other"; }
}
table ip netpolicy { chain pre { type filter hook prerouting priority mangle; policy accept; }; }
"""
FOREIGN_ROUTING = """
rule add priority 1010 fwmark 0x100/0xff00 lookup 901
rule add priority 30000 fwmark 0x1 lookup 900
route add default via 198.51.100.1 dev wanb table 901
route add unreachable default metric 4278198272 table 901
route add 10.99.0.0/16 dev lan table 900 proto 77
"""


@contextmanager
def router(foreign: bool = True) -> Iterator[Namespace]:
    """The router; this thread and its children are inside."""
    with private_netns() as here:
        cables = "".join(f"link add {name} type veth peer name {name}_far\n" for name in DEVICES)
        ends = [end for name in DEVICES for end in (name, f"{name}_far")]
        # No link-local addresses: they appear when duplicate detection is done, in the middle of a comparison.
        ups = "".join(f"link set {end} addrgenmode none\nlink set {end} up\n" for end in ends)
        run("ip", "-batch", "-", text=cables + ups + _NETWORK)
        if foreign:
            run("nft", "-f", "-", text=FOREIGN_TABLE)
            run("ip", "-batch", "-", text=FOREIGN_ROUTING)
        here.sysctl("net/ipv4/ip_forward", 1)
        here.await_carrier(*ends)
        _await_own_addresses()
        yield here


def _await_own_addresses() -> None:
    """What workers of the kernel do: on a busy machine in the middle of a comparison.

    IPv6 addresses get their route from one; another tells devices that their cable has two ends now.
    """
    addresses = [line.split()[2].partition("/")[0] for line in _NETWORK.splitlines() if "nodad" in line]
    wanted = [f"local {address} " for address in addresses]
    await_local_routes(*wanted, *[f"ff00::/8 dev {end} " for name in DEVICES for end in (name, f"{name}_far")])


def await_local_routes(*wanted: str) -> None:
    """Until the kernel's own routes of IPv6 show all of these."""
    deadline = time.monotonic() + 20
    while True:
        there = run("ip", "-6", "route", "show", "table", "local")
        if all(one in there for one in wanted):
            return
        assert time.monotonic() < deadline, f"the kernel does not bring up all of {wanted}:\n{there}"
        time.sleep(0.01)


def everything() -> str:
    """Every nft object, rule and route of this namespace, as the tools print them."""
    return "\n".join((run("nft", "list", "ruleset"), *routing()))


def routing() -> tuple[str, str]:
    """Every rule and route, as `ip` prints them, of IPv4 and of IPv6."""
    asked = "rule show\nroute show table all\n"
    return run("ip", "-batch", "-", text=asked), run("ip", "-6", "-batch", "-", text=asked)


def of_others() -> str:
    """`everything` without what carries our names and our protocol number."""
    text = re.sub(r"table inet netpolicy \{\n.*?\n\}\n", "", everything(), flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if "proto 78" not in line)


def ours() -> str:
    """What carries our names and our protocol number; "" when nothing does."""
    found = everything()
    tables = re.findall(r"table inet netpolicy.*?\{\n.*?\n\}\n", found, flags=re.DOTALL)
    return "".join(tables) + "\n".join(line for line in found.splitlines() if "proto 78" in line)


def chain(name: str) -> str:
    """One chain of our table as nft prints it."""
    return run("nft", "list", "chain", "inet", "netpolicy", name)


# -- policies by hand, for tests below the service ------------------------------------------------

WAN_A = Line("wan_a", 1, "wana", (Hop(4, "192.0.2.1"),))
WAN_B = Line("wan_b", 2, "wanb", (Hop(4, "198.51.100.1"), Hop(6, "2001:db8:b::1")))


def rule(name: str, action: tuple[str, str] = ("route", "wan_b"), **fields: str) -> Rule:
    """A rule with priority 10; several values of a field separated by blanks."""
    return Rule(
        name, 10, tuple(parse_field(key, tuple(value.split())) for key, value in fields.items()), Action(*action)
    )


def policy(*entries: Entry, **changes: object) -> Policy:
    """A policy over both lines."""
    given = {"lines": (WAN_A, WAN_B), "entries": entries, **changes}
    return Policy(**given)  # type: ignore[arg-type]
