"""In the machine: a line that is dialled by PPPoE, whose session ends and comes back with another address.

Both ends are Debian's pppd; the provider's begins with each call of pppoe-server. Judges nothing.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from typing import Any

import talk
from daemon import spoilt
from lines import (
    BEST,
    LINES,
    SEALED,
    Witness,
    complaints,
    following,
    outbound,
    rehearsed,
    second,
    sources,
    table,
    until,
    until_up,
)
from street import SERVER, batch, nft, read, run, write

CABLE = "link add wanc type veth peer name eth2 netns server\nlink set wanc up\n"
DIALLED = f"""{LINES}
config outbound 'dsl'
	option type 'interface'
	option interface 'ppp0'
	option masq '1'
	option ipv6_source 'masq'
config outbound 'best'
	option type 'group'
	list member 'dsl'
	list member 'wan_b'
config rule 'sealed'
	option priority '30'
	list proto 'udp'
	list dest_port '{SEALED}'
	option route 'dsl'
	option on_fail 'block'
config rule 'voice'
	option priority '20'
	list proto 'udp'
	list dest_port '{BEST}'
	option route 'best'
config rule 'pages'
	option priority '10'
	list proto 'tcp'
	list dest_port '{talk.SOURCE}'
	list dest_port '{talk.SINK}'
	option route 'dsl'
	option on_fail 'block'
"""
OPTIONS = "/etc/ppp/provider"
LOG = "/tmp/ppp.log"
# As OpenWrt's ppp.sh has them, with shorter waits.
DIAL = (
    "pppd plugin rp-pppoe.so nic-wanc unit 0 nodetach noauth user subscriber noipdefault +ipv6 persist maxfail 0 "
    f"holdoff 1 lcp-echo-interval 1 lcp-echo-failure 3 mtu 1492 mru 1492 logfile {LOG}"
)
SILENT = """
table netdev silent {
	chain in { type filter hook ingress device "eth2" priority 0; policy drop; }
}
"""
BIG = 300_000


class Provider:
    """Takes calls on its end of the cable and gives addresses from one on."""

    def __init__(self) -> None:
        os.makedirs("/etc/ppp", exist_ok=True)
        write(OPTIONS, f"require-chap\nname provider\nlcp-echo-interval 1\nlcp-echo-failure 3\n+ipv6\nlogfile {LOG}\n")
        with open(os.open("/etc/ppp/chap-secrets", os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(f"subscriber * {secrets.token_hex(8)} *\n")
        batch(CABLE)
        run("ip link set eth2 up", SERVER)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, first: str) -> None:
        words = f"pppoe-server -F -I eth2 -L 10.67.0.1 -R {first} -N 8 -O {OPTIONS}"
        with open(LOG, "ab") as log:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", SERVER, *words.split()], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def end(self, number: int = signal.SIGTERM) -> None:
        """In order (who is connected is told), or without a word."""
        assert self._process is not None
        children = _children(self._process.pid)
        for one in (self._process.pid, *children):
            os.kill(one, number)
        self._process.wait(60)
        self._process = None
        until(lambda: not any(os.path.exists(f"/proc/{one}") for one in children), "the provider's sessions end")


def _children(parent: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        stat = read(f"/proc/{name}/stat") if name.isdigit() else ""
        if stat and int(stat.rpartition(")")[2].split()[1]) == parent:
            found.append(int(name))
    return found


class Caller:
    """Our end: calls until somebody answers, and again."""

    def __init__(self, more: str = "nodefaultroute") -> None:
        with open(LOG, "ab") as log:
            self._process = subprocess.Popen([*DIAL.split(), *more.split()], stdin=subprocess.DEVNULL, stdout=log)

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def address() -> str:
    """Ours, on the line; "" while there is none."""
    words = run("ip -4 -o addr show dev ppp0", check=False).split()
    return words[words.index("inet") + 1] if "inet" in words else ""


def pppoe() -> dict[str, Any]:
    """Dialled while the daemon runs; silent; back with another address; ended in order; with a default route."""
    second()
    provider, witness, found = Provider(), Witness(), {}
    with following(DIALLED):
        found["before"], found["ways_before"] = until_up("dsl", False), witness.until_ways(BEST, "eth1")
        found["leaks_before"] = witness.burst(SEALED)
        try:
            _calls(provider, witness, found)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{read(LOG)[-4000:]}") from error
    return {**found, "spoilt": spoilt()}


def _calls(provider: Provider, witness: Witness, found: dict[str, Any]) -> None:
    provider.start("10.67.0.10")
    caller = Caller()
    found["line"], found["address"] = until_up("dsl"), address()
    found["table"], found["sources"] = table("dsl"), sources()
    found["ways"] = {str(port): witness.until_ways(port, "ppp0", "4") for port in (BEST, SEALED)}
    found["rehearsed"], found["complaints"] = rehearsed(DIALLED), complaints()
    begun = time.monotonic()
    talk.fetch(BIG)
    talk.give(BIG)
    found["fetched"] = time.monotonic() - begun
    # IPv6 comes later: a prefix that the provider delegates.
    run("ip addr add 2001:db8:c::2/64 dev ppp0 nodad")
    found["line6"] = until(lambda: (one := outbound("dsl"))["families"] == [4, 6] and one, "IPv6 on dsl")
    found["ways6"] = {str(port): witness.until_ways(port, "ppp0") for port in (BEST, SEALED)}
    # Nothing comes any more: both ends find out by their echoes.
    nft(SILENT, SERVER)
    found["leaks_while_silent"] = witness.burst(SEALED)
    provider.end(signal.SIGKILL)
    found["silent"] = until_up("dsl", False)
    found["table_silent"], found["sources_silent"] = table("dsl"), sources()
    found["leaks_when_down"], found["failed_over"] = witness.burst(SEALED), witness.until_ways(BEST, "eth1")
    # The next session has another address.
    run("nft delete table netdev silent", SERVER)
    provider.start("10.67.0.77")
    found["again"], found["address_again"] = until_up("dsl"), address()
    found["table_again"], found["sources_again"] = table("dsl"), sources()
    found["ways_again"] = {str(port): witness.until_ways(port, "ppp0", "4") for port in (BEST, SEALED)}
    # Ended in order, as at the daily reconnect.
    provider.end()
    found["ended"], found["ways_ended"] = until_up("dsl", False), witness.until_ways(BEST, "eth1")
    caller.end()
    # The other way to dial: a default route in main, without a gateway.
    run("ip route del default")
    provider.start("10.67.0.120")
    caller = Caller("defaultroute")
    found["default"] = until_up("dsl")
    found["main"] = run("ip route show default").split()
    found["table_default"] = table("dsl")
    found["ways_default"] = {str(port): witness.until_ways(port, "ppp0", "4") for port in (BEST, SEALED)}
    caller.end()
    provider.end()
    run("ip route add default via 203.0.113.1 dev wana")
