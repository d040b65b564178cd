"""The first bytes of real browsers' TLS and of a real QUIC stack in Go: from Xray, in a network of its own.

Run by tests as `unshare -n python -m tests.flows.real_clients`; prints JSON, name of the client to its pieces in
hexadecimal digits. Xray imitates browsers with uTLS, byte by byte, and speaks QUIC with quic-go.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.xray.node_links import UUID
from tests.xray.on_loopback import xray
from tests.xray.real_xray import isolated

BROWSERS = ("chrome", "firefox", "safari", "ios", "android", "edge", "360", "qq")
GO = "go"  # TLS of Go itself
QUIC = "quic-go"
NAME = "Www.Example.com"
FIRST_PORT = 2000
PATIENCE_S = 30.0
QUIET_S = 0.1  # after which no further piece is expected: everything is on loopback
DATAGRAMS = 2  # that the hello of quic-go takes


def heard() -> dict[str, list[bytes]]:
    """Name of the client to its pieces. Raises AssertionError with the reason where they cannot be had."""
    command = [*isolated(), sys.executable, "-m", "tests.flows.real_clients"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return {client: [bytes.fromhex(piece) for piece in pieces] for client, pieces in json.loads(done.stdout).items()}


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    clients = [*BROWSERS, GO, QUIC]
    found: dict[str, list[str]] = {}
    with xray(configuration(clients)):
        for number, client in enumerate(clients):
            listen = datagrams if client == QUIC else segments
            found[client] = [piece.hex() for piece in listen(FIRST_PORT + number, FIRST_PORT + 100 + number)]
    print(json.dumps(found))


def configuration(clients: list[str]) -> str:
    """Each client is an outbound to a port where we listen, behind a proxy of its own."""
    inbounds, outbounds, rules = [], [], []
    for number, client in enumerate(clients):
        port = FIRST_PORT + 100 + number
        inbounds.append({"tag": client, "listen": "127.0.0.1", "port": port, "protocol": "http"})
        outbounds.append({"tag": client, **outbound(client, FIRST_PORT + number)})
        rules.append({"inboundTag": [client], "outboundTag": client})
    parts = {"inbounds": inbounds, "outbounds": outbounds, "routing": {"rules": rules}}
    return json.dumps({"log": {"loglevel": "warning"}, **parts})


def outbound(client: str, port: int) -> dict[str, Any]:
    tls: dict[str, Any] = {"serverName": NAME}
    stream: dict[str, Any] = {"network": "raw", "security": "tls", "tlsSettings": tls}
    if client in BROWSERS:
        tls["fingerprint"] = client
    elif client == GO:
        tls["fingerprint"] = "unsafe"
    else:
        tls["alpn"] = ["h3"]
        stream |= {"network": "xhttp", "xhttpSettings": {"mode": "stream-one"}}
    user = {"id": UUID, "encryption": "none"}
    server = {"address": "127.0.0.1", "port": port, "users": [user]}
    return {"protocol": "vless", "settings": {"vnext": [server]}, "streamSettings": stream}


def ask(proxy: int) -> socket.socket:
    """A request that makes the client behind that proxy begin."""
    asking = socket.create_connection(("127.0.0.1", proxy), PATIENCE_S)
    asking.sendall(b"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n")
    answered = b""
    while b"\r\n\r\n" not in answered and (block := asking.recv(4096)):
        answered += block
    asking.sendall(b"something to carry")
    return asking


def segments(port: int, proxy: int) -> list[bytes]:
    with socket.create_server(("127.0.0.1", port)) as server, ask(proxy):
        server.settimeout(PATIENCE_S)
        with server.accept()[0] as accepted:
            return until_quiet(accepted, has_record)


def datagrams(port: int, proxy: int) -> list[bytes]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", port))
        with ask(proxy):
            return until_quiet(server, lambda found: len(found) >= DATAGRAMS)


def has_record(found: list[bytes]) -> bool:
    """Whether the first one, which holds the hello, is whole."""
    data = b"".join(found)
    return len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[3:5], "big")


def until_quiet(source: socket.socket, is_whole: Callable[[list[bytes]], bool]) -> list[bytes]:
    """All pieces. Only of what is whole the next one is not waited for: between two the sender may lose its turn."""
    found: list[bytes] = []
    end = time.monotonic() + PATIENCE_S
    while select.select([source], [], [], QUIET_S if is_whole(found) else max(end - time.monotonic(), 0))[0]:
        found.append(source.recv(65536))
        if len(found) > 8 or not found[-1]:
            break
    return found


if __name__ == "__main__":
    sys.exit(main())
