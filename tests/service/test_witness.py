"""What a daemon sees of a change: differences, who is locked out, lines that stopped answering, who confirms."""

from __future__ import annotations

import pytest

from netpolicy.service.change import AWAITING, COMMITTED, REFUSED, Request
from netpolicy.service.change_tools import ApplyRefused
from netpolicy.service.witness import AT_CONSOLE, Witness
from tests.flows.administering import sight, tcp, tracked
from tests.netns import needs_root
from tests.router import everything, router
from tests.service.changing import ChangingHouse
from tests.service.parts import CONFIG

pytestmark = [pytest.mark.kernel, needs_root]

OTHER = CONFIG.replace("443", "444")
LOCKED = CONFIG + "config rule 'shut'\n\toption priority '99'\n\toption src_iface 'lan'\n\toption block 'drop'\n"


@pytest.fixture
async def house(tmp_path):
    with router():
        house = ChangingHouse(tmp_path, eyes=Witness())
        assert await house.load() == ""
        yield house
        await house.end()


async def test_a_plan_tells_rules_by_name_and_the_risk(house) -> None:
    house.write(OTHER)
    plan = await house.changes.plan({})
    assert [one["name"] for one in plan["rules"]] == ["video"]
    assert any("443" in line and "444" in line for line in plan["text"])
    assert plan["risk"]["level"] != "none" and plan["window"] >= 120


async def test_an_assertion_that_would_break_refuses_the_change_and_force_asks_for_a_confirmation(house) -> None:
    before = everything()
    change = house.begin(
        LOCKED.replace("option mode 'enforce'", "option mode 'enforce'\n\tlist assert 'lan can wana tcp/25'")
    )
    await house.guarded.ended()
    assert change.state == REFUSED and "lan can wana" in change.error, change.error
    assert everything() == before
    assert [row["ok"] for row in change.rehearsal["rows"] if "wana" in row["what"]] == [False]


async def test_only_who_shows_a_new_connection_may_confirm_and_the_console_only_its_own_change(house) -> None:
    change = await house.until(house.begin(OTHER), AWAITING)
    claims = (
        {},
        {"console": True},
        {"ssh": "192.168.1.5 50000 192.168.1.1 22"},
        {"ssh": "nonsense"},
        {"ssh": "x" * 5000},
        {"web": True, "address": "192.168.1.5"},
        {"web": True, "address": "; rm -rf /"},
    )
    for claim in claims:
        with pytest.raises(ApplyRefused):
            await house.guarded.confirm(change.token, claim, "a test")
    await house.guarded.abort(change.id, "a test")
    change = await house.until(house.begin(OTHER, by_console=True), AWAITING)
    assert (await house.guarded.confirm(change.token, {"console": True}, "a test")).state == COMMITTED
    assert AT_CONSOLE in change.notes[0]


async def test_before_a_change_nothing_can_be_shown(house) -> None:
    claim = {"ssh": "192.168.1.5 50000 192.168.1.1 22"}
    shown, doubt = await Witness().evidence(house.engine, claim, Request())
    assert not shown and "nobody looked" in doubt


def web(source: str, port: int):
    return tracked(tcp(remote=source, remote_port=port, port=80, inode=port), number=port)


async def test_who_asked_by_the_web_may_confirm_by_it_though_the_server_had_ended_that_connection(tmp_path) -> None:
    asking, stranger = "192.168.1.9", "192.0.2.200"
    seen = [sight(web(asking, 40000)), sight(), sight(web(stranger, 40001)), sight(web(stranger, 40002)),
            sight(web(asking, 40003))]  # fmt: skip

    class Shown(Witness):
        async def _look(self, engine):
            return seen.pop(0)

    with router():
        house = ChangingHouse(tmp_path, eyes=Shown())
        assert await house.load() == ""
        change = await house.until(house.begin(OTHER), AWAITING)
        await house.changes.plan({})  # somebody else looks: that makes no stranger known
        with pytest.raises(ApplyRefused, match="did not administer before"):
            await house.guarded.confirm(change.token, {"web": True}, "a test")
        assert (await house.guarded.confirm(change.token, {"web": True}, "a test")).state == COMMITTED
        await house.end()
