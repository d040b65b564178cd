"""How long clients wait when a line dies, and what watching lines costs a daemon at rest.

A lab with a real netpolicyd. Unlike the other families these are times on the wall, as people notice them, on all
cores: ratios of them say nothing. Never measures a line that is not known to be well before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import Family, Options, Turns
from netpolicy.lab.bench import Lab
from netpolicy.lab.topology import PROVIDERS

SERVER = "192.0.2.99"
FIRST, SECOND = PROVIDERS
REST_SECONDS = 10.0
TICKS = os.sysconf("SC_CLK_TCK")

# Each line its own far end to ask; the third is a second name for the second cable.
ADDRESSES = "".join(
    f"""
config outbound '{name}'
	option type 'interface'
	option interface '{line.device}'
	option gateway '{line.gateway4}'
	option masq '1'
	option hold '1'
	list probe 'ping:{SERVER}'
"""
    for name, line in (("wan_a", FIRST), ("wan_b", SECOND), ("wan_c", SECOND))
)
CONFIG = f"""
config netpolicy 'main'
	option enabled '1'
	option primary 'wan_a'
{ADDRESSES}
config outbound 'best'
	option type 'group'
	option strategy 'failover'
	list member 'wan_a'
	list member 'wan_b'

config rule 'all'
	option any '1'
	option route 'best'
"""


def lines(options: Options) -> Iterator[Turns]:
    """Seconds until a new connection goes by the other line; the daemon's share of a core at rest."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # clients, lines and daemon are not one program's threads
    lab = Lab()
    lab.open()
    daemon = lab.start_daemon(CONFIG)
    yield Turns("%", {"lines/idle/3": lambda: _share(_child_of(daemon.pid))}, counts=("lines/idle/3",))
    dying = {"lines/carrier": lambda: lab.link("a", "down"), "lines/silent": lambda: lab.relay("a", "drop")}
    samples = {name: _Moving(lab, kill).seconds for name, kill in dying.items()}
    yield Turns("s", samples, close=lab.close, budget=60.0 + 12 * options.rounds)


FAMILIES: dict[str, Family] = {"lines": lines}


class _Moving:
    """A line that dies in one way, again and again."""

    def __init__(self, lab: Lab, kill: Callable[[], object]) -> None:
        self._lab, self._kill = lab, kill

    def seconds(self) -> float:
        """From just before the line dies until a datagram of a new flow was answered by way of the other one."""
        self._lab.repair()
        self._lab.wait_for(self._is_well, 60, "the first line is used again")
        began = time.monotonic()
        self._kill()
        self._lab.wait_for(lambda: self._came_by() == SECOND.router4, 30, "the other line is used")
        return time.monotonic() - began

    def _is_well(self) -> bool:
        (found,) = [one for one in self._lab.call("outbounds")["outbounds"] if one["name"] == "wan_a"]
        return found["health"]["state"] == "NORMAL" and self._came_by() == FIRST.router4

    def _came_by(self) -> str:
        return str(self._lab.udp("desk", SERVER, 7, timeout=0.05).get("seen"))


def _share(pid: int) -> float:
    """Percent of one core that a process took while nothing happened."""
    time.sleep(REST_SECONDS)  # what comes after a start
    before, began = _ticks(pid), time.monotonic()
    time.sleep(REST_SECONDS)
    return (_ticks(pid) - before) / TICKS / (time.monotonic() - began) * 100


def _ticks(pid: int) -> int:
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def _child_of(pid: int) -> int:
    """The daemon itself: what the lab started enters its namespaces first."""
    while found := Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        pid = int(found[0])
    return pid
