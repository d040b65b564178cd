"""What is put together of a connection: its name, how it goes, and for whom that counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netpolicy.flows.inside import Subnet
from netpolicy.flows.learned import CERTAIN, LIKELY, POSSIBLE
from netpolicy.flows.losses import News
from netpolicy.flows.model import TCP, UDP, Flow
from netpolicy.flows.reader import Answer, Name, Unknown
from netpolicy.flows.seen import (
    CLOSED,
    DNS_ANSWER,
    DNS_QUERY,
    OPEN,
    RESET,
    STREAM,
    SYN,
    Measured,
    Payload,
    SeenKey,
    Side,
)
from netpolicy.service.inspector_feed import (
    EACH_SECOND,
    LOSSES_EACH_SECOND,
    OVER_SECONDS,
    SAMPLES_EACH_SECOND,
    Feed,
    packed,
)
from tests.flows import hellos

CLIENT, WEB = packed("192.168.1.11"), packed("198.51.100.4")
KEY: SeenKey = (CLIENT, WEB, 50000, 443, TCP)
HOME = Subnet(4, 0xC0A80100, 0xC0A801FF, "192.168.1.1", "br-lan")
FLOW = Flow(1, 4, TCP, "192.168.1.11", 50000, "198.51.100.4", 443, "198.51.100.4", 443, "203.0.113.2", 50000, mark=7)
REQUEST = b"GET / HTTP/1.1\r\nHost: www.example.net\r\n\r\n"


def dns(name: bytes, address: str | None) -> bytes:
    question = b"".join(bytes([len(part)]) + part for part in name.split(b".")) + b"\0\0\1\0\1"
    head = b"\1\2" + (b"\1\0" if address is None else b"\x81\x80") + b"\0\1" + (b"\0\0" if address is None else b"\0\1")
    if address is None:
        return head + bytes(4) + question
    return head + bytes(4) + question + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + packed(address)[12:]


@pytest.fixture
def feed() -> Feed:
    found = Feed(lambda mark: f"line{mark}" if mark else "")
    found.live_in([HOME])
    return found


def measured(state: str, *, final: bool = False, rtt: int = 0, up: Side = Side(), down: Side = Side()) -> Measured:  # noqa: B008
    return Measured(KEY, state, up, down, rtt_remote_us=rtt, final=final)


def test_the_name_of_a_request_is_that_of_its_connection(feed: Feed) -> None:
    feed.payload(Payload(KEY, STREAM, 0, REQUEST, 0.0, True))
    assert feed.name_of(FLOW, 1.0) == ("www.example.net", "http", CERTAIN, "")
    assert feed.counters["names"] == 1


def test_without_one_it_is_what_the_client_asked_for(feed: Feed) -> None:
    resolver: SeenKey = (CLIENT, packed("192.168.1.1"), 40000, 53, 17)
    feed.payload(Payload(resolver, DNS_QUERY, 0, dns(b"www.example.net", None), 0.0, True))
    feed.payload(Payload(resolver, DNS_ANSWER, 0, dns(b"www.example.net", "198.51.100.4"), 0.1, False))
    assert feed.name_of(FLOW, 1.0) == ("www.example.net", "dns", LIKELY, "")


def test_an_answer_that_nobody_asked_for_teaches_nothing(feed: Feed) -> None:
    feed.payload(
        Payload((CLIENT, WEB, 40000, 53, 17), DNS_ANSWER, 0, dns(b"www.example.net", "198.51.100.4"), 0.1, True)
    )
    assert feed.name_of(FLOW, 1.0)[0] == ""
    assert len(feed.learned) == 0


def test_a_connection_without_any_name_says_why(feed: Feed) -> None:
    assert feed.name_of(FLOW, 1.0) == ("", "", "", "not_seen")
    feed.payload(Payload(KEY, STREAM, 0, b"\0\1\2\3", 0.0, True))
    assert feed.name_of(FLOW, 1.0) == ("", "", "", "other")
    assert feed.reasons == {"other": 1}


def test_a_hello_that_hides_its_name_is_unknown_and_never_what_the_address_is_known_for(feed: Feed) -> None:
    feed.learned.note_answer(CLIENT, "secret.example", [(WEB, 60)], 0.0, ["front.example"])
    feed._take(Name(KEY, "front.example", "tls", ech=True), 0.0)
    assert feed.name_of(FLOW, 1.0) == ("", "", "", "ech")


def test_a_hello_with_that_extension_and_an_ordinary_name_is_likely_meant_so(feed: Feed) -> None:
    feed._take(Name(KEY, "www.example.net", "tls", ech=True), 0.0)
    assert feed.name_of(FLOW, 1.0) == ("www.example.net", "tls", LIKELY, "")


def test_a_hello_whose_rest_never_came_may_hide_its_name_too(feed: Feed) -> None:
    hello = hellos.records(
        hellos.message(hellos.server_name(b"front.example"), hellos.key_share(1216), hellos.encrypted())
    )
    feed.learned.note_answer(CLIENT, "secret.example", [(WEB, 60)], 0.0, ["front.example"])
    other: SeenKey = (CLIENT, WEB, 50001, 443, TCP)
    feed.payload(Payload(KEY, STREAM, 0, hello[:1400], 0.0, True))
    plain = hellos.records(hellos.message(hellos.server_name(b"www.example.net"), hellos.key_share(1216)))
    feed.payload(Payload(other, STREAM, 0, plain[:1200], 0.0, True))
    feed.expire(20.0)
    assert feed.name_of(FLOW, 20.0) == ("", "", "", "ech")
    assert (feed.seen[other].name, feed.seen[other].confidence) == ("www.example.net", LIKELY)


def test_a_fault_of_a_parser_costs_one_name_and_not_the_tier(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(feed.reader, "read", lambda piece: piece.data[9999])
        feed.payload(Payload(KEY, STREAM, 0, REQUEST, 0.0, True))
    feed.payload(Payload((CLIENT, WEB, 50001, 443, TCP), STREAM, 0, REQUEST, 0.0, True))
    assert (feed.counters["faults"], feed.counters["names"]) == (1, 1)


def test_what_is_said_to_a_proxy_names_somebody_else(feed: Feed) -> None:
    feed._take(Name(KEY, "www.example.net", "http", of_remote=False), 0.0)
    assert feed.name_of(FLOW, 1.0) == ("", "", "", "proxied")
    assert len(feed.learned) == 0


def test_a_name_that_is_known_stays_when_a_later_piece_cannot_be_read(feed: Feed) -> None:
    feed._take(Name(KEY, "www.example.net", "tls"), 0.0)
    feed._take(Unknown(KEY, "tls", "malformed"), 0.1)
    assert feed.name_of(FLOW, 1.0)[0] == "www.example.net"


def test_hints_of_an_answer_name_addresses_too(feed: Feed) -> None:
    answer = Answer((CLIENT, WEB, 1, 53, 17), "www.example.net", (), (), ((WEB, 60),), False, (), True)
    feed._take(answer, 0.0)
    assert feed.name_of(FLOW, 1.0)[:2] == ("www.example.net", "dns")


def test_another_clients_name_is_possible(feed: Feed) -> None:
    other: SeenKey = (packed("192.168.1.12"), WEB, 1, 443, TCP)
    feed._take(Name(other, "www.example.net", "tls"), 0.0)
    assert feed.name_of(FLOW, 1.0) == ("www.example.net", "tls", POSSIBLE, "")


def test_how_it_goes_counts_for_the_address_and_for_the_outbound_by_its_mark(feed: Feed) -> None:
    feed.began(FLOW)
    feed.measured(measured(OPEN, rtt=40_000, up=Side(packets=30), down=Side(packets=30, retransmits=3)), 1.0)
    seen = feed.of(FLOW)
    assert seen is not None and (seen.rtt_us, seen.retransmits, seen.state) == (40_000, 3, OPEN)
    for quality in (feed.outbounds.of("line7", 1.0), feed.remotes.of(WEB, 1.0)):
        assert (quality.rtt_ms, quality.loss, quality.connections) == (40.0, 0.05, 1.0)


def test_a_connection_that_was_over_before_conntrack_told_of_it_is_known(feed: Feed) -> None:
    """Both tell of it in the same moment; whose word is read first is chance."""
    feed.measured(measured(CLOSED, final=True, rtt=20_000), 1.0)
    feed.began(FLOW, 1.0)
    found = feed.of(FLOW)
    assert found is not None and (found.state, found.resets, found.rtt_us) == (CLOSED, 0, 20_000)
    feed.ended(FLOW, 2.0)
    assert feed.of(FLOW) is None


def test_a_later_report_counts_only_what_is_new(feed: Feed) -> None:
    feed.began(FLOW)
    for packets in (60, 80, 80):
        feed.measured(measured(OPEN, rtt=40_000, up=Side(packets=packets, retransmits=packets // 20)), 1.0)
    assert feed.outbounds.of("line7", 1.0).loss == 0.05
    assert feed.outbounds.of("line7", 1.0).connections == 1.0


@pytest.mark.parametrize(
    ("told", "errors"),
    [
        (measured(SYN, final=True, up=Side(syns=4)), 1.0),
        (measured(RESET, final=True, down=Side(resets=1)), 1.0),
        (measured(RESET, final=True, up=Side(resets=1)), 0.0),
        (measured(CLOSED, final=True), 0.0),
    ],
)
def test_what_is_not_answered_or_is_refused_is_an_error(feed: Feed, told: Measured, errors: float) -> None:
    for number in range(3):
        feed.measured(told._replace(key=(CLIENT, WEB, number, 443, TCP)), 1.0)
    assert feed.remotes.of(WEB, 1.0).errors == errors


def test_without_a_tier_conntrack_tells_what_was_never_answered(feed: Feed) -> None:
    for number in range(4):
        flow = Flow(
            number, 4, TCP, "192.168.1.11", number, "198.51.100.4", 443, "198.51.100.4", 443, "203.0.113.2", number,
            mark=7, status=0 if number else 2,
        )  # fmt: skip
        feed.began(flow)
        feed.ended(flow, 1.0)
    assert feed.outbounds.of("line7", 1.0).errors == 0.75


def test_a_connection_that_the_remote_opened_is_found_by_its_answering_side(feed: Feed) -> None:
    turned = Flow(1, 4, TCP, "198.51.100.4", 443, "203.0.113.2", 80, "192.168.1.11", 50000, "198.51.100.4", 443, mark=7)
    feed.began(turned)
    feed.measured(measured(OPEN)._replace(inbound=True, rtt_remote_us=5, rtt_client_us=9000), 1.0)
    seen = feed.of(turned)
    assert seen is not None and (seen.mark, seen.rtt_us) == (7, 9000)


def test_what_no_client_has_to_do_with_is_not_kept(feed: Feed) -> None:
    feed.began(Flow(1, 4, TCP, "203.0.113.2", 1, "198.51.100.4", 2, "198.51.100.4", 2, "203.0.113.2", 1))
    assert not feed.seen


def test_what_passes_from_port_to_port_is_not_counted(feed: Feed) -> None:
    feed.by_ports = True
    near: SeenKey = (CLIENT, packed("192.168.1.12"), 1, 445, TCP)
    feed.measured(measured(OPEN)._replace(key=near), 1.0)
    feed.payload(Payload(near, STREAM, 0, REQUEST, 1.0, True))
    assert not feed.seen and not len(feed.learned)
    feed.measured(measured(OPEN), 1.0)
    assert list(feed.seen) == [KEY]


def test_it_stays_bounded_and_what_is_over_goes(feed: Feed) -> None:
    small = Feed(lambda mark: "", limit=2)
    small.live_in([HOME])
    for number in range(4):
        small.measured(measured(OPEN)._replace(key=(CLIENT, WEB, number, 443, TCP)), 1.0)
    assert [key[2] for key in small.seen] == [2, 3]
    assert small.counters["forgotten"] == 2
    small.measured(measured(CLOSED, final=True)._replace(key=(CLIENT, WEB, 2, 443, TCP)), 2.0)
    small.expire(2.0 + OVER_SECONDS)
    assert len(small.seen) == 2
    small.expire(2.1 + OVER_SECONDS)
    assert [key[2] for key in small.seen] == [3]


def test_one_client_does_not_have_the_connections_of_others_forgotten(feed: Feed) -> None:
    small = Feed(lambda mark: "", limit=32)
    small.live_in([HOME])
    small._take(Name(KEY, "www.example.net", "tls"), 0.0)
    small.measured(measured(CLOSED, final=True), 0.5)
    loud = packed("192.168.1.66")
    for number in range(300):
        small.measured(measured(OPEN)._replace(key=(loud, WEB, number, 443, TCP)), 1.0)
    assert small.name_of(FLOW, 2.0)[0] == "www.example.net"
    assert len(small.seen) <= 32 and small.counters["forgotten"] >= 269


def test_what_is_over_is_forgotten_before_what_is_open(feed: Feed) -> None:
    small = Feed(lambda mark: "", limit=4)
    small.live_in([HOME])
    for number in range(4):
        state, final = (CLOSED, True) if number == 2 else (OPEN, False)
        small._entry((CLIENT, WEB, number, 443, TCP))
        small.measured(measured(state, final=final)._replace(key=(CLIENT, WEB, number, 443, TCP)), 1.0)
    small.measured(measured(OPEN)._replace(key=(CLIENT, WEB, 9, 443, TCP)), 1.0)
    assert [key[2] for key in small.seen] == [0, 1, 3, 9]


def test_a_slow_cipher_is_given_only_some_packets_of_a_second() -> None:
    class Slow:
        name, is_costly = "own", True

        def block(self, key: bytes, data: bytes) -> bytes:
            return bytes(16)

        def open(self, *_: bytes) -> bytes | None:
            return None

    feed = Feed(lambda mark: "", cipher=Slow())
    for number in range(30):
        feed.payload(Payload((CLIENT, WEB, number, 443, 17), "quic", 0, bytes(1200), 0.5, True))
    assert feed.counters["skipped"] == 10


def test_one_client_gets_half_of_what_a_fast_cipher_opens() -> None:
    class Fast:
        name, is_costly = "fast", False

        def block(self, key: bytes, data: bytes) -> bytes:
            return bytes(16)

        def open(self, *_: bytes) -> bytes | None:
            return None

    feed = Feed(lambda mark: "", cipher=Fast())
    for number in range(EACH_SECOND):
        feed.payload(Payload((CLIENT, WEB, number, 443, 17), "quic", 0, bytes(1200), 0.5, True))
    assert feed.counters["skipped"] == EACH_SECOND // 2
    feed.payload(Payload((packed("192.168.1.12"), WEB, 1, 443, 17), "quic", 0, bytes(1200), 0.6, True))
    assert feed.counters["skipped"] == EACH_SECOND // 2


def test_quic_is_opened_by_a_cipher_that_is_chosen_when_the_first_packet_comes(feed: Feed) -> None:
    pytest.importorskip("aioquic")
    from tests.flows.quic_clients import real

    assert feed._cipher.name == ""
    for number, datagram in enumerate(real("www.example.com")):
        feed.payload(Payload((CLIENT, WEB, 50000, 443, 17), "quic", 0, datagram, 0.0, number == 0))
    assert feed._cipher.name in ("kernel", "libcrypto", "own")
    assert [(one.name, one.source) for one in feed.seen.values()] == [("www.example.com", "quic")]


def courses(feed: Feed) -> list[tuple[str, str, str, bool, int]]:
    """What is told of open connections from now on."""
    found: list[tuple[str, str, str, bool, int]] = []

    def tell(outbound: str, client: str, remote: str, told: Measured, repeated: int) -> None:
        found.append((outbound, client, remote, told.final, repeated))

    feed.tell_course = tell
    return found


def test_how_an_open_connection_goes_on_is_told_until_it_is_over(feed: Feed) -> None:
    found, where = courses(feed), ("line7", "192.168.1.11", "198.51.100.4")
    feed.began(FLOW)

    def told(heard: int, repeated: int, again: int = 0, *, state: str = OPEN, final: bool = False) -> None:
        up, down = Side(packets=9, retransmits=repeated), Side(packets=heard + again, retransmits=again)
        feed.measured(measured(state, final=final, up=up, down=down), 1.0)

    told(5, 1)  # it was repeated, and something came: nobody knows which was first
    told(5, 1)
    told(5, 3)
    told(5, 4, again=7)  # the remote repeats itself: it does not hear us
    told(6, 4)
    assert found == [(*where, False, count) for count in (0, 2, 3, 0)]
    told(6, 5)
    told(6, 6, state=CLOSED, final=True)
    assert found[4:] == [(*where, False, 1), (*where, True, 2)]


def test_of_thousands_that_hear_something_a_sample_is_told_and_whoever_waited_always(feed: Feed) -> None:
    found = courses(feed)
    keys = [(CLIENT, WEB, port, 443, TCP) for port in range(1, 101)]
    for key in keys:
        feed.began(replace(FLOW, source_port=key[2], reply_destination_port=key[2]))
        feed.measured(measured(OPEN, down=Side(packets=1))._replace(key=key), 1.0)
    assert len(found) == SAMPLES_EACH_SECOND // 8
    found.clear()
    for told in (measured(OPEN, up=Side(retransmits=2), down=Side(packets=1)), measured(OPEN, down=Side(packets=2))):
        for key in keys:
            feed.measured(told._replace(key=key), 1.5)
    assert [repeated for *_, repeated in found] == [2] * 100 + [0] * 100


def test_of_what_is_over_only_what_was_in_vain_or_cut_is_told(feed: Feed) -> None:
    found = courses(feed)
    usual = Side(packets=9)
    for port, told in enumerate((
        measured(CLOSED, final=True, up=usual, down=usual), measured(RESET, final=True, up=Side(resets=1), down=usual),
        measured(RESET, final=True, up=usual, down=Side(packets=9, resets=1)),
    ), 50000):  # fmt: skip
        feed.began(replace(FLOW, source_port=port, reply_destination_port=port))
        feed.measured(told._replace(key=(CLIENT, WEB, port, 443, TCP)), 1.0)
    assert found == [("line7", "192.168.1.11", "198.51.100.4", True, 0)]


def test_nothing_is_told_of_who_never_answered_came_in_is_no_tcp_or_goes_nowhere(feed: Feed) -> None:
    """The first is what anybody can forge: data that is repeated to where nobody is."""
    found = courses(feed)
    feed.began(FLOW)
    for repeated in (0, 5, 9):
        up = Side(packets=9, retransmits=repeated)
        feed.measured(measured(OPEN, up=up)._replace(mid=True), 1.0)
        for key in ((CLIENT, WEB, 50001, 443, UDP), (CLIENT, WEB, 50002, 443, TCP)):
            feed.measured(measured(OPEN, up=up, down=Side(packets=3))._replace(key=key), 1.0)
    feed.began(replace(FLOW, source_port=50003))
    for repeated in (0, 5):
        told = measured(OPEN, up=Side(retransmits=repeated), down=Side(packets=3))
        feed.measured(told._replace(key=(CLIENT, WEB, 50003, 443, TCP), inbound=True), 1.0)
    assert found == []


def told_losses(feed: Feed) -> list[tuple[int, str, str, News]]:
    """What is told of losses from now on."""
    found: list[tuple[int, str, str, News]] = []

    def tell(mark: int, client: str, remote: str, told: Measured, new: News) -> None:
        found.append((mark, client, remote, new))

    feed.tell_losses = tell
    return found


def test_what_was_lost_is_told_after_some_packets_and_the_fate_of_a_connection_once(feed: Feed) -> None:
    found, where = told_losses(feed), (7, "192.168.1.11", "198.51.100.4")
    feed.began(FLOW)

    def told(sent: int, received: int, repeated: int = 0) -> None:
        up, down = Side(bytes=sent * 52, packets=sent), Side(received * 1400, received, repeated)
        feed.measured(measured(OPEN, up=up, down=down), 1.0)

    told(2, 2)
    told(6, 12, 2)
    told(7, 20, 3)
    told(25, 40, 5)
    assert found == [(*where, News(None, (2, 12), "answered")), (*where, News(None, (3, 28), ""))]
    told(25, 30, 1)  # the kernel had given its place to another one, and began to count anew
    assert found[2:] == [(*where, News(None, (1, 30), ""))]
    feed.measured(measured(CLOSED, final=True, up=Side(26 * 52, 26), down=Side(32 * 1400, 32, 2)), 1.0)
    assert found[3:] == [(*where, News(None, (1, 2), ""))]


def test_of_thousands_of_connections_the_losses_of_a_sample_are_told_and_nothing_is_forgotten(feed: Feed) -> None:
    """However many addresses a client has: it is told by its MAC address from the others."""
    found = told_losses(feed)

    def told(number: int, packets: int, repeated: int, now: float) -> None:
        told = measured(OPEN, down=Side(packets * 1500, packets, repeated))
        feed.measured(told._replace(key=(packed(f"192.168.1.{number}"), WEB, 50000, 443, TCP), mac=b"client"), now)

    for number in range(1, 101):
        feed.began(replace(FLOW, source=f"192.168.1.{number}"))
        told(number, 20, 2, 1.0)
    assert len(found) == LOSSES_EACH_SECOND // 8
    told(100, 40, 3, 2.0)
    assert found[-1][3].received == (3, 40), "since the beginning: it was not told before"


def test_no_losses_are_told_of_what_came_in_is_no_tcp_or_goes_nobody_knows_where(feed: Feed) -> None:
    found = told_losses(feed)
    feed.began(FLOW)
    much = measured(OPEN, up=Side(30_000, 20, 9), down=Side(30_000, 20, 9))
    feed.measured(much._replace(inbound=True), 1.0)
    for key in ((CLIENT, WEB, 50001, 443, UDP), (CLIENT, WEB, 50002, 443, TCP)):
        feed.measured(much._replace(key=key), 1.0)
    assert found == []


def test_who_is_reset_after_the_handshake_is_told_apart_from_who_is_refused(feed: Feed) -> None:
    refused, cut = Side(packets=1, resets=1), Side(packets=3, resets=1)
    for number, down in enumerate((refused, cut, Side(packets=9), Side(packets=9))):
        told = measured(RESET if down.resets else CLOSED, final=True, up=Side(packets=3), down=down)
        feed.measured(told._replace(key=(CLIENT, WEB, number, 443, TCP)), 1.0)
    assert (feed.remotes.of(WEB, 1.0).errors, feed.remotes.of(WEB, 1.0).resets) == (0.5, 0.25)
