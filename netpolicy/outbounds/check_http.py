"""Whether a page is delivered out of a line: HTTP/1.1 (RFC 9112), and the same over TLS with a checked certificate.

Follows nothing and reads no more than it has to: a redirection is not the page, it may be a hotel's login.
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
PAGE_LIMIT = 16_384  # … of a page in which a text is looked for
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
    """Passed for the status and text that the target wants. Waits for ever otherwise: put a limit around it."""
    with await connected(line, address, target.port) as made:
        plain = Plain(made)
        if target.kind != HTTPS:
            return judged(await _ask(plain, target), target)
        try:
            import ssl
        except ImportError:
            raise Unsendable(
                Answer(UNKNOWN, NO_SUPPORT, "this Python has no TLS; install python3-openssl or use http:")
            ) from None
        try:
            secure = Secure(plain, target.host)
            await secure.handshake()
            return judged(await _ask(secure, target), target)
        except ssl.SSLError as error:
            return Answer(FAILED, WRONG, f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}")


def request(target: Target) -> bytes:
    """The request for the page."""
    lines = (f"GET {target.path} HTTP/1.1", f"Host: {target.authority}", "User-Agent: netpolicy", "Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def judged(answer: bytes, target: Target) -> Answer:
    """What an answer says, or its beginning: a login page may be delivered with any status."""
    found = status(answer.partition(b"\n")[0].rstrip(b"\r"), target.wanted_status)
    if found.state != PASSED or not target.wanted_text:
        return found
    if target.wanted_text not in _body(answer):
        return Answer(FAILED, WRONG, f"the page is another one: {target.wanted!r} is not in it")
    return found


def status(line: bytes, wanted: int = 0) -> Answer:
    """What the first line of an answer says. `wanted`: the one status that passes, 0 for any of 200 to 299."""
    words = line[:STATUS_LIMIT].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not (len(words[1]) == 3 and words[1].isdigit()):
        return Answer(FAILED, WRONG, "what answers does not speak HTTP")
    code = int(words[1])
    if wanted and code != wanted:
        return Answer(FAILED, WRONG, f"the page is another one: its status is {code}, not {wanted}")
    if wanted or 200 <= code < 300:
        return Answer(PASSED, text=f"the page is delivered ({code})")
    if 300 <= code < 400:
        return Answer(FAILED, WRONG, f"redirected ({code}): name the page that it leads to, or is it a login page?")
    return Answer(FAILED, WRONG, f"the page is refused ({code})")


async def _ask(stream: Plain | Secure, target: Target) -> bytes:
    """The beginning of the answer: its first line, or all up to the text that is wanted."""
    await stream.send(request(target))
    data = b""
    text, limit = (target.wanted_text, PAGE_LIMIT) if target.wanted_text else (b"\n", STATUS_LIMIT)
    while len(data) < limit and text not in (_body(data) if target.wanted_text else data):
        piece = await stream.receive()
        if not piece:
            break
        data += piece
    return data


def _body(answer: bytes) -> bytes:
    """What follows the headers: in them the text may stand in any address that leads to a login."""
    return answer.partition(b"\r\n\r\n")[2]
