"""What cannot be trusted is not used: damaged bundles, odd records, packets of a moment in between."""

from __future__ import annotations

import contextlib
import operator
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from netpolicy.dataplane import guard_files
from netpolicy.dataplane.guard import GuardPlaces
from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.record import replace
from tests.dataplane.followed import OTHER
from tests.kernel.guarded import NEW_CONFIG, OLD_CONFIG, SHELLS, GuardedRouter, applier, places, state
from tests.netns import Namespace, needs_root, run
from tests.router import WAN_A, WAN_B, of_others, policy, router, rule

pytestmark = [pytest.mark.kernel, needs_root]

SERVER = "203.0.113.9"
# What goes to the server goes by line B or not at all; main would send it by line A.
SEALED = policy(
    Entry(rule("secret", dest_addr="203.0.113.0/24"), 2),
    lines=(replace(WAN_A, leaves_by=("wana",)), replace(WAN_B, sealed=True, leaves_by=("wanb",))),
    ways_out=("wana", "wanb"),
)
CANDIDATE = policy(OTHER)


@dataclass
class Scene:
    """The router, a client in its LAN, and a provider behind each line that both have the server's address."""

    guarded: GuardedRouter
    client: Namespace
    providers: dict[str, Namespace]
    servers: dict[str, socket.socket]

    def send(self, count: int, first: int = 10000) -> None:
        """So many new connections of the client, one packet each."""
        with self.client.entered():
            for number in range(count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                    one.bind(("", first + number))
                    one.sendto(b"x", (SERVER, 443))

    def arrived(self, *wanted: int) -> tuple[int, ...]:
        """How many came by A and by B since it was asked last: so many, and what else comes within a moment."""
        counts = dict.fromkeys(self.servers, 0)
        until = time.monotonic() + 30
        while True:
            time.sleep(0.05)
            for name, server in self.servers.items():
                with contextlib.suppress(BlockingIOError):
                    while server.recv(10):
                        counts[name] += 1
            found = tuple(counts.values())
            if all(map(operator.ge, found, wanted)) or time.monotonic() > until:
                return found

    def reaches_the_router(self) -> bool:
        """Whether a new connection from the LAN to the router works."""
        with socket.create_server(("192.168.1.1", 22)), self.client.entered():
            try:
                socket.create_connection(("192.168.1.1", 22), 20).close()
            except OSError:
                return False
        return True


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    with router() as here, Namespace() as client, Namespace() as a, Namespace() as b:
        far = {
            "lan_far": (client, "192.168.1.10/24"),
            "wana_far": (a, "192.0.2.1/24"),
            "wanb_far": (b, "198.51.100.1/24"),
        }
        for name, (end, address) in far.items():
            run("ip", "link", "set", name, "netns", end.path)
            end.run("ip", "addr", "add", address, "dev", name)
            end.run("ip", "link", "set", name, "up")
        client.run("ip", "route", "add", "default", "via", "192.168.1.1")
        servers = {}
        for name, end in (("a", a), ("b", b)):
            end.run("ip", "addr", "add", f"{SERVER}/32", "dev", "lo")
            end.sysctl("net/ipv4/conf/all/rp_filter", 0)
            for device in ("wana_far", "wanb_far"):
                if Path(f"/proc/sys/net/ipv4/conf/{device}").exists():
                    end.sysctl(f"net/ipv4/conf/{device}/rp_filter", 0)
            with end.entered():
                servers[name] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                servers[name].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
                servers[name].bind((SERVER, 443))
        here.sysctl("net/ipv4/conf/all/rp_filter", 0)
        made = GuardedRouter(places(tmp_path, getattr(request, "param", "dash")))
        yield Scene(made, client, {"a": a, "b": b}, servers)
        for one in servers.values():
            one.close()


async def sealed(scene: Scene) -> None:
    """The old policy is in force and works; the candidate has taken its place."""
    guarded = scene.guarded
    await guarded.follow(SEALED)
    scene.send(3, 2000)
    assert scene.arrived(0, 3) == (0, 3)
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    scene.send(3, 3000)
    assert scene.arrived(3, 0) == (3, 0)


async def test_a_bundle_that_was_damaged_later_means_rescue_and_the_lan_administers_the_router(scene):
    await sealed(scene)
    others = of_others()
    with open(scene.guarded.guard_folder / "bundle/table.nft", "a") as file:  # noqa: ASYNC230
        file.write("delete table inet other\n")
    scene.guarded.daemon_dies()
    id_ = scene.guarded.guard.pending.id
    assert scene.guarded.wait_for_outcome() == f"rescue {id_} the-daemon-died closed"
    assert scene.reaches_the_router()
    scene.send(20, 4000)
    assert scene.arrived(0, 0) == (0, 0), "what was sealed stays closed"
    assert of_others() == others
    assert "proto 78" not in run("ip", "rule") + run("ip", "route", "show", "table", "all")
    assert "netpolicy_gate" not in run("nft", "list", "tables")
    assert scene.guarded.config == OLD_CONFIG
    # The daemon that comes back puts the rules in force again.
    await GuardedRouter(scene.guarded.places).follow(SEALED)
    scene.send(3, 5000)
    assert scene.arrived(0, 3) == (0, 3)
    await scene.guarded.guard.finish()


@pytest.mark.parametrize("scene", SHELLS, indirect=True)
async def test_where_nothing_can_be_trusted_nothing_is_forwarded_and_the_router_is_reached(scene):
    await sealed(scene)
    for name in ("table.nft", "rescue.nft", "gate.nft"):
        (scene.guarded.guard_folder / "bundle" / name).write_text("flush ruleset\n")
    others = of_others()
    scene.guarded.daemon_dies()
    assert scene.guarded.wait_for_outcome().startswith("rescue")
    assert scene.reaches_the_router()
    scene.send(5, 4000)
    assert scene.arrived(0, 0) == (0, 0)
    assert of_others() == others
    await scene.guarded.guard.finish()


async def test_a_bundle_that_is_gone_means_rescue_too(scene):
    await sealed(scene)
    run("rm", "-r", str(scene.guarded.guard_folder / "bundle"))
    scene.guarded.daemon_dies()
    assert scene.guarded.wait_for_outcome().startswith("rescue")
    assert scene.reaches_the_router()
    await scene.guarded.guard.finish()


async def test_not_one_packet_of_a_sealed_line_leaves_by_another_while_it_is_led_back(scene):
    """From the old state to the old state: at no moment may a new connection go where main would send it."""
    guarded = scene.guarded
    many = [Entry(rule(f"r{n}", dest_addr=f"10.{n}.0.0/16", dest_port=str(n + 1)), 1) for n in range(200)]
    old = policy(*SEALED.entries, *many, lines=SEALED.lines, ways_out=SEALED.ways_out)
    await guarded.follow(old)
    await guarded.arm(CANDIDATE)
    os.kill(guarded.guard_process, signal.SIGKILL)
    folder = str(guarded.guard_folder / "bundle")
    over = threading.Event()

    def flood() -> None:
        with scene.client.entered():
            port = 0
            while not over.is_set():
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                    one.bind(("", 1024 + port))
                    for target in range(1, 250):
                        one.sendto(b"x", (f"203.0.113.{target}", 443 + port % 1000))
                port = (port + 1) % 60000

    by_a = _sent("wana")
    by_b = _sent("wanb")
    sender = threading.Thread(target=flood)
    sender.start()
    try:
        for _ in range(8):
            assert guarded.ask("try", folder, "whole").returncode == 0, guarded.log
    finally:
        over.set()
        sender.join()
    assert _sent("wanb") > by_b + 2000, "the flood went on"
    assert _sent("wana") - by_a < 10, "but for what the router itself says there"
    await guarded.guard.finish()


def _sent(device: str) -> int:
    """Packets that left by the device. /sys shows another namespace's devices."""
    listed = run("ip", "-s", "link", "show", "dev", device).splitlines()
    place = next(number for number, line in enumerate(listed) if "TX:" in line)
    return int(listed[place + 1].split()[1])


# -- records ------------------------------------------------------------------------------------


@pytest.fixture
async def armed(tmp_path: Path) -> Iterator[GuardedRouter]:
    with router():
        made = GuardedRouter(places(tmp_path))
        await made.follow(SEALED)
        await made.arm(CANDIDATE)
        os.kill(made.guard_process, signal.SIGKILL)
        yield made
        await made.guard.finish()


def odd_records(text: str, folder: Path) -> Iterator[str]:
    """What a damaged flash or a hostile hand may leave."""
    rng = random.Random(5)
    trap = f"touch {folder}/trapped"
    for key in ("ID", "CONFIG", "DEADLINE", "STORE", "APPLIER_PID", "OLD"):
        for value in (f"$({trap})", f"`{trap}`", f";{trap}", "x\\", "", "../../etc", "-e", "*", "a b", "010", "'"):
            yield re.sub(rf"^{key}=.*$", lambda _, key=key, value=value: f"{key}={value}", text, flags=re.M)
    yield ""
    yield text * 2
    yield text.replace("=", "")
    yield text + f"\n{trap}\n"
    yield text + f"LD_PRELOAD=/tmp/x\n$({trap})=1\n"
    yield "x" * 100_000
    yield text.replace("\n", "")
    for _ in range(12):
        data = bytearray(text.encode())
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.choice(b"\x00\n=$`;|&<>*?[]{}'\" \xff")
        yield data.decode("latin-1")
    for length in (1, 40, 200, 500):
        yield text[:length]


@pytest.mark.parametrize("shell", SHELLS)
async def test_an_odd_record_is_refused_and_nothing_of_it_is_run(armed, tmp_path, shell):
    record = armed.pending_folder / "record"
    text = record.read_text()
    before = state()
    folder = tmp_path / "records"
    folder.mkdir()
    for number, odd in enumerate(odd_records(text, tmp_path)):
        (folder / f"{number:03}").write_text(odd, encoding="latin-1")
    # The script up to its commands, then all records in one process: those that it takes stand on a line.
    program = armed.program_text.partition('[ "$#" -gt 0 ] || {')[0]
    each = tmp_path / "each"
    each.write_text(program + 'set +f\nfor RECORD in "$@"; do parse_record 2>/dev/null && echo "$RECORD"; done; :\n')
    words = [*SHELLS[shell], str(each), "--store", armed.places.store, "--run", armed.places.state]
    assert run(*words, str(record)) == f"{record}\n"
    assert run(*words, *map(str, sorted(folder.iterdir()))) == ""
    record.write_text(text.replace("STATE=armed", f"STATE=$(touch {tmp_path}/trapped)"))
    for command in ("watch", "revert", "status"):
        assert armed.ask(command).returncode == 4
    assert "cannot be trusted" in armed.log
    assert state() == before and not (tmp_path / "trapped").exists()


async def test_a_record_that_becomes_unreadable_while_it_is_watched_still_counts(armed):
    with applier() as daemon:
        armed.applier_is(daemon.pid)
        process = armed.start("watch")
        armed.await_guard(process)
        await armed.follow(CANDIDATE)
        # Seen once, then damaged: what it said holds.
        guard_files.write(armed.pending_folder / "record", b"nothing that anybody understands\n")
        daemon.kill()
    assert armed.wait_for_outcome().startswith(f"reverted {armed.guard.pending.id} the-daemon-died by-guard")
    assert armed.config == OLD_CONFIG
    process.wait(60)


async def test_with_a_record_that_says_nothing_the_saved_configuration_is_put_back_at_boot(armed):
    record = armed.pending_folder / "record"
    record.write_bytes(record.read_bytes()[:100])
    assert armed.config == NEW_CONFIG
    assert armed.ask("recover").returncode == 4
    assert armed.config == OLD_CONFIG
    assert (Path(armed.places.store) / "rejected").read_bytes() == NEW_CONFIG
    assert armed.guard.outcome() == "reverted unknown unreadable-record at-boot"


@pytest.mark.parametrize("nonce", ["0" * 32, "", "$(id)"])
async def test_a_confirmation_with_another_nonce_is_none(armed, nonce):
    await armed.follow(CANDIDATE)
    (armed.pending_folder / "verdict").write_text(f"confirmed {nonce}\n")
    armed.daemon_dies()
    assert armed.ask("recover").returncode == 0
    assert armed.guard.outcome().startswith("reverted") and armed.config == OLD_CONFIG


@pytest.mark.parametrize(("damaged", "outcome"), [(False, "reverted"), (True, "rescue")])
async def test_with_full_ram_it_is_led_back_or_closed_all_the_same(tmp_path, damaged, outcome):
    with router():
        made = GuardedRouter(places(tmp_path))
        ram = Path(made.places.state)
        run("mount", "-t", "tmpfs", "-o", "size=512k", "none", str(ram))
        try:
            await made.follow(SEALED)
            old = state()
            await made.arm(CANDIDATE)
            await made.follow(CANDIDATE)
            if damaged:
                (ram / "guard/bundle/table.nft").write_text("")
            os.kill(made.guard_process, signal.SIGKILL)
            made.daemon_dies()
            fill(ram)
            assert made.ask("watch").returncode == 0
            assert made.guard.outcome().startswith(f"{outcome} {made.guard.pending.id} the-daemon-died")
            assert made.config == OLD_CONFIG
            if damaged:
                assert "rescue_np" in run("nft", "list", "table", "inet", "netpolicy")
            else:
                assert state() == old, made.log
        finally:
            run("umount", "--lazy", str(ram))


@pytest.mark.parametrize("shell", SHELLS)
def test_with_full_ram_one_alone_has_the_lock_and_one_that_died_has_it_no_more(tmp_path, shell):
    where = places(tmp_path, shell)
    program = tmp_path / "each"
    program.write_text(
        Path(where.program).read_text().partition('[ "$#" -gt 0 ] || {')[0]
        + '[ "${1:-}" != die ] || { take_lock && kill -9 $$; }\n'
        + "take_lock && lock_number && { read -r _; give_lock; }\n:\n"
    )
    command = [*SHELLS[shell], str(program), "--run", where.state]
    run("mount", "-t", "tmpfs", "-o", "size=64k", "none", where.state)
    try:
        Path(where.guard).mkdir()
        fill(Path(where.state))
        assert subprocess.run([*command, "die"], check=False).returncode == -signal.SIGKILL
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout.readline() == "2\n", "and not that of the dead one"
            assert run(*command) == "", "somebody has it"
            holder.communicate("\n", 60)
        assert run(*command, text="\n") == "2\n", "it was given back"
    finally:
        run("umount", "--lazy", where.state)


async def test_with_a_full_disk_it_is_led_back_all_the_same(tmp_path):
    with router():
        folder = tmp_path / "flash"
        folder.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=160k", "none", str(folder))
        try:
            # As on a router: configuration and store are in one file system.
            made = GuardedRouter(places(folder))
            made.places = made.guard.places = GuardPlaces(
                made.places.config, made.places.store, str(tmp_path / "run"), made.places.program
            )
            await made.follow(SEALED)
            old = state()
            await made.arm(CANDIDATE)
            await made.follow(CANDIDATE)
            os.kill(made.guard_process, signal.SIGKILL)
            made.daemon_dies()
            fill(folder)
            assert made.ask("watch").returncode == 0
            assert state() == old and made.config == OLD_CONFIG, made.log
            assert made.guard.verdict() == "revert by-guard"
            assert made.guard.outcome() == f"reverted {made.guard.pending.id} disk-full by-guard"
            assert (Path(made.places.store) / "rejected").read_bytes() == NEW_CONFIG
        finally:
            run("umount", "--lazy", str(folder))


def fill(folder: Path) -> None:
    """Not one byte is left."""
    with contextlib.suppress(OSError), open(folder / "ballast", "wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
