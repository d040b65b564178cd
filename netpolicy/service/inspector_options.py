"""What the settings say of the inspector: which tiers may be used, and which payload may leave the kernel.

Pure. Payload that is not wanted is not copied at all; of what is copied nothing but the name is kept, in memory.
"""

from __future__ import annotations

from typing import NamedTuple

from netpolicy.core.model import Settings

EBPF, PACKET, CONNTRACK, OFF = "ebpf", "packet", "conntrack", "off"

# The best first. What conntrack tells is read anyway: it is what remains.
TIERS = {"auto": (EBPF, PACKET), EBPF: (EBPF,), PACKET: (PACKET,), CONNTRACK: (), OFF: ()}

TLS, QUIC, DNS, HTTP, NONE = "tls", "quic", "dns", "http", "none"
NAMES = (TLS, QUIC, DNS, HTTP)


class Wanted(NamedTuple):
    """What may leave the kernel: the fields of flows.ebpf.Switches, which is not in memory until it is used."""

    tls: bool = False
    http: bool = False
    dns_answers: bool = False
    dns_queries: bool = False
    quic: bool = False
    flows: bool = False


class Options(NamedTuple):
    """The settings, read."""

    setting: str
    tiers: tuple[str, ...]
    names: tuple[str, ...]
    wanted: Wanted


def read(settings: Settings) -> Options:
    """`inspector` and `inspect` of the main section."""
    chosen = settings.inspect or NAMES
    names = () if NONE in chosen else tuple([name for name in NAMES if name in chosen])
    dns = DNS in names
    wanted = Wanted(TLS in names, HTTP in names, dns, dns, QUIC in names, True)
    return Options(settings.inspector, TIERS[settings.inspector], names, wanted)
