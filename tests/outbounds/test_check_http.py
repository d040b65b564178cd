"""Pages that are delivered, refused, redirected, never finished, and behind a certificate that nobody signed."""

from __future__ import annotations

import ssl
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.outbounds.check_http import http, judged, request, status
from netpolicy.outbounds.check_line import FAILED, PASSED, REFUSED, WRONG, timed
from netpolicy.outbounds.check_target import parse_target
from tests.kernel.streams import SERVER
from tests.netns import needs_root
from tests.outbounds.far_side import LINE_A, LINE_B, answered

kernel = pytest.mark.kernel


def page(first_line: bytes):
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first_line + b"\r\nContent-Length: 0\r\n\r\n")

    return handle


async def hang(reader, _writer):
    await reader.read()


@kernel
@needs_root
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("of", [LINE_A, LINE_B], ids=["a", "b"])
async def test_a_page_is_delivered_by_either_line(steady, family, of):
    target = parse_target("http:http://host.example/204")
    async with steady.serving(80, page(b"HTTP/1.1 204 No Content"), family):
        answer = await answered(http(of, SERVER[family], target))
    assert (answer.state, answer.text) == (PASSED, "the page is delivered (204)")


@kernel
@needs_root
@pytest.mark.parametrize(
    ("first_line", "words"),
    [(b"HTTP/1.1 302 Found", "login page"), (b"HTTP/1.0 503 Busy", "refused (503)"), (b"SSH-2.0-x", "not speak HTTP")],
)
async def test_something_else_is_not_the_page(steady, first_line, words):
    async with steady.serving(80, page(first_line)):
        answer = await answered(http(LINE_A, SERVER[4], parse_target("http://host.example/")))
    assert (answer.state, answer.reason) == (FAILED, WRONG) and words in answer.text


@kernel
@needs_root
async def test_a_server_that_is_silent_or_not_there(steady):
    target = parse_target("http://host.example/")
    answer = await answered(http(LINE_A, SERVER[4], target))
    assert (answer.state, answer.reason) == (FAILED, REFUSED)
    async with steady.serving(80, hang):
        answer = await timed(http(LINE_A, SERVER[4], target), 0.2)
    assert (answer.state, answer.reason) == (FAILED, "timeout")


PORTAL = b"HTTP/1.1 200 OK\r\nX-From: success\r\n\r\n<form>log in</form>"


@pytest.mark.parametrize(
    ("wanted", "answer", "words"),
    [
        ("204", PORTAL, "its status is 200, not 204"),
        ("204", b"HTTP/1.1 204 No Content\r\n\r\n", "(204)"),
        ("401", b"HTTP/1.1 401 Unauthorized\r\n\r\n", "(401)"),
        ("success", PORTAL, "'success' is not in it"),
        ("log%20in%3C", PORTAL, "(200)"),
        ("", PORTAL, "(200)"),
    ],
)
def test_a_login_page_is_told_from_the_page_by_what_that_must_be(wanted, answer, words):
    found = judged(answer, parse_target(f"http://host.example/204#{wanted}"))
    assert words in found.text and (found.state == PASSED) == words.startswith("(")


@kernel
@needs_root
async def test_a_text_is_looked_for_in_what_comes_piece_by_piece_and_not_for_ever(steady):
    async def in_pieces(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for piece in (b"HTTP/1.1 200 OK\r\nX: suc", b"cess\r\n\r\nsuc", b"cess"):
            writer.write(piece)
            await writer.drain()
        await reader.read()  # and it does not hang up

    async def endless(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)
        await reader.read()

    target = parse_target("http://host.example/#success")
    async with steady.serving(80, in_pieces):
        assert (await answered(http(LINE_A, SERVER[4], target))).state == PASSED
    async with steady.serving(80, endless):
        assert (await answered(http(LINE_A, SERVER[4], target))).reason == WRONG


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=host.example", "-addext", "subjectAltName=DNS:host.example",
         "-keyout", folder / "key", "-out", folder / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@kernel
@needs_root
async def test_tls_passes_with_a_certificate_that_is_known_and_fails_with_any_other(steady, certificate, monkeypatch):
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate / "cert", certificate / "key")
    target = parse_target("https://host.example/")
    async with steady.serving(443, page(b"HTTP/1.1 200 OK"), tls=serving):
        answer = await answered(http(LINE_A, SERVER[4], target))
        assert (answer.state, answer.reason) == (FAILED, WRONG) and "self" in answer.text
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
        assert (await answered(http(LINE_A, SERVER[4], target))).state == PASSED
        other = parse_target("https://other.example/")
        answer = await answered(http(LINE_A, SERVER[4], other))
        assert answer.state == FAILED and "other.example" in answer.text


@kernel
@needs_root
async def test_what_does_not_speak_tls_fails(steady):
    async with steady.serving(443, page(b"HTTP/1.1 200 OK")):
        answer = await timed(http(LINE_A, SERVER[4], parse_target("https://host.example/")), 0.5)
    assert answer.state == FAILED


def test_the_request_names_host_port_and_path():
    assert request(parse_target("http://host.example:8080/a?b=c#d")) == (
        b"GET /a?b=c HTTP/1.1\r\nHost: host.example:8080\r\nUser-Agent: netpolicy\r\nConnection: close\r\n\r\n"
    )
    assert b"Host: [2001:db8::1]\r\n" in request(parse_target("http://[2001:db8::1]"))


@given(st.binary(max_size=2000))
def test_garbage_is_not_the_page(line):
    assert status(line).state == FAILED or line[:5] == b"HTTP/"
