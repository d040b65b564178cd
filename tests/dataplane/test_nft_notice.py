"""The first bytes of a notification of nftables, as the kernel writes them and as nobody should."""

from __future__ import annotations

import pytest

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane import nft_notice as notice

HEAD = b"\x01\0\0\x05"
OURS = HEAD + wire.attribute(1, b"netpolicy\0") + wire.attribute(2, b"hits_a\0")


def test_the_table_is_told_and_objects_of_one_table_begin_alike():
    other_set = HEAD + wire.attribute(1, b"netpolicy\0") + wire.attribute(2, b"verdicts_a\0")
    other_table = HEAD + wire.attribute(1, b"fw4\0")
    other_family = b"\x02" + OURS[1:]
    assert notice.table(OURS) == "netpolicy"
    assert notice.head(OURS) == notice.head(other_set)
    assert len({notice.head(one) for one in (OURS, other_table, other_family)}) == 3


def test_a_table_that_does_not_come_first_is_found_too():
    turned = HEAD + wire.attribute(2, b"hits_a\0") + wire.attribute(1, b"netpolicy\0")
    assert notice.table(turned) == "netpolicy" and notice.head(turned) == turned


@pytest.mark.parametrize("payload", [HEAD, HEAD + b"\x09", HEAD + b"\xff\xff\x01\0", HEAD + wire.attribute(1, b"")])
def test_what_tells_no_table_tells_none(payload):
    assert notice.table(payload) == "" and notice.head(payload).startswith(b"\x01")
    assert notice.generation(payload) is None


def test_a_generation_is_a_number_in_network_order():
    assert notice.generation(b"\0\0\0\x05" + wire.attribute(1, b"\0\0\1\2")) == 258


def test_only_messages_of_nftables_are_such_notices():
    assert notice.is_notice(wire.Message(10 << 8, 0, 0, HEAD))
    assert not notice.is_notice(wire.Message(1 << 8, 0, 0, HEAD))
    assert not notice.is_notice(wire.Message(10 << 8, 0, 0, b"\x01"))
