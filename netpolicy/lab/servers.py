"""Be the lab's internet: HTTP, TLS with several names, DNS, mail, and an echo that says who it saw.

Every answer begins with the address the server saw, because that shows which line was taken.
Decides nothing about routing; keys are made at start and live in the lab's memory file system.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from netpolicy.lab import wire
from netpolicy.lab.topology import DNS, ECHO, SERVERS

REQUEST_LIMIT = 8192
PATIENCE_SECONDS = 120.0
RECEIVE_BUFFER = 4 << 20
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def seen(writer: asyncio.StreamWriter) -> dict[str, object]:
    """The client's address as it arrived here."""
    peer = writer.get_extra_info("peername")
    return {"seen": peer[0], "port": peer[1]}


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One line with the address seen, then every line back."""
    writer.write(json.dumps(seen(writer)).encode() + b"\n")
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()


async def mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A mail server's greeting (RFC 5321) that carries the address seen."""
    writer.write(b"220 " + json.dumps(seen(writer)).encode() + b"\r\n")
    await reader.readline()


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP/1.1, one request per connection: a JSON document with the address, host and TLS name seen."""
    request = await reader.readuntil(b"\r\n\r\n")
    lines = request.decode("latin-1").split("\r\n")
    host = next((line[5:].strip() for line in lines[1:] if line.lower().startswith("host:")), "")
    tls = writer.get_extra_info("ssl_object")
    name = getattr(tls, "lab_name", None)
    body = json.dumps({**seen(writer), "host": host, "sni": name}).encode() + b"\n"
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


async def dns_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """DNS over TCP (RFC 1035 4.2.2)."""
    size = int.from_bytes(await reader.readexactly(2), "big")
    answer = wire.reply(await reader.readexactly(size))
    if answer:
        writer.write(len(answer).to_bytes(2, "big") + answer)


class Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram with what `respond` makes of it and its sender."""

    def __init__(self, respond: Callable[[bytes, tuple[str, int]], bytes | None]) -> None:
        self._respond = respond
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket to answer through."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer, or stay silent when there is no answer."""
        answer = self._respond(data, addr)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


def echo_datagram(data: bytes, sender: tuple[str, int]) -> bytes:
    """`address port ` and the payload."""
    return f"{sender[0]} {sender[1]} ".encode() + data


def make_certificates(folder: Path, names: list[str]) -> dict[str, tuple[Path, Path]]:
    """A fresh self-signed certificate per name (key, certificate); needs the openssl tool."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    running, made = [], {}
    for name in names:
        key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
        made[name] = (key, certificate)
        running.append(
            subprocess.Popen(
                [
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:prime256v1",
                    "-nodes",
                    "-days",
                    "7",
                    "-subj",
                    f"/CN={name}",
                    "-addext",
                    f"subjectAltName=DNS:{name}",
                    "-keyout",
                    str(key),
                    "-out",
                    str(certificate),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    failed = [child.returncode for child in running if child.wait() != 0]
    if failed:
        raise RuntimeError("lab servers: openssl could not make a certificate: is the openssl package installed?")
    return made


def tls_context(files: dict[str, tuple[Path, Path]]) -> ssl.SSLContext:
    """A server context that shows each name its own certificate and remembers the name asked for."""
    contexts = {}
    for name, (key, certificate) in files.items():
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[name].load_cert_chain(certificate, key)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.lab_name = name  # type: ignore[attr-defined]
        if name in contexts:
            connection.context = contexts[name]

    first = next(iter(contexts.values()))
    first.sni_callback = choose
    return first


def _polite(handler: Handler) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A handler that survives clients that vanish, and lets none stay for ever."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(handler(reader, writer), PATIENCE_SECONDS)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()

    return handle


def _udp_socket(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    handle = socket.socket(family, socket.SOCK_DGRAM)
    # Tests count numbered datagrams here: a full buffer must not look like a lost packet.
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    with contextlib.suppress(PermissionError):
        handle.setsockopt(socket.SOL_SOCKET, 33, RECEIVE_BUFFER)  # SO_RCVBUFFORCE, above the system's limit
    handle.setblocking(False)
    handle.bind((address, port))
    return handle


async def serve(folder: Path) -> None:
    """Open every server, print `ready`, serve for ever."""
    loop = asyncio.get_running_loop()
    files = await asyncio.to_thread(make_certificates, folder, [s.name for s in SERVERS if s not in (DNS, ECHO)])
    plain: list[tuple[int, Handler]] = [(7, echo), (25, mail), (53, dns_stream), (80, web)]
    # A backlog for tests that open hundreds of connections at once.
    for port, handler in plain:
        await asyncio.start_server(_polite(handler), ["0.0.0.0", "::"], port, limit=REQUEST_LIMIT, backlog=1024)  # noqa: S104
    await asyncio.start_server(
        _polite(web),
        ["0.0.0.0", "::"],  # noqa: S104
        443,
        limit=REQUEST_LIMIT,
        backlog=1024,
        ssl=tls_context(files),
    )
    for server, port, respond in ((ECHO, 7, echo_datagram), (DNS, 53, lambda data, _: wire.reply(data))):
        for address in (server.address4, server.address6):
            await loop.create_datagram_endpoint(
                lambda answer=respond: Datagrams(answer), sock=_udp_socket(address, port)
            )  # type: ignore[misc]
    print("ready", flush=True)
    await asyncio.Event().wait()


def main(argv: list[str]) -> int:
    """`servers FOLDER`: keys and certificates go there."""
    asyncio.run(serve(Path(argv[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
