"""The flow table: bounded, newest first, honest about what it lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.flows.model import OVERRUN, Flow, FlowEvent
from netpolicy.flows.table import FlowTable


def flow(number: int, **fields) -> Flow:
    base = Flow(number, 4, 6, "10.0.0.1", number, "192.0.2.1", 443, "192.0.2.1", 443, "10.0.0.1", number)
    return replace(base, **fields)


def test_a_new_table_asks_for_its_first_dump():
    table = FlowTable(10)
    assert table.needs_resync
    table.replace([])
    assert not table.needs_resync


def test_events_change_it_and_the_newest_comes_first():
    table = FlowTable(10)
    for number in (1, 2, 3):
        table.apply(FlowEvent("new", flow(number)))
    table.apply(FlowEvent("update", flow(1, state="ESTABLISHED")))
    table.apply(FlowEvent("destroy", flow(2)))
    assert [one.id for one in table] == [3, 1]
    assert table.get(flow(1).key).state == "ESTABLISHED"
    assert (table.counters["new"], table.counters["update"], table.counters["destroy"]) == (3, 1, 1)


def test_an_update_that_tells_no_counters_keeps_the_known_ones():
    table = FlowTable(10)
    table.replace([flow(1, packets=9, bytes=900, state="SYN_SENT", mark=1)])
    table.apply(FlowEvent("update", flow(1, state="ESTABLISHED", mark=2)))
    table.apply(FlowEvent("update", flow(1, mark=3)))
    known = table.get(flow(1).key)
    assert (known.packets, known.bytes, known.state, known.mark) == (9, 900, "ESTABLISHED", 3)


def test_what_an_update_tells_is_taken_as_it_is_where_nothing_better_is_known():
    table = FlowTable(10)
    table.replace([flow(1), flow(2, packets=9, bytes=900, state="SYN_SENT"), flow(3, state="SYN_SENT", bytes=1)])
    updates = [flow(1, mark=2), flow(2, packets=1, state="CLOSE"), flow(3, state="CLOSE", mark=1)]
    for update in updates:
        table.apply(FlowEvent("update", update))
    assert [table.get(one.key) for one in updates] == [*updates[:2], replace(updates[2], bytes=1)]


def test_an_update_of_an_unknown_flow_makes_it_known():
    table = FlowTable(10)
    table.apply(FlowEvent("update", flow(1)))
    assert len(table) == 1


def test_the_oldest_makes_room_and_is_counted():
    table = FlowTable(3)
    for number in range(5):
        table.apply(FlowEvent("new", flow(number)))
    assert [one.id for one in table] == [4, 3, 2]
    assert table.counters["dropped"] == 2


def test_lost_events_ask_for_a_dump_and_the_dump_is_the_truth():
    table = FlowTable(10)
    table.replace([flow(1), flow(2)])
    table.apply(OVERRUN)
    assert table.needs_resync and len(table) == 2
    table.replace([flow(3), flow(2)])
    assert [one.id for one in table] == [3, 2]
    assert not table.needs_resync and table.counters["resync"] == 2


def test_a_destroy_of_an_unknown_flow_is_fine():
    table = FlowTable(1)
    table.apply(FlowEvent("destroy", flow(1)))
    assert len(table) == 0


def test_no_room_at_all_is_refused():
    with pytest.raises(ValueError, match="room for one"):
        FlowTable(0)


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["new", "update", "destroy"]), st.integers(0, 12)),
        st.just(("overrun", 0)),
        st.tuples(st.just("dump"), st.integers(0, 12)),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 8))
def test_it_equals_a_simple_model_and_never_outgrows_its_limit(steps, limit):
    table, model = FlowTable(limit), []  # the model: ids, oldest first
    for kind, number in steps:
        if kind == "dump":
            told = list(range(number))
            table.replace([flow(one) for one in told])
            model = [one for one in model if one in told] + [one for one in told if one not in model]
            model = model[-limit:]
        elif kind == "overrun":
            table.apply(OVERRUN)
        else:
            table.apply(FlowEvent(kind, flow(number)))
            if kind == "destroy":
                model = [one for one in model if one != number]
            elif number not in model:
                model = [*model, number][-limit:]
        assert [one.id for one in table] == model[::-1]
        assert len(table) <= limit
