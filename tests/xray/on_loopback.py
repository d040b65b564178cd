"""Two real Xrays that talk to each other, in a network namespace where only loopback exists.

Started by tests as a program of its own, `unshare -n python -m tests.xray.on_loopback WHAT FOLDER`:
prints what came through as JSON. Servers are written by hand here, clients by the generator.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from netpolicy.xray.config import USUAL, build_config, text_of
from netpolicy.xray.links import parse_links

from .node_links import UUID, in_base64, vmess
from .real_xray import RUN

ORIGIN = 8000
BODY = b"through"
PATIENCE_S = 40.0
PROBED = "192.0.2.1"
SLOW_S = 1.0  # by which the one is faster than the other: on a busy machine the other may be late too
LISTENERS = {"http": 7890, "socks": 7891, "mixed": 7893}

KEY_2022 = "YctPZ6U7xPPcU+gp3u+0tA=="


class Origin(BaseHTTPRequestHandler):
    """A web server that says one word."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        """Nothing: standard output is the answer of this program."""


@contextmanager
def xray(config: str) -> Iterator[None]:
    """The program with that configuration, from its word `started` on."""
    command = [sys.executable, "-c", RUN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdin and child.stdout
        child.stdin.write(config.encode())
        child.stdin.close()
        log = b""
        for line in child.stdout:
            log += line
            if b"started" in line:
                break
        else:
            raise RuntimeError(f"Xray did not start: {log.decode()}")
        # What it says afterwards must not fill the pipe.
        threading.Thread(target=child.stdout.read, daemon=True).start()
        try:
            yield
        finally:
            child.kill()


def fetch(listener: str, port: int = ORIGIN, seconds: float = PATIENCE_S) -> str:
    """What the origin said through that listener of the client, or what went wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", LISTENERS[listener], timeout=seconds)
    try:
        connection.request("GET", f"http://127.0.0.1:{port}/")
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == 200 else f"status {answer.status}"
    except (OSError, http.client.HTTPException) as problem:
        return repr(problem)
    finally:
        connection.close()


def fetch_in_time(listener: str) -> str:
    """As `fetch`; tried again for a moment, because a server of QUIC opens after `started`."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = fetch(listener, seconds=5)
        if found == BODY.decode() or time.monotonic() > deadline:
            return found


def certificate(folder: Path) -> tuple[dict[str, Any], str]:
    """TLS settings of a server, and the pin of its certificate."""
    key, cert = str(folder / "key.pem"), str(folder / "cert.pem")
    words = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=a.test"]
    subprocess.run(["openssl", "req", "-x509", *words, "-keyout", key, "-out", cert], check=True, capture_output=True)
    der = ssl.PEM_cert_to_DER_cert(Path(cert).read_text())
    return {"certificates": [{"certificateFile": cert, "keyFile": key}]}, hashlib.sha256(der).hexdigest()


def servers(tls: dict[str, Any], pin: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name: link of the client, inbound of the server."""
    user = {"clients": [{"id": UUID}], "decryption": "none"}
    password = {"clients": [{"password": "p@ss:w"}]}
    with_tls = {"security": "tls", "tlsSettings": tls}
    pinned = f"sni=a.test&pcs={pin}"
    account = {"accounts": [{"user": "us", "pass": "p@:s"}]}
    return {
        "vless raw": (f"vless://{UUID}@127.0.0.1:2001", {"protocol": "vless", "settings": user}),
        "vless ws": (
            f"vless://{UUID}@127.0.0.1:2002?type=ws&path=%2Fws%3Fed%3D2048&host=h.test",
            {
                "protocol": "vless",
                "settings": user,
                "streamSettings": {"network": "ws", "wsSettings": {"path": "/ws", "host": "h.test"}},
            },
        ),
        "vless grpc": (
            f"vless://{UUID}@127.0.0.1:2003?type=grpc&serviceName=svc",
            {
                "protocol": "vless",
                "settings": user,
                "streamSettings": {"network": "grpc", "grpcSettings": {"serviceName": "svc"}},
            },
        ),
        "vless xhttp": (
            f"vless://{UUID}@127.0.0.1:2004?type=xhttp&path=/x&host=h.test",
            {
                "protocol": "vless",
                "settings": user,
                "streamSettings": {"network": "xhttp", "xhttpSettings": {"path": "/x", "host": "h.test"}},
            },
        ),
        "vless httpupgrade": (
            f"vless://{UUID}@127.0.0.1:2005?type=httpupgrade&path=/up",
            {
                "protocol": "vless",
                "settings": user,
                "streamSettings": {"network": "httpupgrade", "httpupgradeSettings": {"path": "/up"}},
            },
        ),
        "vless vision": (
            f"vless://{UUID}@127.0.0.1:2006?security=tls&flow=xtls-rprx-vision&{pinned}&fp=firefox&allowInsecure=1",
            {
                "protocol": "vless",
                "settings": {"clients": [{"id": UUID, "flow": "xtls-rprx-vision"}], "decryption": "none"},
                "streamSettings": {"network": "raw", **with_tls},
            },
        ),
        "vless http header": (
            f"vless://{UUID}@127.0.0.1:2007?headerType=http&path=/a&host=h.test",
            {
                "protocol": "vless",
                "settings": user,
                "streamSettings": {
                    "network": "raw",
                    "rawSettings": {"header": {"type": "http", "request": {"path": ["/a"]}}},
                },
            },
        ),
        "vmess grpc": (
            vmess(add="127.0.0.1", port="2008", net="grpc", path="vm", scy="chacha20-poly1305"),
            {
                "protocol": "vmess",
                "settings": {"clients": [{"id": UUID}]},
                "streamSettings": {"network": "grpc", "grpcSettings": {"serviceName": "vm"}},
            },
        ),
        "trojan tls": (
            f"trojan://p%40ss:w@127.0.0.1:2009?{pinned}",
            {"protocol": "trojan", "settings": password, "streamSettings": {"network": "raw", **with_tls}},
        ),
        "ss": (
            f"ss://{in_base64('aes-256-gcm:p@w@127.0.0.1:2010')}",
            {"protocol": "shadowsocks", "settings": {"method": "aes-256-gcm", "password": "p@w"}},
        ),
        "ss 2022": (
            "ss://2022-blake3-aes-128-gcm:YctPZ6U7xPPcU%2Bgp3u%2B0tA%3D%3D@127.0.0.1:2011",
            {"protocol": "shadowsocks", "settings": {"method": "2022-blake3-aes-128-gcm", "password": KEY_2022}},
        ),
        "socks base64": (
            f"socks://{in_base64('us:p@:s')}@127.0.0.1:2012",
            {"protocol": "socks", "settings": {"auth": "password", **account}},
        ),
        "http": ("http://us:p%40:s@127.0.0.1:2013", {"protocol": "http", "settings": account}),
        "https": (
            f"https://us:p%40:s@127.0.0.1:2014?{pinned}",
            # This server promises HTTP/2 to clients that offer it, and does not speak it as a proxy.
            {"protocol": "http", "settings": account, "streamSettings": {"network": "raw", **with_tls}},
        ),
        "hysteria2": (
            f"hysteria2://a%40b:c@127.0.0.1:2015?sni=a.test&insecure=1&pinSHA256={pin}&obfs=salamander&obfs-password=mask",
            {
                "protocol": "hysteria",
                "settings": {"version": 2, "users": [{"auth": "a@b:c"}]},
                "streamSettings": {
                    "network": "hysteria",
                    "hysteriaSettings": {"version": 2, "auth": "a@b:c"},
                    "security": "tls",
                    "tlsSettings": {**tls, "alpn": ["h3"]},
                    "finalmask": {"udp": [{"type": "salamander", "settings": {"password": "mask"}}]},
                },
            },
        ),
    }


def server_config(found: dict[str, tuple[str, dict[str, Any]]]) -> str:
    inbounds = [
        {"tag": name, "listen": "127.0.0.1", "port": port, **inbound}
        for port, (name, (_, inbound)) in enumerate(found.items(), 2001)
    ]
    # Xray keeps proxied clients away from private addresses; the origin here has one.
    freedom = {"protocol": "freedom", "settings": {"finalRules": [{"action": "allow"}]}}
    return json.dumps({"log": {"loglevel": "warning"}, "inbounds": inbounds, "outbounds": [freedom]})


def pairs(folder: Path) -> dict[str, str]:
    """What came through each kind of node; and through each listener of the last client."""
    tls, pin = certificate(folder)
    found = servers(tls, pin)
    results: dict[str, str] = {}
    with xray(server_config(found)):
        for name, (link, _) in found.items():
            nodes, problems = parse_links([link])
            if problems:
                results[name] = problems[0].reason
                continue
            with xray(text_of(build_config(nodes))):
                results[name] = fetch_in_time("http")
        nodes, _ = parse_links([found["ss"][0]])
        with xray(text_of(build_config(nodes))):
            results["listener mixed"] = fetch_in_time("mixed")
    return results


class Answerer(socketserver.StreamRequestHandler):
    """An HTTP proxy that answers everything itself, with its name; probes after a while."""

    def handle(self) -> None:
        is_probe = PROBED.encode() in self._head()
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self._head()
        if is_probe:
            time.sleep(self.server.delay_s)  # type: ignore[attr-defined]
        name = self.server.name.encode()  # type: ignore[attr-defined]
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))

    def _head(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()).strip():
            lines.append(line)
        return b"".join(lines)


class Answerers(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def answerer(name: str, port: int, delay_s: float) -> None:
    server = Answerers(("127.0.0.1", port), Answerer)
    server.name, server.delay_s = name, delay_s  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()


def balancers() -> dict[str, list[str]]:
    """Who answers requests by each balancer: `dead` stands first, then `slow`, then `fast`."""
    answerer("slow", 3002, SLOW_S)
    answerer("fast", 3003, 0.02)  # Xray counts milliseconds: without any, no cost would count
    names = {3001: "dead", 3002: "slow", 3003: "fast"}
    nodes, _ = parse_links(f"http://127.0.0.1:{port}#{name}" for port, name in names.items())
    config = build_config(nodes, replace(USUAL, probe_url=f"http://{PROBED}/"))
    by = {"http": "best_ping", "socks": "load_balance", "mixed": "fallback"}
    config["routing"]["rules"] = [{"inboundTag": [tag], "balancerTag": name} for tag, name in by.items()]
    with xray(text_of(config)):
        _wait_for_probes()
        return {name: [fetch(tag) for _ in range(4)] for tag, name in by.items()}


def _wait_for_probes() -> None:
    """Until then the first node is asked, which is dead; the slow one's probe takes longest, so all are known then."""
    deadline = time.monotonic() + PATIENCE_S
    while (fetch("mixed"), {fetch("socks"), fetch("socks")}) != ("slow", {"slow", "fast"}):
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)


def main() -> None:
    what, folder = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    origin = ThreadingHTTPServer(("127.0.0.1", ORIGIN), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    print(json.dumps(pairs(Path(folder)) if what == "pairs" else balancers()))


if __name__ == "__main__":
    main()
