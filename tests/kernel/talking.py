"""A real conversation by TLS of one version, or by QUIC (aioquic, both ends), for tests that look at it from outside.

Run in a node of the lab: `tls ADDRESS NAME VERSION`, `quic ADDRESS NAME VERSION` and `quic-server ADDRESS NAME FOLDER`.
The clients print the port that they had, once they heard an answer.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from pathlib import Path

from netpolicy.lab.servers import make_certificates

ALPN = "lab"
VERSIONS = {"1": 0x00000001, "2": 0x6B3343CF}  # RFC 9000, RFC 9369


def tls(address: str, name: str, version: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with socket.create_connection((address, 443), 10) as plain:
        port = plain.getsockname()[1]
        with context.wrap_socket(plain, server_hostname=name) as near:
            near.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            assert near.recv(100).startswith(b"HTTP/1.1 200") and near.version() == version.replace("_", ".")
    print(port)


async def quic(address: str, name: str, version: str) -> None:
    from aioquic.asyncio import connect
    from aioquic.quic.configuration import QuicConfiguration

    settings = QuicConfiguration(is_client=True, server_name=name, alpn_protocols=[ALPN], verify_mode=ssl.CERT_NONE)
    settings.original_version, settings.supported_versions = VERSIONS[version], [VERSIONS[version]]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
        free.bind(("::", 0))
        port = free.getsockname()[1]
    async with connect(address, 443, configuration=settings, local_port=port) as client:
        reader, writer = await client.create_stream()
        writer.write(b"and so on")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b"and so on"
    print(port)


async def quic_server(address: str, name: str, folder: str) -> None:
    from aioquic.asyncio import serve
    from aioquic.quic.configuration import QuicConfiguration

    ((key, certificate),) = make_certificates(Path(folder), [name]).values()
    settings = QuicConfiguration(is_client=False, alpn_protocols=[ALPN])
    settings.load_cert_chain(certificate, key)
    answering: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.write_eof()

    def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.create_task(answer(reader, writer)))

    await serve(address, 443, configuration=settings, stream_handler=opened)
    print("ready", flush=True)
    await asyncio.Event().wait()


def main(what: str, *words: str) -> None:
    if what == "tls":
        tls(*words)
    else:
        asyncio.run({"quic": quic, "quic-server": quic_server}[what](*words))


if __name__ == "__main__":
    main(*sys.argv[1:])
