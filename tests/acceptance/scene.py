"""A router on which changes are guarded: the real daemon, the real tool, a guard, SSH, and machines around it.

Everything stands in one lab. What is ours in the kernel is compared as text; who can reach whom is asked by NEW
connections from other network namespaces, IPv4 and IPv6 both. A power cut kills every process of the router, empties
the kernel of what is ours and the RAM, and gives the next boot another id.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netpolicy.dataplane.guard import start_of
from netpolicy.lab import keeper, starter
from netpolicy.lab.bench import Lab, LabError, NodeProcess
from tests.kernel.gate import IN_A_HOME
from tests.kernel.steering import LINES, SERVER4, SERVER6, foreign

GUARD = Path(__file__).resolve().parents[2] / "files/usr/lib/netpolicy/guard"
STEPS = Path(__file__).parent / "steps"

ROUTER = {4: "192.168.1.1", 6: "fd00:c0de:1::1"}
SERVER = {4: SERVER4, 6: SERVER6}
BOOT_ID = "/proc/sys/kernel/random/boot_id"

# Somebody else's tables, as fw4, a container program and iptables-nft leave them: none of our business.
OTHERS = """
table inet fw4 {
	set bad { type ipv4_addr; flags timeout; }
	chain input { type filter hook input priority filter; policy accept; ct state established accept; }
	chain forward { type filter hook forward priority filter; policy accept; }
}
table ip nat {
	chain DOCKER { counter return; }
	chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local jump DOCKER; }
}
table ip filter {
	chain FORWARD { type filter hook forward priority 5; policy accept; }
}
"""


class Scene:
    """One router for many changes. Use it as a context."""

    def __init__(self, hasty: bool = True) -> None:
        self.lab = Lab()
        self._is_hasty = hasty
        self.folder = keeper.LAB
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Scene:
        try:
            self.lab.open()
        except LabError as problem:
            pytest.skip(f"no network namespaces here: {problem}")
        self._stack.callback(self.lab.close)
        self.nft(OTHERS)
        self._install()
        if self._is_hasty:
            self._make_guard_hasty()
        return self

    def __exit__(self, *_: object) -> None:
        if self.lab.daemon is not None and self.lab.daemon.poll() is None:
            os.kill(self.lab.daemon.pid, signal.SIGCONT)  # one that hangs would be waited for
        self._stack.close()

    # -- places ----------------------------------------------------------------------------

    def path(self, *parts: str) -> Path:
        """A path of the router as seen from here."""
        return self.lab.file(Path(*parts))

    @property
    def config(self) -> Path:
        return self.path(str(keeper.CONFIG))

    @property
    def store(self) -> Path:
        return self.path(str(keeper.STORE))

    @property
    def pending(self) -> Path:
        return self.store / "pending"

    @property
    def guard_folder(self) -> Path:
        return self.path(str(keeper.STATE), "guard")

    @property
    def current(self) -> int:
        """The generation that is confirmed."""
        path = self.store / "generations/current"
        return int(path.read_text()) if path.exists() else 0

    def record(self) -> dict[str, str]:
        """The record of the pending change, {} where there is none."""
        try:
            lines = (self.pending / "record").read_text().splitlines()
        except OSError:
            return {}
        return dict(line.split("=", 1) for line in lines)  # type: ignore[misc]

    def told(self) -> str:
        """What daemon and guard said last."""
        path = self.guard_folder / "log"
        guard = path.read_text().splitlines()[-30:] if path.exists() else []
        return "\n".join(["-- daemon", *self.lab.daemon_log().splitlines()[-30:], "-- guard", *guard])

    def journal(self) -> list[dict[str, Any]]:
        """What was written down, oldest first; not what is being written just now."""
        path = self.store / "history.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def events(self) -> list[str]:
        """The ends in the journal: `change committed`, `recovered reverted`, …"""
        return [f"{row['event']} {row['outcome']}" for row in self.journal() if "outcome" in row]

    # -- programs --------------------------------------------------------------------------

    def _install(self) -> None:
        """The tool under its name, and a boot id that a reboot can change."""
        for name, module in (("netpolicy", "cli"), ("netpolicyd", "daemon")):
            starting = f"import sys; from netpolicy.{module}.main import main; sys.exit(main())"
            path = self.path(str(self.folder / "bin" / name))
            path.parent.mkdir(exist_ok=True)
            # Who logs in by SSH has another environment: where bytecode lies is said too.
            places = f"PYTHONPATH='{starter.ROOT_OF_PACKAGE}' PYTHONPYCACHEPREFIX='{sys.pycache_prefix or ''}'"
            python = f"{places} PYTHONDONTWRITEBYTECODE=1 exec '{sys.executable}'"
            path.write_text(f'#!/bin/sh\n{python} -c "{starting}" "$@"\n')
            path.chmod(0o755)
        self.path(str(self.folder / "boot_id")).write_text(Path(BOOT_ID).read_text())
        # In the lab's own mount namespace: that of one `ip netns exec` ends with it.
        mount = ["mount", "--bind", str(self.folder / "boot_id"), BOOT_ID]
        subprocess.run(self.lab.inside(mount), check=True, env=starter.environment())

    def _make_guard_hasty(self) -> None:
        """The same guard with less patience, where the lab finds the checkout's: nobody else sees it."""
        text = GUARD.read_text()
        for word, hasty in (("sleep 1\n", "sleep 0.1\n"), ("GRACE_SECONDS=5", "GRACE_SECONDS=1")):
            assert word in text
            text = text.replace(word, hasty)
        path = self.path(str(self.folder / "guard"))
        path.write_text(text)
        path.chmod(0o755)
        mount = ["mount", "--bind", str(self.folder / "guard"), str(GUARD)]
        subprocess.run(self.lab.inside(mount), check=True, env=starter.environment())

    def inside(self, *argv: str, check: bool = True, text: str | None = None) -> str:
        """Runs a program in the router."""
        return self.lab.run("router", argv, check=check, input=text).stdout

    def nft(self, text: str) -> None:
        """Loads a text there."""
        self.inside("nft", "-f", "-", text=text)

    def tool(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """The tool on the router, as at its console."""
        return self.lab.run("router", [str(self.folder / "bin/netpolicy"), *words], timeout=timeout)

    def start_tool(self, *words: str) -> NodeProcess:
        """The tool on the router, going on."""
        return self.lab.popen(
            "router", [str(self.folder / "bin/netpolicy"), *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def answer(self, *words: str) -> dict[str, Any]:
        """The tool's JSON document."""
        done = self.tool("--json", *words)
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return {**found, "exit": done.returncode}

    def apply(self, text: str, *words: str) -> dict[str, Any]:
        """Writes a configuration and has the tool apply it: once it waits for its confirmation, or is over."""
        self.write(text)
        return self.answer("apply", "--confirm", "60", *words)

    def applied(self, text: str) -> dict[str, Any]:
        """The same; it waits."""
        change = self.apply(text)
        assert change["state"] == "await", change
        return change

    def write(self, text: str) -> None:
        """As an editor does."""
        self.config.write_text(text)

    # -- the daemon ------------------------------------------------------------------------

    def start(self, text: str | None = None, steps: bool = False, until: str = "settled") -> None:
        """Starts the daemon, with that configuration; `steps`: so that it can be stopped at each of its steps."""
        if text is not None:
            self.write(text)
        environment = starter.environment()
        if steps:
            environment["PYTHONPATH"] = f"{STEPS}:{environment['PYTHONPATH']}"
        with self.path(str(self.folder / "daemon.log")).open("ab") as log:
            self.lab.daemon = NodeProcess(
                self.lab.inside(keeper.daemon_command()),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        if until != "started":
            self.lab.wait_for(self.lab.status, 30.0, "netpolicyd answers status")
        if until == "settled":
            self.settle()

    def settle(self) -> None:
        """The kernel follows the configuration that the daemon has, and that is kept as a generation."""
        self.lab.settle(30.0)
        self.wait(lambda: self.current, "what is in force is a generation")

    def rest(self, text: str) -> None:
        """That configuration is in force, whatever was before, and nothing is pending."""
        if self.is_dead:
            self.write(text)
            self.boot()
        if self.record():
            self.tool("abort")
        self.write(text)
        assert self.lab.call("reload") == {"ok": True, "error": None}
        self.settle()

    def stop(self) -> None:
        """SIGTERM."""
        assert self.lab.stop_daemon(30) == 0

    def kill(self, *numbers: int, sig: int = signal.SIGKILL) -> None:
        """Signals processes, by their numbers in the lab."""
        assert all(number > 1 for number in numbers), f"{numbers}: 0 would be everybody who started us"
        self.inside("kill", f"-{int(sig)}", *(str(number) for number in numbers), check=False)

    def kill_daemon(self) -> None:
        """kill -9."""
        daemon, self.lab.daemon = self.lab.daemon, None
        assert daemon is not None
        daemon.kill()
        daemon.wait()

    @property
    def guard_process(self) -> int:
        """Who acknowledged the change, as numbered in the lab; 0 nobody."""
        words = text_of(self.guard_folder / "ack").split()
        return int(words[1]) if words else 0

    def guard(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the guard."""
        places = ("--store", keeper.STORE, "--run", keeper.STATE, "--config", keeper.CONFIG)
        return self.lab.run("router", [str(GUARD), *(str(one) for one in places), *words])

    def cut_power(self) -> None:
        """Every process dies at once; RAM and kernel are empty; the flash stays as it was."""
        # Until nobody is left: who is about to be killed starts a program, and that would write on.
        # One of them may have ended by itself.
        ending = 'while left=$(ip netns pids router); [ -n "$left" ]; do kill -9 $left 2>/dev/null || :; done'
        subprocess.run(self.lab.inside(["sh", "-c", ending]), check=True, env=starter.environment(), timeout=60)
        if self.lab.daemon is not None:
            self.kill_daemon()
        self.empty_kernel()
        shutil.rmtree(self.path(str(keeper.STATE)))
        self.path(str(keeper.STATE)).mkdir()
        if self.path("/run/dnsmasq.d").exists():
            self.path("/run/dnsmasq.d/netpolicy.conf").unlink(missing_ok=True)
        self.path(str(self.folder / "boot_id")).write_text(f"{uuid.uuid4()}\n")

    def empty_kernel(self) -> None:
        """Nothing of ours is there."""
        text = "".join(f"add table inet {one}\ndelete table inet {one}\n" for one in ("netpolicy", "netpolicy_gate"))
        self.nft(text)
        for family in ("-4", "-6"):
            self.inside("ip", family, "rule", "flush", "protocol", "78", check=False)
            self.inside("ip", family, "route", "flush", "table", "all", "protocol", "78", check=False)
        for line in self.inside("tc", "qdisc", "show").splitlines():
            if line.startswith("qdisc htb 4e50:"):
                self.inside("tc", "qdisc", "del", "dev", line.split()[4], "root")

    def boot(self, until: str = "settled") -> None:
        """What the init scripts do: the boot hook, then the daemon."""
        self.guard("recover")
        self.guard("lock")
        self.start_names()
        self.start(until=until)

    # -- steps -----------------------------------------------------------------------------

    def watch_steps(self, at: str = "") -> None:
        """From now on the daemon's steps are noted; it dies at the one called so (`steps/sitecustomize.py`)."""
        folder = self.path(str(self.folder / "steps"))
        folder.mkdir(exist_ok=True)
        (folder / "log").write_text("")
        (folder / "at").write_text(at or "all")

    def steps(self) -> list[str]:
        """Those that were taken; no more are noted."""
        folder = self.path(str(self.folder / "steps"))
        (folder / "at").unlink(missing_ok=True)
        return (folder / "log").read_text().splitlines()

    def seen_steps(self) -> list[str]:
        """Those so far."""
        return self.path(str(self.folder / "steps/log")).read_text().splitlines()

    def go_on(self) -> None:
        """A daemon that was stopped goes on."""
        assert self.lab.daemon is not None
        os.kill(self.lab.daemon.pid, signal.SIGCONT)
        self.lab.daemon.send_signal(signal.SIGCONT)

    @property
    def is_stopped(self) -> bool:
        """Whether the daemon stands still because of a signal."""
        daemon = self.lab.daemon
        return daemon is not None and starter.is_stopped(starter.first_child(daemon.pid))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The daemon stands still: what happens meanwhile is one thing to it."""
        assert self.lab.daemon is not None
        self.lab.daemon.send_signal(signal.SIGSTOP)
        self.wait(lambda: self.is_stopped, "the daemon stands still")
        try:
            yield
        finally:
            self.go_on()

    @property
    def is_dead(self) -> bool:
        """Whether the daemon has ended by itself, or was ended by the guard."""
        daemon = self.lab.daemon
        if daemon is None or daemon.poll() is not None:
            return True
        child = starter.first_child(daemon.pid)
        if child and start_of(child) is not None:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(None if child else 1.0)  # without a child it ends just now, or begins
        return daemon.poll() is not None

    # -- what is seen ----------------------------------------------------------------------

    def kernel(self) -> str:
        """What is ours in the kernel. Labels mean nothing, nor names by content, nor what counts."""
        return normal(self.lab)

    def others(self) -> str:
        """What is not ours."""
        return foreign(self.lab)

    # -- names -----------------------------------------------------------------------------

    def serve_names(self) -> None:
        """A real dnsmasq as OpenWrt has it: a script that restarts it, and notes which file of ours it then reads."""
        for path, text in (("/run/dnsmasq.conf", NAME_SERVER), ("/run/restart", RESTART)):
            self.path(path).write_text(text)
        place = "mkdir -p /run/etc /run/dnsmasq.d && cp -a /etc/. /run/etc/ && mount --bind /run/etc /etc"
        script = "touch /etc/rc.common && cp /run/restart /etc/init.d/dnsmasq && chmod 755 /etc/init.d/dnsmasq"
        subprocess.run(self.lab.inside(["sh", "-c", f"{place} && {script}"]), check=True, env=starter.environment())
        self.start_names()

    def start_names(self) -> None:
        """As its init script does at boot; nothing where there is none."""
        if self.path("/run/dnsmasq.d").exists():
            self.inside("/etc/init.d/dnsmasq", "restart")

    @property
    def name_file(self) -> str:
        """Our file in dnsmasq's folder, "" for none."""
        path = self.path("/run/dnsmasq.d/netpolicy.conf")
        return path.read_text() if path.exists() else ""

    @property
    def name_starts(self) -> int:
        """How often dnsmasq was started."""
        return len(self.path("/run/dnsmasq.starts").read_text().split())

    def reaches_router(self, node: str = "desk", family: int = 4, to: str = "", timeout: float = 20.0) -> bool:
        """Whether a NEW connection from there to the router's SSH server gets through."""
        asked = self.lab.ask(node, "tcp", address=to or ROUTER[family], port=22, timeout=timeout)
        return got_through(asked)

    def goes_by(self, family: int, node: str = "desk", port: int = 31000) -> str:
        """The address from which the far server sees a NEW connection, or why there is none."""
        asked = self.lab.ask(node, "tcp", address=SERVER[family], port=port, timeout=20.0)
        return str(asked["seen"] or asked["error"])

    def wait(self, is_true: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
        """The first true value."""
        return self.lab.wait_for(is_true, seconds, what)

    # -- SSH -------------------------------------------------------------------------------

    def serve_ssh(self) -> None:
        """A real SSH server, which the machines of the LAN log in to with a key."""
        if Path("/proc/self/setgroups").read_text().strip() == "deny":
            pytest.skip("an SSH server sets its groups, which a user namespace of one user denies: run as root")
        for tool in ("dropbear", "dropbearkey", "dbclient"):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")
        folder = self.folder / "ssh"
        self.path(str(folder)).mkdir()
        for name in ("id", "host"):
            self.inside("dropbearkey", "-t", "ecdsa", "-f", str(folder / name))
        told = self.inside("dropbearkey", "-y", "-f", str(folder / "id"))
        key = next(line for line in told.splitlines() if line.startswith("ecdsa-"))
        self.path(str(folder / "authorized_keys")).write_text(key + "\n")
        self.start_ssh()

    def start_ssh(self) -> None:
        """The server, also after a power cut."""
        folder = str(self.folder / "ssh")
        server = ["dropbear", "-F", "-E", "-s", "-r", f"{folder}/host", "-p", "22", "-P", f"{folder}/pid"]
        with self.path(f"{folder}/log").open("ab") as log:
            child = self.lab.popen(
                "router", ["unshare", "-m", "sh", "-c", IN_A_HOME, "sh", pwd.getpwuid(0).pw_dir, folder,
                           sys.base_prefix, *server],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._stack.callback(child.wait)
        self._stack.callback(child.kill)
        self.wait(self.reaches_router, "the SSH server answers")

    def ssh(self, *words: str, node: str = "desk", to: str = ROUTER[4]) -> subprocess.CompletedProcess[str]:
        """A command on the router, over a new SSH connection from a machine of the LAN."""
        return self.lab.run(node, [*self._client(to), " ".join(words)])

    def login(self, node: str = "desk", to: str = ROUTER[4]) -> Session:
        """A shell there that stays open."""
        process = self.lab.popen(
            node, [*self._client(to), "sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        session = Session(process)
        self._stack.callback(session.close)
        assert session.say("echo here") == "here"
        return session

    def confirm(self, change: dict[str, Any], node: str = "desk", to: str = ROUTER[4]) -> str:
        """The change stays: said over a new SSH connection. What was printed."""
        done = self.ssh(str(self.folder / "bin/netpolicy"), "confirm", change["token"], node=node, to=to)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    def _client(self, to: str) -> list[str]:
        return ["dbclient", "-y", "-y", "-T", "-i", str(self.folder / "ssh/id"), f"root@{to}"]


def text_of(path: Path) -> str:
    """What is there, "" for nothing: another process may take it away at any moment."""
    try:
        return path.read_text()
    except OSError:
        return ""


class Session:
    """A shell on the router that is open since before."""

    def __init__(self, process: NodeProcess) -> None:
        self._process = process

    def say(self, command: str) -> str:
        """The one line that the command prints there."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return str(self._process.stdout.readline()).rstrip("\n")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def got_through(asked: dict[str, Any]) -> bool:
    """Whether a connection was made: an SSH server says who it is, and that is no answer of the lab's own servers."""
    return asked["error"] is None or str(asked["error"]).startswith(("unreadable", "request refused"))


def normal(lab: Lab) -> str:
    """What is ours in the kernel, made comparable: see Scene.kernel."""
    found = lab.run("router", ["sh", "-c", LISTING]).stdout
    table, _, rest = found.partition("ROUTING\n")
    routing, _, rest = rest.partition("QUEUES\n")
    queues, _, names = rest.partition("NAMES\n")
    match = re.search(r"(?ms)^table inet netpolicy \{\n(.*?)^\}\n", table)
    listing = match[1] if match else "absent"
    listing = re.sub(r"packets \d+ bytes \d+|expires \w+", "", listing)
    listing = LOOSE.sub(r"\1", listing)
    listing = re.sub(r"_[0-9a-f]{10}\b", "_CONTENT", listing)
    listing = re.sub(r"\b[0-9a-f]{1,4}:[0-9a-f]{1,4}(-root)?\b", "LABEL", listing)
    listing = re.sub(r"\b(hits|verdicts)_[ab]\b", r"\1", listing)
    ours = [line for line in routing.splitlines() if "proto 78" in line]
    gate = ["the gate is closed"] if "table inet netpolicy_gate" in table else []
    # Handles of what the kernel numbers itself, and what counts.
    queues = re.sub(r" [89a-f][0-9a-f]{3}:(?= dev)| leaf [0-9a-f]+:| (refcnt|direct_packets_stat) \d+", "", queues)
    return "\n".join(
        sorted(listing.splitlines()) + sorted(ours) + gate + sorted(queues.splitlines()) + names.splitlines()
    )


# What sets hold that fill by themselves.
LOOSE = re.compile(
    r"(?m)^(\t\t(?:flags [a-z,]*)?timeout [^\n]*\n(?:\t\t(?:timeout|gc)[^\n]*\n)*)\t\telements = \{[^}]*\}\n"
)

# The queues of everybody on every device; ours are to leave those of others alone.
LISTING = """
nft list ruleset; echo ROUTING
for f in -4 -6; do ip $f rule; ip $f route show table all; done; echo QUEUES
tc qdisc show
for d in $(tc qdisc show | awk '$3 != "0:" { print $5 }' | sort -u); do
	for what in class filter; do tc -d $what show dev $d | sed "/./s/^/$d /"; done
done; echo NAMES
[ ! -d /run/dnsmasq.d ] || {
	ls -a /run/dnsmasq.d; cat /run/dnsmasq.d/*.conf; echo LOADED; cat /run/dnsmasq.loaded
	grep -sq '^State:.[^Z]' /proc/$(cat /run/dnsmasq.pid)/status && echo it runs
} 2>/dev/null
:
"""

RESTART = """#!/bin/sh
old=$(cat /run/dnsmasq.pid 2>/dev/null)
kill $old 2>/dev/null
while grep -sq '^State:.[^Z]' /proc/${old:-none}/status; do sleep 0.01; done
[ ! -e /run/dnsmasq.slow ] || sleep 2
cat /run/dnsmasq.d/netpolicy.conf >/run/dnsmasq.loaded 2>/dev/null
echo x >>/run/dnsmasq.starts
exec dnsmasq -C /run/dnsmasq.conf -x /run/dnsmasq.pid
"""
NAME_SERVER = f"""user=root
no-hosts
no-resolv
server=192.0.2.53
listen-address={ROUTER[4]}
bind-interfaces
conf-dir=/run/dnsmasq.d
"""


@contextlib.contextmanager
def scene(config: str = LINES, ssh: bool = False, **how: Any) -> Iterator[Scene]:
    """A router in whose kernel that configuration is in force."""
    with Scene() as built:
        if ssh:
            built.serve_ssh()
        built.start(config, **how)
        yield built
