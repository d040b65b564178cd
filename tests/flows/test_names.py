"""Names: one form for each, and an address or anything else is none."""

from __future__ import annotations

import pytest

from netpolicy.core.domain import parse_domain
from netpolicy.flows.names import ADDRESS, MALFORMED, NO_NAME, Refused, host_name
from tests.own_process import least_seconds

LONGEST = b".".join([b"a" * 63] * 3 + [b"a" * 61])


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"WWW.Example.COM", "www.example.com"),
        (b"example.com.", "example.com"),
        (b"router", "router"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"_443._tcp.example.com", "_443._tcp.example.com"),
        (b"-a-.example.com", "-a-.example.com"),
        (b"3com", "3com"),
        (b"1.2.3.4a", "1.2.3.4a"),
        (LONGEST, LONGEST.decode()),
        (LONGEST + b".", LONGEST.decode()),
    ],
)
def test_a_name_has_one_form(raw, name):
    assert host_name(raw) == name


@pytest.mark.parametrize(
    "raw", [b"192.0.2.1", b"192.0.2.1.", b"2130706433", b"0x7f.1", b"a.0x7F", b"2001:db8::1", b"[::1]"]
)
def test_an_address_is_no_name(raw):
    with pytest.raises(Refused) as refused:
        host_name(raw)
    assert refused.value.reason == ADDRESS


@pytest.mark.parametrize(
    "raw",
    [
        b".", b"a..b", b".a", b"a..", b"a b", b"a/b", b"a:b", b"*.example.com", b"b\xc3\xbccher.example", b"a\0b",
        b"a\n", b"a" * 64, LONGEST + b"a", LONGEST + b"..",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(raw):
    with pytest.raises(Refused) as refused:
        host_name(raw)
    assert refused.value.reason == MALFORMED
    assert "example" not in str(refused.value), "what was read must not be told"


def test_nothing_is_no_name():
    with pytest.raises(Refused, match=NO_NAME):
        host_name(b"")


def test_a_name_is_one_that_rules_can_mean():
    for raw in (b"WWW.Example.COM", b"example.com."):
        assert parse_domain("example.com").matches(host_name(raw))


def test_long_nonsense_takes_no_time():
    def read() -> None:
        for evil in (
            b"a." * 30000,
            b"1." * 30000 + b"!",
            b":" * 60000,
            b"[" + b"0:" * 30000,
            b"a" * 253,
            (b"1" * 63 + b".") * 3,
        ):
            for _ in range(10):
                with pytest.raises(Refused):
                    host_name(evil)

    assert least_seconds(read) < 0.2
