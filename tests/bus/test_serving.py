"""The desk: what is remembered, refused and restored."""

from __future__ import annotations

import pytest

from netpolicy.bus.method import Method
from netpolicy.bus.registration import Served
from netpolicy.bus.serving import Desk
from netpolicy.bus.status import UbusError


async def handler(arguments, caller):
    return None


async def test_without_a_link_everything_is_only_remembered():
    desk = Desk(print)
    await desk.add(Served("thing", {"m": Method(handler)}), None)
    await desk.listen("a.*", print, None)
    await desk.subscribe("other", print, None)
    assert [entry.name for entry in desk.entries] == ["thing", "event listener", "other"]


async def test_a_removed_object_is_forgotten_and_an_unknown_one_is_status_4():
    desk = Desk(print)
    await desk.add(Served("thing", {}), None)
    await desk.remove("thing", None)
    assert desk.entries == []
    with pytest.raises(UbusError) as raised:
        await desk.remove("thing", None)
    assert raised.value.status == 4


async def test_two_subscriptions_need_one_listener_for_new_objects():
    desk = Desk(print)
    await desk.subscribe("one", print, None)
    await desk.subscribe("two", print, None)
    assert [pattern for pattern, _ in desk._events.patterns] == ["ubus.object.add"]
