"""A kill switch under random accidents: whatever happens to lines and daemon, nothing of it leaves by the other line.

    python -m tests.acceptance.leaks [EVENTS [SEED]]

A client sends datagrams and opens connections, of both families, all of which a rule sends to line A with `on_fail
block`; main leads by line B. Whatever of it is seen on B's cable is a leak. Prints how many events and packets there
were; ends with 1 when one leaked.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.daemon.running import Netpolicyd, netpolicyd, until
from tests.kernel.streams import FAMILY, SERVER, Place, place
from tests.outbounds.far_side import SWALLOW

GUARD = str(Path(__file__).resolve().parents[2] / "files/usr/lib/netpolicy/guard")
FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")

PORT = 4791
IPV4, IPV6 = 0x0800, 0x86DD
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>
TCP, UDP = 6, 17

CONFIG = """
config netpolicy 'main'
	option enabled '1'
	option inspector 'off'
config outbound 'a'
	option type 'interface'
	option interface 'wana'
	option gateway '192.0.2.1'
	option gateway6 '2001:db8:a::1'
	list probe 'ping:203.0.113.5'
	option hold '0'
config outbound 'b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
	option gateway6 '2001:db8:b::1'
config rule 'films'
	option priority '50'
	list dest_port '4791'
	option route 'a'
	option on_fail 'block'
"""

FURTHER = """
config rule 'further{number}'
	option priority '{number}'
	list dest_port '{number}'
	option route 'b'
"""

MAIN_BY_B = """
route replace default via 198.51.100.1 dev wanb
route replace default via 2001:db8:b::1 dev wanb
"""

MAIN_CHANGES = """
route del default
route add default via 198.51.100.1 dev wanb metric 5
"""

# What the kernel forgets when a device goes down, put back as netifd would.
A_AGAIN = """
addr flush dev wana scope global
addr add 192.0.2.2/24 dev wana
addr add 2001:db8:a::2/64 dev wana nodad
"""
FAR_AGAIN = """
link set eth0 up
addr replace 2001:db8:a::1/64 dev eth0 nodad
route replace 192.168.1.0/24 via 192.0.2.2
route replace fd00:1::/64 via 2001:db8:a::2
"""


class Cables:
    """What came to the far side by each cable, of the traffic that is meant."""

    def __init__(self, where: Place) -> None:
        self.seen: Counter[str] = Counter()
        self.leaks: list[str] = []
        self._where = where
        self._is_over = threading.Event()
        with where.server.entered():
            self._cables = {self._open(name): name for name in ("eth0", "eth1")}
        self._threads = [
            threading.Thread(target=one, daemon=True)
            for one in (self._listen, lambda: self._send(4), lambda: self._send(6))
        ]

    def _open(self, name: str) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        made.bind((name, 3))
        return made

    def _listen(self) -> None:
        while not self._is_over.is_set():
            for one in select.select(list(self._cables), [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # a pulled cable is told once
                    packet, address = one.recvfrom(128)
                    what = _meant(address[1], packet) if address[2] != socket.PACKET_OUTGOING else ""
                    if what:
                        self._note(self._cables[one], what)

    def _note(self, cable: str, what: str) -> None:
        self.seen[f"{cable} {what}"] += 1
        if cable == "eth1":
            self.leaks.append(f"{time.monotonic():.3f} {what}")

    def _send(self, family: int) -> None:
        """A datagram, and the first packet of a connection, in turn; each from a port of its own."""
        with self._where.client.entered():
            kept = [self._opened(family, socket.SOCK_DGRAM) for _ in range(4)]  # flows that go on
            while not self._is_over.wait(0.004):
                for one in [*kept, self._opened(family, socket.SOCK_DGRAM)]:
                    with contextlib.suppress(OSError):
                        one.send(b"?")
                self._opened(family, socket.SOCK_STREAM).close()

    def _opened(self, family: int, kind: int) -> socket.socket:
        made = socket.socket(FAMILY[family], kind | socket.SOCK_NONBLOCK)
        with contextlib.suppress(OSError):
            made.connect((SERVER[family], PORT))
        return made

    def __enter__(self) -> Cables:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for one in self._threads:
            one.join()
        for cable in self._cables:
            cable.close()


def _meant(kind: int, packet: bytes) -> str:
    """Of a packet to our port its family and protocol; else ""."""
    if kind == IPV4 and len(packet) > 24 and packet[9] in (TCP, UDP):
        return f"IPv4 {packet[9]}" if packet[22:24] == PORT.to_bytes(2, "big") else ""
    if kind == IPV6 and len(packet) > 44 and packet[6] in (TCP, UDP):
        return f"IPv6 {packet[6]}" if packet[42:44] == PORT.to_bytes(2, "big") else ""
    return ""


class Accidents:
    """What may happen; each leaves the router in a state from which the next may come."""

    def __init__(self, where: Place, daemon: Netpolicyd, dice: random.Random) -> None:
        self._where, self._daemon, self._dice = where, daemon, dice
        self._is_swallowing = False
        self.every: dict[str, Callable[[], None]] = {
            "cable out": lambda: self._far("link set eth0 down"),
            "cable in": lambda: self._far(FAR_AGAIN),
            "device down": lambda: self._near("link set wana down"),
            "device up": self._device_up,
            "addresses gone": lambda: self._near("addr flush dev wana scope global"),
            "addresses back": lambda: self._near(A_AGAIN),
            "routes gone": lambda: self._near("route flush dev wana proto kernel scope link"),
            "silent death": self._swallow,
            "silence over": self._answer,
            "main changes": lambda: self._near(
                "route del default\nroute add default via 198.51.100.1 dev wanb metric 5"
            ),
            "reload": lambda: daemon.send(signal.SIGHUP),
            "other rules": self._other_rules,
            "broken file": lambda: self._write("config rule\n\toption nonsense"),
            "kill -9": self._kill,
            "restart": self._restart,
            "rules flushed": self._flush_rules,
            "power cut": self._power_cut,
        }

    def happen(self) -> str:
        """One of them, and a moment for it to be in the way of the next. Mostly the line is well before."""
        if self._dice.random() < 0.6:
            self._line_back()
            time.sleep(self._dice.choice((0.05, 0.5)))
        name = self._dice.choice(list(self.every))
        self.every[name]()
        time.sleep(self._dice.choice((0.0, 0.05, 0.2, 0.6, 1.5)))
        return name

    def mend(self) -> None:
        """Everything is there again."""
        self._line_back()
        self._write(CONFIG)

    def _line_back(self) -> None:
        self._answer()
        self._far(FAR_AGAIN)
        self._device_up()

    def _far(self, commands: str) -> None:
        self._where.server.run("ip", "-batch", "-", text=commands)

    def _near(self, commands: str) -> None:
        with contextlib.suppress(AssertionError):  # what is gone already
            self._where.router.run("ip", "-force", "-batch", "-", text=commands)

    def _device_up(self) -> None:
        self._near("link set wana up")
        self._near(A_AGAIN)

    def _swallow(self) -> None:
        if not self._is_swallowing:
            self._where.server.run("nft", "-f", "-", text=SWALLOW.format(device="eth0"))
        self._is_swallowing = True

    def _answer(self) -> None:
        if self._is_swallowing:
            self._where.server.run("nft", "delete", "table", "inet", "swallow")
        self._is_swallowing = False

    def _write(self, text: str) -> None:
        self._daemon.config.write_text(text)
        self._daemon.send(signal.SIGHUP)

    def _other_rules(self) -> None:
        numbers = self._dice.sample(range(1000, 2000), self._dice.randint(0, 30))
        self._write(CONFIG + "".join(FURTHER.format(number=number) for number in numbers))

    def _kill(self) -> None:
        self._daemon.end(signal.SIGKILL)
        time.sleep(self._dice.choice((0.0, 0.3)))
        self._begin()

    def _restart(self) -> None:
        """As the init script does it: the next daemon takes over."""
        (self._daemon.state / "handover").write_text("")
        self._daemon.end(signal.SIGTERM)
        self._begin()

    def _flush_rules(self) -> None:
        """As others do who flush all that they do not know: the second lock is left."""
        for family in ("-4", "-6"):
            self._where.router.run("ip", family, "rule", "flush", "protocol", "78")

    def _power_cut(self) -> None:
        """RAM and kernel begin anew; nothing is forwarded before the boot hook has run."""
        daemon = self._daemon
        for name in FORWARDING:
            self._where.router.sysctl(name, 0)
        end_all_of(daemon)
        shutil.rmtree(daemon.state)
        self._where.router.run("nft", "flush", "ruleset")
        self._flush_rules()
        for family in ("-4", "-6"):
            with contextlib.suppress(AssertionError):  # nothing is there in one family
                self._where.router.run("ip", family, "route", "flush", "table", "all", "protocol", "78")
        places = ("--store", daemon.store, "--run", daemon.state, "--config", daemon.config)
        self._where.router.run("sh", GUARD, *map(str, places), "lock")
        for name in FORWARDING:
            self._where.router.sysctl(name, 1)
        self._begin()

    def _begin(self) -> None:
        self._daemon.start()
        until(lambda: self._daemon.call("status"))


def end_all_of(daemon: Netpolicyd) -> None:
    """The process and what it started: an nft that outlives it would still change tables, a guard still write files."""
    assert daemon.process
    found, handles = [daemon.process.pid], []
    for one in found:  # grows meanwhile
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(one))
            signal.pidfd_send_signal(handles[-1], signal.SIGSTOP)
            until(lambda one=one: _is_still(one))  # and starts nothing more
        found += _children(one)
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    daemon.end(signal.SIGKILL)
    for handle in handles:
        select.select([handle], [], [])  # until it has ended, whoever reaps it
        os.close(handle)


def _is_still(process: int) -> bool:
    """Whether none of its threads runs: one that waits for its child to become another program does not stop before."""
    states = []
    for stat in Path(f"/proc/{process}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            states.append(stat.read_text().rpartition(")")[2].split()[0])
    return set(states) <= set("TtZX")


def _children(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if (folder / "stat").read_text().rpartition(")")[2].split()[1] == str(parent):
                found.append(int(folder.name))
    return found


@contextmanager
def scene(folder: Path) -> Iterator[tuple[Place, Netpolicyd, Cables]]:
    """The router in force, the traffic under way by line A."""
    with place() as where, netpolicyd(folder, CONFIG) as daemon:
        where.router.run("ip", "-batch", "-", text=MAIN_BY_B)
        daemon.settled()
        until(lambda: (daemon.store / "generations/current").exists())
        with Cables(where) as cables:
            until(lambda: len({what for what in cables.seen if what.startswith("eth0")}) == 4)
            yield where, daemon, cables


def play(folder: Path, events: int, seed: int) -> tuple[Counter[str], list[str]]:
    """So many events: what was seen by each cable, and the leaks with the events before them."""
    told: list[str] = []
    with scene(folder) as (where, daemon, cables):
        accidents = Accidents(where, daemon, random.Random(seed))
        for _ in range(events):
            begun = len(cables.leaks)
            told.append(accidents.happen())
            if len(cables.leaks) > begun:
                return cables.seen, [*cables.leaks, f"after {told[-5:]}"]
        accidents.mend()
        at_rest = Counter(cables.seen)
        try:
            until(lambda: all(cables.seen[what] > at_rest[what] for what in at_rest), 30.0)
        except AssertionError:
            lines, said = daemon.call("outbounds")["outbounds"], daemon.said()[-2000:]
            raise AssertionError(f"the line did not come back after {told[-10:]}: {lines}\n{said}") from None
        return cables.seen, list(cables.leaks)


def main(words: list[str]) -> int:
    """1 when something leaked."""
    events, seed = [int(word) for word in words + ["200", "1"][len(words) :]]
    with tempfile.TemporaryDirectory() as folder:
        seen, leaks = play(Path(folder), events, seed)
    for what, count in sorted(seen.items()):
        print(f"{count:8} {what}")
    print(f"leaks: seed {seed}, {events} events: {len(leaks)}", *leaks[:20], sep="\n")
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
