"""An engine in a small router, for tests of the service: real kernel, a log that is read back, events as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft import Nft
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.table import SLOTS
from netpolicy.flows.marks import Conntrack
from netpolicy.observe.ring import Ring
from netpolicy.service.engine import Engine, Places
from tests.netns import run

CONFIG = """
config netpolicy 'main'
	option enabled '1'
	option mode 'enforce'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '192.0.2.1'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
config rule 'video'
	list proto 'tcp'
	list dest_port '443'
	option route 'wan_b'
config rule 'mail'
	option priority '10'
	list src_addr '192.168.3.0/24'
	list dest_port '25'
	option block 'reject'
"""

OBSERVE = CONFIG.replace("enforce", "observe")
OFF = CONFIG.replace("enabled '1'", "enabled '0'")


class House:
    """The engine, its files, and what it said."""

    def __init__(self, folder: Path, config: str = CONFIG, nft: str = "nft", door: Conntrack | None = None) -> None:
        self.config = folder / "netpolicy"
        self.state = folder / "state"
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.log = Ring(lambda: 0.0, lambda entry: None, "debug")
        netlink = open_netlink("builtin")
        self.engine = Engine(
            Places(str(self.config), str(self.state)), Kernel(netlink, Nft(nft)), netlink, self.log, self.publish,
            flows=door or Conntrack(),
        )  # fmt: skip
        self.write(config)

    def publish(self, name: str, data: Any) -> None:
        self.events.append((name, dict(data)))

    def write(self, text: str) -> None:
        self.config.write_text(text)

    async def load(self, text: str | None = None) -> str:
        """Writes the text (if any), reads it and makes one turn; the error or ""."""
        if text is not None:
            self.write(text)
        return await self.engine.reload()

    def said(self, level: str) -> list[str]:
        return [entry.message for entry in self.log.since(0, 500) if entry.level == level]


def leads_to(rule: str) -> str:
    """The chain that the kernel sends a rule's packets to, "" while the rule does not stand."""
    with NftLink("netpolicy") as link:
        for slot in SLOTS:
            labels = {one.comment: one.key for one in link.elements(f"hits_{slot}")} if _has(link, slot) else {}
            if rule in labels:
                found = link.element(f"verdicts_{slot}", labels[rule])
                return found.verdict.removeprefix("goto ") if found else ""
    return ""


def _has(link: NftLink, slot: str) -> bool:
    return f"hits_{slot}" in link.sets()


def connect_by(mark: int) -> None:
    """A connection in conntrack with a mark, as if a packet had passed."""
    port = str(4000 + mark % 999)
    run("conntrack", "-I", "-p", "udp", "-s", "192.168.1.50", "-d", "203.0.113.5", "--sport", port, "--dport", "99",
        "-t", "600", "-m", hex(mark))  # fmt: skip


def marks() -> list[str]:
    """Those of all connections in conntrack."""
    words = run("conntrack", "-L").split()
    return sorted(word.removeprefix("mark=") for word in words if word.startswith("mark="))
