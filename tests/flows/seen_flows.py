"""Flows and payloads of tests, by number."""

from __future__ import annotations

import socket

from netpolicy.flows.seen import (
    DNS_ANSWER,
    DNS_ANSWERING,
    DNS_ASKING,
    DNS_QUERY,
    MAPPED,
    QUIC,
    STREAM,
    Payload,
    SeenKey,
)

# Remote port and protocol of what is no TLS.
PORTS = {
    QUIC: (443, 17), DNS_ANSWER: (53, 17), DNS_QUERY: (53, 17), DNS_ASKING: (53, 6), DNS_ANSWERING: (53, 6),
}  # fmt: skip


def mapped(address: str) -> bytes:
    """The 16 bytes of an address."""
    return socket.inet_pton(socket.AF_INET6, address) if ":" in address else MAPPED + socket.inet_aton(address)


def flow(number: int, port: int = 443, protocol: int = 6) -> SeenKey:
    return mapped("192.168.1.2"), mapped("198.51.100.7"), 40_000 + number, port, protocol


def payload(data: bytes, kind: str = STREAM, number: int = 1, **more: object) -> Payload:
    """One that begins its flow, unless `first` says otherwise."""
    port, protocol = PORTS.get(kind, (443, 6))
    given = {"offset": 0, "when": 0.0, "first": not more.get("offset"), **more}
    return Payload(flow(number, port, protocol), kind, data=data, **given)
