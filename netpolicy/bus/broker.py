"""The embedded broker: stands in for ubusd on hosts that have none.

Never takes a socket from a broker that answers, never lets a client that does not read
cost memory, and serves root (and the user it runs as) only: others get status 6, whatever
they ask. What is answered is decided in `exchange`; here are the sockets.
"""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import socket
import stat
import struct
from contextlib import suppress

from .catalogue import Peer
from .exchange import UNREAD_LIMIT, Exchange
from .link import open_link
from .paths import default_socket
from .status import UbusError
from .wire import Parser, WireError

CLIENT_LIMIT = 512
CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)
LINGER_SECONDS = 2.0
SOCKET_MODE = 0o600
DIRECTORY_MODE = 0o755


class BrokerError(Exception):
    """The broker cannot start: the text says where, what and what to do."""


class Broker:
    """Serves one socket path from `start` to `close`."""

    def __init__(self, path: str | None = None) -> None:
        self.path = path or default_socket()
        self.exchange = Exchange()
        self.connections: set[Connection] = set()
        self._server: asyncio.AbstractServer | None = None
        self._inode = 0

    async def start(self) -> None:
        """Listen. Raises BrokerError when another broker answers there or the place is unusable."""
        try:
            await self._refuse_to_replace()
            os.makedirs(os.path.dirname(self.path) or ".", DIRECTORY_MODE, exist_ok=True)
            await self._listen()
        except OSError as problem:
            raise BrokerError(
                f"{self.path}: cannot listen ({problem.strerror or problem}); "
                "choose another socket path or stop what uses it"
            ) from None

    async def _refuse_to_replace(self) -> None:
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise BrokerError(f"{self.path}: is not a socket; move it away or choose another path")
        if await _answers(self.path):
            raise BrokerError(f"{self.path}: another broker answers there; use that one")

    async def _listen(self) -> None:
        """Bind beside the path, restrict, then move into place: nobody ever sees it half open."""
        beside = f"{self.path}.{os.getpid()}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with suppress(FileNotFoundError):
                os.unlink(beside)
            listener.bind(beside)
            os.chmod(beside, SOCKET_MODE)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: Connection(self), sock=listener, backlog=CLIENT_LIMIT)
            self._inode = os.lstat(beside).st_ino
            os.rename(beside, self.path)
        except OSError:
            listener.close()
            with suppress(OSError):
                os.unlink(beside)
            raise

    async def close(self) -> None:
        """Disconnect everybody; the socket file goes too, unless it is another's by now."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self.connections):
            connection.abort()
        with suppress(OSError):
            if os.lstat(self.path).st_ino == self._inode:
                os.unlink(self.path)
        self._server = None


class Connection(asyncio.Protocol):
    """One client's socket."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._parser = Parser()
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._broker.connections) >= CLIENT_LIMIT:
            transport.abort()
            return
        self._broker.connections.add(self)
        uid, gid = _credentials(transport)
        self._peer = self._broker.exchange.join(
            uid in (0, os.geteuid()), _user(uid), _group(gid), self._send, transport.get_write_buffer_size
        )

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._parser.feed(data):
                if self._peer is None:
                    return  # it was cut off while its own messages were being handled
                self._broker.exchange.receive(self._peer, message)
        except WireError:
            self.abort()

    def eof_received(self) -> bool:
        # A client that shut its half is gone, as for ubusd; what it did not read yet may still go out.
        self._forget()
        transport = self._transport
        if transport is not None:
            asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        self._forget()

    def _send(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > UNREAD_LIMIT:
            # Its objects go when asyncio reports the loss, not here in the middle of a broadcast.
            transport.abort()

    def abort(self) -> None:
        """Cut this client off."""
        if self._transport is not None:
            self._transport.abort()

    def _forget(self) -> None:
        self._broker.connections.discard(self)
        peer, self._peer = self._peer, None
        if peer is not None:
            self._broker.exchange.leave(peer)


async def _answers(path: str) -> bool:
    """Whether somebody accepts connections there, even one who then says nothing useful."""
    try:
        link = await open_link(path, lambda link, message: None, lambda link: None)
    except UbusError:
        return _accepts(path)
    link.close()
    return True


def _accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == 0


def _credentials(transport: asyncio.Transport) -> tuple[int, int]:
    client = transport.get_extra_info("socket")
    raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, gid = CREDENTIALS.unpack(raw)
    return uid, gid


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
