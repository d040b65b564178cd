"""Rules come into force and go again: files, kernel, open connections, and the index of it all."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.netns import needs_root, run
from tests.router import everything, ours, router
from tests.service.parts import CONFIG, OBSERVE, OFF, House, connect_by, leads_to, marks

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
def house(tmp_path):
    with router():
        yield House(tmp_path)


@pytest.mark.parametrize("text", [OBSERVE, OFF])
async def test_what_was_enforced_is_removed_when_observing_or_switched_off(house, text):
    before = everything()
    await house.load()
    connect_by(0x42000000)
    assert ours()
    assert await house.load(text) == ""
    assert everything() == before
    assert marks() == ["0"]
    assert house.engine.in_force.enforced is None
    assert not (house.state / "fw4" / "netpolicy.nft").exists()
    assert await house.load(CONFIG) == "" and leads_to("video") == "v_02"


async def test_observing_removes_what_was_enforced_also_when_something_collides(house):
    before = everything()
    await house.load()
    run("ip", "rule", "add", "priority", "7100", "from", "10.1.1.1", "lookup", "main")
    assert "7100" in await house.load(OBSERVE)
    run("ip", "rule", "del", "priority", "7100")
    assert everything() == before


async def test_stopping_removes_everything_and_keeps_the_connections(house):
    before = everything()
    await house.load()
    connect_by(0x42000000)
    connect_by(0x00000005)
    await house.engine.stop()
    assert everything() == before
    assert marks() == ["0", "5"]
    assert not list(house.state.rglob("*.nft")) and not (house.state / "classes.json").exists()


async def test_a_full_disk_stops_us_before_the_kernel_changes(house, tmp_path):
    house.state.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(house.state))
    try:
        await house.load()
        before = everything()
        with pytest.raises(OSError):
            (house.state / "filler").write_bytes(b"x" * 200_000)
        more = "".join(
            f"config rule 'more{n}'\n\tlist dest_port '{n + 1}'\n\toption route 'wan_a'\n" for n in range(99)
        )
        error = await house.load(CONFIG + more)
        assert "No space left on device" in error and str(house.state) in error
        assert everything() == before
        assert not list(house.state.rglob("*.tmp")) and not list(house.state.rglob("*.next"))
        (house.state / "filler").unlink()
        assert await house.engine.reconcile("retry") == ""
        assert leads_to("more98")
    finally:
        run("umount", "-l", str(house.state))


async def test_whoever_waits_for_the_index_is_told_once_it_is_there(house):
    seen = []
    house.engine.turned = lambda: seen.append(house.engine.in_force.is_indexing)
    await house.load()
    await house.engine.in_force.until_indexed()
    await asyncio.sleep(0)
    assert seen == [True, False] and house.engine.in_force.indexes.of(house.engine.enforced.enforced) is not None


async def test_without_nft_nothing_changes_and_the_error_says_what_to_install(house, monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    before = everything()
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert "install nftables" in await house.load()
    assert "install nftables" in house.engine.in_force.error
    await house.engine.reconcile("again")
    assert len(house.said("error")) == 1
    monkeypatch.setenv("PATH", path)
    assert everything() == before
    assert await house.engine.reconcile("retry") == ""
    assert house.engine.in_force.error == ""


async def test_another_mask_forgets_the_connections_that_were_marked_under_the_old_one(house):
    await house.load()
    connect_by(0x42000000)
    connect_by(0x00000007)
    assert await house.load(CONFIG.replace("option mode", "option fwmark_mask '0x7e000000'\n\toption mode")) == ""
    assert marks() == ["7"]
    assert "/0x3e000000" in run("ip", "rule")
