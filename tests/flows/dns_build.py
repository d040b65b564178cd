"""DNS messages for tests, byte by byte; and those of a real name server."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

A, CNAME, AAAA, HTTPS = 1, 5, 28, 65
TO_QUESTION = b"\xc0\x0c"
PORTS_TRIED = 20


def wire(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label) + b"\0"


def record(owner: bytes | str, kind: int, data: bytes, lifetime: int = 300, of: int = 1) -> bytes:
    owner = wire(owner) if isinstance(owner, str) else owner
    return owner + struct.pack(">HHIH", kind, of, lifetime, len(data)) + data


def a(address: str, owner: bytes | str = TO_QUESTION, lifetime: int = 300) -> bytes:
    family, kind = (socket.AF_INET6, AAAA) if ":" in address else (socket.AF_INET, A)
    return record(owner, kind, socket.inet_pton(family, address), lifetime)


def cname(owner: bytes | str, target: bytes | str, lifetime: int = 300) -> bytes:
    return record(owner, CNAME, wire(target) if isinstance(target, str) else target, lifetime)


def question(
    name: str, kind: int = A, identifier: int = 7, flags: int = 0x0100, more: bytes = b"", of: int = 1
) -> bytes:
    head = struct.pack(">HHHHHH", identifier, flags, 1, 0, 0, 1 if more else 0)
    return head + wire(name) + struct.pack(">HH", kind, of) + more


def answer(name: str, *records: bytes, kind: int = A, flags: int = 0x8180, more: bytes = b"", count: int = 0) -> bytes:
    """`more`: one record behind the answers. `count`: of answers, where it is to be wrong."""
    asked = bytearray(question(name, kind, flags=flags))
    struct.pack_into(">HHH", asked, 6, count or len(records), 0, 1 if more else 0)
    return bytes(asked) + b"".join(records) + more


def opt(code: int = 0) -> bytes:
    """EDNS with the upper bits of a code."""
    return b"\0" + struct.pack(">HHIH", 41, 1232, code << 24, 0)


def parameter(key: int, value: bytes) -> bytes:
    return struct.pack(">HH", key, len(value)) + value


def service(*parameters: bytes, priority: int = 1, target: str = "") -> bytes:
    return struct.pack(">H", priority) + wire(target) + b"".join(parameters)


class Server:
    """A name server that is asked over UDP."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, message: bytes) -> bytes:
        """Its answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(30)
            asking.connect(("127.0.0.1", self._port))
            asking.send(message)
            return asking.recv(4096)


@contextmanager
def dnsmasq(*options: str) -> Iterator[Server]:
    """A real one that knows what the options say, and asks nobody."""
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin")
    if program is None:
        pytest.skip("dnsmasq is not installed")
    usual = ["--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-daemon", "--pid-file=", "--bind-interfaces"]
    for _ in range(PORTS_TRIED):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [program, *usual, "--listen-address=127.0.0.1", f"--port={port}", *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
            assert child.stderr
            try:
                words = ""
                while "started" not in words and (line := child.stderr.readline()):
                    words += line
                if "in use" in words:
                    continue  # somebody has it by now, or a TCP connection of his
                assert "started" in words, words
                yield Server(port)
                return
            finally:
                child.terminate()
    raise AssertionError(words)
