"""Settings of this host that decide whether steered traffic can come back.

Reads /proc/sys and never writes there: they belong to the owner of the box. Meaning of
rp_filter: Documentation/networking/ip-sysctl.rst of the kernel (RFC 3704).
"""

from __future__ import annotations

STRICT = 1  # a packet is dropped unless the main table would answer by the device it came in on


def reverse_path_filter(device: str) -> int:
    """What applies to a device: the higher of `all` and its own; 0 where it cannot be read."""
    return max(_setting("all"), _setting(device))


def _setting(device: str) -> int:
    try:
        with open(f"/proc/sys/net/ipv4/conf/{device}/rp_filter", encoding="ascii") as file:
            return int(file.read(8))
    except (OSError, ValueError):
        return 0
