"""Hosts of HTTP requests, and heads that two readers could understand differently."""

from __future__ import annotations

import contextlib
import http.client

import pytest

from netpolicy.flows.http_host import HEAD_LIMIT, Request, from_stream
from netpolicy.flows.names import ADDRESS, HTTP2, MALFORMED, NO_NAME, OTHER, Refused
from tests.own_process import least_seconds

GET = b"GET /path?q=1 HTTP/1.1\r\n"


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as refused:
        from_stream(data)
    return refused.value.reason


class Heard:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.data = b""

    def sendall(self, data: bytes) -> None:
        self.data += data

    def makefile(self, *_: object) -> None:
        raise NotImplementedError


def test_the_request_of_a_real_client():
    client = http.client.HTTPConnection("Www.Example.com", 8080)
    client.sock = Heard()
    client.request("GET", "/", headers={"Cookie": "a=b"})
    assert from_stream(client.sock.data) == Request("www.example.com")


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (b"Host: www.Example.COM", "www.example.com"),
        (b"HOST:www.example.com:8080", "www.example.com"),
        (b"host:\t example.com. \t", "example.com"),
        (b"Host: example.com:", "example.com"),
        (b"X-Host: no.example\r\nHost: yes.example", "yes.example"),
        (b"A: b\r\n Host: no.example\r\nHost: yes.example", "yes.example"),
    ],
)
def test_the_host_of_a_request(line, host):
    assert from_stream(GET + line + b"\r\n\r\n") == Request(host)
    assert from_stream(GET + line + b"\r\nCookie: " + b"x" * 600) == Request(host), "the rest of the head is not needed"


@pytest.mark.parametrize(
    ("head", "host"),
    [
        (b"GET http://Origin.example:81/a HTTP/1.1\r\nHost: other.example\r\n\r\n", "origin.example"),
        (b"GET http://origin.example?q HTTP/1.1\r\n", "origin.example"),
        (b"POST ftp://origin.example HTTP/1.1\r\n", "origin.example"),
        (b"CONNECT origin.example:443 HTTP/1.1\r\nHost: other.example\r\n", "origin.example"),
    ],
)
def test_a_request_to_a_proxy_names_the_origin_which_is_not_at_that_address(head, host):
    assert from_stream(head) == Request(host, proxied=True)


def test_addresses_are_no_names():
    assert from_stream(GET + b"Host: 192.0.2.1:80\r\n\r\n") == Request("", ADDRESS)
    assert from_stream(GET + b"Host: [2001:db8::1]:80\r\n\r\n") == Request("", ADDRESS)
    assert from_stream(b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n") == Request("", ADDRESS, proxied=True)


def test_a_request_may_name_nobody():
    assert from_stream(b"GET / HTTP/1.0\r\nAccept: x\r\n\r\n") == Request("", NO_NAME)
    assert from_stream(b"GET / HTTP/1.0\r\n\r\n") == Request("", NO_NAME)
    assert from_stream(GET + b"Host:\r\n\r\n") == Request("", NO_NAME)
    assert from_stream(b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n") == Request("a.example")


def test_a_beginning_asks_for_more_until_the_line_behind_host_has_begun():
    whole = GET + b"Accept: x\r\nHost: a.example\r\nB"
    for size in range(len(whole)):
        assert from_stream(whole[:size]) == Request("", NO_NAME, missing=1)
    assert from_stream(whole) == Request("a.example")


def test_who_never_comes_to_the_end_of_the_head_is_given_up():
    assert from_stream(GET + b"A: " + b"x" * HEAD_LIMIT) == Request("", NO_NAME)
    assert refusal(b"GET /" + b"x" * HEAD_LIMIT) == OTHER


@pytest.mark.parametrize(
    "lines",
    [
        b"Host: a.example\r\nHost: a.example\r\n\r\n",
        b"Host: a.example\r\nhost: b.example\r\n\r\n",
        b"Host: a.example\r\n .b.example\r\n\r\n",
        b"Host: a.example\r\n\tb\r\nX",
        b"Host : a.example\r\n\r\n",
        b"Host: a.example\nX: y\r\n\r\n",
        b"X: y\nHost: a.example\r\n\r\n",
        b"X: y\rHost: b.example\r\nHost: a.example\r\n\r\n",
        b"Host: a.example\0\r\n\r\n",
        b"Host: a.example, b.example\r\n\r\n",
        b"Host: user@a.example\r\n\r\n",
        b"Host: a.example:80:80\r\n\r\n",
        b"Host: a.example:http\r\n\r\n",
        b"Host: b\xc3\xbccher.example\r\n\r\n",
        b"Host: [::1\r\n\r\n",
    ],
)
def test_a_head_that_two_readers_take_differently_is_refused(lines):
    assert refusal(GET + lines) == MALFORMED


@pytest.mark.parametrize(
    "head",
    [b"CONNECT a.example HTTP/1.1\r\n\r\n", b"GET http://u:p@a.example/ HTTP/1.1\r\n", b"GET a.example HTTP/1.1\r\n"],
)
def test_targets_that_are_none_are_refused(head):
    assert refusal(head) == MALFORMED


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n", b"EHLO mail.example\r\n", b"get / HTTP/1.1\r\n", b"gET / HTTP/1.1\r\n",
        b"GET  / HTTP/1.1\r\n", b"\r\nGET / HTTP/1.1\r\n", b"GET / HTTP/2.0\r\n", b"GET /\r\n",
        b"A" * 40, b"GET / HTTP/1.1\n", b"GET / FTP", b"GET / HTTP/2", b"\x16\3\1",
    ],
)  # fmt: skip
def test_what_is_no_request_is_other(data):
    assert refusal(data) == OTHER


def test_http_2_is_recognised_and_not_read():
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert refusal(preface) == refusal(preface + bytes(40)) == HTTP2
    assert from_stream(preface[:10]) == Request("", HTTP2, missing=len(preface) - 10)


def test_evil_heads_take_no_time():
    def read() -> None:
        for evil in (
            b" " * HEAD_LIMIT,
            b"a " * HEAD_LIMIT,
            b"\r\nHost:" * HEAD_LIMIT,
            b"\r" * HEAD_LIMIT,
            b"a" + b" " * 8000 + b"b",
        ):
            for head in (GET + b"Host: " + evil, GET + evil, evil, b"GET " + evil):
                with contextlib.suppress(Refused):
                    from_stream(head)

    assert least_seconds(read) < 0.2
