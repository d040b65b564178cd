"""Transports: what becomes of type=, and what Xray no longer carries."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netpolicy.xray.node import BadLink
from netpolicy.xray.transport import transport

TLS = {"security": "tls"}
REALITY = {"security": "reality", "realitySettings": {}}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"network": "raw"}),
        ({"type": "TCP", "headertype": "none"}, {"network": "raw"}),
        ({"type": "ws"}, {"network": "ws", "wsSettings": {"path": "/"}}),
        (
            {"type": "ws", "path": "/a?ed=1", "host": "h"},
            {"network": "ws", "wsSettings": {"path": "/a?ed=1", "host": "h"}},
        ),
        ({"type": "grpc"}, {"network": "grpc", "grpcSettings": {"serviceName": ""}}),
        (
            {"type": "grpc", "servicename": "s", "authority": "a", "mode": "multi"},
            {"network": "grpc", "grpcSettings": {"serviceName": "s", "authority": "a", "multiMode": True}},
        ),
        ({"type": "httpupgrade"}, {"network": "httpupgrade", "httpupgradeSettings": {"path": "/"}}),
        (
            {"type": "splithttp", "mode": "Stream-Up"},
            {"network": "xhttp", "xhttpSettings": {"path": "/", "mode": "stream-up"}},
        ),
        ({"type": "mkcp"}, {"network": "kcp"}),
        (
            {"headertype": "http", "path": "/a,/b", "host": "h,i"},
            {
                "network": "raw",
                "rawSettings": {
                    "header": {"type": "http", "request": {"path": ["/a", "/b"], "headers": {"Host": ["h", "i"]}}}
                },
            },
        ),
    ],
)
def test_each_transport(options: dict[str, str], expected: dict[str, Any]) -> None:
    assert transport(options, {}) == expected


def test_h2_becomes_its_successor_and_needs_tls() -> None:
    made = transport({"type": "h2", "path": "/h2"}, TLS)
    assert made == {"network": "xhttp", "security": "tls", "xhttpSettings": {"path": "/h2", "mode": "stream-one"}}
    with pytest.raises(BadLink, match="h2 was removed"):
        transport({"type": "h2"}, {})


@pytest.mark.parametrize(
    "options",
    [
        {"type": "quic"}, {"type": "h3"}, {"type": "carrier-pigeon"}, {"type": "kcp", "seed": "x"},
        {"type": "kcp", "headertype": "srtp"}, {"headertype": "srtp"}, {"type": "ws", "path": "/a b"},
        {"type": "ws", "host": "a\r\nX: y"}, {"type": "ws", "path": "/é"}, {"type": "grpc", "mode": "x"},
        {"type": "xhttp", "mode": "x"}, {"headertype": "http", "host": ","},
    ],
    ids=str,
)  # fmt: skip
def test_what_xray_would_not_carry(options: dict[str, str]) -> None:
    with pytest.raises(BadLink):
        transport(options, TLS)


@pytest.mark.parametrize("kind", ["ws", "httpupgrade", "kcp"])
def test_reality_goes_with_some_transports_only(kind: str) -> None:
    with pytest.raises(BadLink, match="reality"):
        transport({"type": kind}, REALITY)


def extra(**values: object) -> Any:
    return transport({"type": "xhttp", "extra": json.dumps(values)}, TLS)["xhttpSettings"]["extra"]


def test_extra_is_read_in_a_fixed_order() -> None:
    made = extra(xmux={"maxConcurrency": "16-32", "maxConnections": 0}, xPaddingBytes="1-02", headers={"X-A": "b"})
    assert json.dumps(made) == (
        '{"headers": {"X-A": "b"}, "xPaddingBytes": "1-2", "xmux": {"maxConcurrency": "16-32", "maxConnections": 0}}'
    )


@pytest.mark.parametrize(
    "values",
    [
        {"xPaddingBytes": 0}, {"xPaddingBytes": "a"}, {"xPaddingBytes": "1-2-3"}, {"xPaddingBytes": True},
        {"xPaddingBytes": 2**31}, {"noGRPCHeader": 1}, {"scMaxBufferedPosts": "1"}, {"scMaxBufferedPosts": -1},
        {"headers": {"Host": "a"}}, {"headers": {"X-A": 1}}, {"headers": {"X A": "b"}}, {"headers": {"X": "a\r\nb"}},
        {"headers": []}, {"xmux": {"unknown": 1}}, {"xmux": []}, {"xmux": {"maxConcurrency": 1, "maxConnections": 1}},
        {"downloadSettings": {}},
    ],
    ids=str,
)  # fmt: skip
def test_what_xray_would_refuse_in_extra(values: dict[str, object]) -> None:
    with pytest.raises(BadLink, match="extra"):
        extra(**values)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "[" * 16000, "1" * 5000])
def test_extra_that_is_no_object(text: str) -> None:
    with pytest.raises(BadLink):
        transport({"type": "xhttp", "extra": text}, TLS)
