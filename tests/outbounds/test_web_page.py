"""Pages that come whole, and every way in which one does not: over real connections."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from netpolicy.core.web_address import parse_web_address
from netpolicy.outbounds.web_page import CannotFetch, Limits, _connected, _is_inside, fetch
from tests.outbounds.web_server import WebServer, held, says, tagged

TEXT = b"".join(b"name%d.example\n" % number for number in range(20_000))
SMALL = Limits(wire=100_000, content=400_000)


def read(url: str, etag: str = "", limits: Limits | None = None) -> tuple[bool, bytes]:
    page = fetch(parse_web_address(url), etag, limits=limits)
    return page.is_same, b"".join(page.pieces)


def chunked(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    for piece in (TEXT[:7], TEXT[7:90_000]):
        request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    if request.path == "/whole":  # else it is cut off
        request.wfile.write(b"0\r\n\r\n")


def kept_open(request: BaseHTTPRequestHandler) -> None:
    """A server that does not end the connection, whatever it is asked."""
    says(TEXT)(request)
    held(request)


def silent(request: BaseHTTPRequestHandler) -> None:
    says(b"a.example\n", length=100)(request)
    held(request)


def test_what_is_the_same_is_not_sent_again() -> None:
    with WebServer({"/l": tagged(TEXT, '"v1"')}) as server:
        page = fetch(parse_web_address(server.url("/l")))
        assert (page.is_same, page.etag, b"".join(page.pieces)) == (False, '"v1"', TEXT)
        assert read(server.url("/l"), '"v1"') == (True, b"")
        assert read(server.url("/l"), '"v0"') == (False, TEXT)
        assert [asked.get("if-none-match") for _, asked in server.asked] == [None, '"v1"', '"v0"']
        fetch(parse_web_address(server.url("/l")), modified="Sat, 21 Nov 2026 18:00:00 GMT")
        assert server.asked[-1][1]["if-modified-since"] == "Sat, 21 Nov 2026 18:00:00 GMT"


@pytest.mark.parametrize("encoding", [{"Content_Encoding": "gzip"}, {}], ids=["by the server", "a packed file"])
def test_what_is_packed_is_unpacked(encoding: dict[str, str]) -> None:
    packed = gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:])
    with WebServer({"/l.gz": says(packed, **encoding)}) as server:
        assert read(server.url("/l.gz")) == (False, TEXT)


def test_pages_in_chunks_and_of_servers_that_do_not_hang_up() -> None:
    with WebServer({"/whole": chunked, "/open": kept_open, "/empty": says(b"")}) as server:
        assert read(server.url("/whole")) == (False, TEXT[:90_000])
        assert read(server.url("/open")) == (False, TEXT)
        assert read(server.url("/empty")) == (False, b"")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("the server refuses it (404 Not Found)", says(b"gone", 404)),
        ("the server refuses it (304", says(b"", 304)),
        ("longer than 0 MiB", says(b"x" * 100_001)),
        ("longer than 0 MiB when unpacked", says(gzip.compress(bytes(4_000_000)))),
        ("ends too early", says(gzip.compress(TEXT)[:-9])),
        ("ends too early", says(b"\x1f\x8b")),
        ("damaged", says(b"\x1f\x8bnothing that was packed")),
        ("behind its packed end", says(gzip.compress(TEXT) + b"more")),
        ("90 bytes too early", says(b"a.example\n", length=100)),
        ("packs it in a way", says(b"x", Content_Encoding="br")),
        ("does not answer", silent),
        ("as it should (IncompleteRead)", chunked),
        ("no page of HTTP or HTTPS", says(b"", 302, Location="file:///etc/passwd")),
        ("no page of HTTP or HTTPS", says(b"", 302)),
        ("redirected more than 5 times", says(b"", 302, Location="/p?token=s3cret")),
    ],
)  # fmt: skip
def test_what_is_not_delivered_whole_is_not_delivered(words: str, answer: object) -> None:
    with WebServer({"/p": answer}) as server, pytest.raises(CannotFetch) as told:  # type: ignore[dict-item]
        read(
            server.url("/p?token=s3cret", login="me:pw@"),
            limits=replace(SMALL, silence=0.2 if answer is silent else 30),
        )
    assert words in str(told.value)
    assert "s3cret" not in str(told.value) and "pw" not in str(told.value)


def test_a_password_goes_to_its_own_server_alone() -> None:
    with WebServer({"/l": says(TEXT)}) as other:
        pages = {"/a": says(b"", 301, Location="/b"), "/b": says(b"", 302, Location=other.url("/l"))}
        with WebServer(pages) as server:
            assert read(server.url("/a", login="me:p%40ss@"))[1] == TEXT
            assert [asked.get("authorization") for _, asked in server.asked] == ["Basic bWU6cEBzcw=="] * 2
        assert "authorization" not in other.asked[0][1]


def test_nobody_there_and_no_such_name() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(CannotFetch, match="Connection refused"):
            read(f"http://127.0.0.1:{bound.getsockname()[1]}/")
    with pytest.raises(CannotFetch, match="cannot be resolved"):
        read("http://nothing.invalid/")


def test_what_answers_something_else_is_told() -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        made, _ = listening.accept()
        made.recv(4096)
        made.sendall(b"SSH-2.0-x\r\n")
        made.close()

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(CannotFetch, match="does not speak HTTP as it should"):
        read(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    thread.join()
    listening.close()


def test_which_addresses_are_those_of_this_network() -> None:
    inside = (
        "127.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "172.31.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
    )
    outside = ("9.9.9.9", "172.32.0.1", "100.128.0.1", "198.18.0.1", "192.169.0.1")
    assert all(_is_inside(socket.AF_INET, one) for one in inside)
    assert not any(_is_inside(socket.AF_INET, one) for one in outside)
    six = {"::1": True, "fe80::1%lo": True, "fd00::1": True, "2620:fe::fe": False, "::ffff:10.0.0.1": True,
           "::ffff:9.9.9.9": False, "64:ff9b::909:909": False, "64:ff9b::7f00:1": True}  # fmt: skip
    assert {one: _is_inside(socket.AF_INET6, one) for one in six} == six


def test_the_internet_leads_nobody_into_this_network() -> None:
    with pytest.raises(CannotFetch, match="an address of this network"):
        _connected(parse_web_address("http://127.0.0.1/"), 1.0, may_be_inside=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key", "-out", folder / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_tls_is_checked_and_never_left(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate / "cert", certificate / "key")
    pages = {"/l": says(TEXT), "/out": says(b"", 302, Location="http://localhost/l?token=s3cret")}
    with WebServer(pages, serving) as server:
        with pytest.raises(CannotFetch, match=r"TLS: self.signed certificate"):
            read(server.url("/l", "localhost"))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
        assert read(server.url("/l", "localhost"))[1] == TEXT
        with pytest.raises(CannotFetch, match=r"TLS: .*127\.0\.0\.1"):
            read(server.url("/l"))
        with pytest.raises(CannotFetch, match="which is not encrypted") as told:
            read(server.url("/out", "localhost"))
        assert "s3cret" not in str(told.value)
