"""ebpf/npflow.bpf.c in the running kernel: every header, every state of a connection, and what must not harm it."""

from __future__ import annotations

import errno
import random
import struct
import time

import pytest

from netpolicy.flows.ebpf import entries, layout
from netpolicy.flows.ebpf.bpf_call import BpfError
from netpolicy.flows.ebpf.loading import Capacity
from netpolicy.flows.seen import (
    CLOSED,
    MAPPED,
    OPEN,
    RESET,
    SYN,
)
from tests.own_process import one_processor

from . import frames
from .frames import (
    ACK,
    CLIENT,
    CLIENT6,
    CLIENT_MAC,
    DATAGRAM,
    FIN,
    PPPOE,
    PSH,
    QINQ,
    REMOTE,
    RST,
    SYN_ACK,
    TCP,
    UDP,
    client_hello,
    ethernet,
    extension,
    fragment_header,
    initial,
    ipv4,
    ipv6,
    pppoe,
    tcp,
    udp,
    v4,
    v6,
    vlan,
)
from .trial import Talk, Trial

pytestmark = pytest.mark.kernel

# The cheap clock is as old as the last tick: a few milliseconds, or as long as a processor of a virtual machine waits.
BEHIND_S = 1.0


# -- headers -------------------------------------------------------------------------------


READABLE = {
    "IPv4": ethernet(v4()),
    "IPv4 with options": ethernet(v4(options=bytes(40))),
    "IPv4 in Ethernet that is padded": ethernet(v4(udp(40000, 5000, b"x"))) + bytes(17),
    "IPv4 shorter than one IPv6 header": ethernet(v4(udp(40000, 5000, b""))),
    "IPv6": ethernet(v6()),
    "hop by hop": ethernet(v6(extension(UDP) + DATAGRAM, 0)),
    "four extensions": ethernet(
        v6(extension(43, 2) + extension(60) + extension(135) + extension(UDP, 4) + DATAGRAM, 0)
    ),
    "authentication": ethernet(v6(bytes((UDP, 4)) + bytes(22) + DATAGRAM, 51)),
    "a fragment header around the whole": ethernet(v6(fragment_header(UDP) + DATAGRAM, 44)),
    "VLAN": ethernet(v4(), tags=(vlan(7),)),
    "QinQ": ethernet(v6(), tags=(vlan(7, QINQ), vlan(8))),
    "PPPoE": ethernet(pppoe(v4()), PPPOE),
    "PPPoE in a VLAN, IPv6": ethernet(pppoe(v6()), PPPOE, tags=(vlan(7),)),
}


@pytest.mark.parametrize("what", READABLE)
def test_a_datagram_is_found_behind(what: str, shown: Trial) -> None:
    shown.run(READABLE[what])
    flow = shown.flow()
    assert flow.key[2:] == (40000, 5000, UDP)
    assert flow.up.packets == 1 and not flow.down.packets
    assert flow.mac == CLIENT_MAC
    assert shown.counts() == {"packets": 1, "begun": 1}


def test_a_key_has_the_client_first_in_both_directions(shown: Trial) -> None:
    shown.run(ethernet(v4()))
    shown.run(ethernet(ipv4(REMOTE, CLIENT, UDP, udp(5000, 40000, b"y" * 10)), down=True), down=True)
    flow = shown.flow()
    assert flow.key == (MAPPED + bytes((192, 168, 1, 5)), MAPPED + bytes((198, 51, 100, 7)), 40000, 5000, UDP)
    assert (flow.up.bytes, flow.down.bytes) == (20 + 8 + 64, 20 + 8 + 10)
    assert flow.mac == CLIENT_MAC


def test_the_payload_behind_every_header_is_the_same(shown: Trial) -> None:
    """The place of the payload is what is easiest to get wrong."""
    question = udp(40000, 53, b"question-of-" + bytes(range(40)))
    for packet in (v4(question), v4(question, options=bytes(8)), v6(question), v6(extension(UDP, 1) + question, 60)):
        for frame in (ethernet(packet), ethernet(packet, tags=(vlan(1), vlan(2))), ethernet(pppoe(packet), PPPOE)):
            shown.run(frame + b"padding")
    found = shown.payloads()
    assert len(found) == 12
    assert {one.data for one in found} == {b"question-of-" + bytes(range(40))}


def test_a_device_without_ethernet_begins_with_ip(shown: Trial) -> None:
    for packet in (v4(), v4(options=bytes(4)), v6(), v6(extension(UDP) + DATAGRAM, 0)):
        shown.run(packet, l3=True)
    flows = shown.flows()
    assert sorted(one.up.packets for one in flows) == [2, 2]
    assert {one.mac for one in flows} == {b""}


NOT_OURS = {
    "ARP": (ethernet(bytes(46), frames.ARP), "other"),
    "ICMP": (ethernet(v4(bytes(40), 1)), "other"),
    "ESP": (ethernet(v6(bytes(40), 50)), "other"),
    "multicast": (ethernet(ipv4(CLIENT, "239.1.2.3", UDP, DATAGRAM)), "other"),
    "broadcast": (ethernet(ipv4(CLIENT, "255.255.255.255", UDP, DATAGRAM)), "other"),
    "IPv6 multicast": (ethernet(ipv6(CLIENT6, "ff02::fb", UDP, DATAGRAM)), "other"),
    "PPPoE discovery": (ethernet(pppoe(v4(), code=9), PPPOE), "other"),
    "PPPoE with LCP": (ethernet(pppoe(v4()).replace(b"\x00\x21", b"\xc0\x21", 1), PPPOE), "other"),
    "four tags": (ethernet(v4(), tags=(vlan(1), vlan(2), vlan(3), vlan(4))), "other"),
    "eight extensions": (ethernet(v6(extension(60) * 7 + extension(UDP) + DATAGRAM, 60)), "other"),
    "a first fragment": (ethernet(v4(fragment=0x2000)), "fragments"),
    "a later fragment": (ethernet(v4(fragment=5)), "fragments"),
    "a first fragment, IPv6": (ethernet(v6(fragment_header(UDP, 0, True) + DATAGRAM, 44)), "fragments"),
    "a later fragment, IPv6": (ethernet(v6(fragment_header(UDP, 5) + DATAGRAM, 44)), "fragments"),
    "a header length of 16": (ethernet(b"\x44" + v4()[1:]), "malformed"),
    "options beyond the end": (ethernet(b"\x4f" + v4(udp(1, 2, b""))[1:]), "malformed"),
    "a length beyond the end": (ethernet(v4(total=500)), "malformed"),
    "a length of nothing": (ethernet(v4(total=0)), "malformed"),
    "a length inside the header": (ethernet(v4(total=24)), "malformed"),
    "IPv6, a length beyond the end": (ethernet(v6(length=900)), "malformed"),
    "IPv6, a length of nothing": (ethernet(v6(length=0)), "malformed"),
    "an extension beyond the end": (ethernet(v6(extension(60, 40), 60)), "malformed"),
    "IPv4 that says it is version 5": (ethernet(b"\x55" + v4()[1:], frames.IPV4), "malformed"),
    "a UDP length beyond the end": (ethernet(v4(udp(1, 2, b"x" * 40, 300))), "malformed"),
    "a UDP length of 5": (ethernet(v4(udp(1, 2, b"x" * 40, 5))), "malformed"),
    "half a TCP header": (ethernet(v4(tcp(1, 2, 3, 4, ACK)[:12], TCP)), "malformed"),
    "TCP with a header of 12": (ethernet(v4(tcp(1, 2, 3, 4, ACK)[:12] + b"\x30" + bytes(7), TCP)), "malformed"),
    "TCP options beyond the end": (ethernet(v4(tcp(1, 2, 3, 4, ACK)[:12] + b"\xf0" + bytes(7), TCP)), "malformed"),
}


@pytest.mark.parametrize("what", NOT_OURS)
def test_it_is_counted_and_passes(what: str, shown: Trial) -> None:
    frame, counter = NOT_OURS[what]
    shown.run(frame)
    shown.run(frame, down=True)
    assert shown.counts() == {"packets": 2, counter: 2}
    assert not shown.flows() and not shown.events()


def test_what_stands_behind_the_datagram_is_no_payload(shown: Trial) -> None:
    shown.run(ethernet(v4(udp(40000, 53, b"question-text" + b"!" * 20, 8 + 13))))
    assert [one.data for one in shown.payloads()] == [b"question-text"]


def test_random_packets_do_not_harm_it(shown: Trial) -> None:
    """Random bytes, and packets of all kinds with random changes; each passes, and each is counted once."""
    chance = random.Random(6)
    hello = Talk(shown).frame(False, ACK | PSH, client_hello(), 1001, 5)
    known = [
        *READABLE.values(),
        *(frame for frame, _ in NOT_OURS.values()),
        hello,
        ethernet(v4(udp(1, 443, initial()))),
    ]
    ran = 0
    for number in range(3000):
        frame = bytearray(chance.choice(known))
        for _ in range(chance.choice((1, 1, 2, 5, 40))):
            frame[chance.randrange(12, len(frame))] = chance.randrange(256)
        if number % 7 == 0:
            frame = frame[: chance.randrange(14, len(frame) + 1)]
        if number % 50 == 0:
            frame = bytearray(chance.randbytes(chance.randrange(14, 200)))
        pieces = chance.choice((0, 0, 0, 1, 2, 60000))
        size = chance.randrange(1, 3000) if pieces else 0
        try:
            shown.run(bytes(frame), chance.random() < 0.5, chance.random() < 0.1, pieces, size)
        except BpfError as error:
            if error.errno != errno.EINVAL or len(frame) >= 14 + 40:
                raise
            continue  # the kernel itself makes no packet of so little
        ran += 1
    shown.events()
    counts = shown.counts()
    assert counts["packets"] == ran > 2500
    assert min(counts[name] for name in ("other", "fragments", "malformed", "begun")) > 10


# -- TCP: states ---------------------------------------------------------------------------


@pytest.mark.parametrize("six", [False, True])
def test_a_whole_connection_is_told_once_and_forgotten(six: bool, shown: Trial) -> None:
    talk = Talk(shown, six=six)
    talk.shake_hands()
    talk.up(ACK | PSH, b"x" * 100)
    talk.down(ACK, b"y" * 1000)
    talk.up()
    talk.say_goodbye()
    (told,) = shown.ended()
    head = 60 if six else 40
    assert told.state == CLOSED and told.final and not told.mid and not told.inbound and not told.lost
    assert (told.up.packets, told.up.bytes) == (6, 6 * head + 100)
    assert (told.down.packets, told.down.bytes) == (3, 3 * head + 1000)
    assert (told.up.syns, told.down.syns, told.up.fin, told.down.fin) == (1, 1, True, True)
    assert not told.up.retransmits and not told.down.retransmits
    assert not shown.flows()
    assert shown.counts()["begun"] == shown.counts()["over"] == 1


def test_states_follow_the_handshake(shown: Trial) -> None:
    talk = Talk(shown)
    talk.up(frames.SYN)
    assert shown.flow().state == SYN
    talk.down(SYN_ACK)
    talk.up()
    assert shown.flow().state == OPEN
    talk.up(FIN | ACK)
    assert shown.flow().state == OPEN
    talk.down(FIN | ACK)
    assert shown.flow().state == CLOSED  # but the last word is not acknowledged yet
    assert not shown.ended()


def test_the_times_of_the_handshake_are_those_of_each_side(shown: Trial) -> None:
    talk = Talk(shown)
    begun = time.monotonic()
    talk.up(frames.SYN)
    time.sleep(0.02)
    talk.down(SYN_ACK)
    middle = time.monotonic()
    time.sleep(0.005)
    talk.up()
    flow = shown.flow()
    assert 20_000 <= flow.rtt_remote_us <= (middle - begun) * 1e6
    assert 5_000 <= flow.rtt_client_us <= (time.monotonic() - middle) * 1e6 + 1000
    assert begun - 0.001 <= flow.first <= middle <= flow.last + BEHIND_S


def test_times_change_their_side_where_the_remote_opens(shown: Trial) -> None:
    talk = Talk(shown, inward=True)
    begun = time.monotonic()
    talk.down(frames.SYN)
    talk.up(SYN_ACK)
    middle = time.monotonic()
    time.sleep(middle - begun + 0.01)
    talk.down()
    flow = shown.flow()
    assert flow.inbound
    assert 0 < flow.rtt_remote_us <= (middle - begun) * 1e6 < flow.rtt_client_us


def test_a_repeated_syn_leaves_the_time_unknown(shown: Trial) -> None:
    talk = Talk(shown)
    talk.up(frames.SYN)
    talk.up(frames.SYN, seq=1000)
    talk.down(SYN_ACK)
    talk.up()
    flow = shown.flow()
    assert flow.rtt_remote_us == 0 and flow.rtt_client_us > 0
    assert flow.up.syns == 2


def test_a_repeated_syn_ack_leaves_the_time_of_the_client_unknown(shown: Trial) -> None:
    talk = Talk(shown)
    talk.up(frames.SYN)
    talk.down(SYN_ACK)
    talk.down(SYN_ACK, seq=7_001_000)
    talk.up()
    assert shown.flow().rtt_client_us == 0 and shown.flow().rtt_remote_us > 0


def test_a_lost_ack_of_the_handshake_leaves_the_time_of_the_client_unknown(shown: Trial) -> None:
    talk = Talk(shown)
    talk.up(frames.SYN)
    talk.down(SYN_ACK)
    talk.up(ACK | PSH, b"the program had to think first")
    talk.up()
    assert shown.flow().rtt_client_us == 0


def test_an_answer_that_acknowledges_something_else_is_none(shown: Trial) -> None:
    talk = Talk(shown)
    talk.up(frames.SYN)
    talk.down(SYN_ACK, ack=77_000_000)
    assert shown.flow().rtt_remote_us == 0
    assert shown.flow().state == SYN


def test_a_refused_connection_is_told_with_its_time(shown: Trial) -> None:
    talk = Talk(shown)
    talk.up(frames.SYN, ttl=64)
    talk.down(RST | ACK, ttl=57)
    (told,) = shown.ended()
    assert told.state == RESET and told.rtt_remote_us > 0
    assert (told.down.resets, told.down.ttl_reset, told.up.ttl) == (1, 57, 64)


def test_a_reset_is_told_once_whoever_sends_more_of_them(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.up(RST)
    talk.down(ACK, b"was under way")
    talk.up(RST, seq=talk.next[False])
    talk.down(RST)
    (told,) = shown.ended()
    assert told.state == RESET and told.up.resets == 1 and not told.down.resets
    assert shown.flow().up.resets == 2 and shown.flow().down.bytes > 80  # what came later is not another flow
    assert shown.counts()["over"] == shown.counts()["begun"] == 1


def test_a_forged_reset_does_not_end_a_connection_that_goes_on(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.down(RST, seq=5, ttl=99)
    assert [one.state for one in shown.ended()] == [RESET]
    talk.down(ACK, b"and yet it moves")
    flow = shown.flow()
    assert flow.state == OPEN
    assert (flow.down.resets, flow.down.ttl, flow.down.ttl_reset) == (1, 64, 99)
    assert "over" not in shown.counts()
    talk.say_goodbye()
    assert [one.state for one in shown.ended()] == [CLOSED]
    assert shown.counts()["over"] == 1


def test_the_same_ports_come_again(shown: Trial) -> None:
    """Without an end of the first connection: it is told as it was, and the second one is another flow."""
    Talk(shown).shake_hands()
    second = Talk(shown, isn=900_000)
    second.up(frames.SYN)
    (told,) = shown.ended()
    assert told.state == OPEN and told.up.packets == 2
    assert shown.flow().state == SYN and shown.flow().up.packets == 1
    assert (shown.counts()["begun"], shown.counts()["over"]) == (2, 1)


def test_both_sides_open_at_once(shown: Trial) -> None:
    talk = Talk(shown)
    talk.up(frames.SYN)
    talk.down(frames.SYN)
    talk.up(SYN_ACK, seq=1000)
    talk.down(SYN_ACK, seq=7_001_000)
    assert shown.flow().state == OPEN
    assert not shown.ended()


def test_a_connection_met_in_its_middle_begins_with_data(shown: Trial) -> None:
    talk = Talk(shown)
    for flags in (ACK, FIN | ACK, RST, SYN_ACK | FIN):
        talk.up(flags)
    assert not shown.flows() and shown.counts()["stray"] == 4
    talk.down(ACK, b"y" * 500)
    talk.up(ACK, client_hello())
    flow = shown.flow()
    assert flow.mid and flow.state == OPEN
    assert not shown.payloads()  # where in the stream that was, nobody knows


def test_the_last_words_of_a_forgotten_connection_are_no_new_one(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.say_goodbye()
    talk.down(FIN | ACK, seq=talk.next[True] - 1)
    talk.up()
    talk.up(RST)
    assert not shown.flows()


# -- TCP: counters -------------------------------------------------------------------------


@pytest.mark.parametrize("isn", [1000, 2**32 - 300])
def test_retransmissions_are_counted_also_where_numbers_wrap(isn: int, shown: Trial) -> None:
    talk = Talk(shown, isn=isn)
    talk.shake_hands()
    for _ in range(5):
        place = talk.next[False]
        talk.up(ACK, b"x" * 100)
        talk.up(ACK, b"x" * 100, seq=place)
    talk.down(ACK, b"y" * 10)
    flow = shown.flow()
    assert (flow.up.retransmits, flow.down.retransmits) == (5, 0)
    assert flow.up.packets == 12


def test_a_question_whether_the_other_side_lives_is_no_retransmission(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.up(ACK, b"x" * 100)
    talk.up(ACK, b"x", seq=talk.next[False] - 1)
    assert shown.flow().up.retransmits == 0


def test_merged_packets_count_as_what_they_are_made_of(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.down(ACK, b"y" * 3000, pieces=3, size=1000)
    flow = shown.flow()
    assert flow.down.packets == 4
    assert flow.down.bytes == 40 + 3 * (40 + 1000)
    talk.down(ACK, b"y" * 3000, seq=talk.next[True] - 3000, pieces=3, size=1000)
    assert shown.flow().down.retransmits == 3


def test_packets_that_a_virtual_machine_did_not_count_are_counted(shown: Trial) -> None:
    talk = Talk(shown)
    talk.down(ACK, b"y" * 2500, pieces=0, size=1000)
    assert (shown.flow().down.packets, shown.flow().down.bytes) == (3, 3 * 40 + 2500)


def test_a_segment_is_timed_until_its_acknowledgement(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.up(ACK, b"x" * 100)
    begun = time.monotonic()
    time.sleep(0.01)
    talk.down(ACK)
    flow = shown.flow()
    assert 10_000 <= flow.up.srtt_us <= (time.monotonic() - begun) * 1e6 + 1000
    assert flow.down.srtt_us == 0


def test_one_quick_answer_does_not_change_much(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.up(ACK, b"x" * 100)
    time.sleep(0.02)
    talk.down(ACK)
    slow = shown.flow().up.srtt_us
    begun = time.monotonic()
    talk.up(ACK, b"x" * 100)
    talk.down(ACK)
    quick = (time.monotonic() - begun) * 1e6  # at most: this process may have waited for its turn between the two
    assert slow * 7 // 8 - 10 <= shown.flow().up.srtt_us <= slow * 7 // 8 + quick / 8 + 10


def test_a_repeated_segment_is_not_timed(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.up(ACK, b"x" * 100)
    talk.up(ACK, b"x" * 100, seq=1001)
    talk.down(ACK)
    assert shown.flow().up.srtt_us == 0


def test_an_end_says_what_the_entry_says(shown: Trial) -> None:
    """The program and the reader of its map know the same arithmetic. A flow that was reset has both for a while."""
    chance = random.Random(3)
    for number in range(40):
        talk = Talk(shown, 2000 + number, inward=number % 3 == 0)
        if number % 4:
            sides = (talk.down, talk.up) if number % 3 == 0 else (talk.up, talk.down)
            sides[0](frames.SYN, ttl=57)
            sides[1](SYN_ACK)
            sides[0]()
        for _ in range(chance.randrange(1, 12)):
            side = chance.choice((talk.up, talk.down))
            if chance.random() < 0.2:
                side(ACK, b"x" * 30, seq=talk.next[side == talk.down] - 30)
            else:
                fin = FIN if side == talk.up and chance.random() < 0.2 else 0  # with two of them it would be over
                side(ACK | fin, b"y" * chance.randrange(1, 1400))
            if number < 8:
                time.sleep(0.002)
        chance.choice((talk.up, talk.down))(RST, ttl=33)
        (told,) = shown.ended()
        (entry,) = shown.flows()
        for mine, other in ((told.up, entry.up), (told.down, entry.down)):
            assert mine == other
        assert told.first <= told.last and abs(told.last - entry.last) < BEHIND_S
        assert told.final and told == entry._replace(last=told.last, final=True)
        shown.forget()


def some_side(chance: random.Random, now: int, flags: int = 0) -> bytes:
    """What may stand in an entry, and what never should; `now` in the unit of `last`."""
    last = now - chance.choice((0, 1, 5, chance.randrange(min(now, 1 << 31)), chance.randrange(1 << 31), -1, -2))
    handshake, srtt8 = (chance.choice((0, 1, 125, 2500, chance.randrange(1 << 25))) for _ in range(2))
    counts = chance.choice((0, 7, 1 << 40)), chance.choice((0, 1, 5, 2**32 - 1)), chance.choice((0, 3))
    head = struct.pack("=QII20x4I", *counts, srtt8 * 8 + chance.randrange(8), handshake, 5, last & layout.WORD)
    told = chance.getrandbits(16) & ~layout.SIDE_TOLD | flags
    return head + struct.pack("=H4x6B", told, *chance.choices((0, 1, 64, 255), k=6))


def test_the_end_of_a_flow_that_is_replaced_says_what_its_entry_said(shown: Trial) -> None:
    """To the last digit, whatever was in it, and with nothing in between that belongs to another."""
    chance = random.Random(5)
    key = bytes(10) + b"\xff\xff\xc0\xa8\1\5" + bytes(10) + b"\xff\xff\xc6\x33\x64\7"
    key += struct.pack(">HH", 40000, 443) + struct.pack("=I", TCP)
    for _ in range(300):
        now = time.monotonic_ns()
        head = chance.choice((0, now - 10**9, now)), 3, chance.randrange(4), chance.randbytes(6)
        up, down = (some_side(chance, now >> layout.COARSE, flags) for flags in (layout.SIDE_SYN, 0))
        entry = struct.pack("=" + layout.FLOW_HEAD, *head) + up + down
        shown.loaded.maps["flows"].update(key, entry)
        shown.run(ethernet(v4(udp(40000, 53, b"\xff" * 200))))  # stays where the next event is made
        shown.run(ethernet(v4(tcp(40000, 443, chance.randrange(1, 2**32), 0, frames.SYN), TCP)))
        _, event = shown.raw_events()
        assert entries.over(event) == entries.measured(key, entry, struct.unpack_from("=Q", event)[0], True)
        unread = [
            event[layout.EVENT_SIZE :][place] for place in (19, *range(26, 32), 51, *range(58, 64), *range(82, 88))
        ]
        assert not any(unread) and event[16:24] == bytes(8)  # neither a place in a stream nor a first one
        shown.loaded.maps["flows"].delete(key)


# -- limits --------------------------------------------------------------------------------


def test_a_full_ring_is_counted_and_marks_the_flow(bpf: None) -> None:
    shown = Trial(Capacity(64, 4096))
    try:
        with one_processor():  # before Linux 6.16 each takes 128 free places of a map at once: who moves finds it full
            for port in range(100, 104):
                shown.run(ethernet(v4(udp(port, 443, initial()))))
            counts = shown.counts()
            assert counts["lost"] == 1 and counts["events"] == 3
            assert [flow.key[2] for flow in shown.flows() if flow.lost] == [103]
            assert len(shown.payloads()) == 3
            shown.run(ethernet(v4(udp(105, 443, initial()))))
            assert len(shown.payloads()) == 1  # there is room again
    finally:
        shown.close()


def test_a_full_map_makes_room_for_new_flows(bpf: None) -> None:
    shown = Trial(Capacity(64, 4096))
    try:
        for port in range(1, 2001):
            shown.run(ethernet(v4(udp(port, 5000, b"x"))))
        flows = shown.flows()
        counts = shown.counts()
        assert counts["begun"] + counts.get("full", 0) == 2000
        assert len(flows) <= 64
        assert 2000 in {flow.key[2] for flow in flows}
    finally:
        shown.close()
