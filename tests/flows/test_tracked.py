"""The lighter form of a connection: both sources tell it alike, and as the flow tells it."""

from __future__ import annotations

import os
import socket

import pytest

from netpolicy.flows import ctnetlink, proc
from netpolicy.flows.model import ASSURED, SEEN_REPLY, TCP, Flow
from netpolicy.flows.tracked import Tracked
from tests.flows.street import MARK, street
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]


def packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def light(flow: Flow) -> tuple:
    return (
        flow.protocol, packed(flow.source), flow.source_port, packed(flow.destination), flow.destination_port,
        packed(flow.reply_source), flow.reply_source_port, flow.mark, flow.packets, flow.bytes, flow.state,
    )  # fmt: skip


def comparable(one: Tracked) -> tuple:
    """Without the status bits, of which the text table tells few; counters as the flow has them."""
    return (*one[:8], one.packets + one.reply_packets, one.bytes + one.reply_bytes, one.state)


def test_netlink_text_and_flow_agree_and_directions_are_told_apart():
    with street() as place:
        near, far = place.tcp(4, 443)
        near.sendall(b"x" * 5000)
        while far.recv(8192, socket.MSG_PEEK) != b"x" * 5000:
            continue
        place.tcp(6, 80)
        place.udp(4, 5000)
        place.ping(4)
        for _ in range(5):  # the kernel's own neighbour discovery may come between the readings
            flows = sorted(map(light, ctnetlink.dump()))
            told = [one for batch in ctnetlink.tracked_batches() for one in batch]
            text = [one for batch in proc.tracked_batches() for one in batch] if os.path.exists(proc.PATH) else told
            if flows == sorted(map(comparable, told)) == sorted(map(comparable, text)):
                break
    assert flows == sorted(map(comparable, told)) == sorted(map(comparable, text))
    for source in (told, text):
        (one,) = (one for one in source if one.destination_port == 443)
        assert (one.protocol, one.mark, one.state) == (TCP, MARK, "ESTABLISHED")
        assert one.bytes > 5000 > one.reply_bytes > 0 and one.packets >= 3 > 1 <= one.reply_packets
        assert one.status & (SEEN_REPLY | ASSURED) == SEEN_REPLY | ASSURED


def test_the_mask_chooses_here_as_well():
    with street() as place:
        place.tcp(4, 443)
        place.tcp(4, 80)
        ports = [one.destination_port for batch in ctnetlink.tracked_batches(MARK, MARK) for one in batch]
    assert ports == [443]
