"""A router with real SSH and web servers and a machine on its LAN, for tests of who administers it and how.

    client 192.168.1.10, .11, fd00:1::10 ─ eth0 | lan ─ router 192.168.1.1, fd00:1::1

The servers are dropbear (or OpenSSH's, where it is installed) and busybox httpd under the name that OpenWrt's has.
Nothing is written outside the test's folder: root's home is another one in the server's own mount namespace.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.netns import Namespace, connect

ROUTER = {4: "192.168.1.1", 6: "fd00:1::1"}
CLIENT = {4: "192.168.1.10", 6: "fd00:1::10"}
OTHER_CLIENT = "192.168.1.11"
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
SSH_PROGRAMS = ("dropbear", "sshd")

# As our own table does it: a rule that asks conntrack makes the kernel follow connections.
RULES = """
table inet gate {
	chain pre { type nat hook prerouting priority dstnat; tcp dport 2222 redirect to :22; }
	chain input { type filter hook input priority filter; ct state established accept; }
}
"""

# $1: home, $2: folder with the keys, then the server. What OpenSSH wants in /run is the test's own too; where that
# folder is in /run, the test runs in a user namespace and all of /run is its own already.
# $3: where the interpreter is installed; one in the home (pyenv) has to be seen there still.
IN_A_HOME = """
case "$3" in "$1"/*) mkdir -p "$2/python" && mount --bind "$3" "$2/python" || exit 1 ;; esac
mount -t tmpfs -o mode=700 none "$1" && mkdir -m 700 "$1/.ssh" && cp "$2/authorized_keys" "$1/.ssh/" || exit 1
case "$3" in "$1"/*) mkdir -p "$3" && mount --bind "$2/python" "$3" || exit 1 ;; esac
case "$2" in /run/*) ;; *) mount -t tmpfs none /run || exit 1 ;; esac
mkdir -p /run/sshd
shift 3
exec "$@"
"""


class Session:
    """A shell on the router, by SSH."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def say(self, command: str) -> str:
        """The one line that the command prints there."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    @property
    def words(self) -> str:
        return self.say('echo "$SSH_CONNECTION"')

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Gate:
    """Both machines. Use it standing in the router."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        self.client, self.router = (stack.enter_context(Namespace()) for _ in range(2))
        for where in (self.client, self.router):
            where.sysctl("net/ipv6/conf/default/accept_dad", 0)
        connect(self.client, "eth0", self.router, "lan")
        for address in (CLIENT[4], OTHER_CLIENT):
            self.client.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        self.client.run("ip", "address", "add", f"{CLIENT[6]}/64", "dev", "eth0", "nodad")
        self.router.run("ip", "address", "add", f"{ROUTER[4]}/24", "dev", "lan")
        self.router.run("ip", "address", "add", f"{ROUTER[6]}/64", "dev", "lan", "nodad")
        self.router.run("nft", "-f", "-", text=RULES)
        # The kernel takes an address into use in a worker of its own, and nothing can be bound to it before.
        words = ("ip", "-6", "route", "show", "table", "local")
        for where, address in ((self.client, CLIENT[6]), (self.router, ROUTER[6])):
            until(lambda where=where, address=address: f"local {address} " in where.run(*words), "addresses are in use")
        self._stack = stack
        self._folder = folder

    def serve_ssh(self, program: str = "dropbear") -> None:
        """Start the SSH server; skips the test where it is not installed or cannot change to a user."""
        if Path("/proc/self/setgroups").read_text().strip() == "deny":
            pytest.skip("an SSH server sets its groups, which a user namespace of one user denies: run as root")
        for tool in (program, "dropbearkey", "dbclient"):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")
        for name, kind in (("id", "ecdsa"), ("host", "ecdsa")):
            subprocess.run(
                ["dropbearkey", "-t", kind, "-f", self._folder / name], check=True, capture_output=True, text=True
            )
        told = subprocess.run(
            ["dropbearkey", "-y", "-f", self._folder / "id"], check=True, capture_output=True, text=True
        ).stdout
        key = next(line for line in told.splitlines() if line.startswith("ecdsa-"))
        (self._folder / "authorized_keys").write_text(key + "\n")
        argv = self._dropbear() if program == "dropbear" else self._openssh()
        # Sessions outlive their server; those that it holds on to itself would outlive the test.
        alone = ["unshare", "-m", "-p", "-f", "--kill-child"]
        self._start(
            [*alone, "sh", "-c", IN_A_HOME, "sh", pwd.getpwuid(0).pw_dir, str(self._folder), sys.base_prefix, *argv]
        )
        self._wait_for_port(22)

    def serve_web(self) -> None:
        """Start a web server whose process is called uhttpd."""
        busybox = shutil.which("busybox")
        if busybox is None:
            pytest.skip("busybox is not installed")
        shutil.copy(busybox, self._folder / "uhttpd")
        self._start(["httpd", "-f", "-p", "80", "-h", str(self._folder)], executable=str(self._folder / "uhttpd"))
        self._wait_for_port(80)

    def login(self, address: str, where: Namespace | None = None, port: int = 22) -> Session:
        """A new SSH connection, from the client unless told otherwise."""
        with (where or self.client).entered():
            process = subprocess.Popen(
                [
                    "dbclient",
                    "-y",
                    "-y",
                    "-T",
                    "-p",
                    str(port),
                    "-i",
                    str(self._folder / "id"),
                    f"root@{address}",
                    "sh",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        session = Session(process)
        self._stack.callback(session.close)
        assert session.say("echo here") == "here"
        return session

    def browse(self, family: int = 4, source: str = "") -> socket.socket:
        """An HTTP connection whose first line has begun; the server waits for its end."""
        with self.client.entered():
            near = self._stack.enter_context(contextlib.closing(socket.socket(FAMILY[family])))
        near.settimeout(20)
        near.bind((source or CLIENT[family], 0))
        near.connect((ROUTER[family], 80))
        near.sendall(b"GET /")
        return near

    def _dropbear(self) -> list[str]:
        return [
            "dropbear",
            "-F",
            "-E",
            "-s",
            "-r",
            str(self._folder / "host"),
            "-p",
            "22",
            "-P",
            str(self._folder / "pid"),
        ]

    def _openssh(self) -> list[str]:
        try:
            pwd.getpwnam("sshd")
        except KeyError:
            pytest.skip("there is no user sshd for OpenSSH's server")
        key = self._folder / "openssh_host"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        program = shutil.which("sshd")  # it wants its own name in full
        assert program is not None
        options = ("PidFile=none", "UsePAM=no", "StrictModes=no", "PermitRootLogin=yes")
        return [program, "-D", "-e", "-f", os.devnull, "-h", str(key), *(f"-o{option}" for option in options)]

    def _start(self, argv: list[str], executable: str | None = None) -> None:
        log = self._stack.enter_context((self._folder / f"{Path(argv[0]).name}.log").open("wb"))
        with self.router.entered():
            process = subprocess.Popen(
                argv, executable=executable, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)

    def _wait_for_port(self, port: int) -> None:
        def is_open(family: int) -> bool:
            with self.client.entered(), socket.socket(FAMILY[family]) as asking:
                return asking.connect_ex((ROUTER[family], port)) == 0

        # A server listens in one family after the other.
        until(lambda: all(map(is_open, ROUTER)), f"port {port} is served")


def until(is_true: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


@contextlib.contextmanager
def gate(folder: Path) -> Iterator[Gate]:
    """Build it, stand in the router, take it down."""
    with contextlib.ExitStack() as stack:
        built = Gate(stack, folder)
        with built.router.entered():
            yield built
