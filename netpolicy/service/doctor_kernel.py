"""The doctor about the kernel and the tools that speak to it: what is missing, and which package has it.

The checks are functions of facts; `gather` asks nft, ip and the kernel, and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft import OLDEST
from netpolicy.dataplane.state import IPV4, IPV6, NetlinkError
from netpolicy.flows.ctnetlink import entry_batches
from netpolicy.flows.nflog import PacketLog
from netpolicy.service.doctor_finding import ERROR, INFO, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import MISSING, NO_NAMESPACE, Ran, System

TRACKING = "/proc/sys/net/netfilter/nf_conntrack_max"
IPV6_THERE = "/proc/net/if_inet6"

# Nobody's group: the one of the daemon is taken while it runs.
FREE_GROUP = 0xD0C
# A mark that no connection has: the kernel walks its table and answers with next to nothing.
NO_MARK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen. A text is why something does not work, "" where it does."""

    nft_version: Ran
    nft_list: Ran  # nft -j list tables
    is_tracking: bool
    ctnetlink: str
    rules4: str
    rules6: str
    has_ipv6: bool
    apart: Ran  # a veth pair in a namespace of its own
    nflog: str
    ip_version: Ran
    ip_batch: Ran
    ip_protocol: Ran


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    facts = gather(system)
    checks = [nft_version(facts), ip_tool(facts), tracking(facts)]
    if system.is_root:
        checks += [nf_tables(facts), ctnetlink(facts), policy_routing(facts), scratch(facts), packet_log(facts)]
    return checks


def gather(system: System) -> Facts:
    """Asks everybody once."""
    return Facts(
        system.run("nft", "--version"),
        system.run("nft", "-j", "list", "tables"),
        system.exists(TRACKING),
        _refusal_of_table(),
        _refusal_of_rules(IPV4),
        _refusal_of_rules(IPV6),
        system.exists(IPV6_THERE),
        system.run_apart("ip", "link", "add", "npd0", "type", "veth", "peer", "name", "npd1"),
        _refusal_of_log(),
        system.run("ip", "-V"),
        system.run("ip", "-batch", "/dev/null"),
        system.run("ip", "rule", "show", "protocol", "78"),
    )


def nft_version(facts: Facts) -> Finding:
    """ND202."""
    if facts.nft_version.status:
        return found("ND202", ERROR, f"nft: {facts.nft_version.why}")
    version = version_in(facts.nft_version.out)
    told = ".".join(str(part) for part in version)
    if version and version < OLDEST:
        return found("ND202", ERROR, f"nft {told} would send packets wrong ways")
    if "JSON" in facts.nft_list.err:
        return found("ND202", ERROR, f"nft {told} was built without JSON")
    return fine("ND202", f"nft {told}")


def version_in(text: str) -> tuple[int, ...]:
    """The numbers in "nftables v1.0.6 (Lester Gooch #5)"; () where there are none."""
    for word in text.split():
        parts = word.removeprefix("v").split(".")
        if len(parts) > 1 and all(part.isdecimal() and len(part) < 5 for part in parts):
            return tuple(int(part) for part in parts)
    return ()


def nf_tables(facts: Facts) -> Finding:
    """ND201."""
    if facts.nft_list.status == 0:
        return fine("ND201")
    return found("ND201", ERROR, f"nft list tables: {facts.nft_list.why}")


def tracking(facts: Facts) -> Finding:
    """ND203."""
    return (
        fine("ND203")
        if facts.is_tracking
        else found("ND203", ERROR, f"there is no {TRACKING}", "modprobe nf_conntrack")
    )


def ctnetlink(facts: Facts) -> Finding:
    """ND204."""
    if not facts.ctnetlink:
        return fine("ND204")
    return found("ND204", WARNING, facts.ctnetlink, "modprobe nf_conntrack_netlink")


def policy_routing(facts: Facts) -> Finding:
    """ND205."""
    if facts.rules4:
        return found("ND205", ERROR, facts.rules4)
    if facts.rules6 and facts.has_ipv6:
        return found("ND205", ERROR, facts.rules6)
    return fine("ND205", "" if facts.has_ipv6 else "IPv6 is switched off in this kernel")


def scratch(facts: Facts) -> Finding:
    """ND206."""
    if facts.apart.status == 0:
        return fine("ND206")
    words = {NO_NAMESPACE: "no network namespace can be made", MISSING: "the ip tool is not installed"}
    why = words.get(facts.apart.status, "a veth pair cannot be made")
    return found("ND206", WARNING, why, "modprobe veth" if facts.apart.status not in words else "")


def packet_log(facts: Facts) -> Finding:
    """ND207."""
    return found("ND207", INFO, facts.nflog, "modprobe nfnetlink_log") if facts.nflog else fine("ND207")


def ip_tool(facts: Facts) -> Finding:
    """ND208."""
    if facts.ip_version.status == MISSING:
        return found("ND208", ERROR, "ip: it is not installed")
    for ran, what in ((facts.ip_batch, "-batch"), (facts.ip_protocol, "rule show protocol")):
        if ran.status:
            return found("ND208", ERROR, f"ip {what}: {ran.why}")
    return fine("ND208", facts.ip_version.out.strip())


def _refusal_of_rules(family: int) -> str:
    try:
        link = open_netlink("builtin")
        try:
            rules = [rule for rule in link.rules() if rule.family == family]
        finally:
            link.close()
    except NetlinkError as error:
        return str(error)
    return "" if rules else f"there is not one IPv{family} rule, not even the kernel's"


def _refusal_of_table() -> str:
    try:
        for _ in entry_batches(NO_MARK, NO_MARK):
            break
    except NetlinkError as error:
        return str(error)
    return ""


def _refusal_of_log() -> str:
    try:
        PacketLog(FREE_GROUP).close()
    except NetlinkError as error:
        return str(error)
    return ""
