"""HTTPS records: hints, encrypted hellos, and records that ask for what is not understood."""

from __future__ import annotations

import base64
import struct

import pytest

from netpolicy.flows.dns_service import Service, parse, public_names
from netpolicy.flows.names import MALFORMED, Refused

from .dns_build import parameter, service, wire
from .seen_flows import mapped

# As a large provider published it.
REAL_ECH = base64.b64decode(
    "AEX+DQBBrAAgACCInfIgdvp+4xqPkMYvPt1Rv7zxtllWm3SjIjWxBoEgfAAEAAEAAQASY2xvdWRmbGFyZS1lY2guY29tAAA="
)
HINT4 = parameter(4, bytes((192, 0, 2, 1, 192, 0, 2, 2)))
HINT6 = parameter(6, mapped("2001:db8::1"))


def config(name: bytes, version: int = 0xFE0D, suites: bytes = b"\0\1\0\1", rest: bytes = b"\0\0") -> bytes:
    key = b"\0\x20" + bytes(32)
    body = b"\x2a\0\x20" + key + struct.pack(">H", len(suites)) + suites + b"\0" + bytes((len(name),)) + name + rest
    return struct.pack(">HH", version, len(body)) + body


def listed(*configs: bytes) -> bytes:
    body = b"".join(configs)
    return struct.pack(">H", len(body)) + body


def test_hints_of_both_families():
    found = parse(service(parameter(1, b"\2h2\2h3"), HINT4, HINT6))
    assert found == Service(b"\0", (mapped("192.0.2.1"), mapped("192.0.2.2"), mapped("2001:db8::1")), False, ())


def test_a_real_configuration_names_who_is_in_front():
    assert public_names(REAL_ECH) == ("cloudflare-ech.com",)
    found = parse(service(HINT4, parameter(5, REAL_ECH), target="Svc.example"))
    assert (found.target, found.ech, found.public_names) == (wire("svc.example"), True, ("cloudflare-ech.com",))


def test_configurations_of_other_versions_are_passed_over():
    found = public_names(
        listed(config(b"old.example", 0xFE0A), config(b"A.example"), config(b"b.example"), config(b"a.example"))
    )
    assert found == ("a.example", "b.example")
    assert (
        public_names(listed(config(b"c.example", rest=b"\0\4\1\2\0\0"), *[config(b"d.example")] * 7))[0] == "c.example"
    )


def test_an_alias_and_what_asks_for_the_unknown_are_not_used():
    assert parse(service(HINT4, priority=0)) is None
    assert parse(service(parameter(0, b"\0\4"), HINT4)) is not None
    assert parse(service(parameter(0, b"\0\7"), HINT4, parameter(7, b"/dns"))) is None
    assert parse(service(parameter(0, b"\0\6"), HINT4)) is None, "mandatory, and not there"
    assert parse(service(parameter(0, b"\0\0"), HINT4)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0\1", b"\0\1\1a", b"\0\1\x40" + b"a" * 64 + b"\0",
        b"\0\1" + (b"\x3f" + b"a" * 63) * 4 + b"\0", b"\0\1\xc0\x0c",
        service() + b"\0", service() + b"\0\4\0\5abc",
        service(HINT6, HINT4), service(HINT4, HINT4),
        service(parameter(4, b"")), service(parameter(4, bytes(5))), service(parameter(6, bytes(4))),
        service(parameter(4, bytes(4 * 17))), service(parameter(0, b"")), service(parameter(0, b"\0")),
        service(*[parameter(key, b"") for key in range(100, 133)]),
    ],
)  # fmt: skip
def test_a_record_that_breaks_the_format_is_refused(data):
    with pytest.raises(Refused, match=MALFORMED):
        parse(data)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0\0\0", REAL_ECH[:-1], REAL_ECH + b"\0", listed(b"\xfe\x0d\0\5abc"), listed(config(b"")),
        listed(config(b"192.0.2.1")), listed(config(b"a b")), listed(config(b"a.example", suites=b"")),
        listed(config(b"a.example", suites=b"\0\1\0")), listed(config(b"a.example", rest=b"\0\1")),
        listed(config(b"a.example", rest=b"")), listed(*[config(b"a.example")] * 9),
        listed(config(b"a.example") + b"\xfe\x0d"), listed(b"\xfe\x0d\0\1\0"),
    ],
)  # fmt: skip
def test_a_configuration_that_breaks_the_format_is_refused(data):
    with pytest.raises(Refused, match=MALFORMED):
        public_names(data)


def test_every_beginning_of_a_record_is_survived():
    whole = service(parameter(0, b"\0\4"), HINT4, parameter(5, REAL_ECH), HINT6)
    for size in range(len(whole)):
        try:
            assert parse(whole[:size]) is not None or size < 30
        except Refused:
            continue
