"""Outbounds as a person sets them at run time: in the kernel at once, kept over a reload, and back."""

from __future__ import annotations

import pytest

from netpolicy.service import documents
from netpolicy.service.outbound_set import CannotSet, set_outbound
from tests.netns import needs_root
from tests.router import router
from tests.service.parts import CONFIG, House, leads_to

pytestmark = [pytest.mark.kernel, needs_root]

GROUP = "config outbound 'calls'\n\toption type 'group'\n\tlist member 'wan_a'\n\tlist member 'wan_b'\n"


@pytest.fixture
async def house(tmp_path):
    with router():
        house = House(tmp_path)
        await house.load()
        yield house


async def say(house: House, name: str, *given) -> dict:
    return await set_outbound(house.engine, house.engine.ruleset.outbound(name), *given)


def shown(house: House) -> dict[str, dict]:
    return {one["name"]: one for one in documents.outbounds(house.engine)["outbounds"]}


async def test_what_cannot_be_is_refused_in_words(house):
    await house.load(CONFIG + GROUP)
    before = [(one["weight"], one["members"]) for one in shown(house).values()]
    for name, given, text in (
        ("wan_b", ("off",), "not one of auto, up, down"),
        ("calls", ("down",), "only lines"),
        ("calls", ("down", 4), "say it alone"),
        ("calls", ("", 0, ["x"]), "name all of"),
        ("calls", ("", 1001, ["wan_b", "wan_a"]), "not between"),
    ):
        with pytest.raises(CannotSet, match=text):
            await say(house, name, *given)
    assert [(one["weight"], one["members"]) for one in shown(house).values()] == before


async def test_shares_and_orders_of_a_group_are_changed_in_the_kernel_and_back(house):
    await house.load(CONFIG.replace("route 'wan_b'", "route 'calls'") + GROUP)
    a, b = (f"v_{house.engine.numbers[name]:02}" for name in ("wan_a", "wan_b"))
    assert leads_to("video") == a
    answer = await say(house, "calls", "", None, ["wan_b", "wan_a"])
    assert answer["ok"] and answer["members"] == ["wan_b", "wan_a"] and leads_to("video") == b
    found = shown(house)["calls"]
    assert found["up"] and found["reason"].endswith(" by wan_b"), found
    await house.engine.reload()
    assert leads_to("video") == b, "a reload keeps it"
    assert (await say(house, "wan_a", "", 4))["weight"] == 4
    assert [one["weight"] for one in shown(house).values()] == [4, 1, 1]
    assert (await say(house, "calls", "", None, []))["ok"] and leads_to("video") == a


async def test_a_line_that_is_taken_out_by_hand_is_down_until_it_is_brought_back(house):
    assert (await say(house, "wan_b", "down"))["ok"]
    found = shown(house)["wan_b"]
    assert (found["up"], found["reason"], found["health"]["by_hand"]) == (False, "taken out by hand", "down")
    assert any(one.code == "NP903" and "taken out by hand" in one.message for one in house.engine.warnings)
    await house.engine.reload()
    assert not house.engine.states[1].up, "a reload keeps it"
    assert (await say(house, "wan_b", "auto"))["ok"]
    assert house.engine.states[1].up
