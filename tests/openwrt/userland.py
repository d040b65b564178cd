"""A router of OpenWrt's own programs (ubusd, rpcd, uhttpd, LuCI) with netpolicyd, in namespaces, and who uses it.

NETPOLICY_OPENWRT names the folder with OpenWrt's files, which is only read. How to make one: docs/testing-openwrt.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.netns import Namespace, connect

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
NEEDED = ("usr/sbin/uhttpd", "usr/lib/uhttpd_ubus.so", "www/luci-static/resources/luci.js", "usr/share/ucode/luci")
EITHER = (("usr/sbin/ubusd", "usr/bin/ubusd"), ("usr/sbin/rpcd", "usr/bin/rpcd"), ("usr/sbin/procd", "usr/bin/procd"))
PROGRAMS = ("chromium", "chromedriver", "unshare", "setpriv", "nsenter", "nft")

LAN, FAR = "192.168.1.100", "192.0.2.77"
ROUTER, ROUTER_B = "192.168.1.1", "198.51.100.2"

CONFIG = """
config netpolicy 'main'
	option enabled '1'
	option mode 'enforce'

config rule 'mail'
	option priority '100'
	list proto 'tcp'
	list dest_port '25'
	option block 'reject'
"""
LINE_A = """
config outbound 'wan_a'
	option type 'interface'
	option interface 'eth1'
	option gateway '203.0.113.1'
"""
LINE_B = """
config outbound 'wan_b'
	option type 'interface'
	option interface 'eth2'
	option gateway '198.51.100.1'
"""


def missing() -> str:
    """Why there can be no such router here; "" when there can."""
    if os.geteuid() != 0:
        return "needs root"
    gone = [name for name in PROGRAMS if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    if gone:
        return f"not installed: {', '.join(gone)}"
    root = os.environ.get("NETPOLICY_OPENWRT", "")
    if not root:
        return "NETPOLICY_OPENWRT does not name a folder with OpenWrt's userland (docs/testing-openwrt.md)"
    lacking = [name for name in NEEDED if not Path(root, name).exists()]
    lacking += [names[0] for names in EITHER if not any(Path(root, name).exists() for name in names)]
    return f"{root} has no {', '.join(lacking)}" if lacking else ""


class Userland:
    """The router, a client in its LAN, and one far away that reaches it by line B and is answered by it."""

    def __init__(self, folder: Path) -> None:
        self.router, self.lan, self.far, self.provider = (Namespace() for _ in range(4))
        self._cable()
        work = folder / "work"
        work.mkdir()
        Path(f"{work}.config").write_text(CONFIG + LINE_A + LINE_B)
        self._log = (folder / "log").open("w+")
        with self.router.entered():
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", str(HERE / "userland.sh"),
                 os.environ["NETPOLICY_OPENWRT"], str(work), str(REPOSITORY)],
                stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.wait(lambda: '"in_sync":true' in self.inside("ubus", "-S", "call", "netpolicy", "status", fine=False))

    def _cable(self) -> None:
        self.router.run("ip", "link", "add", "br-lan", "type", "bridge")
        connect(self.router, "eth0", self.lan, "eth0")
        connect(self.router, "eth1", self.provider, "eth0")
        connect(self.router, "eth2", self.far, "eth0")
        self.router.run("ip", "link", "set", "eth0", "master", "br-lan")
        self.router.run("ip", "link", "set", "br-lan", "up")
        for device, address in (("br-lan", ROUTER), ("eth1", "203.0.113.2"), ("eth2", ROUTER_B)):
            self.router.run("ip", "addr", "add", f"{address}/24", "dev", device)
        self.router.run("ip", "route", "add", "default", "via", "203.0.113.1")
        self.router.run("ip", "route", "add", "default", "via", "198.51.100.1", "metric", "20")
        self.router.sysctl("net/ipv4/ip_forward", 1)
        self.lan.run("ip", "addr", "add", f"{LAN}/24", "dev", "eth0")
        self.lan.run("ip", "route", "add", "default", "via", ROUTER)
        self.provider.run("ip", "addr", "add", "203.0.113.1/24", "dev", "eth0")
        self.far.run("ip", "addr", "add", "198.51.100.1/24", "dev", "eth0")
        self.far.run("ip", "addr", "add", f"{FAR}/32", "dev", "lo")
        self.far.run("ip", "route", "add", f"{ROUTER_B}/32", "dev", "eth0", "src", FAR)

    def inside(self, *argv: str, fine: bool = True) -> str:
        """Run a program of the router; its stdout. `fine`: it must exit with 0."""
        first = self._first()
        if not first:
            return ""
        done = subprocess.run(
            ["nsenter", "-t", first, "-m", "-n", "-p", "--root", "--wd=/", "/usr/bin/env", "-i",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *argv],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert not fine or done.returncode == 0, (argv, done.stderr, self.log())
        return done.stdout

    def _first(self) -> str:
        own = self._process.pid
        try:
            children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        except OSError:
            return ""
        return children[0] if children and Path(f"/proc/{children[0]}/root/var/run/ubus/ubus.sock").exists() else ""

    @property
    def config(self) -> Path:
        """The configuration file, as this machine sees it."""
        return Path(f"/proc/{self._first()}/root/etc/config/netpolicy")

    def log(self) -> str:
        """What the programs said."""
        self._log.flush()
        return Path(self._log.name).read_text(errors="replace")

    def wait(self, holds: Callable[[], bool], seconds: float = 30.0) -> None:
        """Until it holds; what the programs said where it does not."""
        end = time.monotonic() + seconds
        while not holds():
            assert self._process.poll() is None and time.monotonic() < end, self.log()[-3000:]
            time.sleep(0.1)

    def close(self) -> None:
        """Everything of it is gone."""
        self._process.kill()
        self._process.wait()
        self._log.close()
        for namespace in (self.router, self.lan, self.far, self.provider):
            namespace.close()
        sys.stdout.flush()
