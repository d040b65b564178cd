"""The virtual router as the tests of power cuts use it: what is in force, what a clean boot gives, changes, cuts.

Holds no expectation about a cut; `look` gives what a test compares.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm import flash, ramdisk
from tests.vm.machine import Machine, MachineError
from tests.vm.parts import parts

_LINES = """
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '192.0.2.1'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
	option gateway6 '2001:db8:b::1'
"""

# Two configurations that differ in everything that is ours: rules, sets, lines, routes, ip rules.
FIRST = f"""
config netpolicy 'main'
	option enabled '1'
	option mode 'enforce'
{_LINES}
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
SECOND = f"""
config netpolicy 'main'
	option enabled '1'
	option mode 'enforce'
{_LINES}
config outbound 'spare'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.7'
config rule 'video'
	list proto 'tcp'
	list dest_port '444'
	list dest_addr '203.0.113.0/25'
	list dest_addr '198.18.0.0/15'
	option route 'spare'
	option on_fail 'block'
config rule 'voice'
	list proto 'udp'
	list dest_port '5060-5090'
	option route 'wan_a'
config rule 'dns'
	option priority '20'
	list proto 'udp'
	list dest_port '53'
	option block 'drop'
"""

PATIENCE = 60.0

CONFIG = "/etc/config/netpolicy"
STORE = "/etc/netpolicy"


@dataclass(frozen=True)
class Sight:
    """What is in force and on the flash. Two boots with the same configuration give the same `kernel`."""

    config: str
    current: int
    pending: tuple[str, ...]
    kernel: tuple[str, ...]
    lan: bool  # answers who is in the LAN

    @property
    def what(self) -> tuple[str, tuple[str, ...]]:
        return self.config, self.kernel


class Router:
    """Off at first; `ready` gives it in a confirmed state."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(parts(), ramdisk.build(parts()), folder / "flash")
        self._base = folder / "base"
        self._is_trusted = False
        self.clean: dict[str, Sight] = {}  # by configuration: what a boot with it, and nothing else, gives
        self._know(SECOND)
        self._know(FIRST)
        self.mark_healthy()
        # As a cut would leave it: nothing writes now, and the next boot looks at its journal.
        shutil.copyfile(self.machine.flash, self._base)
        self._is_trusted = True

    def _know(self, config: str) -> None:
        self.machine.cut()
        flash.make(parts(), self.machine.flash, config)
        self.machine.boot()
        self.clean[config] = self.look()
        assert self.clean[config].config == config and self.clean[config].current == 1

    def ready(self) -> Sight:
        """On, nothing pending, its generation well. As the test before left it, or new where that one failed."""
        if not self._is_trusted or not self.machine.is_on:
            self.machine.cut()
            shutil.copyfile(self._base, self.machine.flash)
            self.machine.boot()
        self._is_trusted = False
        self.mark_healthy()
        self.machine.stop_at("")
        seen = self.look()
        assert seen.what == self.clean[seen.config].what and not seen.pending
        return seen

    def trust(self) -> None:
        """The test ends well: the next one may go on from here."""
        self._is_trusted = True

    def mark_healthy(self) -> None:
        """As if it had run for three minutes."""
        current = self.machine.ask("read", path=f"{STORE}/generations/current").strip()
        self.machine.ask("write", path=f"{STORE}/generations/{current}/healthy", text="")
        self.machine.run("sync")

    def until_healthy(self) -> None:
        """The daemon says by itself that the generation in force is well."""
        current = self.machine.ask("read", path=f"{STORE}/generations/current").strip()
        until = time.monotonic() + PATIENCE
        while f"{STORE}/generations/{current}/healthy" not in self.machine.ask("list", path=f"{STORE}/generations"):
            if time.monotonic() > until:
                raise MachineError(f"generation {current} was not called well:\n{self.machine.console()}")
            time.sleep(0.5)

    # -- changes ---------------------------------------------------------------------------

    def begin(self, config: str, stop_at: str = "") -> str:
        """A change to that configuration; its id. It stands still at the point, if there is one."""
        self.machine.stop_at(stop_at)
        self.machine.order("call", method="apply", data={"text": config, "confirm": 120, "console": True})
        # The point may come before the answer.
        return "" if stop_at else str(self.machine.answer()["job"])

    def cut_at(self, config: str, point: str, ending: str = "") -> list[str]:
        """A change to that configuration, cut where it passes the point. `ending`: what is asked for when it waits."""
        if not ending:
            self.begin(config, point)
        else:
            self.begin(config)
            job = self.machine.until_state("await")
            self.machine.stop_at(point)
            self._end(job, ending)
        passed = self.machine.points_until(point)
        self.machine.cut()
        return passed

    def _end(self, job: dict[str, Any], ending: str) -> None:
        data = {"id": job["token"], "console": True} if ending == "confirm" else {"id": job["id"]}
        self.machine.order("call", method=ending, data=data)

    def confirm(self) -> dict[str, Any]:
        """The change that waits stays."""
        self._end(self.machine.until_state("await"), "confirm")
        return self.machine.answer()

    def cut_after(self, config: str, points: int, seconds: float) -> list[str]:
        """A change that is confirmed as soon as it waits, and a cut so long after so many points; those it passed."""
        watcher = threading.Thread(target=self._kill_after, args=(points, seconds), daemon=True)
        watcher.start()
        with contextlib.suppress(MachineError, OSError):  # the power goes in the middle of a word
            self.begin(config)
            self.confirm()
        watcher.join()
        passed = self.machine.points_left()
        self.machine.cut()
        return passed

    def _kill_after(self, points: int, seconds: float) -> None:
        try:
            self.machine.wait_for_points(points)
        finally:
            time.sleep(seconds)  # that is the moment
            self.machine.kill()

    # -- looking ---------------------------------------------------------------------------

    def look(self) -> Sight:
        """What is in force and on the flash now."""
        run = [
            ("nft", "list", "table", "inet", "netpolicy"), ("ip", "-N", "rule"), ("ip", "-6", "-N", "rule"),
            ("ip", "route", "show", "table", "all", "proto", "78"),
            ("ip", "-6", "route", "show", "table", "all", "proto", "78"), ("nft", "list", "tables"),
        ]  # fmt: skip
        config, current, files, ping, *kernel = self.machine.several(
            {"do": "read", "path": CONFIG},
            {"do": "read", "path": f"{STORE}/generations/current"},
            {"do": "list", "path": f"{STORE}/pending"},
            {"do": "run", "words": ["ip", "netns", "exec", "world", "ping", "-c", "1", "-W", "3", "192.168.1.1"]},
            *({"do": "run", "words": words} for words in run),
        )
        assert all(one["code"] == 0 for one in kernel), kernel
        lines = [line for one in kernel for line in sorted(_uncounted(one["out"]).splitlines())]
        return Sight(config, int(current), tuple(files), tuple(lines), ping["code"] == 0)

    def journal(self) -> list[dict[str, Any]]:
        """Its lines, oldest first."""
        text = self.machine.ask("read", path=f"{STORE}/history.jsonl")
        return [json.loads(line) for line in text.splitlines()]


def _uncounted(listing: str) -> str:
    """What counts by itself makes no difference."""
    return re.sub(r"packets \d+ bytes \d+", "", listing)
