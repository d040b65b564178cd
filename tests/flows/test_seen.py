"""The words in which every tier tells what it saw."""

from __future__ import annotations

import ipaddress

from netpolicy.flows import seen

KEY: seen.SeenKey = (seen.MAPPED + bytes((192, 168, 1, 5)), bytes(15) + b"\x01", 40000, 443, 6)


def test_a_payload_in_a_log_shows_neither_bytes_nor_addresses() -> None:
    shown = repr(seen.Payload(KEY, seen.STREAM, 517, b"secret.example", 1.5, True))
    assert shown == "Payload('stream', offset=517, 14 bytes)"
    assert shown == str(seen.Payload(KEY, seen.STREAM, 517, b"another.secret", 1.5, True))


def test_an_ipv4_address_in_a_key_is_the_mapped_one() -> None:
    mapped = ipaddress.IPv6Address(KEY[0]).ipv4_mapped
    assert str(mapped) == "192.168.1.5"


def test_a_tier_that_knows_nothing_but_the_flow_claims_nothing_else() -> None:
    known = seen.Measured(KEY, seen.OPEN, seen.Side(bytes=60, packets=1), seen.Side())
    assert not (known.rtt_remote_us or known.rtt_client_us or known.up.srtt_us or known.mac or known.final)


def test_a_connection_is_cut_where_the_remote_resets_it_in_the_middle() -> None:
    side = seen.Side
    cut = seen.Measured(KEY, seen.RESET, side(packets=9), side(packets=9, resets=1), final=True)
    assert cut.was_cut
    for other in (
        cut._replace(state=seen.CLOSED), cut._replace(up=side(packets=9, fin=True)),
        cut._replace(up=side(packets=9, resets=1)), cut._replace(down=side(packets=9, resets=1, fin=True)),
        cut._replace(down=side(packets=1, resets=1)), cut._replace(down=side(packets=9)),
    ):  # fmt: skip
        assert not other.was_cut, other
