"""Which dnsmasq runs here, which folders it reads lines of others from, and who starts it again.

Only looks: at /proc, at the files that dnsmasq itself was given, at what there is to restart it. What another network
namespace runs is none of ours. Arguments: dnsmasq(8); a jail of OpenWrt shows the same paths as the host.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

PROC = "/proc"
PROGRAM = "dnsmasq"
USUAL_FILE = "/etc/dnsmasq.conf"

LONGEST_FILE = 1 << 20
MOST_FILES = 32  # that include each other
IN_RAM = ("tmpfs", "ramfs")

# By what is there: OpenWrt's script (systems without procd have scripts of that name too), else systemd.
OPENWRT = ("/etc/rc.common", "/etc/init.d/dnsmasq")
SYSTEMD = "/run/systemd/system"


class Instance(NamedTuple):
    """One that runs. `folders`: every file in them is read when it starts, but for names that begin with a dot.

    `reads`: the arguments that say which files it reads, for a `--test` of what it would start with now.
    """

    pid: int
    program: str
    folders: tuple[str, ...]
    begun: float  # seconds since the boot
    reads: tuple[str, ...] = ()


def instances(proc: str = PROC) -> tuple[Instance, ...]:
    """Those in our network namespace."""
    return tuple(_instances(proc))


def _instances(proc: str) -> Iterator[Instance]:
    try:
        own = os.readlink(f"{proc}/self/ns/net")
        numbers = sorted(int(name) for name in os.listdir(proc) if name.isdigit())
    except OSError:
        return
    for pid in numbers:
        try:
            if _read(f"{proc}/{pid}/comm").strip() != PROGRAM or os.readlink(f"{proc}/{pid}/ns/net") != own:
                continue
            words = _read(f"{proc}/{pid}/cmdline").split("\0")
            told = _read(f"{proc}/{pid}/stat").rpartition(")")[2].split()
            parent, begun = int(told[1]), int(told[19]) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            continue  # it has just ended
        if not words[0] or _is_dnsmasq(proc, parent):
            continue  # it has ended, and nobody asked how; or it is a child that answers one client by TCP
        yield Instance(pid, words[0] or PROGRAM, _folders(words[1:]), begun, _reads(words[1:]))


def _is_dnsmasq(proc: str, pid: int) -> bool:
    try:
        return _read(f"{proc}/{pid}/comm").strip() == PROGRAM
    except OSError:
        return False


def _folders(words: list[str]) -> tuple[str, ...]:
    """The folders that arguments name, or the files that they name."""
    found = [value for value in _values(words, "7", "conf-dir")]
    waiting = _values(words, "C", "conf-file") or [USUAL_FILE]
    seen: set[str] = set()
    while waiting and len(seen) < MOST_FILES:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            lines = _read(name).split("\n")
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip() == "conf-dir":
                found.append(value.strip())
            elif key.strip() == "conf-file":
                waiting.append(value.strip())
    # "folder,.old,*.conf": what is left out, and what alone is read
    return tuple(dict.fromkeys(one.split(",")[0].rstrip("/") for one in found if one.startswith("/") and _is_read(one)))


def _reads(words: list[str]) -> tuple[str, ...]:
    files = [f"--conf-file={value}" for value in _values(words, "C", "conf-file")]
    return (*files, *(f"--conf-dir={value}" for value in _values(words, "7", "conf-dir")))


def _is_read(value: str) -> bool:
    """Whether a file that ends in .conf is."""
    filters = value.split(",")[1:]
    only = [one for one in filters if one.startswith("*")]
    return ".conf" not in filters and (not only or "*.conf" in only or "*" in only)


def _values(words: list[str], short: str, long: str) -> list[str]:
    found = []
    for place, word in enumerate(words):
        if word in (f"-{short}", f"--{long}"):
            found += words[place + 1 : place + 2]
        elif word.startswith(f"--{long}="):
            found.append(word.partition("=")[2])
        elif word.startswith(f"-{short}") and not word.startswith("--"):
            found.append(word[2:])
    return found


def is_in_ram(folder: str, proc: str = PROC) -> bool:
    """Whether a folder is gone with the next boot: it may be written to as often as rules change."""
    best, kind = "", ""
    try:
        real = os.path.realpath(folder)
        for line in _read(f"{proc}/self/mounts").split("\n"):
            words = line.split(" ")
            if len(words) > 2:
                mount = words[1].encode().decode("unicode_escape").rstrip("/")
                if (real == mount or real.startswith(mount + "/")) and len(mount) >= len(best):
                    best, kind = mount, words[2]
    except (OSError, UnicodeError):
        return False
    return kind in IN_RAM


def restart_command() -> tuple[str, ...]:
    """What starts it again, () where nobody would."""
    if all(os.path.exists(path) for path in OPENWRT):
        return (OPENWRT[1], "restart")
    return ("systemctl", "restart", "dnsmasq.service") if os.path.isdir(SYSTEMD) else ()


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read(LONGEST_FILE)
