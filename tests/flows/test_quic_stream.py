"""ClientHellos over QUIC that are cut: into frames, into packets, in any order, with other connection ids."""

from __future__ import annotations

from random import Random

import pytest

from netpolicy.flows.assembly import Assembly
from netpolicy.flows.names import MALFORMED, NOT_DECRYPTED, Refused
from netpolicy.flows.quic_crypto import V1, V2, choose
from netpolicy.flows.quic_stream import QuicStream

from .hellos import POST_QUANTUM, key_share, message, server_name
from .quic_clients import chaos, crypto, initial, real
from .seen_flows import flow

BIG = message(key_share(POST_QUANTUM), server_name(b"big.example.com"))
CIPHER = choose()[0]
ONE = flow(1, 443, 17)


def stream(**limits) -> QuicStream:
    return QuicStream(CIPHER, Assembly(**limits))


@pytest.mark.parametrize("version", [V1, V2])
def test_a_real_client_says_all_in_one_datagram(version):
    found = stream().add(ONE, real("www.example.com", version)[0], 0)
    assert found[0] == 1 and len(found) == 4 + int.from_bytes(found[1:4], "big")
    assert b"www.example.com" in found


def test_what_is_whole_at_once_is_not_kept():
    joined = Assembly()
    QuicStream(CIPHER, joined).add(ONE, initial(crypto(0, message())), 0)
    assert len(joined) == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_post_quantum_hello_comes_in_two_datagrams(order):
    packets = [initial(crypto(0, BIG[:1150]), 0), initial(crypto(1150, BIG[1150:]), 1)]
    joined = stream()
    joined.add(ONE, packets[order[0]], 0)
    assert joined.add(ONE, packets[order[1]], 0.01) == BIG


@pytest.mark.parametrize("seed", range(30))
def test_hellos_in_shuffled_frames_as_chromium_sends_them(seed):
    random = Random(seed)
    hello, packets = (message(), 1) if seed % 2 else (BIG, 2)
    datagrams = chaos(hello, random, packets, (V1, V2)[seed % 3 == 0])
    random.shuffle(datagrams)
    joined = stream()
    assert [joined.add(ONE, datagram, 0) for datagram in datagrams][-1] == hello


def test_a_repeated_datagram_changes_nothing():
    packets = [
        initial(crypto(0, BIG[:1150]), 0),
        initial(crypto(0, BIG[:1150]), 2),
        initial(crypto(1000, BIG[1000:]), 3),
    ]
    joined = stream()
    assert [joined.add(ONE, packet, 0) for packet in packets] == [BIG[:1150], BIG[:1150], BIG]


def test_later_packets_go_to_the_id_that_the_server_chose_under_the_old_keys():
    joined = stream()
    joined.add(ONE, initial(crypto(0, BIG[:1150]), 0), 0)
    assert joined.expire(1) == []
    later = initial(crypto(1150, BIG[1150:]), 1, destination=b"chosen", first=bytes.fromhex("a79a3ca80b9a8a81"))
    assert joined.add(ONE, later, 0) == BIG


def test_behind_a_retry_the_hello_begins_again_under_new_keys():
    joined = stream()
    joined.add(ONE, initial(crypto(0, BIG[:1150]), 0), 0)
    again = [
        initial(crypto(0, BIG[:1000]), 1, destination=b"retried!", token=b"token"),
        initial(crypto(1000, BIG[1000:]), 2, destination=b"retried!", token=b"token"),
    ]
    assert [joined.add(ONE, packet, 0) for packet in again] == [BIG[:1000], BIG]


def test_another_connection_of_the_same_ports_does_not_mix_with_the_first():
    joined = stream()
    joined.add(ONE, initial(crypto(0, BIG[:1150]), 0), 0)
    other = message(server_name(b"other.example"))
    assert joined.add(ONE, initial(crypto(0, other), 0, destination=b"another!"), 0) == other


def test_packets_of_other_keys_are_told_only_where_nothing_opened_before():
    strange = initial(crypto(0, b"abc"), 0, destination=b"chosen", first=b"another")
    with pytest.raises(Refused, match=NOT_DECRYPTED):
        stream().add(ONE, strange, 0)
    with pytest.raises(Refused, match=NOT_DECRYPTED):
        stream().add(ONE, initial(crypto(0, b"abc"), 0, is_client=False), 0)
    joined = stream()
    joined.add(ONE, initial(crypto(0, BIG[:1150]), 0), 0)
    assert joined.add(ONE, strange, 0) == b""
    assert joined.add(ONE, initial(crypto(1150, BIG[1150:]), 1), 0) == BIG


def test_frames_that_contradict_each_other_are_refused():
    joined = stream()
    joined.add(ONE, initial(crypto(0, BIG[:1150]), 0), 0)
    with pytest.raises(Refused, match=MALFORMED):
        joined.add(ONE, initial(crypto(1100, b"something else"), 1), 0)


def test_a_datagram_without_crypto_says_nothing():
    assert stream().add(ONE, initial(b"\1"), 0) == b""


def test_what_waits_for_too_long_is_given_up_with_its_keys():
    joined = stream(age_seconds=10)
    joined.add(ONE, initial(crypto(0, BIG[:1150]), 0), 0)
    assert joined.expire(9) == []
    assert joined.expire(10) == [(ONE, BIG[:1150])]
    assert not joined._keys


def test_the_keys_of_many_flows_are_bounded():
    joined = stream(flows=4)
    for number in range(10):
        joined.add(flow(number, 443, 17), initial(crypto(0, BIG[:1150]), 0), 0)
    assert len(joined._keys) == 4
    joined.forget(flow(9, 443, 17))
    assert len(joined._keys) == 3
