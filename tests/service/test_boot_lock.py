"""What a boot loads stands beside its generation: whole, once, and only where something is closed."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from netpolicy import __version__
from netpolicy.dataplane.boot_lock import NOTHING, Known
from netpolicy.dataplane.learned_sets import base_name
from netpolicy.dataplane.names import SCHEMA
from netpolicy.observe import durable
from netpolicy.service import boot_lock
from netpolicy.service.boot_lock import LIMIT, TooLong, keep
from netpolicy.service.change import AWAITING
from netpolicy.service.generation import size_of
from tests.netns import needs_root, run
from tests.power import memory_folder
from tests.router import router
from tests.service.changing import ChangingHouse
from tests.service.parts import CONFIG

TEXTS = {"table.nft": "add table inet netpolicy\n", "ip4": "", "ip6": "", "classes.json": "{}\n"}


def kept(folder):
    return {one.name: one.read_text() for one in (folder / "lock").iterdir()}


def test_it_is_kept_once_and_replaced_as_a_whole(tmp_path):
    assert keep(str(tmp_path), TEXTS) and kept(tmp_path) == TEXTS
    before = os.stat(tmp_path / "lock").st_ino
    assert not keep(str(tmp_path), TEXTS)
    assert os.stat(tmp_path / "lock").st_ino == before  # flash: nothing was written
    assert keep(str(tmp_path), {"table.nft": "another\n"}) and kept(tmp_path) == {"table.nft": "another\n"}
    assert keep(str(tmp_path), {}) and os.listdir(tmp_path) == []
    assert not keep(str(tmp_path), {})


def test_what_a_death_left_half_written_is_not_taken_for_it(tmp_path):
    (tmp_path / "lock.new").mkdir()
    (tmp_path / "lock.new/table.nft").write_text("add ta")
    assert keep(str(tmp_path), TEXTS) and kept(tmp_path) == TEXTS
    assert os.listdir(tmp_path) == ["lock"]


@pytest.fixture
def memory():
    with memory_folder() as folder:
        yield folder


class Death(BaseException):
    """Of the process, or the power."""


def die_at(monkeypatch, step):
    """At that change of names or contents, before it is made."""
    left = [step]

    def dying(real):
        def made(*given, **named):
            left[0] -= 1
            if left[0] == 0:
                raise Death
            return real(*given, **named)

        return made

    for name in ("rename", "unlink", "rmdir", "mkdir", "write", "link"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))


def loaded_by_a_boot(folder):
    """As the guard chooses it."""
    found = next((one for one in (folder / "lock", folder / "lock.old") if one.is_dir()), None)
    return {one.name: one.read_text() for one in found.iterdir()} if found else None


@pytest.mark.parametrize("after", [{**TEXTS, "table.nft": "another\n"}, {}])
def test_whenever_the_power_fails_a_boot_finds_the_whole_one_or_the_one_before(memory, monkeypatch, after):
    steps = 0
    for step in range(1, 100):
        folder = memory / str(step)
        folder.mkdir()
        keep(str(folder), TEXTS)
        with monkeypatch.context() as dying, contextlib.suppress(Death):
            die_at(dying, step)
            keep(str(folder), after)
            break
        assert loaded_by_a_boot(folder) in (TEXTS, after or None)
        for again in range(1, 20):  # and in the one that mends it
            with monkeypatch.context() as dying, contextlib.suppress(Death):
                die_at(dying, again)
                keep(str(folder), after)
            assert loaded_by_a_boot(folder) in (TEXTS, after or None)
        keep(str(folder), after)
        assert loaded_by_a_boot(folder) == (after or None) and len(os.listdir(folder)) == bool(after)
        steps = step
    assert steps >= 6


def test_what_another_generation_or_the_lock_before_has_is_linked_and_not_written(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    long = bytes(100_000)
    keep(str(first), TEXTS, {"l4_a": long, "l4_b": b"\2"})
    assert keep(str(second), {**TEXTS, "table.nft": "another\n"}, {"l4_a": long, "l4_b": b"\3"}, [str(first)])
    assert (first / "lock/l4_a").samefile(second / "lock/l4_a")
    assert (first / "lock/l4_b").read_bytes() == b"\2" and (second / "lock/l4_b").read_bytes() == b"\3"
    assert 100_000 < size_of(str(tmp_path)) < 180_000  # it is there once
    (second / "lock/l4_a").write_bytes(b"\1\1")  # damaged, in both
    assert keep(str(second), TEXTS, {"l4_a": long}, [str(first)])
    assert (second / "lock/l4_a").read_bytes() == long


def test_what_cannot_be_read_does_not_stay(tmp_path):
    (tmp_path / "lock/table.nft/within").mkdir(parents=True)
    assert keep(str(tmp_path), {}) and os.listdir(tmp_path) == []
    (tmp_path / "lock").write_text("a file")
    assert keep(str(tmp_path), TEXTS) and kept(tmp_path) == TEXTS


def test_what_is_too_long_takes_the_earlier_one_with_it(tmp_path):
    keep(str(tmp_path), TEXTS)
    for _ in range(2):
        with pytest.raises(TooLong, match="bytes"):
            keep(str(tmp_path), {**TEXTS, "table.nft": "#" * LIMIT})
        assert os.listdir(tmp_path) == []


@pytest.mark.kernel
@needs_root
def test_lists_leave_the_flash_room_for_the_next_configuration(tmp_path):
    run("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path))
    try:
        first, second = tmp_path / "1", tmp_path / "2"
        first.mkdir()
        second.mkdir()
        assert keep(str(first), TEXTS, {"l4_a": bytes(300_000)})
        with pytest.raises(OSError, match="No space left"):
            keep(str(second), TEXTS, {"l4_a": bytes(300_000), "l4_b": bytes(300_000)}, [str(first)])
        assert os.listdir(second) == [] and os.statvfs(tmp_path).f_bavail * 4096 > boot_lock.SPARE
        assert keep(str(second), TEXTS, {"l4_a": bytes(300_000)}, [str(first)])  # linked: it takes no room
    finally:
        run("umount", "--lazy", str(tmp_path))


def test_a_name_that_leads_elsewhere_is_not_followed(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "table.nft").write_text("theirs\n")
    (tmp_path / "lock").symlink_to(other)
    assert keep(str(tmp_path), TEXTS) and kept(tmp_path) == TEXTS
    assert (other / "table.nft").read_text() == "theirs\n"


@pytest.fixture
async def house(tmp_path):
    with router():
        made = ChangingHouse(tmp_path)
        yield made
        await made.end()
        await made.guarded.close()


def generation(house, number):
    return house.folder / f"generations/{number:06}"


@pytest.mark.kernel
@needs_root
async def test_it_is_kept_with_what_is_taken_over_and_with_what_is_confirmed(house):
    assert await house.load(CONFIG) == ""
    assert "reject" in kept(generation(house, 1))["table.nft"]
    before = kept(generation(house, 1))
    change = await house.until(house.begin(CONFIG.replace("'25'", "'26'")), AWAITING)
    after = kept(generation(house, 2))  # before anybody confirms it: the power may fail right after that
    await house.tools.keep_lock(1)  # as the daily look does, where it began just before the change
    assert house.store.current() == 1 and kept(generation(house, 1)) == before
    await house.guarded.confirm(change.token, {}, "a test")
    assert house.store.current() == 2 and kept(generation(house, 2)) == after
    assert after["table.nft"] != before["table.nft"] and after["classes.json"] == before["classes.json"]


@pytest.mark.kernel
@needs_root
async def test_it_is_kept_also_while_a_line_is_just_changing(house, monkeypatch):
    # The turn that looks at it has not come to its end: nobody knows whether the kernel follows.
    prepare = house.store.prepare

    def at_a_bad_moment(*given):
        house.engine.in_force.in_sync = False
        return prepare(*given)

    monkeypatch.setattr(house.store, "prepare", at_a_bad_moment)
    assert await house.load(CONFIG) == ""
    assert house.store.current() == 1 and "reject" in kept(generation(house, 1))["table.nft"]


@pytest.mark.kernel
@needs_root
async def test_it_is_of_the_rules_whose_files_are_kept_though_others_come_into_force_meanwhile(house, monkeypatch):
    assert await house.load(CONFIG.replace("option block 'reject'", "option route 'wan_a'")) == ""
    others, prepare = house.engine.enforced, house.store.prepare

    def overtaken(*given):
        house.engine.in_force.enforced = others  # of a reload whose files are kept next
        return prepare(*given)

    monkeypatch.setattr(house.store, "prepare", overtaken)
    assert await house.load(CONFIG) == ""
    assert house.store.current() == 2 and "reject" in kept(generation(house, 2))["table.nft"]


@pytest.mark.kernel
@needs_root
async def test_it_is_made_anew_when_the_generation_is_well_and_not_again(house):
    assert await house.load(CONFIG) == ""
    (generation(house, 1) / "lock/table.nft").write_text("before the lines were up\n")
    for _ in range(2):
        house.guarded._mark_healthy(1)
        await house.guarded._keeping
        assert "reject" in kept(generation(house, 1))["table.nft"]
    (generation(house, 1) / "lock/table.nft").write_text("as later\n")
    house.guarded._mark_healthy(1)
    await house.guarded._keeping
    assert kept(generation(house, 1))["table.nft"] == "as later\n"  # what differs by itself is not written


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("stale", ["netpolicy 0.1 np_schema_1\n", "netpolicy {} {}\nlan br-lan\n", ""])
async def test_one_of_another_release_or_for_devices_of_other_names_is_made_anew(house, stale):
    assert await house.load(CONFIG) == ""
    house.guarded._mark_healthy(1)
    await house.guarded._keeping
    (generation(house, 1) / "lock/made").write_text(stale.format(__version__, SCHEMA))
    (generation(house, 1) / "lock/table.nft").write_text("of then\n")
    house.guarded._mark_healthy(1)
    await house.guarded._keeping
    assert "reject" in kept(generation(house, 1))["table.nft"]


def test_of_copies_no_more_is_read_than_can_be_kept_the_shorter_ones_first(tmp_path):
    sizes = {"a.1": boot_lock.LONGEST // 2, "b.1": boot_lock.LONGEST, "c.1": 9, "d.1": boot_lock.LONGEST // 2 + 1}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "e.1").symlink_to("/dev/zero")
    found = boot_lock.copies(str(tmp_path), ["a", "b", "c", "d", "e"])
    assert {name: len(data) for name, data in found.items()} == {"a.1": sizes["a.1"], "b.1": 0, "c.1": 9, "d.1": 0}


class SomebodyKnows:
    """A name server of the daemon, as it tells what it knows."""

    def __init__(self):
        self.known = NOTHING

    async def for_a_boot(self):
        return self.known

    async def followed(self, refused=""):
        return ""

    async def kept(self, candidate):
        return {}, {}

    refused = ""


@pytest.mark.kernel
@needs_root
async def test_once_a_day_it_follows_what_names_have_and_what_was_fetched(house):
    house.tools.names = names = SomebodyKnows()
    text = CONFIG + "config rule 'never'\n\tlist domain 'x.example'\n\tlist dest_addr '@far'\n\toption block '1'\n"
    assert await house.load(text + "config list 'far'\n\tlist entry '198.51.100.9'\n") == ""
    house.guarded._mark_healthy(1)
    await house.guarded._keeping
    before = kept(generation(house, 1))
    (field,) = [f for rule in house.engine.enforced.policy.entries.rules for f in rule.fields if f.name == "domain"]
    names.known = Known(((f"{base_name(field)}4", bytes(4), 7200.0),))
    (house.state / "lists").mkdir()
    for name in ("far.12345678", "far.12345678.new", "other.12345678"):
        (house.state / "lists" / name).write_text(name)
    assert house.guarded._health.when() - asyncio.get_running_loop().time() > 86000
    house.guarded._health._run()
    await house.guarded._keeping
    added = {name: text for name, text in kept(generation(house, 1)).items() if name not in before}
    assert added == {
        "addresses.nft": f"add element inet netpolicy {base_name(field)}4 {{ 0.0.0.0 timeout 2h }}\n",
        "copy.far.12345678": "far.12345678",
    }


@pytest.mark.kernel
@needs_root
async def test_a_disk_with_no_room_for_names_takes_the_rest_and_says_so(house, monkeypatch):
    house.tools.names = SomebodyKnows()
    house.tools.names.known = Known((), "nftset=/x/\n", ("/tmp/dnsmasq.d",))
    write_new = durable.write_new

    def small(path, data, mode=0o600):
        if path.endswith("dnsmasq.conf"):
            raise OSError(28, "No space left on device", path)
        write_new(path, data, mode)

    text = CONFIG + "config rule 'never'\n\tlist domain 'x.example'\n\toption block '1'\n"
    with monkeypatch.context() as full:
        full.setattr(durable, "write_new", small)
        assert await house.load(text) == ""
        assert "reject" in kept(generation(house, 1))["table.nft"] and "dnsmasq.conf" not in kept(generation(house, 1))
        assert [one for one in house.said("warning") if "no room for all lists and names at the next boot" in one]
        house.guarded._mark_healthy(1)
        await house.guarded._keeping
    house.guarded._mark_healthy(1)  # after the next start, or a day later: there is room again
    await house.guarded._keeping
    assert kept(generation(house, 1))["dnsmasq.conf"].startswith("nftset=")


@pytest.mark.kernel
@needs_root
async def test_a_disk_that_is_full_is_said_and_changes_nothing_else(house, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "/etc/netpolicy/x")

    monkeypatch.setattr(boot_lock, "keep", full)
    assert await house.load(CONFIG) == ""
    (said,) = [one for one in house.said("warning") if "next boot" in one]
    assert "cannot write /etc/netpolicy/x: No space left on device" in said
    assert house.store.current() == 1 and house.engine.in_force.in_sync
