"""The same cases over every pair of client and broker; a missing real program is named."""

from __future__ import annotations

import json

import pytest

from netpolicy.bus.status import UbusError

from .world import CALLERS, BlockingCaller, BrokerProgram, need, python

VALUES = {
    "text": 'straße "quoted" \\ \n\t€ 🙂',
    "empty text": "",
    "yes": True,
    "no": False,
    "zero": 0,
    "int32": [2**31 - 1, -(2**31), -1],
    "int64": [2**31, -(2**31) - 1, 2**63 - 1, -(2**63)],
    "double": 3.25,
    "null": None,
    "empty": [{}, []],
    "mixed": [1, "two", {"three": [True, None, {"four": -4.5}]}],
}


@pytest.fixture(params=list(CALLERS))
def caller(request: pytest.FixtureRequest, demo: BrokerProgram):
    return CALLERS[request.param](demo.path)


def status_of(caller, *call) -> int:
    with pytest.raises(UbusError) as raised:
        caller.call(*call)
    return raised.value.status


def test_nested_values_of_all_types_come_back_unchanged(caller):
    assert caller.call("demo", "echo", {"value": VALUES}) == {"value": VALUES}


def test_integers_and_booleans_stay_what_they_were(caller):
    reply = caller.call("demo", "echo", {"value": [True, 1, False, 0]})["value"]
    assert json.dumps(reply) == "[true, 1, false, 0]"


def test_a_reply_of_900_000_bytes_arrives_whole(caller):
    assert caller.call("demo", "big", {"size": 900_000}) == {"text": "x" * 900_000}


def test_a_reply_above_one_mebibyte_is_status_9_and_the_service_lives_on(caller):
    assert status_of(caller, "demo", "big", {"size": 2**20}) == 9
    assert caller.call("demo", "echo", {"value": 1}) == {"value": 1}


def test_an_unknown_object_is_status_4(caller):
    assert status_of(caller, "nobody", "echo") == 4


def test_an_unknown_method_is_status_3(caller):
    assert status_of(caller, "demo", "nothing like it") == 3


def test_all_arguments_may_be_missing(caller):
    assert caller.call("demo", "typed") == {"got": {}}


def test_declared_arguments_of_the_right_types_are_accepted(caller):
    given = {"text": "t", "number": 2**40, "flag": True, "ratio": 1, "table": {"a": 1}, "list": [1]}
    assert caller.call("demo", "typed", given) == {"got": given}


def test_the_session_argument_of_the_web_server_is_always_accepted(caller):
    given = {"ubus_rpc_session": "0" * 32}
    assert caller.call("demo", "typed", given) == {"got": given}


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": 1},
        {"number": "1"},
        {"number": True},
        {"flag": 1},
        {"ratio": "x"},
        {"table": []},
        {"list": {}},
        {"txet": "misspelt"},
        {"ubus_rpc_session": 5},
    ],
    ids=str,
)
def test_a_wrong_or_undeclared_argument_is_status_2(caller, wrong):
    assert status_of(caller, "demo", "typed", wrong) == 2


def test_the_service_chooses_the_status(caller):
    assert status_of(caller, "demo", "refuse", {"status": 6}) == 6


def test_a_bug_in_a_handler_is_status_9(caller):
    assert status_of(caller, "demo", "crash") == 9


def test_a_method_without_reply_is_empty_success(caller):
    assert caller.call("demo", "nothing") == {}


def test_the_service_learns_who_calls(caller):
    assert caller.call("demo", "who") == {"user": "root", "group": "root", "known": True}


def test_lookup_finds_by_name_and_by_beginning(caller):
    assert caller.lookup("demo") == ["demo"]
    assert caller.lookup("dem*") == ["demo"]
    assert caller.lookup("demo.*") == []


def test_events_reach_a_pattern_in_order_and_others_do_not(caller, demo):
    sender = BlockingCaller(demo.path)

    def cause() -> None:
        sender.send("other.thing", {"n": 0})
        sender.send("mine.first", {"n": 1})
        sender.call("demo", "shout", {"event": "mine.second", "data": {"n": 2}})

    assert [tuple(e) for e in caller.hear("mine.*", cause, 2)] == [("mine.first", {"n": 1}), ("mine.second", {"n": 2})]


def test_an_exact_pattern_does_not_match_a_longer_name(caller, demo):
    sender = BlockingCaller(demo.path)

    def cause() -> None:
        sender.send("exactly.not", {})
        sender.send("exactly", {"n": 1})

    assert [tuple(e) for e in caller.hear("exactly", cause, 1)] == [("exactly", {"n": 1})]


def test_an_event_that_was_sent_is_heard_by_our_listener(caller, demo):
    heard = BlockingCaller(demo.path).hear("sent", lambda: caller.send("sent", {"value": VALUES}), 1)
    assert heard == [("sent", {"value": VALUES})]


def test_nobody_may_send_the_events_of_the_bus_itself(caller):
    with pytest.raises(UbusError):
        caller.send("ubus.object.add", {"path": "fake"})


def test_an_object_of_the_original_library_can_be_called(demo, caller):
    need("python-ubus")
    service = python("serve_library.py", demo.path)
    try:
        service.wait_for("ready")
        given = {"text": "t", "number": -7}
        assert caller.call("foreign", "echo", given) == given
        assert status_of(caller, "foreign", "echo", {"text": "t"}) == 2
    finally:
        service.stop()
