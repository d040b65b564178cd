"""A boot: what long lists and names seal is sealed before the daemon is there, for both families.

The same power cut as in test_boot_leaks.py; here the sealed rule asks a list of 20 000 networks, or a name. With a
dnsmasq that runs at the boot: test_names.py.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpolicy.core.address import V4, V6, format_address, parse_address
from netpolicy.core.field import parse_field
from netpolicy.dataplane import boot_lists, packed
from netpolicy.dataplane.boot_lock import render
from netpolicy.dataplane.learned_sets import base_name, set_name
from netpolicy.dataplane.names import SCHEMA
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.record import replace
from tests.acceptance.leaks import CONFIG, MAIN_BY_B, Cables
from tests.daemon.running import netpolicyd, until
from tests.dataplane.followed import MAIL, VIDEO
from tests.kernel.booting import Booting, often
from tests.kernel.guarded import SHELLS, places
from tests.kernel.streams import SERVER, place
from tests.netns import Namespace, needs_root, run
from tests.router import WAN_A, WAN_B, policy

pytestmark = [pytest.mark.kernel, needs_root]

EVERY = {f"{family} {protocol}" for family in ("IPv4", "IPv6") for protocol in (6, 17)}
LIST = CONFIG.replace("\tlist dest_port '4791'\n", "\tlist dest_port '4791'\n\tlist dest_addr '@long'\n")
NAME = CONFIG.replace("\tlist dest_port '4791'\n", "\tlist dest_port '4791'\n\tlist domain 'video.example.net'\n")


def networks(family: int, count: int) -> list[str]:
    """So many of them, in no order; the far side is in the last one."""
    step, first, length = (256, 11 << 24, 25) if family == V4 else (1 << 65, 0x2002 << 112, 64)
    found = [f"{format_address(family, first + number * step)}/{length}" for number in range(count - 1)]
    random.Random(4).shuffle(found)
    return [*found, SERVER[family]]


def text(*counts: int) -> str:
    """A list with so many of each family."""
    return "\n".join(networks(V4, counts[0]) + networks(V6, counts[1]))


@pytest.fixture
def file(tmp_path) -> Path:
    """Of the list."""
    return tmp_path / "long"


@pytest.fixture
def booting(tmp_path, file, request) -> Iterator[Booting]:
    """A router that has its power still, with the configuration of the test."""
    section = f"config list 'long'\n\toption file '{file}'\n" if "@long" in request.param[0] else ""
    file.write_text(text(*request.param[1:]) if section else "")
    with place() as where, netpolicyd(tmp_path, request.param[0] + section) as daemon:
        run("ip", "-batch", "-", text=MAIN_BY_B)
        daemon.settled()
        until(lambda: (daemon.store / "generations/current").exists())
        yield Booting(where, daemon)


def leaking(booting: Booting, wanted: set[str] = EVERY) -> set[str]:
    """What leaves by line B, while there is no daemon: this, and whatever else does meanwhile."""
    with Cables(booting.where) as cables:
        booting.leaks(cables)
        with contextlib.suppress(AssertionError):
            until(lambda: by_b(cables) >= wanted)
        return by_b(cables)


def by_b(cables: Cables) -> set[str]:
    return {one.split(" ", 1)[1] for one in list(cables.leaks)}


def digests() -> dict[str, bytes]:
    """What our long sets hold."""
    with NftLink("netpolicy") as link:
        return {name: link.folded(name, packed.digest) for name in link.sets() if boot_lists.part_of(f"{name}.0.1")}


def part_with(booting: Booting, family: int) -> str:
    """The file that has the far side's address."""
    wanted = parse_address(SERVER[family])[1]
    for one in booting.lock.glob(f"l{family}_*"):
        if any(low <= wanted <= high for low, high in boot_lists.unpack(one.name, one.read_bytes())):
            return one.name
    raise AssertionError("it is in none")


def reloaded(booting: Booting, number: int, further: str = "") -> None:
    """The configuration is read again, and kept as that generation."""
    booting.daemon.config.write_text(booting.daemon.config.read_text() + further)
    booting.daemon.send(signal.SIGHUP)
    current = booting.daemon.store / "generations/current"
    until(lambda: current.read_text() == f"{number:06d}\n", 60)
    booting.lock = booting.daemon.store / f"generations/{number:06d}/lock"


@pytest.mark.parametrize("booting", [(LIST, 20_000, 5_000)], indirect=True)
def test_what_a_long_list_seals_is_sealed_from_the_first_packet_on(booting):
    until(lambda: booting.daemon.call("plan")["changes"] == [])
    usual = digests()
    booting.lose_power()
    assert leaking(booting) == EVERY  # nothing of ours is there
    done = booting.guard("lock")
    assert done.returncode == 0, done.stderr
    assert digests() == usual and len(usual) == 2
    with Cables(booting.where) as cables:
        assert booting.leaks(cables) == []
        booting.daemon.start()
        until(lambda: often(cables) == {f"eth0 {one}" for one in EVERY})
        assert booting.leaks(cables) == []
    assert booting.daemon.settled()["kernel"]["in_sync"]
    until(lambda: booting.daemon.call("plan")["changes"] == [])
    assert digests() == usual


@pytest.mark.parametrize("booting", [(LIST, 9_000, 9_000)], indirect=True)
def test_another_list_makes_another_lock_and_what_is_damaged_is_told_and_leaves_the_rest_closed(booting, file):
    first = booting.lock
    file.write_text("\n".join(networks(V4, 9_000)[:-1] + networks(V6, 9_000)))
    reloaded(booting, 2)
    linked = {one.name for one in booting.lock.glob("l?_*") if one.stat().st_nlink == 2}
    assert linked == {one.name for one in first.glob("l6_*")} and len(linked) == 2  # the flash is not written again
    booting.lose_power()
    assert booting.guard("lock").returncode == 0
    other = {"IPv4 6", "IPv4 17"}
    assert leaking(booting, other) == other  # the list of now is in it, not the one before
    whole = (booting.lock / part_with(booting, 6)).read_bytes()
    (booting.lock / part_with(booting, 6)).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    booting.forget()
    done = booting.guard("lock")
    assert done.returncode == 1 and "it is damaged; its addresses are not in their set" in done.stderr
    usual = digests()
    assert leaking(booting) == EVERY and len(usual) == 2
    (booting.programs / "netpolicyd").write_text("#!/bin/sh\nexit 1\n")
    booting.forget()
    done = booting.guard("lock")
    assert done.returncode == 1 and "not all long lists" in done.stderr
    assert all(digests()[name] != digest for name, digest in usual.items())  # the other parts were there
    for one in booting.lock.glob("l4_*"):
        one.unlink()
    (booting.programs / "netpolicyd").write_text("#!/bin/sh\n")
    booting.forget()
    done = booting.guard("lock")
    missing = next(name for name in usual if name.startswith("l4_"))
    assert done.returncode == 1 and f"long lists are missing ({missing})" in done.stderr


DNSMASQ = """#!/bin/sh
case "$1" in
--version) echo "Compile time options: IPv6 {} ipset" ;;
--test) exit {} ;;
esac
"""


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("program", [("no-nftset", 0), ("nftset", 1), ("nftset", 0)], ids=["without", "no", "yes"])
def test_a_dnsmasq_that_would_not_start_with_our_file_does_not_get_it(tmp_path, shell, program):
    where = places(tmp_path, shell)
    lock = Path(where.store) / "generations/000001/lock"
    lock.mkdir(parents=True)
    (lock.parents[1] / "current").write_text("000001\n")
    texts = {"table.nft": f"add table inet netpolicy\nadd chain inet netpolicy {SCHEMA}\n", "classes.json": "{}\n"}
    texts |= {"dnsmasq.conf": "# ours\n", "folders": f"../x\n{tmp_path}/dnsmasq.cfg01.d\n", "ip4": "", "ip6": ""}
    for name, text in texts.items():
        (lock / name).write_text(text)
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs/dnsmasq").write_text(DNSMASQ.format(*program))
    (tmp_path / "programs/dnsmasq").chmod(0o755)
    path = f"{tmp_path}/programs:{os.environ['PATH']}"
    command = [where.program, "--store", where.store, "--run", where.state, "lock"]
    with Namespace() as router, router.entered():
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})
        assert "netpolicy" in run("nft", "list", "tables")  # the rest is closed in any case
    given = tmp_path / "dnsmasq.cfg01.d/netpolicy.conf"
    assert done.returncode == 1 and given.exists() == (program == ("nftset", 0)), done.stderr
    if given.exists():
        assert given.read_text() == "# ours\n" and given.stat().st_mode & 0o777 == 0o644
        assert given.parent.stat().st_mode & 0o777 == 0o755 and "../x/netpolicy.conf cannot be written" in done.stderr
        assert (Path(where.state) / "dnsmasq.conf").read_text() == "# ours\n"
        assert (Path(where.state) / "dnsmasq.folders").read_text() == texts["folders"]  # for the end of the service
    else:
        assert "dnsmasq does not take our file" in done.stderr


def damaged(lock: Path, name: str, how: str) -> None:
    path = lock / name
    text = path.read_text()
    path.unlink()
    if how == "cut":  # at the end of a line: nft or ip take what is left
        path.write_text("".join(text.splitlines(keepends=True)[:-1]))
    elif how == "pipe":
        os.mkfifo(path)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_text_that_was_cut_or_is_no_file_is_told_and_the_boot_goes_on(tmp_path, shell):
    where = places(tmp_path, shell)
    lock = Path(where.store) / "generations/000001/lock"
    command = [where.program, "--store", where.store, "--run", where.state, "lock"]
    texts = render(
        policy(
            VIDEO,
            replace(MAIL, blocks=True),
            lines=(replace(WAN_A, sealed=True, leaves_by=("wana",)), replace(WAN_B, leaves_by=("wanb",))),
            ways_out=("wana", "wanb"),
        ),
        {"wan_a": 1, "wan_b": 2},
    )
    for name, how, closed in (
        ("", "", True), ("table.nft", "cut", True), ("ip4", "cut", True), ("ip6", "gone", True), ("ip4", "pipe", True),
        ("classes.json", "pipe", True), ("table.nft", "pipe", False), ("table.nft", "gone", False),
    ):  # fmt: skip
        shutil.rmtree(where.store)
        lock.mkdir(parents=True)
        (lock.parents[1] / "current").write_text("000001\n")
        for file, text in texts.items():
            (lock / file).write_text(text)
        if name:
            damaged(lock, name, how)
        with Namespace() as router, router.entered():
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            assert ("netpolicy" in run("nft", "list", "tables")) == closed, (name, how, done.stderr)
        assert done.returncode == bool(name) and ("is damaged" in done.stderr) == bool(name), (name, how, done.stderr)
        assert ("is closed already" in done.stderr) != bool(name)


@pytest.mark.parametrize("booting", [(NAME,)], indirect=True)
def test_addresses_that_a_name_had_when_it_was_kept_are_sealed_at_the_boot(booting):
    base = base_name(parse_field("domain", ("video.example.net",)))
    for family in (4, 6):
        run("nft", f"add element inet netpolicy {set_name(base, family)} {{ {SERVER[family]} }}")  # as dnsmasq does
    until(lambda: booting.daemon.call("status")["inspector"]["names"]["addresses"] == 2)
    reloaded(booting, 2, "config rule 'other'\n\tlist dest_port '9'\n\toption route 'b'\n")
    booting.lose_power()
    assert leaking(booting) == EVERY
    done = booting.guard("lock")
    assert done.returncode == 0, done.stderr
    assert "timeout 23h" in run("nft", "list", "set", "inet", "netpolicy", set_name(base, 4))
    with Cables(booting.where) as cables:
        assert booting.leaks(cables) == []
        booting.daemon.start()
        until(lambda: often(cables) == {f"eth0 {one}" for one in EVERY})
        assert booting.leaks(cables) == []
    until(lambda: booting.daemon.call("plan")["changes"] == [])
