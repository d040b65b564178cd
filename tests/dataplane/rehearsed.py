"""What the tests of the rehearsal share: candidates by hand, and probes of the small router in tests/router.py."""

from __future__ import annotations

from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.rehearsal import Candidate, Probe, Rehearsed, rehearse
from netpolicy.dataplane.routing import Routing, desired
from netpolicy.dataplane.table import build
from tests.router import policy

NOTHING = Candidate(None)

SSH4 = Probe("lan", "192.168.1.5", "192.168.1.1", "tcp", 22)
SSH6 = Probe("lan", "fd00:1::5", "fd00:1::1", "tcp", 22)
WEB4 = Probe("lan", "192.168.1.5", "203.0.113.7", "tcp", 443)


def candidate(*entries: object, **changes: object) -> Candidate:
    """The state that a policy wants here."""
    wanted = policy(*entries, **changes)  # type: ignore[arg-type]
    netlink = open_netlink()
    try:
        routing = desired(wanted, netlink.routes(), netlink.addresses())
    finally:
        netlink.close()
    return Candidate(build(wanted), routing)


def text(rules: str, hook: str = "input") -> Candidate:
    """A state that is one chain of nft."""
    chain = f"chain c {{ type filter hook {hook} priority 0; policy accept;\n{rules}\n}}"
    return Candidate(None, Routing(), f"table inet netpolicy {{\n{chain}\n}}\n")


async def texts(state: Candidate, *probes: Probe) -> list[str]:
    """What became of the probes, in words."""
    return [one.text for one in (await rehearse([state], probes)).results[0]]


async def both(before: Candidate, after: Candidate, *probes: Probe) -> Rehearsed:
    """Of two states."""
    return await rehearse([before, after], probes)
