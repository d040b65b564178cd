"""Random changes that meet random accidents at random moments; afterwards everything is old or everything is new.

A seed tells all: the two configurations, what happens, at which of the daemon's steps or after how many milliseconds,
how the change would have ended. What the kernel has to have in the end is what a fresh daemon makes of that file.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

from netpolicy.bus.status import UbusError
from netpolicy.dataplane.guard import uptime
from netpolicy.lab import starter
from netpolicy.lab.bench import LabError
from tests.acceptance.deaths import difference, settled_difference
from tests.acceptance.scene import Scene, text_of
from tests.kernel.steering import LINES, rule, throttle

VIDEO = rule("video", "+dest_port=31000", "route=wan_b")
MAIL = rule("mail", "+dest_port=25", "block=reject")
SEALED = rule("secret", "+dest_addr=192.0.2.128/25", "+dest_addr=2001:db8:1::/80", "route=wan_b", "on_fail=block")
SLOW, FAST = throttle("2mbit", "8mbit"), throttle("3mbit", "9mbit")
# By one line in all of them: pairs are numbered in the order in which a router came to know them.
HELD = rule("held", "+dest_port=31001", "route=wan_b", "throttle=slow")
NAMES = rule("names", "+domain=video.example.net", "route=wan_b")
WITHOUT_B = LINES[: LINES.index("config outbound 'wan_b'")]
GROUP = "\nconfig outbound 'any'\n\toption type 'group'\n\tlist member 'wan_b'\n\tlist member 'wan_a'\n"

POOL = (
    LINES,
    LINES.replace("enabled '1'", "enabled '0'"),
    LINES + VIDEO,
    LINES + VIDEO + MAIL,
    LINES + SEALED,
    LINES.replace("default 'direct'", "default 'wan_b'") + MAIL,
    WITHOUT_B + MAIL,
    LINES + GROUP + rule("all", "+proto=tcp", "route=any"),
    LINES + SLOW + HELD,
    LINES + FAST + HELD + NAMES,
    LINES + FAST + HELD + VIDEO,
    LINES + throttle("2mbit", "8mbit", "per=client") + HELD + NAMES,
    LINES + NAMES + MAIL,
    LINES + rule("names", "+domain=news.example.net", "route=wan_b"),
    LINES + "".join(rule(f"r{number}", f"+dest_port={30000 + number}", "route=wan_a") for number in range(40)),
)

ACCIDENTS = (
    "daemon", "daemon", "guard", "both", "both", "tool", "hang", "table", "rules", "gate", "disk", "power", "term",
)  # fmt: skip
ENDS = ("confirm", "confirm", "abort", "deadline")
MOST_STEPS = 260
PATIENCE = 60.0


@dataclass(frozen=True)
class Story:
    """What a seed says."""

    seed: int
    old: str
    new: str
    accident: str
    step: int  # 0: by time
    milliseconds: int
    end: str
    is_back_at_once: bool


def story(seed: int) -> Story:
    """The same for the same seed."""
    dice = random.Random(seed)
    old, new = dice.sample(POOL, 2)
    by_step = dice.random() < 0.7
    return Story(
        seed, old, new, dice.choice(ACCIDENTS), dice.randint(1, MOST_STEPS) if by_step else 0, dice.randint(0, 1500),
        dice.choice(ENDS), dice.random() < 0.5,
    )  # fmt: skip


class Chaos:
    """One router that goes through many stories."""

    def __init__(self, scene: Scene, fresh: dict[str, str] | None = None) -> None:
        """`fresh`: what the kernel has with each configuration, as others have seen it; all labs are alike."""
        self.scene = scene
        self.fresh = {} if fresh is None else fresh
        scene.serve_names()
        scene.start(LINES, steps=True)

    def run(self, told: Story) -> str:
        """How it ended, in a word. Fails with the seed and all logs."""
        try:
            return self._run(told)
        except (AssertionError, LabError, UbusError, OSError) as problem:
            short = str(problem).partition("\n")[0]
            rows = "\n".join(str(row)[:300] for row in self.scene.journal()[-4:])
            raise AssertionError(
                f"seed {told.seed}: {short}\n{told.accident} at {told.step or f'{told.milliseconds} ms'}, {told.end}, "
                f"{POOL.index(told.old)} → {POOL.index(told.new)}\n{self.scene.told()}\n-- journal\n{rows}"
            ) from problem

    def _run(self, told: Story) -> str:
        scene = self.scene
        self._begin(told.old)
        others, number, last = scene.others(), scene.current, scene.journal()[-1]["number"]
        scene.watch_steps(f"stop {told.step} *" if told.step else "")
        driver = Driver(scene, told)
        driver.start()
        self._await_moment(told, driver)
        self._let_happen(told, driver)
        self._come_back(told, driver)
        assert scene.others() == others, difference(others, scene.others())
        return self._judge(told, number, last)

    def _begin(self, text: str) -> None:
        self.scene.rest(text)
        if text not in self.fresh:
            self._restart()
            self.fresh[text] = self._still(text)

    def _still(self, text: str) -> str:
        """The router once dnsmasq has followed too."""
        asked = next((one for one in ("video.example.net", "news.example.net") if f"'{one}'" in text), "")
        self._wait(
            lambda: f"/{asked}/" in self.scene.name_file if asked else not self.scene.name_file, "dnsmasq follows"
        )
        restarts = -1
        while restarts != self.scene.name_starts:
            restarts = self.scene.name_starts
            self.scene.answer("status")
        self._wait(lambda: "\nit runs" in self.scene.kernel(), "dnsmasq runs")
        return self.scene.kernel()

    def _restart(self) -> None:
        self.scene.stop()
        self.scene.start(steps=True)

    def _await_moment(self, told: Story, driver: Driver) -> None:
        if not told.step:
            driver.join(told.milliseconds / 1000)
            return
        deadline = time.monotonic() + PATIENCE
        while driver.is_alive() and not self.scene.is_stopped and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self.scene.is_stopped:
            self.scene.steps()  # the change had fewer: what is done after the accident is not to stop

    # -- accidents -------------------------------------------------------------------------

    def _let_happen(self, told: Story, driver: Driver) -> None:
        scene, accident = self.scene, told.accident
        if accident == "power":
            scene.cut_power()
            scene.guard("recover")
            scene.guard("lock")
            scene.start_ssh()
            scene.start_names()
        if accident in ("guard", "both") and (guard := scene.guard_process):
            scene.kill(guard)
        if accident in ("daemon", "both"):
            scene.kill_daemon()
        if accident == "tool":
            driver.kill_tool()
        if accident == "table":
            scene.inside("nft", "delete", "table", "inet", "netpolicy", check=False)
        if accident == "rules":
            for family in ("-4", "-6"):
                scene.inside("ip", family, "rule", "flush")
                scene.inside("ip", family, "rule", "add", "priority", "32766", "lookup", "main")
            scene.inside("ip", "rule", "add", "priority", "32767", "lookup", "default")
        if accident == "gate":
            scene.nft("table inet netpolicy_gate { }")
            scene.nft("delete table inet netpolicy_gate")
        if accident == "disk":
            self._fill(True)
        if accident == "term":
            with contextlib.suppress(LabError):
                self._resume()
                scene.stop()
        assert scene.reaches_router(), "the LAN cannot reach the router"
        if accident not in ("hang", "daemon", "both", "power", "term"):
            self._resume()

    def _fill(self, is_full: bool) -> None:
        """The disk of the lab, /run, is full or not."""
        path = self.scene.folder / "filling"
        do = f"cat /dev/zero > {path} 2>/dev/null; :" if is_full else f"rm -f {path}"
        size = "mount -o remount,size=4m /run" if is_full else "mount -o remount,size=50% /run"
        words = ["sh", "-c", f"{size}; {do}"]
        subprocess.run(self.scene.lab.inside(words), check=True, env=starter.environment(), capture_output=True)

    def _resume(self) -> None:
        if self.scene.lab.daemon is not None and self.scene.lab.daemon.poll() is None:
            self.scene.go_on()  # nothing happens to one that does not stand still

    # -- afterwards ------------------------------------------------------------------------

    def _come_back(self, told: Story, driver: Driver) -> None:
        scene = self.scene
        if told.accident == "hang":
            self._hang()
        if told.accident == "disk":
            driver.join(3)
            self._fill(False)
        if scene.is_dead and not told.is_back_at_once:
            self._wait(lambda: not self._is_guarded(), "the guard is done")
        driver.finish()
        scene.steps()
        self._resume()
        if scene.is_dead:
            scene.start(steps=True)
        self._wait(lambda: scene.is_dead or self._is_idle(), "nothing is pending")
        if scene.is_dead:  # it left the way back to the guard
            self._wait(lambda: not self._is_guarded(), "the guard is done")
            scene.start(steps=True)
        if (scene.pending / "outcome").exists():
            self._restart_after_guard()
        if told.accident in ("table", "rules") and "enabled '0'" not in scene.config.read_text():
            # It may have happened after the last look of the change: then it is drift, noticed within a second.
            self._wait(lambda: self._is_ours_there() or scene.lab.call("drift")["is_there"], "drift is noticed")
        if scene.lab.call("drift")["is_there"]:
            scene.lab.call("heal", {}, 60.0)
        scene.settle()

    def _hang(self) -> None:
        """The daemon hangs: for so long that the guard ends it where that is soon, else for a second."""
        scene = self.scene
        if scene.is_dead or scene.lab.daemon is None:
            return
        scene.lab.daemon.send_signal(signal.SIGSTOP)
        self._wait(lambda: scene.is_dead or scene.is_stopped, "it hangs")
        if self._is_guarded() and int(scene.record().get("DEADLINE", "0")) - uptime() < 10:
            self._wait(lambda: scene.is_dead or not self._is_guarded(), "the guard ends a daemon that hangs")
        else:
            time.sleep(1.0)
        self._resume()

    def _is_ours_there(self) -> bool:
        """Something of all that an accident takes away."""
        inside = self.scene.inside
        rules = [inside("ip", family, "rule") for family in ("-4", "-6")]
        return "table inet netpolicy\n" in inside("nft", "list", "tables") + "\n" and all(
            "7001" in rule for rule in rules
        )

    def _restart_after_guard(self) -> None:
        self.scene.kill_daemon()
        self.scene.start(steps=True)

    def _is_idle(self) -> bool:
        """Whether no change is under way, from its first step on."""
        status = self.scene.lab.status()
        return status is not None and not status.get("pending") and not self.scene.record()

    def _is_guarded(self) -> bool:
        """Whether a guard still has something to do."""
        scene = self.scene
        record, ack = scene.record(), text_of(scene.guard_folder / "ack").split()
        if not record or (scene.pending / "outcome").exists() or not ack:
            return False
        if text_of(scene.pending / "verdict").startswith("confirmed"):
            return False
        lives = scene.inside("sh", "-c", f"kill -0 {ack[1]} 2>/dev/null && echo yes; :").strip()
        return ack[0] == record["ID"] and lives == "yes"

    def _wait(self, is_true, what: str) -> None:  # type: ignore[no-untyped-def]
        self.scene.wait(is_true, what, PATIENCE)

    def _judge(self, told: Story, before: int, last: int) -> str:
        scene = self.scene
        text = scene.config.read_text()
        assert text in (told.old, told.new), f"the configuration is neither: {text!r}"
        kept = scene.store / f"generations/{scene.current:06}/config"
        assert kept.read_text() == text, f"the configuration is not generation {scene.current}"
        if text not in self.fresh:
            self._restart()
            self.fresh[text] = self._still(text)
        wrong = settled_difference(scene, self.fresh[text])
        assert not wrong, f"the kernel is a mix: {wrong}"
        assert not scene.record() and not (scene.pending / "outcome").exists(), "a change is left pending"
        assert scene.lab.call("verify")["fine"], "the journal is not what was written"
        for family in (4, 6):
            assert scene.reaches_router(family=family), f"the LAN is locked out, IPv{family}"
        if told.accident == "disk":  # what could not be written then is written a second later
            self._wait(lambda: self._written(last) or text == told.old, "the journal says how it ended")
        word = self._written(last)
        assert (text == told.new) == (word in ("committed", "confirmed")), f"the journal says {word!r}"
        assert (scene.current == before) == (text == told.old), "another generation"
        return "new" if text == told.new else "old"

    def _written(self, last: int) -> str:
        """How the journal says that the change ended; "" where it never began. Its oldest rows may go meanwhile."""
        ends = [str(row["outcome"]) for row in self.scene.journal() if row["number"] > last and "outcome" in row]
        return ends[-1] if ends else ""


class Driver(threading.Thread):
    """Who asks for the change and ends it, as far as everything lives."""

    def __init__(self, scene: Scene, told: Story) -> None:
        super().__init__(daemon=True)
        self._scene, self._told = scene, told
        scene.path(str(scene.folder / "candidate")).write_text(told.new)
        window = "2" if told.end == "deadline" or told.accident in ("hang", "tool") else "30"
        self._tool = scene.start_tool(
            "apply", "--rules", str(scene.folder / "candidate"), "--confirm", window, "--console", "--force"
        )

    def run(self) -> None:
        self._tool.communicate()
        if self._tool.returncode != 2 or self._told.end == "deadline":
            return
        with contextlib.suppress(UbusError, OSError, LabError):
            change = self._scene.lab.call("job", {}, 60.0)
            word = {"id": change["token"] or "", "console": True} if self._told.end == "confirm" else {}
            self._scene.lab.call(self._told.end, word, 60.0)

    def kill_tool(self) -> None:
        """kill -9 of the tool."""
        self._tool.kill()

    def finish(self) -> None:
        """It asks no more."""
        self.join(0.5 if self._scene.is_dead else PATIENCE)
        self._tool.kill()
        self.join(PATIENCE)
        assert not self.is_alive(), "who asked for the change still waits"
