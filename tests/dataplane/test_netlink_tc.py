"""Traffic control messages: what is written reads back, and what is broken reads as nothing."""

from __future__ import annotations

import pytest

from netpolicy.dataplane import netlink_tc as tc
from netpolicy.dataplane import netlink_wire as wire


def test_a_root_queue_reads_back_with_its_default():
    assert tc.queue(tc.htb(7, 0x4E500000, 1)) == tc.Queue(7, "htb", 0x4E500000, tc.ROOT, 1)


@pytest.mark.parametrize("rate", [1000, 250_000, 0xFFFFFFFF, 12_500_000_000])
def test_a_class_reads_back_with_its_rate_however_fast(rate):
    body = tc.htb_class(7, 0x4E500000, 0x4E500104, rate, rate // 500 + 3028, 1514)
    assert tc.read_class(body) == tc.HtbClass(0x4E500104, rate, rate)
    assert (tc.U64.pack(rate) in body) is (rate > 0xFFFFFFFF)


def test_time_at_full_speed_is_said_in_ticks_of_64_nanoseconds():
    found = wire.attributes(tc.htb_class(7, 0, 1, 250_000, 3028, 1514), tc.TCMSG.size)
    given = wire.attributes(found[tc.TCA_OPTIONS])[tc.TCA_HTB_PARMS]
    assert tc.HTB_OPT.unpack(given)[2:5] == (3028 * 4000 // 64, 3028 * 4000 // 64, 1514)


def test_what_stands_below_a_class_is_told_by_kind_and_parent():
    for body, kind in ((tc.bfifo(7, 5, 90_000), "bfifo"), (tc.fq_codel(7, 5, 5000, 100_000, 1 << 20), "fq_codel")):
        assert tc.queue(body) == tc.Queue(7, kind, 0, 5)


def test_counters_of_a_class_are_read():
    statistics = wire.nested(
        tc.TCA_STATS2,
        wire.attribute(tc.TCA_STATS_BASIC, tc.BASIC.pack(1 << 40, 9) + bytes(4)),
        wire.attribute(tc.TCA_STATS_QUEUE, tc.QUEUE.pack(0, 0, 4, 0, 8)),
    )
    found = tc.read_class(tc.htb_class(7, 0, 1, 250_000, 3028, 1514) + statistics)
    assert found is not None and (found.sent, found.packets, found.drops) == (1 << 40, 9, 4)


def test_messages_that_lack_something_are_none_and_of_other_kinds_too():
    assert tc.queue(b"short") is None and tc.queue(tc.request(1)) is None
    assert tc.read_class(b"short") is None and tc.read_class(tc.bfifo(7, 5, 90_000)) is None
    assert tc.read_class(tc.request(1) + wire.attribute(tc.TCA_KIND, b"htb\0")) is None
    whole = tc.htb_class(7, 0, 1, 12_500_000_000, 3028, 1514)
    for end in range(len(whole)):
        tc.read_class(whole[:end])
        tc.queue(whole[:end])
