"""Run the lab for a person: daemon, client traffic, picture and commands, until the end.

The only place where the lab's parts meet; holds no network decisions. Runs as process 1 of the
lab, so everything it starts ends with it.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netpolicy.lab import control, screen, story, watch
from netpolicy.lab.keeper import BUS_SOCKET, CONFIG, LAB, bury_orphans, daemon_command, module, own, relay_socket
from netpolicy.lab.network import TUN_DEVICE
from netpolicy.lab.scenario import SCENARIOS
from netpolicy.lab.traffic import PLANS

if TYPE_CHECKING:
    from netpolicy.lab.keeper import Keeper

LOOK_EVERY_SECONDS = 0.5
CALL_SECONDS = 1.0
# A reload starts programs, and writes what is in force.
CHANGE_SECONDS = 10.0
# procd waits five seconds; a person watching should not.
RESPAWN_SECONDS = 1.0
# It ends within half a second where the machine has time for it.
DAEMON_SECONDS = 5.0
DAEMON_LOG = LAB / "daemon.log"


class Show:
    """One run of the lab."""

    def __init__(self, keeper: Keeper, life: int, options: argparse.Namespace) -> None:
        self._life = life
        self._options = options
        self._ended = False
        self._reports: dict[tuple[str, int], dict[str, Any]] = {}
        self._answers = watch.Answers()
        self._call = watch.bus_call(str(BUS_SOCKET), CALL_SECONDS)
        self._call_to_change = watch.bus_call(str(BUS_SOCKET), CHANGE_SECONDS)
        self._typed = b""
        self._listens = True
        self._had_terminal = sys.stdin.isatty()
        self._children: dict[int, tuple[subprocess.Popen[bytes], bytearray]] = {}
        self._daemon: subprocess.Popen[bytes] | None = None
        self._daemon_ended_at = 0.0
        self._clients_run = False
        self.control = control.Control(CONFIG, relay_socket if keeper.tun else None, self._reload, self._kill)
        self.screen = _screen()
        self._tun = keeper.tun

    def run(self) -> None:
        """Start everything and go on until quit, a signal, the time limit or the starter's end."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        shutil.copyfile(self._options.config, CONFIG)
        self._start_daemon()
        if not self._tun:
            self.screen.say(f"no access to {TUN_DEVICE}: the lines have no latency")
        self._loop()

    def close(self) -> None:
        """Stop the daemon in good order; the rest ends with this process."""
        self.screen.close()
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.terminate()
            try:
                self._daemon.wait(DAEMON_SECONDS)
            except subprocess.TimeoutExpired:
                self._daemon.kill()

    def _loop(self) -> None:
        begin, next_look = time.monotonic(), 0.0
        plan = list(SCENARIOS[self._options.scenario])
        while not self._ended:
            now = time.monotonic() - begin
            if self._options.seconds and now >= self._options.seconds:
                return
            while plan and now >= plan[0][0]:
                self._obey(plan.pop(0)[1])
            if now >= next_look:
                next_look = now + LOOK_EVERY_SECONDS
                self._look(now)
            self._hear(max(0.0, next_look - now))

    def _look(self, now: float) -> None:
        self._keep_daemon(now)
        bury_orphans()
        self._answers = watch.look(self._call, self._answers, story.unexplained(self._reports))
        # Before, nobody translates the clients' addresses: all they would show is timeouts.
        if not self._clients_run and not story.is_starting(self._answers, now):
            self._clients_run = True
            for client in PLANS:
                self._start_client(client)
        self.screen.show(self._answers, story.tries(self._reports, self._answers), self.control.lines, now)

    def _hear(self, seconds: float) -> None:
        sources = [self._life, *self._children, *([0] if self._listens else [])]
        try:
            ready, _, _ = select.select(sources, [], [], seconds)
        except InterruptedError:
            return
        for source in ready:
            if source == self._life:
                self._ended = True
            elif source == 0:
                self._hear_user()
            else:
                self._hear_client(source)

    def _hear_user(self) -> None:
        try:
            data = os.read(0, 1024)
        except OSError:  # the terminal went to somebody else
            data = b""
        if not data:
            self._listens = False
            # Hung up: the kernel tells only the session's leader, which may be `make` waiting for us.
            self._ended = self._had_terminal and not sys.stdin.isatty()
            return
        if sys.stdin.isatty():
            for letter in data.decode(errors="ignore"):
                self._obey(letter)
            return
        *words, self._typed = (self._typed + data).split(b"\n")
        for word in words:
            self._obey(word.decode(errors="replace"))

    def _obey(self, text: str) -> None:
        if not text.strip() or self._ended:
            return
        command = control.command_for(text)
        if command is not None and command.word == control.QUIT:
            self._ended = True
        elif command is not None and command.word == "help":
            self.screen.help()
        else:
            self.screen.say(self.control.do(text))

    # --- children -----------------------------------------------------------------------------

    def _start_daemon(self) -> None:
        with DAEMON_LOG.open("ab") as log:
            self._daemon = subprocess.Popen(
                daemon_command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )  # Ctrl-C is for the lab, not for it
        own(self._daemon.pid)

    def _keep_daemon(self, now: float) -> None:
        if self._daemon is None or self._daemon.poll() is None:
            return
        if not self._daemon_ended_at:
            self._daemon_ended_at = now
            self.screen.say(f"netpolicyd ended ({self._daemon.returncode}): {_last_line(DAEMON_LOG)}")
        elif now - self._daemon_ended_at >= RESPAWN_SECONDS:
            self._daemon_ended_at = 0.0
            self._start_daemon()

    def _start_client(self, client: str) -> None:
        child = subprocess.Popen(
            ["ip", "netns", "exec", client, *module("traffic"), client],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        own(child.pid)
        assert child.stdout is not None
        self._children[child.stdout.fileno()] = (child, bytearray())

    def _hear_client(self, source: int) -> None:
        child, rest = self._children[source]
        data = os.read(source, 65536)
        if not data:
            del self._children[source]
            child.wait()
            self.screen.say("a client of the lab has ended")
            return
        rest += data
        while (end := rest.find(b"\n")) >= 0:
            told = json.loads(rest[:end])
            del rest[: end + 1]
            self._reports[story.key_of(told)] = told

    # --- what the control needs ---------------------------------------------------------------

    def _reload(self) -> str:
        try:
            answer = self._call_to_change("reload", {})
        except watch.Unanswered as reason:
            return f"reload not answered: {reason}"
        return "reloaded" if answer.get("ok") else f"reload refused: {answer.get('error')}"

    def _kill(self) -> str:
        if self._daemon is None or self._daemon.poll() is not None:
            return "the daemon is not running"
        self._daemon.kill()
        return "killed the daemon with signal 9"

    def _on_signal(self, *_: object) -> None:
        self._ended = True


def _screen() -> screen.Screen:
    if not sys.stdout.isatty():
        return screen.PlainScreen()
    try:
        return screen.LiveScreen()
    except ImportError:
        plain = screen.PlainScreen()
        plain.say("rich is not installed, so plain lines: pip install 'netpolicy[lab]'")
        return plain


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def options(arguments: list[str]) -> argparse.Namespace:
    """The arguments that `main` hands through."""
    parser = argparse.ArgumentParser(prog="netpolicy lab")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--scenario", default="none", choices=sorted(SCENARIOS))
    parser.add_argument("--config", required=True)
    return parser.parse_args(arguments)


def run(keeper: Keeper, life: int, arguments: list[str]) -> int:
    """Show the lab; the exit code."""
    typed = sys.stdin.isatty()
    before = termios.tcgetattr(0) if typed else None
    shown = None
    try:
        if typed:
            tty.setcbreak(0)
        shown = Show(keeper, life, options(arguments))
        shown.run()
    finally:
        if shown is not None:
            shown.close()
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
    return 0
