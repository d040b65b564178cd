"""First packets of QUIC: the published ones, real ones, and frames that may not be there."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from netpolicy.flows import tls_hello
from netpolicy.flows.aes_own import OwnAes
from netpolicy.flows.names import MALFORMED, OTHER, QUIC_VERSION, Refused
from netpolicy.flows.quic_crypto import V1, V2, choose, keys_of
from netpolicy.flows.quic_initial import CRYPTO_LIMIT, crypto_pieces, initials, unseal

from .hellos import message
from .quic_clients import DESTINATION, crypto, initial, real, varint

VECTORS = json.loads((Path(__file__).parents[1] / "data/quic_initial.json").read_text())
FRAME = bytes.fromhex(VECTORS["crypto_frame"])
PUBLISHED = {version: bytes.fromhex(VECTORS[name]["client"]) for name, version in (("v1", V1), ("v2", V2))}
CIPHER = choose()[0]


def refusal(read, *given) -> str:
    with pytest.raises(Refused) as refused:
        read(*given)
    return refused.value.reason


def shown(data: bytes) -> str:
    """Some of them are long."""
    return data[:20].hex()


def opened(datagram: bytes, first: bytes | None = None) -> list[bytes | None]:
    return [unseal(one, keys_of(one.version, first or one.destination), CIPHER) for one in initials(datagram)]


@pytest.mark.parametrize("version", PUBLISHED)
@pytest.mark.parametrize("cipher", [CIPHER, OwnAes()])
def test_the_published_packet_opens(version, cipher):
    (packet,) = initials(PUBLISHED[version])
    assert (packet.version, packet.destination.hex()) == (version, VECTORS["destination"])
    frames = unseal(packet, keys_of(version, packet.destination), cipher)
    assert frames == FRAME + bytes(1162 - len(FRAME))
    assert crypto_pieces(frames) == [(0, FRAME[4:])]
    assert tls_hello.from_message(FRAME[4:]).name == "example.com"


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_what_a_server_sends_does_not_open(name):
    server = bytes.fromhex(VECTORS[name]["server"])
    assert opened(server, bytes.fromhex(VECTORS["destination"])) == [None]


@pytest.mark.parametrize("version", [V1, V2])
def test_one_changed_bit_anywhere_is_noticed(version):
    data = PUBLISHED[version]
    for at in [0, *range(len(data) - 1180, len(data), 97)]:
        changed = bytearray(data)
        changed[at] ^= 1
        assert opened(bytes(changed)) == [None]


@pytest.mark.parametrize("version", [V1, V2])
def test_the_first_packet_of_a_real_client(version):
    datagram = real("Www.Example.com", version)[0]
    (frames,) = opened(datagram)
    ((offset, data),) = crypto_pieces(frames)
    assert offset == 0
    assert tls_hello.from_message(data) == tls_hello.Hello("www.example.com", alpn=("h3",))


def test_packets_that_share_a_datagram():
    one, two = initial(b"\1", 0, size=300), initial(crypto(0, b"abc"), 1, size=300)
    zero_rtt = b"\xd0" + one[1:19] + varint(100) + bytes(100)
    handshake = b"\xe0" + one[1:19] + varint(100) + bytes(100)
    retry = b"\xf0" + one[1:19] + bytes(100)
    assert len(initials(one + two)) == 2
    assert opened(zero_rtt + one + handshake + two)[1].startswith(crypto(0, b"abc"))
    assert initials(zero_rtt) == [] == initials(retry)
    for behind in (bytes(50), b"\x40" + bytes(40), b"\xc0" + bytes(40), retry, one[:100], two[:-1]):
        assert len(initials(one + behind)) == 1, "what is no packet is left alone"


@pytest.mark.parametrize("size", [0, 1, 8, 20])
@pytest.mark.parametrize("token", [0, 40, 70])
def test_tokens_and_connection_ids_have_any_length(size, token):
    packet = initial(crypto(0, b"abc"), destination=bytes(size), token=bytes(token))
    assert opened(packet)[0].startswith(crypto(0, b"abc"))


@pytest.mark.parametrize(("ids", "is_right"), [((20, 20), True), ((21, 0), False), ((0, 21), False)])
def test_connection_ids_have_at_most_twenty_bytes(ids, is_right):
    head = b"\xc0\0\0\0\1" + b"".join(bytes((size,)) + bytes(size) for size in ids) + b"\0"
    data = head + b"\x14" + bytes(20)
    if is_right:
        assert [len(packet.data) for packet in initials(data)] == [len(data)]
        assert refusal(initials, head + b"\x13" + bytes(20)) == MALFORMED, "there is no room for number and tag"
    else:
        assert refusal(initials, data) == MALFORMED


def test_a_greased_bit_does_not_matter():
    """RFC 9287: the second bit may be anything; the tag covers it."""
    assert len(initials(bytes((PUBLISHED[V1][0] & ~0x40,)) + PUBLISHED[V1][1:])) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_numbers_of_packets_have_any_length(size):
    pytest.importorskip("aioquic", reason="aioquic is not installed")
    from aioquic.quic.crypto import CryptoPair

    head = bytes((0xC0 | size - 1, 0, 0, 0, 1, 8)) + DESTINATION + b"\0\0" + (0x4000 | size + 117).to_bytes(2, "big")
    pair = CryptoPair()
    pair.setup_initial(DESTINATION, is_client=True, version=V1)
    number = 0x01020304 & ((1 << 8 * size) - 1)
    packet = pair.encrypt_packet(head + number.to_bytes(size, "big"), crypto(0, bytes(97)), number)
    assert opened(packet)[0] == crypto(0, bytes(97))


@pytest.mark.parametrize("data", [b"", b"\xc0", bytes(1200), b"\x40" + bytes(1200), b"\xc0" + bytes(20_000)], ids=shown)
def test_what_is_no_long_header_is_other(data):
    assert refusal(initials, data) == OTHER


@pytest.mark.parametrize("version", [b"\0\0\0\0", b"\xff\0\0\x1d", b"Q050", b"\x0a\x0a\x0a\x0a"])
def test_a_version_that_nobody_described_is_told(version):
    assert refusal(initials, b"\xc3" + version + PUBLISHED[V1][5:]) == QUIC_VERSION


@pytest.mark.parametrize(
    "data",
    [
        PUBLISHED[V1][:1199],
        PUBLISHED[V1][:20],
        PUBLISHED[V1][:5] + b"\x15" + PUBLISHED[V1][6:],
        PUBLISHED[V1][:14] + b"\x15" + PUBLISHED[V1][15:],
        PUBLISHED[V1][:15] + b"\xff" + PUBLISHED[V1][16:],
        PUBLISHED[V1][:16] + b"\x13" + PUBLISHED[V1][17:],
    ],
    ids=shown,
)
def test_a_header_that_breaks_the_format_is_refused(data):
    assert refusal(initials, data) == MALFORMED


# No number in them is that of a frame that may be there: a wrong count of them is noticed.
ACK = b"\2" + varint(70) + varint(100) + varint(1) + varint(33) + varint(34) + varint(35)
ACK_ECN = b"\3" + ACK[1:] + varint(30) + varint(31) + varint(32)
CLOSE = b"\x1c" + varint(10) + varint(66) + varint(5) + b"words"


def test_frames_that_say_nothing_of_names_are_passed_over():
    frames = bytes(7) + b"\1" + crypto(3, b"def") + ACK + b"\1\1" + ACK_ECN + crypto(0, b"abc") + CLOSE + bytes(9)
    assert crypto_pieces(frames) == [(3, b"def"), (0, b"abc")]
    assert crypto_pieces(b"") == []
    assert crypto_pieces(crypto(0, b"ends with zeros\0\0")) == [(0, b"ends with zeros\0\0")]


@pytest.mark.parametrize(
    "frames",
    [
        b"\x08\0\5hello", b"\x1d\0\0", b"\x40\6\0\3abc", crypto(0, b"abc")[:-1], b"\6\0", b"\6", ACK[:-1], CLOSE[:-1],
        CLOSE[:-3] + b"\xc0", crypto(CRYPTO_LIMIT - 2, b"abc"), b"\6\xff" + b"\xff" * 7 + b"\0", b"\1" * 1501,
        b"\2\0\0" + varint(5000) + bytes(20_000),
    ],
    ids=shown,
)  # fmt: skip
def test_frames_that_no_initial_may_hold_are_refused(frames):
    assert refusal(crypto_pieces, frames) == MALFORMED


def test_random_bytes_are_survived():
    random = Random(1)
    for _ in range(2000):
        data = bytearray(PUBLISHED[random.choice((V1, V2))][: random.choice((30, 60, 1200))])
        for _ in range(random.randint(1, 6)):
            data[random.randrange(min(30, len(data)))] = random.randrange(256)
        try:
            for packet in initials(bytes(data)):
                assert packet.number_at + 20 <= len(packet.data)
        except Refused:
            continue


def test_a_whole_hello_in_one_frame_is_what_it_was():
    (frames,) = opened(initial(crypto(0, message())))
    assert crypto_pieces(frames) == [(0, message())]
