"""ebpf/npflow.bpf.c in the running kernel: every header, every state of a connection, and what must not harm it."""

from __future__ import annotations

import errno
import random
import struct
import time

import pytest

from netpolicy.flows import tls_hello
from netpolicy.flows.ebpf import entries, layout
from netpolicy.flows.ebpf.bpf_call import BpfError
from netpolicy.flows.ebpf.inspector import Switches
from netpolicy.flows.ebpf.loading import Capacity
from netpolicy.flows.reader import Reader
from netpolicy.flows.seen import (
    CLOSED,
    DNS_ANSWER,
    DNS_ANSWERING,
    DNS_ASKING,
    DNS_QUERY,
    HELLO,
    INBOUND,
    MAPPED,
    OPEN,
    QUIC,
    RESET,
    STREAM,
    SYN,
)
from tests.flows import hellos, real_clients
from tests.xray.real_xray import needs_xray

from . import frames
from .frames import (
    ACK,
    CLIENT,
    CLIENT6,
    CLIENT_MAC,
    FIN,
    PPPOE,
    PSH,
    QINQ,
    REMOTE,
    REMOTE6,
    RST,
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
    vlan,
)
from .trial import EVERYTHING, Talk, Trial

pytestmark = pytest.mark.kernel

SYN_ACK = frames.SYN | ACK
DATAGRAM = udp(40000, 5000, b"x" * 64)
V2 = 0x6B3343CF


def v4(payload: bytes = DATAGRAM, protocol: int = UDP, **more: object) -> bytes:
    return ipv4(CLIENT, REMOTE, protocol, payload, **more)  # type: ignore[arg-type]


def v6(payload: bytes = DATAGRAM, protocol: int = UDP, **more: object) -> bytes:
    return ipv6(CLIENT6, REMOTE6, protocol, payload, **more)  # type: ignore[arg-type]


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
    assert begun - 0.001 <= flow.first <= middle <= flow.last + 0.02  # that clock may be a tick behind


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
    talk.up(ACK, b"x" * 100)
    talk.down(ACK)
    assert slow * 7 // 8 - 10 <= shown.flow().up.srtt_us < slow


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
        assert told.first <= told.last and abs(told.last - entry.last) < 0.02
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


# -- first payload -------------------------------------------------------------------------


def test_a_client_hello_is_sent_and_nothing_behind_it(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    hello = client_hello()
    talk.up(ACK | PSH, hello + b"early data that nobody asked for")
    talk.down(ACK, b"\x16\x03\x03 the server's")
    talk.up(ACK, b"\x17\x03\x03 secret")
    (piece,) = shown.payloads()
    assert (piece.kind, piece.first, piece.key) == (HELLO, True, shown.flow().key)
    assert tls_hello.from_told(piece.data) == tls_hello.from_stream(hello)
    assert len(piece.data) == 8 + 5 + len("video.example")  # no random numbers, no keys, no tickets


KINDS = [0, 16, 0xFE0D, 21, 43, 51, 0x0A0A, 1, 17]


def some_extension(chance: random.Random) -> bytes:
    kind = chance.choice(KINDS)
    if chance.random() < 0.02:
        return chance.randbytes(chance.randrange(1, 9))  # its length is wrong, or it is none
    usual = {
        0: lambda: hellos.server_name(chance.choice([b"Video.example", b"192.0.2.1", b"", b"x" * 255, b"a.\xff"])),
        16: lambda: hellos.protocols(*chance.choices([b"h2", b"http/1.1", b"h3"], k=chance.randrange(1, 5))),
        0xFE0D: lambda: hellos.encrypted(chance.randrange(3)),
    }
    if kind in usual and chance.random() < 0.9:
        return usual[kind]()
    return hellos.extension(kind, chance.randbytes(chance.choice((0, 0, 1, 5, 32, 130, 600))))


def some_hello(chance: random.Random) -> bytes:
    """As clients send them, and as nobody should: extensions twice, too many, none; lengths that do not fit."""
    found = [some_extension(chance) for _ in range(chance.choice((1, 3, 3, 6, 12, 30, 34)))]
    data = hellos.records(
        hellos.message(
            *found,
            version=b"\3\3" if chance.random() < 0.95 else b"\2\3",
            session=chance.randbytes(chance.choice((0, 32, 32, 33))),
            suites=chance.randbytes(chance.choice((0, 2, 30, 31, 34))),
        ),
        *chance.choice(((), (), (), (), (7,))),
    )
    if chance.random() < 0.3:
        at = chance.choice((4, 6, 8, 43, 44, chance.randrange(len(data))))
        data = data[:at] + bytes((chance.randrange(256),)) + data[at + 1 :]
    return data + (b"\x14\3\3\0\1\1" if chance.random() < 0.2 else b"")


def test_what_the_program_takes_out_of_a_hello_is_what_a_reader_finds_in_it(shown: Trial) -> None:
    """Never another name, and never one where there is none; where the program is in doubt, the reader decides."""
    chance = random.Random(7)
    kinds: dict[str, int] = {}
    for number in range(1500):
        hello, talk = some_hello(chance)[:3400], Talk(shown, 1024 + number)  # a page is what a trial may show
        talk.shake_hands()
        talk.up(ACK | PSH, hello)
        for piece in shown.payloads():
            kinds[piece.kind] = kinds.get(piece.kind, 0) + 1
            if piece.kind == HELLO:
                assert Reader().read(piece) == Reader().read(piece._replace(kind=STREAM, data=hello)), hello.hex()
            else:
                assert hello.startswith(piece.data)
        if number % 100 == 99:
            shown.forget()
    assert kinds[HELLO] > 100 < kinds[STREAM], kinds  # both ways were gone


@pytest.mark.parametrize("cuts", [[1], [3], [2, 3], [5], [8], [9], [600, 1200], [100] * 15])
def test_a_hello_in_pieces_arrives_whole(cuts: list[int], shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    hello, rest = client_hello(size=1800), b"\x14\x03\x03\x00\x01\x01"
    left = hello
    for size in cuts:
        talk.up(ACK, left[:size])
        left = left[size:]
    talk.up(ACK, left)
    talk.up(ACK, rest)
    pieces = shown.payloads()
    joined = b"".join(piece.data for piece in pieces)
    assert joined[: len(hello)] == hello
    # where one piece has the length, nothing behind the hello is sent; else what is bounded anyway
    has_length = any(piece.offset <= 3 and piece.offset + len(piece.data) >= 9 for piece in pieces)
    assert has_length is (cuts not in ([2, 3], [5], [8]))
    assert joined[len(hello) :] == (b"" if has_length else rest)
    assert [piece.first for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert pieces[1].offset == cuts[0]


def test_pieces_of_a_hello_out_of_order_arrive_with_their_places(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    hello = client_hello(size=1500)
    talk.up(ACK, hello[700:], seq=1001 + 700)
    talk.up(ACK, hello[:700], seq=1001)
    talk.next[False] += 1500
    talk.up(ACK, b"\x17\x03\x03 secret")
    pieces = shown.payloads()
    assert [(piece.offset, piece.data) for piece in pieces] == [(700, hello[700:]), (0, hello[:700])]
    assert [piece.first for piece in pieces] == [True, False]


def test_a_repeated_first_segment_is_sent_once(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    hello = client_hello(size=1500)
    for seq, data in ((1001, hello[:700]), (1001, hello[:700]), (1001, hello[:900]), (1701, hello[700:])):
        talk.up(ACK, data, seq=seq)
    pieces = shown.payloads()
    assert [one.offset for one in pieces] == [0, 0, 700]
    joined = {place: byte for one in pieces for place, byte in enumerate(one.data, one.offset)}
    assert bytes(joined[place] for place in range(1500)) == hello


AGREEING = [(700, 800), (0, 700), (0, 1500)]  # the first two make it whole already
LYING = [(1490, 10), (0, 1500)]


@pytest.mark.parametrize(("segments", "is_true"), [(AGREEING, True), (AGREEING[1:], True), (LYING, False)])
def test_behind_pieces_a_whole_hello_is_for_the_reader_to_join(
    segments: list[tuple[int, int]], is_true: bool, shown: Trial
) -> None:
    """It knows whether they agree, and whether the name was told before."""
    talk, hello, reader = Talk(shown), client_hello(size=1500), Reader()
    talk.shake_hands()
    for number, (at, size) in enumerate(segments):
        piece = hello[at : at + size] if is_true or number else bytes(range(size))
        talk.up(ACK, piece, seq=1001 + at)
    pieces = shown.payloads()
    assert {one.kind for one in pieces} == {STREAM}
    found = [result for one in pieces if (result := reader.read(one)) is not None]
    assert [getattr(one, "name", "") for one in found] == ["video.example" if is_true else ""]


def test_a_hello_spread_over_records_arrives_whole(shown: Trial) -> None:
    """One message in records of 100 bytes, as some programs send it so that nobody reads it."""
    message = client_hello(size=1000)[5:]
    parts = [message[at : at + 100] for at in range(0, len(message), 100)]
    stream = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)
    talk = Talk(shown)
    talk.shake_hands()
    talk.up(ACK, stream[:500])
    talk.up(ACK, stream[500:])
    assert b"".join(piece.data for piece in shown.payloads()) == stream


def test_the_hellos_of_browsers_are_taken_apart(shown: Trial) -> None:
    """Xray's imitations of them, byte by byte, with all their extensions, and Go's own."""
    needs_xray()
    for number, (client, pieces) in enumerate(real_clients.heard().items()):
        hello, talk = b"".join(pieces), Talk(shown, 3000 + number)
        if client == real_clients.QUIC:
            continue
        talk.shake_hands()
        talk.up(ACK, hello, pieces=2, size=1400)
        (piece,) = shown.payloads()
        assert (piece.kind, client) == (HELLO, client)
        assert tls_hello.from_told(piece.data) == tls_hello.from_stream(hello)


def test_a_merged_hello_is_one_piece(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    hello = client_hello(size=2200)
    talk.up(ACK, hello, pieces=2, size=1400)
    (piece,) = shown.payloads()
    assert tls_hello.from_told(piece.data) == tls_hello.from_stream(hello)


def test_data_in_a_syn_begins_the_stream(shown: Trial) -> None:
    """TCP Fast Open: the server takes it, or it is sent once more."""
    talk = Talk(shown)
    hello = client_hello()
    talk.up(frames.SYN, hello[:40])
    talk.down(SYN_ACK)
    talk.up(ACK, hello[40:])
    assert [(piece.offset, piece.data) for piece in shown.payloads()] == [(0, hello[:40]), (40, hello[40:])]
    assert shown.flow().rtt_remote_us > 0


def test_a_name_for_a_server_of_ours_has_another_kind(shown: Trial) -> None:
    talk = Talk(shown, inward=True)
    talk.down(frames.SYN)
    talk.up(SYN_ACK)
    talk.down()
    talk.down(ACK, client_hello())
    talk.up(ACK, client_hello())
    (piece,) = shown.payloads()
    assert piece.kind == INBOUND


def test_a_request_is_sent_to_the_end_of_its_head(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.up(ACK, b"POST /login HTTP/1.1\r\n")
    talk.up(ACK, b"Host: www.example\r\n\r\n")
    talk.up(ACK, b"password=secret")
    assert b"".join(piece.data for piece in shown.payloads()) == b"POST /login HTTP/1.1\r\nHost: www.example\r\n\r\n"


def test_of_a_long_request_the_first_two_kilobytes_are_sent(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    for _ in range(3):
        talk.up(ACK, b"GET /" + b"x" * 1195)
    assert sum(len(piece.data) for piece in shown.payloads()) == 2048


@pytest.mark.parametrize(
    "begin", [b"SSH-2.0-OpenSSH", b"EHLO mail.example\r\n", b"\x16\x01\x00\x30", b"\x00", b"PASS secret"]
)
def test_nothing_of_other_protocols_leaves_the_kernel(begin: bytes, shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.up(ACK, begin)
    talk.up(ACK, client_hello())
    assert not shown.payloads()


def test_a_handshake_record_that_is_no_client_hello_is_not_sent(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    talk.up(ACK, b"\x16\x03\x01\x00\x30\x02" + bytes(50))
    assert not shown.payloads()


def test_pieces_of_one_flow_are_bounded(shown: Trial) -> None:
    talk = Talk(shown)
    talk.shake_hands()
    for byte in client_hello(size=300):
        talk.up(ACK, bytes((byte,)))
    assert len(shown.payloads()) == 16


# -- DNS over TCP ----------------------------------------------------------------------------


ASKED, ANSWERED = (struct.pack(">HHH", 70, 7, flags) + bytes(range(66)) for flags in (0x0100, 0x8180))


def said_to_name_server(talk: Talk) -> None:
    talk.shake_hands()
    talk.up(ACK | PSH, ASKED)
    talk.down(ACK, ANSWERED)


@pytest.mark.parametrize("six", [False, True])
def test_both_directions_of_dns_over_tcp_are_sent_from_their_beginning(six: bool, shown: Trial) -> None:
    talk = Talk(shown, six=six, server=53)
    talk.shake_hands()
    talk.up(ACK | PSH, ASKED[:2])  # some send the length alone
    talk.up(ACK | PSH, ASKED[2:])
    talk.down(ACK, ANSWERED[:40])
    talk.down(ACK, ANSWERED[40:] + ANSWERED)
    talk.up(ACK | PSH, ASKED)
    assert [(one.kind, one.offset, one.data, one.first) for one in shown.payloads()] == [
        (DNS_ASKING, 0, ASKED[:2], True),
        (DNS_ASKING, 2, ASKED[2:], False),
        (DNS_ANSWERING, 0, ANSWERED[:40], True),
        (DNS_ANSWERING, 40, ANSWERED[40:] + ANSWERED, False),
        (DNS_ASKING, 72, ASKED, False),
    ]


def test_of_dns_over_tcp_a_bounded_beginning_is_sent(shown: Trial) -> None:
    talk = Talk(shown, server=53)
    talk.shake_hands()
    for _ in range(200):
        talk.up(ACK, ASKED)
        talk.down(ACK, ANSWERED * 10)
    sent = {kind: [one.data for one in shown.payloads() if one.kind == kind] for kind in (DNS_ASKING,)}
    assert sum(map(len, sent[DNS_ASKING])) == 2048
    shown.forget()
    talk = Talk(shown, server=53)
    talk.shake_hands()
    for _ in range(200):
        talk.down(ACK, ANSWERED * 10)
    assert sum(len(one.data) for one in shown.payloads()) == 8192


def test_only_a_name_servers_words_are_sent_of_who_answers(shown: Trial) -> None:
    """Not those of other ports, of another protocol on that port, nor of a client's own name server."""
    said_to_name_server(Talk(shown, server=5353))
    talk = Talk(shown, port=40001, server=53)
    talk.shake_hands()
    talk.down(ACK, b"SSH-2.0-OpenSSH_9.2")
    talk.up(ACK, b"\0\x0c\0\x07\x81\x80 is an answer")
    talk.down(ACK, ANSWERED)
    inward = Talk(shown, port=53, inward=True)  # the remote asks from port 53
    inward.down(frames.SYN)
    inward.up(SYN_ACK)
    inward.down(ACK, ASKED)
    inward.up(ACK, ANSWERED)
    assert not shown.payloads()


# -- UDP -----------------------------------------------------------------------------------


def test_questions_and_answers_of_dns(shown: Trial) -> None:
    shown.run(ethernet(v4(udp(40000, 53, b"question" * 4))))
    shown.run(ethernet(ipv4(REMOTE, CLIENT, UDP, udp(53, 40000, b"answer" * 100)), down=True), down=True)
    shown.run(ethernet(v4(udp(53, 40000, b"an answer of a client"))))
    shown.run(ethernet(v4(udp(40000, 53, b"too short"))))
    found = [(one.kind, one.data) for one in shown.payloads()]
    assert found == [(DNS_QUERY, b"question" * 4), (DNS_ANSWER, b"answer" * 100)]


@pytest.mark.parametrize("version", [1, V2])
@pytest.mark.parametrize("port", [443, 8443])
def test_an_initial_of_quic_is_sent(version: int, port: int, shown: Trial) -> None:
    datagram = initial(version, 1250)
    shown.run(ethernet(v6(udp(40000, port, datagram))))
    (piece,) = shown.payloads()
    assert (piece.kind, piece.data, piece.first) == (QUIC, datagram, True)


NO_INITIAL = {
    "short": initial(size=1199),
    "a short header": b"\x43" + initial()[1:],
    "0-RTT": b"\xd3" + initial()[1:],
    "a handshake packet": b"\xe3" + initial()[1:],
    "0-RTT of version 2": b"\xe3" + initial(V2)[1:],
    "a retry of version 2": b"\xc3" + initial(V2)[1:],
    "a draft": initial(0xFF00001D),
    "version negotiation": initial(0),
}


@pytest.mark.parametrize("what", NO_INITIAL)
def test_it_is_no_initial(what: str, shown: Trial) -> None:
    shown.run(ethernet(v4(udp(40000, 443, NO_INITIAL[what]))))
    assert not shown.events()
    assert shown.flow().up.packets == 1


def test_initials_are_sent_until_the_server_has_answered_in_full(shown: Trial) -> None:
    first, answer = initial(), ethernet(ipv4(REMOTE, CLIENT, UDP, udp(443, 40000, b"r" * 100)), down=True)
    full = ethernet(ipv4(REMOTE, CLIENT, UDP, udp(443, 40000, b"s" * 1200)), down=True)
    for frame, down in ((first, False), (answer, True), (first, False), (full, True), (first, False)):
        shown.run(frame if down else ethernet(v4(udp(40000, 443, frame))), down)
    assert len(shown.payloads()) == 2


def test_initials_of_one_flow_are_bounded(shown: Trial) -> None:
    for _ in range(10):
        shown.run(ethernet(v4(udp(40000, 443, initial()))))
    assert len(shown.payloads()) == 6


def test_merged_initials_are_taken_apart(shown: Trial) -> None:
    one, two = initial(size=1250), initial(V2, 1250)
    frame = ethernet(v4(udp(40000, 443, one + two, 0)))
    shown.run(frame, pieces=2, size=1250)
    assert [piece.data for piece in shown.payloads()] == [one, two]
    assert (shown.flow().up.packets, shown.flow().up.bytes) == (2, 2 * (28 + 1250))


# -- privacy -------------------------------------------------------------------------------


def everything_once(shown: Trial) -> None:
    for port, data in ((1, client_hello()), (2, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")):
        talk = Talk(shown, port)
        talk.shake_hands()
        talk.up(ACK, data)
        talk.say_goodbye()
    shown.run(ethernet(v4(udp(3, 53, b"question" * 4))))
    shown.run(ethernet(ipv4(REMOTE, CLIENT, UDP, udp(53, 3, b"answer" * 4)), down=True), down=True)
    shown.run(ethernet(v4(udp(4, 443, initial()))))
    said_to_name_server(Talk(shown, 5, server=53))


def said(shown: Trial) -> list[str]:
    return [getattr(one, "kind", "over") + str(one.key[2]) for one in shown.events()]


def test_nothing_leaves_the_kernel_before_it_is_switched_on(shown: Trial) -> None:
    shown.switch(Switches())
    everything_once(shown)
    assert said(shown) == []
    assert shown.counts()["over"] == 2  # it still knows, for whoever asks how many flows there were


@pytest.mark.parametrize(
    ("switch", "seen"),
    [
        ("tls", ["hello1"]),
        ("http", ["stream2"]),
        ("dns_queries", ["dns_query3", "dns_asking5"]),
        ("dns_answers", ["dns3", "dns_answering5"]),
        ("quic", ["quic4"]),
        ("flows", ["over1", "over2"]),
    ],
)
def test_each_switch_is_for_one_kind(switch: str, seen: list[str], shown: Trial) -> None:
    shown.switch(Switches()._replace(**{switch: True}))
    everything_once(shown)
    assert said(shown) == seen
    shown.forget()
    shown.switch(EVERYTHING._replace(**{switch: False}))
    everything_once(shown)
    assert not set(said(shown)) & set(seen)


# -- limits --------------------------------------------------------------------------------


def test_a_full_ring_is_counted_and_marks_the_flow(bpf: None) -> None:
    shown = Trial(Capacity(64, 4096))
    try:
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
