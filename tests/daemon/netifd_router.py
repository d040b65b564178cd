"""A router of OpenWrt's own ubusd, netifd and hotplug-call with a netpolicyd, in namespaces.

    router  eth0 192.168.1.1 lan | eth1 203.0.113.2 → provider a | eth2 a lease → provider b, 198.51.100.1 and .9

The programs come from the root directory that NETPOLICY_OPENWRT_ROOT names (docs/testing-openwrt.md), which is only
read. Two mount namespaces away from this machine's: nothing of it is changed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netpolicy.bus.blocking import call
from netpolicy.dataplane import program
from tests.daemon.running import Netpolicyd, until
from tests.kernel.leases import Provider
from tests.netns import Namespace, connect

HERE = Path(__file__).parent
ROOT = os.environ.get("NETPOLICY_OPENWRT_ROOT", "")
NEEDED = (
    "sbin/ubusd", "sbin/netifd", "sbin/hotplug-call", "sbin/udhcpc", "bin/sh", "lib/functions.sh",
    "lib/netifd/dhcp.script", "lib/netifd/netifd-proto.sh", "lib/netifd/proto/dhcp.sh",
)  # fmt: skip
PROGRAMS = ("unshare", "nsenter", "dnsmasq")
PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

NETWORK = """
config interface 'loopback'
	option device 'lo'
	option proto 'static'
	option ipaddr '127.0.0.1'
	option netmask '255.0.0.0'
config interface 'lan'
	option device 'eth0'
	option proto 'static'
	option ipaddr '192.168.1.1'
	option netmask '255.255.255.0'
config interface 'wan'
	option device 'eth1'
	option proto 'static'
	option ipaddr '203.0.113.2'
	option netmask '255.255.255.0'
	option gateway '203.0.113.1'
config interface 'wan6'
	option device '@wan'
	option proto 'static'
	option ip6addr '2001:db8:a::2/64'
	option ip6gw '2001:db8:a::1'
"""
LEASE = """
config interface 'wanb'
	option device 'eth2'
	option proto 'dhcp'
	option metric '20'
"""
FIXED = """
config interface 'wanb'
	option device 'eth2'
	option proto 'static'
	option ipaddr '198.51.100.2'
	option netmask '255.255.255.0'
	option gateway '198.51.100.1'
	option metric '20'
"""
CONFIG = "config netpolicy 'main'\n\toption enabled '1'\n\toption mode 'enforce'\n" + "".join(
    f"config outbound '{name}'\n\toption type 'interface'\n\toption interface '{network}'\n"
    f"config rule 'by_{name}'\n\tlist proto 'tcp'\n\tlist dest_port '{port}'\n\toption route '{name}'\n"
    for name, network, port in (("a", "wan", 80), ("a6", "wan6", 81), ("b", "wanb", 82))
)
GIVES = ("--dhcp-range=198.51.100.50,198.51.100.60,2m",)

# What a script of a user sees, in the order in which scripts ran.
SCRIPT = """[ -z "$NETPOLICY_OUTBOUND" ] || ip -4 route show default table 7001 proto 78 | grep via >>{0}/routes
echo "$ACTION $INTERFACE ${{DEVICE:--}} ${{NETPOLICY_OUTBOUND:--}}" >>{0}/told
"""

Way = tuple[str, str, str]  # the device, and the gateways in both families


def missing() -> str:
    """Why there can be no such router here; "" when there can."""
    if not ROOT:
        return "NETPOLICY_OPENWRT_ROOT does not name a root directory with OpenWrt's programs (docs/testing-openwrt.md)"
    lacking = [name for name in NEEDED if not Path(ROOT, name).exists()]
    absent = [name for name in PROGRAMS if program.find(name) is None]
    return f"{ROOT} has no {', '.join(lacking)}" if lacking else f"not installed: {', '.join(absent)}" if absent else ""


class Router:
    """The three namespaces and what runs in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("etc/config", "etc/hotplug.d/iface", "run/ubus"):
            (folder / name).mkdir(parents=True)
        (folder / "etc/hotplug.d/iface/90-told").write_text(SCRIPT.format(folder))
        self.socket = str(folder / "run/ubus/ubus.sock")
        self.here, self.a, self.b, self.lan = (Namespace() for _ in range(4))
        connect(self.here, "eth0", self.lan, "eth0")
        connect(self.here, "eth1", self.a, "eth0")
        connect(self.here, "eth2", self.b, "br0")
        for address in ("198.51.100.1/24", "198.51.100.9/24"):
            self.b.run("ip", "addr", "add", address, "dev", "br0")
        self.provider = Provider(self.b, folder)
        self.programs: dict[str, subprocess.Popen[bytes]] = {}
        self._log = (folder / "log").open("w+")
        with self.here.entered():
            self._mounts = subprocess.Popen(
                ["unshare", "--mount", "sh", str(HERE / "netifd_router.sh"), ROOT, str(folder)],
                stdout=subprocess.PIPE, stderr=self._log, text=True,
            )  # fmt: skip
        assert self._mounts.stdout
        assert self._mounts.stdout.readline() == "ready\n", self.log()
        self._inside = ["nsenter", f"--mount=/proc/{self._mounts.pid}/ns/mnt"]
        self.daemon = Netpolicyd(folder, CONFIG, *self._inside)
        self.daemon.socket = self.socket

    # -- programs ----------------------------------------------------------------------------

    def start(self, name: str, *arguments: str) -> None:
        with self.here.entered():
            self.programs[name] = subprocess.Popen(
                [*self._inside, f"/sbin/{name}", *arguments],
                stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=PATH, cwd="/",
            )  # fmt: skip

    def start_netifd(self) -> None:
        self.start("netifd", "-S", "-r", str(self.folder / "resolv.conf"))

    def start_daemon(self) -> None:
        with self.here.entered():
            self.daemon.start()

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.programs.pop(name)
        process.send_signal(number)
        process.wait(10)

    def ubus(self, name: str, method: str, **data: Any) -> dict[str, Any]:
        return call(name, method, data, timeout=10.0, path=self.socket)

    def network(self, text: str) -> None:
        """netifd's configuration is this one."""
        (self.folder / "etc/config/network").write_text(text)
        if "netifd" in self.programs:
            self.ubus("network", "reload")

    # -- what is seen ------------------------------------------------------------------------

    def is_up(self, name: str, proto: str) -> bool:
        """Whether netifd is done with that network: before, it still has what it had, and loses it in a moment."""
        listed = self.ubus("network.interface", "dump")["interface"]
        one = next((one for one in listed if one["interface"] == name), {})
        return one.get("up") is True and not one.get("pending") and one.get("proto") == proto

    def ways(self) -> dict[str, Way]:
        """Each outbound that is up as the daemon says, which is as the kernel has it."""
        status = self.daemon.call("status")
        assert status["kernel"]["in_sync"], status["kernel"]
        found = {}
        for number, one in enumerate(status["outbounds"], 1):
            told = (one["device"], one["gateway"], one["gateway6"])
            assert self._kernel(7000 + number) == (told if one["up"] else ("", "", "")), (one, self.log()[-2000:])
            if one["up"]:
                found[one["name"]] = told
        return found

    def _kernel(self, table: int) -> Way:
        defaults = [
            line.split()
            for family in ("-4", "-6")
            for line in self.here.run("ip", family, "route", "show", "table", str(table)).splitlines()
            if line.startswith("default via")
        ]
        gateways = {":" in words[2]: words[2] for words in defaults}
        return (defaults[0][4] if defaults else "", gateways.get(False, ""), gateways.get(True, ""))

    def told(self) -> list[str]:
        """What the script of a user saw so far."""
        path = self.folder / "told"
        return path.read_text().splitlines() if path.exists() else []

    def log(self) -> str:
        self._log.flush()
        return (self.folder / "log").read_text(errors="replace")

    def _others(self) -> list[int]:
        """Whoever else runs in our mount namespace."""
        ours, found = os.readlink(f"/proc/{self._mounts.pid}/ns/mnt"), []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                if os.readlink(entry / "ns/mnt") == ours and int(entry.name) != self._mounts.pid:
                    found.append(int(entry.name))
        return found

    def close(self) -> None:
        if self.daemon.process is not None and self.daemon.process.poll() is None:
            self.daemon.process.kill()
            self.daemon.process.wait()
        for name in tuple(self.programs):
            self.kill(name)
        self.provider.stop()
        for process in self._others():  # udhcpc outlives a netifd that was killed
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._mounts.kill()
        self._mounts.wait()
        self._log.close()
        for namespace in (self.here, self.a, self.b, self.lan):
            namespace.close()


@contextmanager
def netifd_router(folder: Path) -> Iterator[Router]:
    """ubusd, netifd and netpolicyd run, and every line is up."""
    router = Router(folder)
    try:
        router.provider.give(*GIVES)
        router.start("ubusd", "-A", "/nonexistent")
        until(lambda: os.path.exists(router.socket))
        router.network(NETWORK + LEASE)
        router.start_netifd()
        router.start_daemon()
        until(lambda: router.ways() == ALL)
        yield router
    finally:
        router.close()
    assert "Traceback" not in router.daemon.said(), router.daemon.said()


A = ("eth1", "203.0.113.1", "2001:db8:a::1")
B = ("eth2", "198.51.100.1", "")
ALL = {"a": A, "a6": A, "b": B}
