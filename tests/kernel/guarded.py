"""A router whose changes are guarded: places, policies in force, and what the kernel has then, made comparable.

The guard is the shell script of the package, under the shell that a test names; the applier is this process or one
that a test may kill. Never the object under test: what is compared is what `nft` and `ip` print.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from netpolicy.dataplane import guard_files, script
from netpolicy.dataplane.bundle import InForce
from netpolicy.dataplane.guard import Guard, GuardPlaces, start_of
from netpolicy.dataplane.kernel import Kernel, Plan
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.pending import print_record
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.routing import desired, ours
from tests.netns import run
from tests.router import routing

GUARD = Path(__file__).resolve().parents[2] / "files/usr/lib/netpolicy/guard"
SHELLS = {"dash": ("dash",), "ash": ("busybox", "ash")}

OLD_CONFIG = b"config netpolicy 'main'\n\toption enabled '1'\n"
NEW_CONFIG = OLD_CONFIG + b"config rule 'new'\n"


def places(folder: Path, shell: str = "dash") -> GuardPlaces:
    """Places below `folder`, with a guard that runs under this shell."""
    for name in ("store", "run"):
        (folder / name).mkdir(exist_ok=True)
    program = folder / "guard"
    if not program.exists():
        shutil.copy(GUARD, program)
        first, rest = program.read_text().split("\n", 1)
        interpreter = " ".join((shutil.which(SHELLS[shell][0]) or "", *SHELLS[shell][1:]))
        assert first == "#!/bin/sh"
        # The same program, which looks more often and waits as long: tests would wait for most of their time.
        words = ("sleep 1", "left=10", "left=3 ", "GRACE_SECONDS=5")
        for word, hasty in zip(words, ("sleep 0.1", "left=100", "left=30 ", "GRACE_SECONDS=1"), strict=True):
            assert word in rest
            rest = rest.replace(word, hasty)
        if shell == "ash":
            # What a router has: every tool but nft, ip and unshare is busybox's.
            rest = rest.replace('PATH="$PATH:', f'PATH="{_applets(folder)}:$PATH:', 1)
        program.write_text(f"#!{interpreter}\n{rest}")
    config = folder / "config"
    if not config.exists():
        config.write_bytes(OLD_CONFIG)
    return GuardPlaces(str(config), str(folder / "store"), str(folder / "run"), str(program))


def _applets(folder: Path) -> Path:
    tools = folder / "applets"
    tools.mkdir()
    busybox = shutil.which("busybox") or ""
    for name in run(busybox, "--list").split():
        if name not in ("ip", "unshare"):
            (tools / name).symlink_to(busybox)
    return tools


class GuardedRouter:
    """A kernel that follows policies, with a guard for its changes."""

    def __init__(self, where: GuardPlaces) -> None:
        self.places = where
        self.kernel = Kernel(open_netlink("builtin"))
        self.guard = Guard(where)
        self.plan: Plan | None = None
        self.watcher: subprocess.Popen[bytes] | None = None

    @property
    def pending_folder(self) -> Path:
        """What a reboot must find."""
        return Path(self.places.pending)

    @property
    def guard_folder(self) -> Path:
        """What it need not find."""
        return Path(self.places.guard)

    async def follow(self, policy: Policy) -> None:
        """The policy is in force."""
        for _ in range(3):
            self.plan = await self.kernel.plan(policy)
            if self.plan.is_empty:
                return
            await self.kernel.apply(self.plan)
        assert self.plan is not None and self.plan.is_empty

    async def in_force(self) -> InForce:
        """As the service hands it to the guard."""
        assert self.plan is not None
        seen = await self.kernel.observe()
        routing = desired(self.plan.policy, seen.routes, seen.addresses)
        assert routing == ours(seen.routes, seen.rules)
        return InForce(self.plan.policy, self.plan.table, routing, await self.kernel.counters(), self.kernel.queues())

    async def arm(self, candidate: Policy, seconds: int = 120, nothing: bool = False) -> None:
        """A change to the candidate is pending; nothing in the kernel has changed. The file is the candidate's."""
        old = None if nothing else await self.in_force()
        plan = await self.kernel.plan(candidate)
        text = script.full_text(plan.table, script.MOST_AT_BOOT)
        await self.guard.arm(
            old, text, candidate=NEW_CONFIG, before=OLD_CONFIG, numbers=(1, 2), seconds=seconds,
            shaped=plan.policy.shaped,
        )  # fmt: skip
        self.write_config(NEW_CONFIG)

    def write_config(self, content: bytes) -> None:
        """As an editor does."""
        Path(self.places.config).write_bytes(content)

    def ask(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs the guard."""
        return subprocess.run(
            [*self.places.words, *words], capture_output=True, text=True, check=False, timeout=timeout
        )  # fmt: skip

    def applier_is(self, process: int) -> None:
        """From now on that process stands for the daemon."""
        assert self.guard.pending is not None
        begun = start_of(process) or 1
        self.guard.pending = replace(self.guard.pending, applier_pid=process, applier_start=begun)
        guard_files.write(self.pending_folder / "record", print_record(self.guard.pending).encode())

    def put_in_front_of(self, tool: str, text: str) -> None:
        """From now on the guard's tool runs these lines of shell first; a guard that watches is started anew."""
        tools = Path(self.places.state).parent / "front"
        tools.mkdir()
        (tools / tool).write_text(f'#!/bin/sh\n{text}\nexec {shutil.which(tool)} "$@"\n')
        (tools / tool).chmod(0o755)
        os.kill(self.guard_process, signal.SIGKILL)
        program = Path(self.places.program)
        program.write_text(self.program_text.replace('PATH="', f'PATH="{tools}:', 1))
        self.watcher = self.start("watch")

    def watch_by(self, clock: Path) -> None:
        """From now on the change is watched by another guard, whose /proc/uptime is this file."""
        os.kill(self.guard_process, signal.SIGKILL)
        Path(self.places.program).write_text(self.program_text.replace("/proc/uptime", str(clock)))
        self.watcher = self.start("watch")
        self.await_guard(self.watcher)

    def await_guard(self, process: subprocess.Popen[bytes]) -> None:
        """Until this one has read the record and watches the change."""
        until = time.monotonic() + 30
        while self.guard_process != process.pid:
            assert time.monotonic() < until, "it does not acknowledge the change"
            time.sleep(0.02)

    def close_gate(self) -> None:
        """As a guard does that is killed right after."""
        run("nft", "-f", str(self.guard_folder / "bundle/gate.nft"))
        (self.guard_folder / "gate").touch()

    def daemon_dies(self) -> None:
        """As after kill -9 of the daemon."""
        with applier() as process:
            self.applier_is(process.pid)
            process.kill()

    def wait_for_outcome(self, seconds: float = 60) -> str:
        """What the guard did, whoever runs it."""
        until = time.monotonic() + seconds
        while not self.guard.outcome() and time.monotonic() < until:
            time.sleep(0.05)
        return self.guard.outcome()

    @property
    def guard_process(self) -> int:
        """Who acknowledged the change."""
        return int((self.guard_folder / "ack").read_text().split()[1])

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """The guard, going on."""
        return subprocess.Popen([*self.places.words, *words], stderr=subprocess.DEVNULL)

    @property
    def config(self) -> bytes:
        """What the configuration file holds."""
        return Path(self.places.config).read_bytes()

    @property
    def has_config(self) -> bool:
        """Whether there is a configuration file."""
        return Path(self.places.config).exists()

    @property
    def program_text(self) -> str:
        """The guard as it is run here."""
        return Path(self.places.program).read_text()

    @property
    def log(self) -> str:
        """What the guard said."""
        path = self.guard_folder / "log"
        return path.read_text() if path.exists() else ""


def set_clock(clock: Path, seconds: int) -> None:
    """A file in place of /proc/uptime says so from now on; whoever reads it meanwhile finds one time or the other."""
    fresh = clock.with_name(f"{clock.name}.new")
    fresh.write_text(f"{seconds}.00 0.00\n")
    fresh.rename(clock)


def applier() -> subprocess.Popen[bytes]:
    """A process that stands for the daemon and may be killed."""
    return subprocess.Popen(["sleep", "300"])


def state(counters: bool = True) -> str:
    """Every nft object, ip rule and route of ours, whatever order hashes give them."""
    listed = run("nft", "list", "ruleset")
    table = "".join(re.findall(r"table inet netpolicy\w* \{\n.*?\n\}\n", listed, flags=re.DOTALL))
    lines = _blocks(table if counters else re.sub(r"packets \d+ bytes \d+", "", table))
    for text in routing():
        found = [re.sub(r" (linkdown|dead|\[detached\])", "", line) for line in text.splitlines()]
        lines += sorted(line for line in found if "proto 78" in line)
    return "\n".join(lines)


def _blocks(table: str) -> list[str]:
    """Blocks in the order of their names; the elements of sets sorted."""
    blocks = []
    for block in re.split(r"\n\n", table):
        plain = re.sub(r"\n\t\t\t +", " ", block.removeprefix("table inet netpolicy {\n"))
        blocks.append(re.sub(r"\{([^{}]*)\}", lambda found: "{" + ",".join(sorted(_parts(found[1]))) + "}", plain))
    return sorted(line.strip().removesuffix("\n}") for line in blocks)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]
