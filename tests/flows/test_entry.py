"""An entry read as far as is asked: equal gists mean equal decisions, and real entries give them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netpolicy.flows import ctnetlink
from netpolicy.flows.entry import Entry
from tests.flows.crowd import client, fill, told
from tests.netns import needs_root, private_netns

ONE = client(1, 0x41000000)
SIX = replace(
    ONE, family=6, source="fd00::1", destination="fd01::1", reply_source="fd01::1", reply_destination="fd00::1"
)
PING = replace(ONE, protocol=1, source_port=0, destination_port=0, icmp_id=7, icmp_type=8, state="")


@pytest.mark.parametrize("flow", [ONE, SIX, PING, replace(ONE, protocol=17, state="")])
def test_an_entry_tells_its_flow(flow):
    found = told(replace(flow, id=9)).flow
    assert found is not None and (found.id, found.source, found.destination_port, found.mark, found.state) == (
        9, flow.source, flow.destination_port, flow.mark, flow.state,
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"source": "192.168.1.99"}, {"destination": "203.0.113.99"}, {"destination_port": 80}, {"protocol": 17},
        {"mark": 0x42000000}, {"state": "TIME_WAIT"},
    ],
)  # fmt: skip
def test_what_a_decision_may_ask_for_is_in_the_gist(change):
    other = replace(ONE, **change)
    for with_source_port in (True, False):
        assert told(ONE).gist(with_source_port) != told(other).gist(with_source_port)


@pytest.mark.parametrize("flow", [ONE, SIX])
def test_the_source_port_is_in_it_where_it_is_asked_for(flow):
    other = replace(flow, source_port=4)
    assert told(flow).gist() != told(other).gist()
    assert told(flow).gist(False) == told(other).gist(False)


def test_pings_differ_by_what_they_are():
    assert told(PING).gist(False) != told(replace(PING, icmp_id=8)).gist(False)


@pytest.mark.parametrize("payload", [b"\x02", b"\x02\0\0\0", b"\x02\0\0\0\x08\0\x01\x80\xff\xff\xff\xff", b"\x63" * 40])
def test_what_is_no_flow_has_a_gist_and_no_flow(payload):
    assert Entry(payload).gist(False) and Entry(payload).flow is None


@pytest.mark.kernel
@needs_root
def test_a_real_table_of_a_thousand_has_few_gists():
    with private_netns():
        assert fill(client(number, 0x41000000) for number in range(1000)) == 1000
        entries = [entry for batch in ctnetlink.entry_batches() for entry in batch]
    assert len(entries) == 1000
    assert len({entry.gist() for entry in entries}) == 1000
    assert len({entry.gist(False) for entry in entries}) == 200
