"""A change that dies at any of its steps, and what has to be true afterwards: everything old or everything new.

The steps are not listed anywhere: one run without a death tells them, then each is died at in turn. Where several
labs share the work, each takes every so many-th step.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from netpolicy.bus.status import UbusError
from netpolicy.lab.bench import LabError
from tests.acceptance.scene import Scene, text_of
from tests.kernel.steering import LINES, rule, throttle

OLD = (
    LINES
    + throttle("2mbit", "8mbit")
    + rule("video", "+dest_port=31000", "route=wan_b")
    + rule("held", "+dest_port=31001", "route=wan_b", "throttle=slow")
    + rule("mail", "+dest_port=25", "block=reject")
    + rule("names", "+domain=video.example.net", "route=wan_b")
)
NEW = (
    LINES
    + throttle("2mbit", "9mbit")
    + rule("video", "+dest_port=31000", "route=wan_a")
    # By the same line: pairs are numbered in the order in which a router came to know them.
    + rule("held", "+dest_port=31001-31005", "route=wan_b", "throttle=slow")
    + rule("names", "+domain=news.example.net", "route=wan_b")
    + rule("news", "+dest_addr=192.0.2.0/24", "+dest_addr=2001:db8:1::/64", "+dest_port=443", "route=wan_b")
)

# Steps that settle something: the others prepare a file that nobody looks at yet, or clear away.
SETTLING = ("rename ", "link ", "start ")

RUNS = "it runs"  # of dnsmasq, in what `Scene.kernel` says

Die = Callable[[Scene], None]


class Twins:
    """A router between two configurations, of which either may be in force."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        scene.serve_names()
        scene.start(OLD, steps=True)
        scene.wait(lambda: "video.example.net" in scene.name_file and scene.name_starts == 2, "dnsmasq follows")
        self.kernel = {OLD: running(scene)}
        self.others = scene.others()
        self.now = OLD
        self.change("confirm")
        self.kernel[NEW] = running(scene)
        assert self.kernel[OLD] != self.kernel[NEW]
        self.expect(NEW, "after the first change")

    @property
    def next(self) -> str:
        return NEW if self.now == OLD else OLD

    def change(self, end: str) -> None:
        """One change to the other configuration, to that end; the daemon may die of it."""
        lab = self.scene.lab
        try:
            given = {"text": self.next, "format": "uci", "confirm": 60, "console": True}
            job = lab.call("apply", given, 60.0)["job"]
            found = lab.wait_for(lambda: self._standing(job), 60.0, "the change waits or is over")
            if found["state"] == "await":
                word = {"id": found["token"], "console": True} if end == "confirm" else {"id": job}
                found = lab.call(end, word, 60.0)
        except (UbusError, LabError, OSError):
            assert self.scene.is_dead or self.scene.wait(lambda: self.scene.is_dead, "the daemon died")
            return
        if found["state"] == "committed":
            self.now = self.next

    def _standing(self, job: str) -> dict[str, Any] | None:
        if self.scene.is_dead:
            raise LabError("the daemon is dead")
        found: dict[str, Any] = self.scene.lab.call("job", {"id": job}, 60.0)
        return found if found["state"] in ("await", "refused", "reverted", "committed") else None

    def found(self) -> str:
        """Which of the two stands in the store and on the disk. Fails where they disagree."""
        scene = self.scene
        text = scene.config.read_text()
        number = scene.current
        kept = (scene.store / f"generations/{number:06}/config").read_text()
        assert text in (OLD, NEW), f"neither the one nor the other: {text}"
        assert text == kept, f"the configuration is not generation {number}"
        return text

    def expect(self, text: str, when: str) -> None:
        """That one is in force, and nothing is left over."""
        scene = self.scene
        assert self.found() == text, when
        # A daemon that was started looks after dnsmasq beside its other work.
        wrong = settled_difference(scene, self.kernel[text])
        assert not wrong, f"{when}: the kernel has something else: {wrong}"
        assert scene.others() == self.others, f"{when}: what is not ours was changed"
        left = [name for _, _, names in os.walk(scene.pending) for name in names]
        assert not {"record", "outcome"} & set(left), f"{when}: left: {left}\n{scene.told()}"
        verified = scene.lab.call("verify")
        assert verified["fine"], f"{when}: {verified}"
        for family in (4, 6):
            assert scene.reaches_router(family=family), f"{when}: the LAN is locked out, IPv{family}"

    def steps_of(self, end: str) -> list[str]:
        """The steps of a change that comes to that end without a death."""
        self.scene.watch_steps()
        self.change(end)
        found = self.scene.steps()
        self.expect(self.now, "nobody died")
        return found

    def die_at(self, step: str, end: str, mend: Callable[[Twins], None]) -> None:
        """The daemon is killed right before that step; `mend`: what happens until it runs again."""
        scene, before = self.scene, self.now
        scene.watch_steps(step)
        self.change(end)
        taken = scene.steps()
        if not scene.is_dead:  # it did not come to that step this time
            assert step not in taken
            self.expect(self.now, f"{step} ({end}): not taken")
            return
        scene.lab.daemon = None
        self.now = before
        mend(self)
        self.now = self.found()
        self.expect(self.now, f"died before: {step} ({end})")


def killed(twins: Twins) -> None:
    """The guard, alone, brings everything to one of the two; then the daemon is started again."""
    scene = twins.scene
    scene.wait(lambda: _is_decided(scene), f"the guard decides: {scene.record()}")
    # What the daemon had started, such as dnsmasq, may be on its way there.
    wrong = settled_difference(scene, *twins.kernel.values())
    assert not wrong, f"a mix, when the guard was done: {wrong}"
    scene.start(steps=True)


def respawned(twins: Twins) -> None:
    """The daemon is started again at once, while the guard may still be at it."""
    twins.scene.start(steps=True)


def without_power(twins: Twins) -> None:
    """Everything dies, the kernel forgets everything; then the machine boots."""
    scene = twins.scene
    scene.cut_power()
    scene.guard("recover")
    twins.found()  # before anybody reads it
    scene.guard("lock")
    scene.start_ssh()
    scene.start_names()
    scene.start(steps=True)


def running(scene: Scene) -> str:
    """What there is, once dnsmasq has started anew."""
    scene.wait(lambda: RUNS in scene.kernel(), "dnsmasq runs")
    return scene.kernel()


def difference(wanted: str, found: str) -> list[str]:
    """The lines that only one of the two has."""
    return [line for line in difflib.ndiff(wanted.splitlines(), found.splitlines()) if line[0] in "+-"][:40]


def settled_difference(scene: Scene, *wanted: str, seconds: float = 30.0) -> list[str]:
    """What the router has otherwise than each of them, also after this time."""
    until = time.monotonic() + seconds
    while True:
        is_last = time.monotonic() >= until
        found = scene.kernel()
        wrong = min([difference(one, found) for one in wanted], key=len)
        if not wrong or is_last:
            return wrong
        time.sleep(0.1)


def _is_decided(scene: Scene) -> bool:
    """Nobody has to do anything any more: there is no change, an outcome, or a confirmation to roll forward."""
    record, ack = scene.record(), scene.guard_folder / "ack"
    if not record or (scene.pending / "outcome").exists():
        return True
    if text_of(ack).partition(" ")[0] != record["ID"]:
        return True  # it died before it had a guard, and before it changed anything
    return text_of(scene.pending / "verdict").startswith("confirmed")


class Labs:
    """Routers between two configurations that share the steps. One in which something went wrong is built anew."""

    def __init__(self, number: int = 2) -> None:
        self._twins: list[Twins | None] = [None] * number

    def sweep(self, end: str, mend: Callable[[Twins], None], every: int = 1, settling: bool = True) -> int:
        """Dies at each step (every so many-th) of a change to that end; how often."""
        with ThreadPoolExecutor(len(self._twins)) as pool:
            numbers = range(len(self._twins))
            counts = [pool.submit(self._share, end, mend, every, settling, number) for number in numbers]
            return sum(one.result() for one in counts)

    def _share(self, end: str, mend: Callable[[Twins], None], every: int, settling: bool, number: int) -> int:
        twins = self._twins[number] or _built()
        self._twins[number] = None
        try:
            steps = [one for one in twins.steps_of(end) if not settling or one.partition(" ")[2].startswith(SETTLING)]
            mine = steps[every // 2 :: every][number :: len(self._twins)]
            for step in mine:
                twins.die_at(step, end, mend)
            assert "Traceback" not in twins.scene.lab.daemon_log()
        except BaseException:
            twins.scene.__exit__()
            raise
        self._twins[number] = twins
        return len(mine)

    def close(self) -> None:
        """They are gone."""
        for twins in self._twins:
            if twins is not None:
                twins.scene.__exit__()


def _built() -> Twins:
    with contextlib.ExitStack() as stack:
        scene = stack.enter_context(Scene())
        scene.serve_ssh()
        twins = Twins(scene)
        stack.pop_all()  # it stays open
    return twins
