"""Keeps one file of ours in dnsmasq's folder, so that it fills the learned sets before it answers a client.

Touches nothing else of it: not its settings, not resolv.conf. A text that dnsmasq does not take is never put there; one
after which it does not come back is taken away again. dnsmasq reads such lines when it starts, not at SIGHUP: it is
restarted when the text is another, and then alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from netpolicy.core.field_kind import Field
from netpolicy.observe import durable
from netpolicy.service import dnsmasq_instance, dnsmasq_text
from netpolicy.service.dnsmasq_instance import Instance
from netpolicy.service.dnsmasq_text import Text

NAME = "netpolicy.conf"
ASIDE = "~"  # dnsmasq does not read files whose name ends so
LIMIT = 4 << 20

AUTO, OFF = "auto", "off"

PROGRAM_SECONDS, RESTART_SECONDS, BACK_SECONDS, POLL_SECONDS = 5.0, 30.0, 10.0, 0.1
# dnsmasq may come later than we do, or be restarted by somebody else with other folders.
LOOK_SECONDS = 60.0

NOBODY = Text("", 0, frozenset())
NOT_TAKEN, NOT_STARTED = "it does not take our file", "it did not start with our file"


class DnsmasqKeeper:
    """One daemon's. Blocking work is done in a worker, one thing at a time."""

    def __init__(
        self,
        given: str,
        say: Callable[[str, str], object],
        find: Callable[[], tuple[Instance, ...]] = dnsmasq_instance.instances,
        restart: Callable[[], tuple[str, ...]] = dnsmasq_instance.restart_command,
    ) -> None:
        """`given`: the file that says what it was given last; `say`: a level and a line for the log."""
        self._given = given
        self._say = say
        self._find = find
        self._restart = restart
        # Unlike any wish: what a former daemon left is looked at with the first one.
        self._wanted: tuple[Mapping[str, Field], tuple[str, ...], str] = ({}, (), "")
        self._refused = ""  # a text that it did not live with
        self._work: asyncio.Task[None] | None = None
        self._again = False
        self._timer: asyncio.TimerHandle | None = None
        self._loaded: dict[int, bytes] = {}  # by process: what it surely has read
        self._versions: dict[tuple[str, float], bool] = {}
        self.reason = "no rule asks for names"  # why it is not dnsmasq that fills the sets, "" where it does
        self.filled = NOBODY  # what it fills
        self._in_ram: tuple[str, ...] = ()  # its folders that are gone with a boot, also while it does not run
        self.restarts = 0

    def follow(self, fields: Mapping[str, Field], lines: Sequence[str], setting: str) -> None:
        """These names are to be filled in, and these further lines to be read, from now on."""
        wanted = (dict(fields), tuple(lines), setting)
        if wanted != self._wanted:
            self._wanted = wanted
            self._go_on()

    async def settled(self) -> None:
        """What was asked for last is done, or could not be."""
        while self._work is not None and not self._work.done():
            await asyncio.wait([self._work])

    @property
    def refused(self) -> str:
        """The text that is wanted, where dnsmasq does not live with it; else ""."""
        return self._refused if self.reason.startswith((NOT_TAKEN, NOT_STARTED)) else ""

    def at_boot(self) -> tuple[str, tuple[str, ...]]:
        """What it is to read and would not find after a boot, and in which folders, where it took our file once."""
        fields, lines, setting = self._wanted
        folders = self._in_ram
        text = dnsmasq_text.render(fields, lines).text if folders and setting != OFF else ""
        return (text, folders) if text and text != self._refused else ("", ())

    async def close(self, is_over: bool) -> None:
        """Ends; where nobody takes over, the file goes too."""
        if self._timer is not None:
            self._timer.cancel()
        self._again = False
        if self._work is not None:
            await asyncio.gather(self._work, return_exceptions=True)
        if is_over and (self._wanted[0] or self._wanted[1]):
            self._wanted = ({}, (), self._wanted[2])
            await asyncio.to_thread(self._keep)

    def _go_on(self) -> None:
        self._again = True
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._again:
            self._again = False
            await asyncio.to_thread(self._keep)
        if self._timer is not None:
            self._timer.cancel()
        if self._wanted[0] or self._wanted[1]:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._go_on)

    # -- in a worker -----------------------------------------------------------------------

    def _keep(self) -> None:
        try:
            self._follow_once()
        except OSError as error:
            self._leave(f"its files cannot be kept: {error.strerror or error}")
        except subprocess.TimeoutExpired as error:
            self._leave(f"it does not say what it can: {error}")

    def _follow_once(self) -> None:
        fields, lines, setting = self._wanted
        wanted = dnsmasq_text.render(fields, lines) if setting != OFF else NOBODY
        known = [(one, folder) for one in self._find() for folder in one.folders]
        for _, folder in known:  # what one that died left half done
            _remove(os.path.join(folder, f"{NAME}{ASIDE}"))
        if not wanted.text or wanted.text == self._refused:
            self._take_away(known, setting)
            self._in_ram = ()
            why = "option dnsmasq is off" if setting == OFF else "no rule asks for names that it can tell"
            self._leave(why if not wanted.text else self.reason if self.refused else NOT_STARTED)
            return
        reason = self._hindrance(known, setting)
        if reason:
            self._leave(reason)
            return
        usable = _usable(known, setting)
        data = wanted.text.encode()
        due = [one for one in usable if not self._is_read(*one, data)]
        if due and not self._put(usable, data):
            return
        self._loaded = {one.pid: data for one in self._find()}
        self.reason, self.filled = "", wanted
        folders = dict.fromkeys(folder for _, folder in usable if dnsmasq_instance.is_in_ram(folder))
        self._in_ram = tuple(folders)

    def _hindrance(self, known: list[tuple[Instance, str]], setting: str) -> str:
        """Why dnsmasq cannot fill the sets, or ""."""
        if not known:
            return "it does not run here, or reads no folder"
        if not _usable(known, setting):
            folder = known[0][1]
            return f"{folder} is not in memory; name it in option dnsmasq if it may be written to"
        if not self._restart():
            return "nobody would start it again"
        without = [one.program for one, _ in known if not self._knows_nftset(one.program)]
        return f"{without[0]} was built without nftset (dnsmasq-full has it)" if without else ""

    def _put(self, places: list[tuple[Instance, str]], data: bytes) -> bool:
        durable.replace(self._given, data)
        tried = _complaint([places[0][0].program, "--test", f"--conf-file={self._given}"], PROGRAM_SECONDS)
        if tried:
            self._refused = data.decode()
            self._leave(f"{NOT_TAKEN}: {tried}")
            self._say("warning", f"dnsmasq refuses the lines for its folder: {tried}")
            return False
        if mistake := next((found for one, _ in places if (found := self._would_not_start(one))), ""):
            # Not ours, ours was tried alone: what runs goes on, and is looked at again. Nothing is written each time.
            for _, folder in places:
                _remove(os.path.join(folder, NAME))
            if mistake not in self.reason:
                self._say("warning", f"dnsmasq is not restarted, it would not come back: {mistake}")
            self._leave(f"its own configuration has a mistake: {mistake}")
            return False
        for _, folder in places:
            durable.replace(os.path.join(folder, NAME), data, 0o644, ASIDE)
        # Of two folders that it reads it would believe both.
        for folder in {folder for one in self._find() for folder in one.folders} - {folder for _, folder in places}:
            _remove(os.path.join(folder, NAME))
        if self._comes_back({one.pid for one, _ in places}):
            self._say("info", f"dnsmasq puts the addresses of {data.count(b'nftset=')} lines of names into our sets")
            return True
        for _, folder in places:
            durable.remove(os.path.join(folder, NAME))
        self._refused = data.decode()
        self._comes_back(set())
        self._leave(NOT_STARTED)
        self._say("error", "dnsmasq did not come back with our file, which was taken away again")
        return False

    def _would_not_start(self, one: Instance) -> str:
        """What it would say of all its files now, "" for nothing."""
        return _complaint([one.program, "--test", *one.reads], PROGRAM_SECONDS) if one.reads else ""

    def _take_away(self, known: list[tuple[Instance, str]], setting: str) -> None:
        folders = {folder for _, folder in known} | ({setting} if setting.startswith("/") else set())
        there = [folder for folder in sorted(folders) if os.path.lexists(os.path.join(folder, NAME))]
        for folder in there:
            durable.remove(os.path.join(folder, NAME))
        durable.remove(self._given)
        if there and known:  # one that was stopped stays so
            self._start_anew()
            self._say("info", "dnsmasq does not fill our sets any more")

    def _comes_back(self, before: set[int]) -> bool:
        """Restarts it; whether as many as before run again. Only those that read folders are meant."""
        self._start_anew()
        until = time.monotonic() + BACK_SECONDS
        while time.monotonic() < until:
            now = {one.pid for one in self._find() if one.folders}
            if len(now) >= max(len(before), 1) and not now & before:
                return True
            time.sleep(POLL_SECONDS)
        return False

    def _start_anew(self) -> None:
        self.restarts += 1
        failed = _run(list(self._restart()), RESTART_SECONDS)
        if failed:
            self._say("warning", f"dnsmasq was not restarted: {failed}")

    def _is_read(self, one: Instance, folder: str, data: bytes) -> bool:
        """Whether it has read the file as it should be: it is there, and was when that one started."""
        path = os.path.join(folder, NAME)
        try:
            if durable.read_plain(path, LIMIT) != data:
                return False
            age = time.time() - os.stat(path).st_mtime
        except OSError:
            return False
        # A clock that is set says nothing about one that was looked at before.
        return self._loaded.get(one.pid) == data or time.clock_gettime(time.CLOCK_BOOTTIME) - one.begun <= age

    def _knows_nftset(self, program: str) -> bool:
        with contextlib.suppress(OSError):
            key = (program, os.stat(program).st_mtime if "/" in program else 0.0)
            if key not in self._versions:
                self._versions[key] = " nftset " in f"{_said([program, '--version'])} ".replace("\n", " ")
            return self._versions[key]
        return False

    def _leave(self, reason: str) -> None:
        self.reason, self.filled = reason, NOBODY


def _remove(path: str) -> None:
    """A file that is not there is no reason to ask a folder that may be read only."""
    if os.path.lexists(path):
        durable.remove(path)


def _usable(known: list[tuple[Instance, str]], setting: str) -> list[tuple[Instance, str]]:
    """One folder for each that runs: the one that the settings name, or one in memory."""
    found: dict[int, tuple[Instance, str]] = {}
    for one, folder in known:
        is_meant = folder == setting.rstrip("/") if setting.startswith("/") else dnsmasq_instance.is_in_ram(folder)
        if is_meant:
            found.setdefault(one.pid, (one, folder))
    return list(found.values())


def _said(words: list[str]) -> str:
    made = subprocess.run(words, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
    return made.stdout


def _run(words: list[str], seconds: float) -> str:
    """What went wrong, "" for nothing."""
    if not words:
        return "nobody would start it"
    try:
        return _complaint(words, seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)


def _complaint(words: list[str], seconds: float) -> str:
    """What the program found wrong, "" for nothing. Raises OSError, TimeoutExpired: it found nothing yet."""
    made = subprocess.run(words, capture_output=True, text=True, timeout=seconds, errors="replace", check=False)
    if made.returncode < 0:  # for want of memory, perhaps
        raise OSError(errno.EINTR, f"{words[0]} was ended by signal {-made.returncode}")
    said = (made.stderr or made.stdout).strip().split("\n")[-1][:200]
    return "" if made.returncode == 0 else said or f"it ended with {made.returncode}"
