"""Programs that steer traffic too, and the numbers that each is known to use.

Only the table. Collected from the programs' sources and documentation, not by running them side by side
(docs/operations.md, Other packages); what is really there is looked at as well, in doctor_collisions.py.
"""

from __future__ import annotations

from typing import NamedTuple


class Program(NamedTuple):
    """How a program is known, and what it takes. Ranges hold their ends; `masks` are mark bits that it writes."""

    name: str
    signs: tuple[str, ...]  # files, one of which is there where it is installed
    masks: tuple[int, ...] = ()
    priorities: tuple[tuple[int, int], ...] = ()
    tables: tuple[tuple[int, int], ...] = ()
    nft: tuple[str, ...] = ()  # its nft tables, "inet dae"
    note: str = ""  # how the two live together


FIRST = "its ip rules come first: what it has marked goes where it says"
EXACT = "packets with its mark are left alone, as long as its ip rule is there"
APART = "no collision of numbers by default"

PROGRAMS = (
    # Downwards from 30000, one for each interface and some more.
    Program("pbr", ("/etc/init.d/pbr",), (0x00FF0000,), ((29700, 30000),), ((256, 511),),
            note="no collision by default; what pbr marked and we do not steer keeps its way"),
    Program("vpn-policy-routing", ("/etc/init.d/vpn-policy-routing",), (0x00FF0000,), note=APART),
    Program("keen-pbr", ("/etc/init.d/keen-pbr", "/opt/etc/init.d/S80keen-pbr"), (0x00FF0000,), ((150, 250),),
            ((150, 250),), note=FIRST),
    Program("podkop", ("/etc/init.d/podkop", "/usr/bin/podkop"), (0x00300000,), ((105, 105),), ((105, 105),),
            note=FIRST),
    Program("mwan3", ("/etc/init.d/mwan3",), (0x00003F00,), ((1000, 3999),), ((1, 60),), note=FIRST),
    Program("mwan4", ("/etc/init.d/mwan4",), (0x00003F00,), ((1000, 3999),), ((1, 60),), note=FIRST),
    Program("passwall2", ("/etc/init.d/passwall2",), (), (), ((100, 100),), note=EXACT),
    Program("passwall", ("/etc/init.d/passwall",), (), (), ((100, 100),), note=EXACT),
    Program("homeproxy", ("/etc/init.d/homeproxy",), (), (), ((100, 102),), note=EXACT),
    Program("luci-app-xray", ("/etc/init.d/xray_core",), (), (), ((251, 251),), note=EXACT),
    Program("v2rayA", ("/etc/init.d/v2raya", "/usr/bin/v2raya"), (0x000000C0,), (), ((100, 100),), note=APART),
    Program("dae", ("/etc/init.d/dae", "/usr/bin/dae"), (0x08000000,), (), ((2023, 2023),), note=APART),
    Program("Tailscale", ("/usr/sbin/tailscaled", "/usr/bin/tailscaled"), (0x00FF0000,), ((5200, 5299),), ((52, 52),),
            note=FIRST),
    Program("wg-quick", ("/usr/bin/wg-quick",), (), (), ((51820, 51820),), note=EXACT),
    Program("sqm-scripts", ("/etc/init.d/sqm",), note="it shapes a line after our decision; no numbers meet"),
    Program("nft-qos", ("/etc/init.d/nft-qos",), note="it limits after our decision; offload passes by both"),
    Program("banIP", ("/etc/init.d/banip",), nft=("inet banIP",), note="it drops in its own table; no numbers meet"),
)  # fmt: skip
