"""A web server on the loopback, of which every page is a function of the request."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

Answer = Callable[[BaseHTTPRequestHandler], None]


class WebServer:
    """Serves while it is entered; `asked` are the requests' headers by path, in their order."""

    def __init__(self, pages: dict[str, Answer], tls: ssl.SSLContext | None = None) -> None:
        self.pages = pages
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.hold = threading.Event()  # what a page waits for that never ends
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                outer.pages[self.path.partition("?")[0]](self)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Not a word."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.hold = self.hold  # type: ignore[attr-defined]
        self._scheme = "https" if tls is not None else "http"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def url(self, path: str, host: str = "127.0.0.1", login: str = "") -> str:
        """Where a page is."""
        return f"{self._scheme}://{login}{host}:{self._server.server_port}{path}"

    def __enter__(self) -> WebServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def says(body: bytes, status: int = 200, length: int | None = None, **headers: str) -> Answer:
    """A page; `length` is what is promised, where it is not the truth."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def held(request: BaseHTTPRequestHandler) -> None:
    """From now on silence, until the server is closed."""
    request.server.hold.wait(60)  # type: ignore[attr-defined]


def tagged(body: bytes, etag: str) -> Answer:
    """A page with a tag: 304 for who has it."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        is_known = request.headers.get("If-None-Match") == etag
        says(b"" if is_known else body, 304 if is_known else 200, ETag=etag)(request)

    return answer
