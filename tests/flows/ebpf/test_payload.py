"""ebpf/npflow.bpf.c in the running kernel: which payload it tells, how much of it, and what never leaves it."""

from __future__ import annotations

import random
import struct

import pytest

from netpolicy.flows import tls_hello
from netpolicy.flows.ebpf.inspector import Switches
from netpolicy.flows.reader import Reader
from netpolicy.flows.seen import (
    DNS_ANSWER,
    DNS_ANSWERING,
    DNS_ASKING,
    DNS_QUERY,
    HELLO,
    INBOUND,
    QUIC,
    STREAM,
)
from tests.flows import hellos, real_clients
from tests.xray.real_xray import needs_xray

from . import frames
from .frames import (
    ACK,
    CLIENT,
    PSH,
    REMOTE,
    SYN_ACK,
    UDP,
    client_hello,
    ethernet,
    initial,
    ipv4,
    udp,
    v4,
    v6,
)
from .trial import EVERYTHING, Talk, Trial

pytestmark = pytest.mark.kernel

V2 = 0x6B3343CF


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
