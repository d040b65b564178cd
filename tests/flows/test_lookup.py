"""The question for one conntrack entry; the answers are tried with a real kernel in tests/kernel/test_evidence.py."""

from __future__ import annotations

import pytest

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.flows import ctmessage, lookup
from netpolicy.flows.model import TCP, Flow


@pytest.mark.parametrize("ends", [("192.168.1.10", 40000, "192.168.1.1", 22), ("fd00::a", 40000, "fd00::1", 22)])
def test_the_question_names_the_answers_of_the_router(ends):
    body = lookup.encode_get(ends)
    reply = wire.attributes(body, ctmessage.NFGENMSG.size)[ctmessage.REPLY]
    read = ctmessage.flow(body[: ctmessage.NFGENMSG.size] + wire.nested(ctmessage.ORIGINAL, reply))
    assert (read.source, read.destination, read.protocol, read.source_port, read.destination_port) == (
        ends[2], ends[0], TCP, ends[3], ends[1],
    )  # fmt: skip


def test_what_has_no_addresses_of_one_family_is_no_question():
    for ends in (("192.168.1.10", 1, "fd00::1", 2), ("x", 1, "y", 2), ("", 1, "", 2)):
        with pytest.raises(ValueError, match="not two addresses"):
            lookup.encode_get(ends)


def test_a_program_of_the_router_may_have_answered_a_flow_or_opened_it():
    flow = Flow(1, 4, TCP, "192.168.1.10", 40000, "203.0.113.2", 2222, "192.168.1.1", 22, "192.168.1.10", 40000)
    assert lookup.all_ends(flow)[0] == ("192.168.1.10", 40000, "192.168.1.1", 22)
    out = Flow(1, 4, TCP, "192.168.1.1", 22, "192.168.1.10", 40000, "192.168.1.10", 40000, "192.168.1.1", 22)
    assert lookup.all_ends(out)[1] == ("192.168.1.10", 40000, "192.168.1.1", 22)
