"""The door to the parsers: payloads in, a name or the reason why there is none out."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from netpolicy.flows import names, tls_hello
from netpolicy.flows.assembly import Assembly
from netpolicy.flows.quic_crypto import choose
from netpolicy.flows.reader import DONE_LIMIT, DONE_SECONDS, Answer, Name, Reader, Unknown
from netpolicy.flows.seen import BEGINNING, DNS_ANSWER, DNS_ANSWERING, DNS_ASKING, DNS_QUERY, HELLO, INBOUND, QUIC
from tests.xray.real_xray import needs_xray

from . import real_clients
from .dns_build import HTTPS, a, answer, cname, parameter, question, record, service
from .hellos import POST_QUANTUM, encrypted, key_share, message, protocols, records, server_name
from .quic_clients import chaos, crypto, initial, real
from .real_clients import BROWSERS, NAME
from .seen_flows import flow, mapped, payload
from .test_dns_service import REAL_ECH

CIPHER = choose()[0]
BIG = message(server_name(b"big.example.com"), key_share(POST_QUANTUM), encrypted(), protocols(b"h2"))
STREAM = records(BIG)
BIG_NAME = Name(flow(1), "big.example.com", "tls", ech=True, alpn=("h2",))
ON_QUIC = flow(1, 443, 17)
ON_DNS = flow(1, 53, 17)


def in_pieces(data: bytes, *cuts: int, **more: object):
    """The payloads of a stream that is cut there."""
    ends = (0, *cuts, len(data))
    return [
        payload(data[begin:end], offset=begin, when=float(at), **more)
        for at, (begin, end) in enumerate(itertools.pairwise(ends))
    ]


def test_a_hello_in_one_piece():
    reader = Reader()
    found = reader.read(payload(records(message())))
    assert found == Name(flow(1), "www.example.com", "tls", alpn=("h2", "http/1.1"))
    assert len(reader._streams) == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
def test_a_split_hello_in_any_order(order):
    pieces = in_pieces(STREAM, 600, 1400)
    reader = Reader()
    found = [reader.read(pieces[at]._replace(first=at == order[0])) for at in order]
    assert found == [None, None, BIG_NAME]
    assert len(reader._streams) == 0


def test_pieces_that_overlap_and_repeat_make_one_result():
    whole = [
        payload(STREAM[begin:end], offset=begin, first=not begin) for begin, end in ((0, 900), (0, 1000), (800, 1500))
    ]
    reader = Reader()
    assert [reader.read(piece) for piece in whole] == [None, None, None]
    last = payload(STREAM[1200:], offset=1200)
    assert [reader.read(last), reader.read(last)] == [BIG_NAME, None]


def told(name: bytes, protocols: bytes = b"", ech: bool = False) -> bytes:
    """What the program takes out of a hello."""
    return tls_hello.TOLD.pack(len(name), len(protocols), ech) + name + protocols


def test_a_hello_that_was_taken_apart_says_the_same_and_ends_what_waited():
    content = server_name(b"Big.example.com")[4:]
    reader = Reader()
    assert reader.read(in_pieces(STREAM, 800)[0]) is None
    found = reader.read(payload(told(content, protocols(b"h2")[4:], True), HELLO, first=False))
    assert found == BIG_NAME
    assert len(reader._streams) == 0
    assert reader.read(payload(told(b""), HELLO)) == Unknown(flow(1), "tls", names.NO_NAME)
    assert reader.read(payload(told(server_name(b"192.0.2.1")[4:]), HELLO)) == Unknown(flow(1), "tls", names.ADDRESS)


@pytest.mark.parametrize("broken", [b"", told(b"x")[:-1], told(b"xyz"), told(b"", b"x"), told(b"") + b"x"])
def test_a_hello_that_was_taken_apart_wrongly_is_refused(broken):
    for _ in range(2):
        assert Reader().read(payload(broken, HELLO)) == Unknown(flow(1), "tls", names.MALFORMED)


def test_hellos_that_are_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr(tls_hello, "KNOWN_HELLOS", 10)
    for number in range(50):
        content = server_name(b"n%d.example.com" % number)[4:]
        assert Reader().read(payload(told(content), HELLO)).name == f"n{number}.example.com"
    assert len(tls_hello._known_hellos) <= 10


@pytest.mark.parametrize(
    "strange",
    [server_name(b"x." * 60 + b"example.com")[4:], protocols(*[b"%c" % number for number in range(200, 220)])[4:]],
)
def test_of_hellos_that_take_much_room_none_is_remembered(strange):
    """Whoever wants can say them; one with 63 protocols takes ten times as much as what browsers send."""
    tls_hello._known_hellos.clear()
    is_name = strange[2] == 0
    Reader().read(payload(told(strange) if is_name else told(b"", strange), HELLO))
    assert not tls_hello._known_hellos
    Reader().read(payload(told(server_name(b"www.example.com")[4:], protocols(b"h2", b"http/1.1")[4:], True), HELLO))
    assert len(tls_hello._known_hellos) == 1


def test_flows_do_not_mix():
    reader = Reader()
    one = in_pieces(STREAM, 800, number=1)
    two = in_pieces(records(message(server_name(b"other.example"), key_share(POST_QUANTUM))), 700, number=2)
    assert [reader.read(piece) for piece in (one[0], two[0])] == [None, None]
    assert reader.read(two[1]).name == "other.example"
    assert reader.read(one[1]).name == "big.example.com"


def test_a_new_flow_under_an_old_key_begins_anew():
    reader = Reader()
    assert reader.read(in_pieces(STREAM, 800)[0]) is None
    assert reader.read(payload(records(message()))).name == "www.example.com"
    assert reader.read(payload(records(message()), first=False)) is None, "that one is known already"
    assert reader.read(payload(STREAM)).name == "big.example.com"
    assert [reader.read(piece) for piece in in_pieces(STREAM, 800)][1].name == "big.example.com"


def test_what_stays_incomplete_says_what_it_can():
    reader = Reader(streams=Assembly(age_seconds=20))
    assert reader.read(in_pieces(STREAM, 800)[0]) is None
    late = records(message(key_share(POST_QUANTUM), server_name(b"late.example")))
    assert reader.read(in_pieces(late, 800, number=2)[0]) is None
    assert reader.read(payload(b"x" * 10, offset=500, number=3, first=True)) is None
    assert reader.read(payload(b"GET / HTTP/1.1\r\nHost: cut", number=4)) is None
    assert reader.expire(19) == []
    assert reader.expire(20) == [
        Name(flow(1), "big.example.com", "tls", whole=False),
        Unknown(flow(2), "tls", names.INCOMPLETE),
        Unknown(flow(3), "", names.INCOMPLETE),
        Unknown(flow(4), "http", names.INCOMPLETE),
    ]
    assert reader.expire(100) == []


def test_a_beginning_that_nothing_follows_says_at_once_what_it_can():
    late = records(message(key_share(POST_QUANTUM), server_name(b"late.example")))
    given = [records(message()), STREAM[:800], late[:800], b"GET / HTTP/1.1\r\nHost: cut", b"\0\1", late[:3]]
    reader = Reader()
    found = [reader.read(payload(data, BEGINNING, number)) for number, data in enumerate(given)]
    assert found == [
        Name(flow(0), "www.example.com", "tls", alpn=("h2", "http/1.1")),
        Name(flow(1), "big.example.com", "tls", whole=False),
        Unknown(flow(2), "tls", names.INCOMPLETE),
        Unknown(flow(3), "http", names.INCOMPLETE),
        Unknown(flow(4), "", names.OTHER),
        Unknown(flow(5), "tls", names.INCOMPLETE),
    ]
    assert reader.expire(100.0) == []


@pytest.mark.parametrize(
    ("data", "source", "reason"),
    [
        (records(message(key_share(32))), "tls", names.NO_NAME),
        (records(message(server_name(b"192.0.2.1"))), "tls", names.ADDRESS),
        (records(message(server_name(b"a b"))), "tls", names.MALFORMED),
        (records(message(encrypted())), "tls", names.NO_NAME),
        (b"\x16\3\1\0\4\2\0\0\0", "", names.OTHER),
        (b"GET / HTTP/1.0\r\n\r\n", "http", names.NO_NAME),
        (b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", "http", names.MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", "http", names.ADDRESS),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http", names.HTTP2),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "", names.OTHER),
        (b"\0\1\2", "", names.OTHER),
    ],
)
def test_without_a_name_there_is_a_reason(data, source, reason):
    reader = Reader()
    assert reader.read(payload(data)) == Unknown(flow(1), source, reason)
    assert reader.read(payload(data, first=False)) is None


def test_a_request_and_one_to_a_proxy():
    reader = Reader()
    pieces = in_pieces(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 20)
    assert [reader.read(piece) for piece in pieces] == [None, Name(flow(1), "a.example", "http")]
    proxied = reader.read(payload(b"CONNECT a.example:443 HTTP/1.1\r\n\r\n"))
    assert proxied == Name(flow(1), "a.example", "http", of_remote=False)


def test_what_the_remote_sends_first_names_us():
    found = Reader().read(payload(records(message()), INBOUND))
    assert found == Name(flow(1), "www.example.com", "tls", alpn=("h2", "http/1.1"), of_remote=False)


def test_what_the_remote_sends_first_and_never_ends_names_us_too():
    reader = Reader()
    assert reader.read(in_pieces(STREAM, 800, kind=INBOUND)[0]) is None
    assert reader.expire(60) == [Name(flow(1), "big.example.com", "tls", of_remote=False, whole=False)]


def test_pieces_that_contradict_each_other_are_refused_without_a_word_of_what_they_are():
    reader = Reader()
    assert reader.read(in_pieces(STREAM, 800)[0]) is None
    assert reader.read(payload(b"GET" * 10, offset=700)) == Unknown(flow(1), "", names.MALFORMED)


def test_quic_from_a_real_client():
    reader = Reader(CIPHER)
    found = reader.read(payload(real("www.example.com")[0], QUIC))
    assert found == Name(ON_QUIC, "www.example.com", "quic", alpn=("h3",))
    assert reader.read(payload(initial(b"\1"), QUIC, first=False)) is None
    assert reader.read(payload(real("www.example.com")[0], QUIC, first=False)) is None, "that one is known already"


def test_quic_in_shuffled_frames_over_two_datagrams():
    reader = Reader(CIPHER)
    first, second = (payload(data, QUIC, first=not at) for at, data in enumerate(chaos(BIG, Random(1), 2)))
    assert reader.read(first) is None
    found = BIG_NAME._replace(key=ON_QUIC, source="quic")
    assert reader.read(second) == found
    assert [reader.read(first), reader.read(second)] == [None, found], "a new flow under an old key"
    assert len(reader._quic._assembly) == 0 and not reader._quic._keys


def test_quic_that_stays_incomplete():
    reader = Reader(CIPHER, hellos=Assembly(age_seconds=20))
    cut = BIG.index(b"big.example.com") + 40
    assert reader.read(payload(initial(crypto(0, BIG[:cut])), QUIC)) is None
    assert reader.read(payload(initial(crypto(0, BIG[:50])), QUIC, number=2)) is None
    assert reader.read(payload(initial(crypto(50, BIG[50:90])), QUIC, number=3)) is None
    assert reader.expire(20) == [
        Name(ON_QUIC, "big.example.com", "quic", whole=False),
        Unknown(flow(2, 443, 17), "quic", names.INCOMPLETE),
        Unknown(flow(3, 443, 17), "quic", names.INCOMPLETE),
    ]


def test_quic_that_is_not_read_says_why():
    packet = initial(crypto(0, message()))
    assert Reader().read(payload(packet, QUIC)) == Unknown(ON_QUIC, "quic", names.NOT_DECRYPTED)
    reader = Reader(CIPHER)
    wrong = packet[:-1] + bytes((packet[-1] ^ 1,))
    assert reader.read(payload(wrong, QUIC)) == Unknown(ON_QUIC, "quic", names.NOT_DECRYPTED)
    assert reader.read(payload(b"\xc0\0\0\0\2" + packet[5:], QUIC)).reason == names.QUIC_VERSION
    assert reader.read(payload(b"\x40" + packet[1:], QUIC)).reason == names.OTHER
    assert reader.read(payload(initial(crypto(0, b"\2\0\0\0")), QUIC)).reason == names.OTHER
    assert reader.read(payload(initial(b"\x08" + bytes(3)), QUIC)).reason == names.MALFORMED
    assert reader.read(payload(initial(crypto(0, message(key_share(32)))), QUIC)).reason == names.NO_NAME


def test_an_answer_with_its_question_and_one_without():
    reader = Reader()
    told = payload(
        answer("www.example.com", cname("www.example.com", "b.example"), a("192.0.2.1", "b.example")), DNS_ANSWER
    )
    expected = Answer(
        ON_DNS, "www.example.com", ("b.example",), ((mapped("192.0.2.1"), 300),), (), False, (), asked=False
    )
    assert reader.read(told) == expected
    assert reader.read(payload(question("WWW.example.com"), DNS_QUERY)) is None
    assert reader.read(told) == expected._replace(asked=True)
    assert reader.read(told._replace(when=60.0)) == expected


def test_an_answer_that_offers_encrypted_hellos():
    found = Reader().read(
        payload(
            answer("a.example", record("a.example", HTTPS, service(parameter(5, REAL_ECH))), kind=HTTPS), DNS_ANSWER
        )
    )
    assert (found.ech, found.public_names, found.addresses, found.hints) == (True, ("cloudflare-ech.com",), (), ())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (answer("a.example"), names.NO_NAME),
        (answer("a.example", a("0.0.0.0")), names.NO_NAME),
        (answer("a.example", flags=0x8183), names.DNS_REFUSED),
        (answer("a.example", flags=0x8380), names.TRUNCATED),
        (answer("a.example", a("192.0.2.1"))[:-1], names.MALFORMED),
        (answer("1.2.0.192.in-addr.arpa", kind=12), names.OTHER),
        (b"", names.MALFORMED),
    ],
)
def test_an_answer_that_proves_nothing_says_why(data, reason):
    assert Reader().read(payload(data, DNS_ANSWER)) == Unknown(ON_DNS, "dns", reason)


def test_answers_over_tcp_come_out_of_one_segment_and_of_several():
    """Clients ask for both families at once, and servers answer so."""
    reader = Reader()
    questions = [question("Www.example.com", kind) for kind in (1, 28)]
    answers = [
        answer("www.example.com", a("198.51.100.4")),
        answer("www.example.com", a("2001:db8::4"), kind=28),
        answer("other.example.com", a("198.51.100.9")),
    ]
    asking, answering = (
        b"".join(len(one).to_bytes(2, "big") + one for one in several) for several in (questions, answers)
    )
    assert reader.read(payload(asking, DNS_ASKING)) is None
    assert reader.read(payload(answering[:50], DNS_ANSWERING, when=0.1)) is None and not reader.more
    found = reader.read(payload(answering[50:], DNS_ANSWERING, offset=50, when=0.2))
    assert [one.addresses[0][0] for one in (found, *reader.more)] == [
        mapped("198.51.100.4"), mapped("2001:db8::4"), mapped("198.51.100.9"),
    ]  # fmt: skip
    assert [one.asked for one in (found, *reader.more)] == [True, True, False]
    broken = reader.read(payload(b"\0\x01\0", DNS_ANSWERING, number=2))
    assert broken == Unknown(flow(2, 53), "dns", names.MALFORMED) and not reader.more
    reader.read(payload(answering[:50], DNS_ANSWERING, number=3))
    assert reader.expire(100.0) == [Unknown(flow(3, 53), "dns", names.INCOMPLETE)]


def test_a_question_that_is_none():
    assert Reader().read(payload(b"x", DNS_QUERY)) == Unknown(ON_DNS, "dns", names.MALFORMED)
    assert Reader().read(payload(answer("a.example"), DNS_QUERY)) == Unknown(ON_DNS, "dns", names.OTHER)


def test_what_was_read_is_remembered_for_a_while_and_for_so_many_flows():
    reader = Reader()
    for number in range(DONE_LIMIT + 10):
        reader.read(payload(records(message()), number=number % 25_000))
    assert DONE_LIMIT // 2 <= len(reader._done) <= DONE_LIMIT
    reader.expire(2 * DONE_SECONDS)
    assert len(reader._done) == 0


def test_what_is_given_up_is_counted():
    reader = Reader(CIPHER, streams=Assembly(flows=1))
    for number in range(3):
        reader.read(payload(STREAM[:800], number=number))
    reader.read(payload(initial(crypto(0, BIG[:100])), QUIC))
    assert (reader.counters["tcp_evicted"], reader.counters["tcp_expired"], reader.counters["quic_evicted"]) == (
        2,
        0,
        0,
    )
    assert reader.counters["tcp_held"] > 800 and 100 < reader.counters["quic_held"] < 800


def test_no_result_holds_payload():
    """Names and protocols are all that is left of a hello."""
    reader = Reader(CIPHER)
    secret = b"\xde\xad\xbe\xef" * 8
    hello = message(server_name(b"a.example"), key_share(32)).replace(bytes(range(32)), secret)
    assert secret in hello
    results = [reader.read(payload(records(hello))), reader.read(payload(initial(crypto(0, hello)), QUIC))]
    assert all(secret.hex() not in repr(one) and repr(secret) not in repr(one) for one in results)
    assert reader.counters["tcp_held"] == 0 == reader.counters["quic_held"]


@pytest.mark.kernel
def test_browsers_and_go_as_they_really_are():
    """Xray's imitations of browsers, byte by byte, and quic-go, which cuts its hello inside of the name."""
    needs_xray()
    heard = real_clients.heard()
    quic = heard.pop("quic-go")
    assert set(heard) > set(BROWSERS)
    for client, pieces in heard.items():
        whole = b"".join(pieces)
        for cut in range(1, len(whole), 97):
            reader = Reader()
            found = [reader.read(piece) for piece in in_pieces(whole, cut)]
            assert found[0] is None
            assert (found[1].name, found[1].whole) == (NAME.lower(), True), client
        assert found[1].ech == (client in ("chrome", "firefox"))
        assert (len(whole) > 1500) == (client in ("chrome", "firefox", "safari", "go")), "post-quantum shares"
    reader = Reader(CIPHER)
    found = [reader.read(payload(data, QUIC, first=not at)) for at, data in enumerate(quic)]
    assert [one.name for one in found if one] == [NAME.lower()]
    assert found[0] is None, "its hello is longer than a datagram"
