"""Whether a page is delivered out of a line: HTTP/1.1 (RFC 9112), and the same over TLS with a checked certificate.

Follows nothing and reads no more than the first line: a redirection is not the page, it may be a hotel's login.
TLS runs on buffers of its own, because the daemon's asyncio is loaded without ssl, which costs some megabytes.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from netpolicy.outbounds.check_line import FAILED, NO_SUPPORT, PASSED, UNKNOWN, WRONG, Answer, Line, Unsendable
from netpolicy.outbounds.check_target import HTTPS, Target
from netpolicy.outbounds.check_tcp import connected

if TYPE_CHECKING:
    import ssl

STATUS_LIMIT = 1024  # bytes of the first line
READ_SIZE = 4096


class Plain:
    """A connection as it is."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """All of it."""
        await self._loop.sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        """Some bytes; b"" at the end."""
        return await self._loop.sock_recv(self._socket, READ_SIZE)


class Secure:
    """TLS over a connection."""

    def __init__(self, below: Plain, host: str) -> None:
        import ssl

        self._below = below
        self._ssl = ssl
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object: ssl.SSLObject = ssl.create_default_context().wrap_bio(
            self._incoming, self._outgoing, server_hostname=host
        )

    async def handshake(self) -> None:
        """Until both sides agree; ssl.SSLError where they do not."""
        while True:
            try:
                self._object.do_handshake()
            except self._ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        """All of it."""
        self._object.write(data)
        await self._flush()

    async def receive(self) -> bytes:
        """Some bytes; b"" at the end."""
        while True:
            try:
                return self._object.read(READ_SIZE)
            except self._ssl.SSLWantReadError:
                await self._fill()
            except self._ssl.SSLZeroReturnError:
                return b""

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._below.send(self._outgoing.read())

    async def _fill(self) -> None:
        data = await self._below.receive()
        if not data:
            raise ConnectionResetError(104, "the server ended the connection")
        self._incoming.write(data)


async def http(line: Line, address: str, target: Target) -> Answer:
    """Passed for a status of 200 to 299. Waits for ever otherwise: put a limit around it."""
    with await connected(line, address, target.port) as made:
        plain = Plain(made)
        if target.kind != HTTPS:
            return status(await _ask(plain, target))
        try:
            import ssl
        except ImportError:
            raise Unsendable(
                Answer(UNKNOWN, NO_SUPPORT, "this Python has no TLS; install python3-openssl or use http:")
            ) from None
        try:
            secure = Secure(plain, target.host)
            await secure.handshake()
            return status(await _ask(secure, target))
        except ssl.SSLError as error:
            return Answer(FAILED, WRONG, f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}")


def request(target: Target) -> bytes:
    """The request for the page."""
    lines = (f"GET {target.path} HTTP/1.1", f"Host: {target.authority}", "User-Agent: netpolicy", "Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def status(line: bytes) -> Answer:
    """What the first line of an answer says."""
    words = line[:STATUS_LIMIT].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not (len(words[1]) == 3 and words[1].isdigit()):
        return Answer(FAILED, WRONG, "what answers does not speak HTTP")
    code = int(words[1])
    if 200 <= code < 300:
        return Answer(PASSED, text=f"the page is delivered ({code})")
    if 300 <= code < 400:
        return Answer(FAILED, WRONG, f"redirected ({code}): name the page that it leads to, or is it a login page?")
    return Answer(FAILED, WRONG, f"the page is refused ({code})")


async def _ask(stream: Plain | Secure, target: Target) -> bytes:
    """The first line of the answer, without its end."""
    await stream.send(request(target))
    data = b""
    while b"\n" not in data and len(data) < STATUS_LIMIT:
        piece = await stream.receive()
        if not piece:
            break
        data += piece
    return data.partition(b"\n")[0].rstrip(b"\r")
