"""ClientHellos: real ones, split ones, broken ones."""

from __future__ import annotations

import contextlib
import ssl
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.flows.names import ADDRESS, MALFORMED, NO_NAME, OTHER, Refused
from netpolicy.flows.tls_hello import HELLO_LIMIT, Hello, from_message, from_stream

from . import hellos
from .hellos import encrypted, extension, key_share, message, protocols, records, server_name, vector

USUAL = Hello("www.example.com", alpn=("h2", "http/1.1"))
BIG = message(key_share(hellos.POST_QUANTUM), encrypted(), server_name(b"Big.example.com"), extension(21, bytes(300)))


def refusal(data: bytes, read=from_stream) -> str:
    with pytest.raises(Refused) as refused:
        read(data)
    return refused.value.reason


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_hello_of_openssl(newest):
    assert from_stream(hellos.of_openssl("WWW.example.com", newest, ("h2", "http/1.1"))) == USUAL
    assert from_stream(hellos.of_openssl(None, newest)) == Hello("", NO_NAME)


def test_a_built_hello_says_what_was_put_in():
    assert from_stream(records(message())) == USUAL
    assert from_message(message()) == USUAL


def test_what_follows_the_hello_in_the_stream_is_nobodys_business():
    assert from_stream(records(message()) + b"\x14\3\3\0\1\1" + b"early data") == USUAL


def test_a_post_quantum_share_makes_a_long_hello():
    assert len(BIG) > 1700
    assert from_stream(records(BIG)) == Hello("big.example.com", ech=True)


def test_encrypted_hello_is_told_and_the_name_is_the_outer_one():
    assert from_stream(records(message(encrypted(), server_name(b"public.example")))) == Hello(
        "public.example", ech=True
    )
    # The inner hello, as a server in front passes it on, names whom it means.
    inner = message(extension(0xFE0D, b"\1"), server_name(b"inner.example"))
    assert from_stream(records(inner)) == Hello("inner.example")


def test_a_hello_of_tls_1_2_without_extensions_names_nobody():
    body = b"\3\3" + hellos.RANDOM + b"\0" + vector(b"\0\x2f") + b"\1\0"
    assert from_message(b"\1" + vector(body, 3)) == Hello("", NO_NAME)


def test_an_address_is_not_a_name():
    assert from_message(message(server_name(b"192.0.2.1"))) == Hello("", ADDRESS)


@pytest.mark.parametrize("data", [records(message()), records(BIG), records(BIG, 3, 700, 701)])
def test_each_beginning_asks_for_more_and_never_for_too_much(data):
    for size in range(1, len(data)):
        found = from_stream(data[:size])
        assert 0 < found.missing <= len(data) - size
        assert found.name in ("", from_stream(data).name)


def test_who_gets_what_is_missing_comes_to_the_end():
    data, have, rounds = records(BIG, 3, 700, 701), 1, 0
    while missing := from_stream(data[:have]).missing:
        have += missing
        rounds += 1
    assert have == len(data)
    assert rounds <= 10


def test_the_name_is_known_before_the_hello_is_whole():
    data = records(message(server_name(b"early.example"), key_share(hellos.POST_QUANTUM), encrypted()))
    found = from_stream(data[:1200])
    assert (found.name, found.missing) == ("early.example", len(data) - 1200)
    assert not found.ech, "it comes later; `missing` says that this means nothing"
    late = records(message(key_share(hellos.POST_QUANTUM), server_name(b"late.example")))
    assert from_stream(late[:1200]).name == ""


@given(cuts=st.lists(st.integers(0, len(BIG)), max_size=20))
def test_a_hello_may_be_split_into_records_anywhere(cuts):
    ends = sorted(set(cuts) - {0, len(BIG)})
    assert from_stream(records(BIG, *ends)) == Hello("big.example.com", ech=True)


def test_a_hello_in_hundreds_of_records_is_refused():
    assert refusal(records(BIG, *range(1, 600))) == MALFORMED


def test_a_record_without_content_is_refused():
    assert refusal(records(message(), 0)) == MALFORMED


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\x80\x2e\1\3\1" + bytes(40), b"\x17\3\3\0\5hello",
        b"\x16\2\0\0\5hello",        b"\x16\3\3\0\4\2\0\0\0", b"\0", b"\x15\3\1\0\2\1\0",
    ],
)  # fmt: skip
def test_what_is_no_hello_is_other(data):
    assert refusal(data) == OTHER


def test_a_message_that_continues_behind_the_hello_is_refused():
    assert refusal(records(message() + b"\x0b\0\0\0")) == MALFORMED
    assert refusal(message() + b"\0", from_message) == MALFORMED


def test_a_hello_longer_than_any_is_refused_at_once():
    assert refusal(b"\1" + (HELLO_LIMIT + 1).to_bytes(3, "big"), from_message) == MALFORMED


@pytest.mark.parametrize(
    "broken",
    [
        message(version=b"\2\0"),
        message(session=bytes(33)),
        message(suites=b""),
        message(suites=b"\x13\1\x13"),
        message(server_name(b"a.example"), server_name(b"b.example")),
        message(protocols(b"h2"), protocols(b"h2")),
        message(encrypted(), encrypted()),
        message(server_name(b"")),
        message(server_name(b"a b.example")),
        message(server_name(b"b\xc3\xbccher.example")),
        message(extension(0, b"")),
        message(extension(0, vector(b""))),
        message(extension(0, vector(b"\1" + vector(b"a.example")))),
        message(extension(0, vector(b"\0" + vector(b"a.example") + b"\0" + vector(b"b.example")))),
        message(extension(0, vector(b"\0" + vector(b"a.example")) + b"\0")),
        message(extension(16, vector(b""))),
        message(extension(16, vector(b"\0"))),
        message(extension(16, vector(b"\3h2"))),
        message(extension(16, vector(b"\2h2") + b"x")),
        message(server_name(b"a.example"), b"\0\1\0"),
        message(server_name(b"a.example"), b"\0\1\0\5ab"),
    ],
)
def test_a_hello_that_breaks_the_format_is_refused(broken):
    assert refusal(records(broken)) == MALFORMED


def test_the_extensions_end_where_they_say():
    whole = bytearray(message())
    at = 4 + 2 + 32 + 1 + 32 + 2 + 4 + 2
    whole[at + 1] ^= 1
    assert refusal(bytes(whole), from_message) == MALFORMED


def test_random_changes_are_survived():
    random, data = Random(1), records(BIG, 900)
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(random.choice((1, 2, 5))):
            changed[random.randrange(len(changed))] = random.randrange(256)
        with contextlib.suppress(Refused):
            from_stream(bytes(changed[: random.randrange(len(changed))]))
