"""What a boot finds: the configuration that was confirmed is the one that is read, and a bad one is left."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from netpolicy.dataplane import guard_files
from netpolicy.dataplane.pending import print_record
from tests.dataplane.followed import MAIL, OTHER, VIDEO
from tests.kernel.guarded import NEW_CONFIG, OLD_CONFIG, SHELLS, GuardedRouter, places, state
from tests.netns import needs_root
from tests.router import policy, router

pytestmark = [pytest.mark.kernel, needs_root]

BOOTS = tuple(f"6a1c7d5e-1111-4222-8333-44445555000{number}" for number in range(8))


class Rebooting(GuardedRouter):
    """A router that can boot: RAM and kernel begin anew, the flash stays."""

    def boot(self, number: int) -> int:
        """The boot hook runs; its status."""
        boot_id = Path(self.places.state).parent / "boot_id"
        boot_id.write_text(f"{BOOTS[number]}\n")
        program = Path(self.places.program)
        program.write_text(self.program_text.replace("/proc/sys/kernel/random/boot_id", str(boot_id)))
        for path in sorted(Path(self.places.state).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        return self.ask("recover").returncode

    def generation(self, number: int, content: bytes, healthy: bool = False) -> Path:
        """A generation in the store."""
        folder = Path(self.places.store, "generations", f"{number:06}")
        folder.mkdir(parents=True)
        (folder / "config").write_bytes(content)
        if healthy:
            (folder / "healthy").touch()
        return folder

    @property
    def current(self) -> str:
        """The generation that is confirmed."""
        return Path(self.places.store, "generations/current").read_text()

    @current.setter
    def current(self, number: int) -> None:
        Path(self.places.store, "generations/current").write_text(f"{number:06}\n")


@pytest.fixture(params=SHELLS)
async def booting(request: pytest.FixtureRequest, tmp_path: Path) -> Rebooting:
    return Rebooting(places(tmp_path, request.param))


@pytest.fixture
async def pending(tmp_path: Path) -> AsyncIterator[Rebooting]:
    """A change is pending, then the power fails."""
    with router():
        made = Rebooting(places(tmp_path))
        await made.follow(policy(VIDEO, MAIL))
        made.generation(1, OLD_CONFIG)
        made.current = 1
        await made.arm(policy(OTHER))
        os.kill(made.guard_process, signal.SIGKILL)
        yield made


async def test_after_a_power_cut_the_old_configuration_is_read_and_the_kernel_left_alone(pending):
    before = state()
    assert pending.boot(1) == 0
    assert pending.config == OLD_CONFIG
    assert (Path(pending.places.store) / "rejected").read_bytes() == NEW_CONFIG
    id_ = pending.guard.pending.id
    assert pending.guard.outcome() == f"reverted {id_} recovered at-boot"
    assert pending.current == "000001\n"
    assert state() == before


async def test_after_a_power_cut_dnsmasq_finds_what_was_confirmed_in_a_folder_that_is_kept(pending, tmp_path):
    folder, kept = tmp_path / "dnsmasq.d", pending.pending_folder / "old/names"
    for path in (folder, kept, tmp_path / "b", tmp_path / "c"):
        path.mkdir()
    old, names = b"nftset=/old/\n", ["dnsmasq.d/netpolicy.conf", "b/netpolicy.conf", "c/other.conf"]
    digest = hashlib.sha256(old).hexdigest()
    for name in names:
        (tmp_path / name).write_text("nftset=/new/\n")
    (kept / digest).write_bytes(old)
    words = [digest, "absent", "absent"]
    places = "".join(f"{word} {tmp_path}/{name}\n" for word, name in zip(words, names, strict=True))
    (kept / "places").write_text(places + "absent relative/netpolicy.conf\nx\n")
    assert pending.boot(1) == 0
    assert [(tmp_path / name).exists() and (tmp_path / name).read_bytes() for name in names] == [
        old, False, b"nftset=/new/\n"  # and never another file
    ]  # fmt: skip
    assert os.listdir(folder) == ["netpolicy.conf"] and (folder / "netpolicy.conf").stat().st_mode & 0o777 == 0o644


async def test_what_was_written_after_the_change_was_taken_back_stays(pending):
    assert pending.boot(1) == 0
    pending.write_config(b"# edited since\n")
    assert pending.boot(2) == 0
    assert pending.config == b"# edited since\n"


async def test_a_change_that_was_confirmed_is_the_current_one_after_a_power_cut(pending):
    assert await pending.guard.confirm(pending.guard.pending.nonce)
    pending.generation(2, NEW_CONFIG)
    assert pending.boot(1) == 0
    assert (pending.current, pending.config) == ("000002\n", NEW_CONFIG)
    assert pending.guard.outcome() == f"confirmed {pending.guard.pending.id} rolled-forward 2"


async def test_a_candidate_from_elsewhere_that_was_confirmed_becomes_the_configuration(pending):
    pending.write_config(OLD_CONFIG)
    assert await pending.guard.confirm(pending.guard.pending.nonce)
    pending.generation(2, NEW_CONFIG)
    assert pending.boot(1) == 0
    assert pending.config == NEW_CONFIG


async def test_where_there_was_no_file_there_is_none_again(pending):
    pending.guard.pending = replace(pending.guard.pending, old_sha256="absent")
    guard_files.write(pending.pending_folder / "record", print_record(pending.guard.pending).encode())
    assert pending.boot(1) == 0
    assert not pending.has_config
    assert (Path(pending.places.store) / "rejected").read_bytes() == NEW_CONFIG


async def test_a_process_of_the_same_number_after_a_reboot_is_not_the_daemon(pending):
    """This process has number and start time of the one in the record."""
    assert pending.boot(1) == 0
    assert pending.guard.outcome().startswith("reverted"), "and this process still runs"


async def test_what_stood_in_the_configuration_is_kept_three_times_more(pending):
    record = pending.pending_folder / "record"
    text = record.read_bytes()
    for number in range(5):
        pending.write_config(b"edit %d\n" % number)
        guard_files.write(record, text)
        (pending.pending_folder / "verdict").unlink(missing_ok=True)
        (pending.pending_folder / "outcome").unlink(missing_ok=True)
        assert pending.boot(1) == 0
        assert pending.config == OLD_CONFIG
    store = Path(pending.places.store)
    kept = [(store / name).read_bytes() for name in ("rejected", "rejected.1", "rejected.2", "rejected.3")]
    assert kept == [b"edit 4\n", b"edit 3\n", b"edit 2\n", b"edit 1\n"]


async def test_without_a_record_nothing_happens_whatever_is_left_of_an_arming(pending):
    (pending.pending_folder / "record").unlink()
    assert pending.boot(1) == 0
    assert pending.config == NEW_CONFIG and pending.guard.outcome() == ""


# -- boots that do not go well --------------------------------------------------------------------


def test_a_generation_that_is_never_well_is_left_at_its_third_boot(booting):
    booting.generation(5, b"five\n", healthy=True)
    booting.generation(6, b"six\n")
    booting.generation(7, NEW_CONFIG)
    booting.current = 7
    booting.write_config(NEW_CONFIG)
    for number in (1, 2):
        assert booting.boot(number) == 0
        assert (booting.config, booting.current) == (NEW_CONFIG, "000007\n")
        assert booting.ask("recover").returncode == 0, "the daemon starts, perhaps often: one boot is one boot"
    assert booting.boot(3) == 0
    assert (booting.config, booting.current) == (b"five\n", "000005\n"), "the last one that was well"
    assert booting.guard.outcome() == "fallback 7 5 unhealthy-boots"
    assert (Path(booting.places.store) / "rejected").read_bytes() == NEW_CONFIG
    assert (Path(booting.places.store) / "generations/000007/config").read_bytes() == NEW_CONFIG


def test_one_that_is_well_costs_the_flash_nothing(booting):
    folder = booting.generation(8, NEW_CONFIG)
    booting.current = 8
    assert booting.boot(1) == 0
    (folder / "healthy").touch()
    store = Path(booting.places.store)
    before = {path: path.stat().st_mtime_ns for path in (store, *store.rglob("*"))}
    for number in (2, 3, 4, 5):
        assert booting.boot(number) == 0
    assert {path: path.stat().st_mtime_ns for path in (store, *store.rglob("*"))} == before
    assert booting.guard.outcome() == ""


def test_the_first_generation_has_none_to_fall_back_to(booting):
    booting.generation(1, NEW_CONFIG)
    booting.current = 1
    booting.write_config(NEW_CONFIG)
    for number in range(1, 6):
        assert booting.boot(number) == 0
    assert (booting.config, booting.current, booting.guard.outcome()) == (NEW_CONFIG, "000001\n", "")


@pytest.mark.parametrize("current", ["", "7\n", "00000x\n", "000099\n", "$(id)\n", "../../../etc\n"])
def test_an_odd_current_is_nobody_to_count(booting, current):
    booting.generation(7, NEW_CONFIG)
    Path(booting.places.store, "generations/current").write_text(current)
    for number in (1, 2, 3, 4):
        assert booting.boot(number) == 0
    assert booting.guard.outcome() == "" and booting.config == OLD_CONFIG


def test_a_number_with_zeros_is_not_octal(booting):
    booting.generation(9, b"nine\n")
    booting.generation(10, NEW_CONFIG)
    booting.current = 10
    booting.write_config(NEW_CONFIG)
    for number in (1, 2, 3):
        assert booting.boot(number) == 0
    assert (booting.config, booting.current) == (b"nine\n", "000009\n")
