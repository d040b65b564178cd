"""vmess: JSON in base64, and what its keys mean for each transport."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from netpolicy.xray.link import take_apart
from netpolicy.xray.node import BadLink
from netpolicy.xray.vmess import vmess

from .node_links import UUID, in_base64
from .node_links import vmess as link


def made(**values: object) -> dict[str, Any]:
    return vmess(take_apart(link(**values)))[0]


def stream(**values: object) -> Any:
    return made(**values)["streamSettings"]


def test_numbers_may_be_numbers_or_texts() -> None:
    assert made(port=443, aid=0) == made(port="443", aid="64")


@pytest.mark.parametrize(
    ("scy", "security"),
    [("", "auto"), ("AUTO", "auto"), ("none", "auto"), ("zero", "auto"), ("aes-128-gcm", "aes-128-gcm")],
)
def test_the_cipher_never_sends_in_the_clear(scy: str, security: str) -> None:
    assert made(scy=scy)["settings"]["vnext"][0]["users"] == [{"id": UUID, "alterId": 0, "security": security}]


def test_an_unknown_cipher_is_refused() -> None:
    with pytest.raises(BadLink, match="scy"):
        made(scy="rot13")


def test_the_name_comes_from_the_json_and_the_address_may_be_ipv6() -> None:
    outbound, name = vmess(take_apart(link(ps="Tōkyō", add="2001:db8::1")))
    assert (name, outbound["settings"]["vnext"][0]["address"]) == ("Tōkyō", "2001:db8::1")


def test_sni_falls_back_to_host_where_host_is_a_name() -> None:
    assert stream(net="ws", host="a.com:443", tls="tls")["tlsSettings"] == {"serverName": "a.com"}
    assert stream(net="ws", host="a.com", sni="b.com", tls="TLS")["tlsSettings"] == {"serverName": "b.com"}
    assert "tlsSettings" not in stream(net="grpc", host="a.com", tls="tls")


def test_what_path_and_type_mean_for_grpc() -> None:
    found = stream(net="grpc", path="svc", type="multi", host="a.com")
    assert found["grpcSettings"] == {"serviceName": "svc", "authority": "a.com", "multiMode": True}


def test_what_type_means_for_tcp_kcp_and_xhttp() -> None:
    assert stream(net="tcp", type="http")["rawSettings"]["header"]["type"] == "http"
    assert stream(net="kcp", type="none") == {"network": "kcp"}
    assert stream(net="xhttp", type="packet-up")["xhttpSettings"]["mode"] == "packet-up"
    for refused in ({"type": "srtp"}, {"path": "seed"}):
        with pytest.raises(BadLink, match="kcp"):
            stream(net="kcp", **refused)


@pytest.mark.parametrize("value", [True, 1, "1", "true"])
def test_a_switched_off_check_of_the_certificate_is_refused(value: object) -> None:
    with pytest.raises(BadLink, match="certificate"):
        stream(tls="tls", allowInsecure=value)
    assert stream(tls="tls", allowInsecure=False) == {"network": "raw", "security": "tls"}


def test_the_form_of_vless_is_read_too() -> None:
    outbound, name = vmess(take_apart(f"vmess://{UUID}@h.com:443?type=ws&security=tls&encryption=auto"))
    assert name == "" and outbound["streamSettings"]["network"] == "ws"


def test_line_ends_in_the_json_are_fine_and_padding_may_be_escaped() -> None:
    text = f'{{\r\n "add": "h.com", "port": 443, "id": "{UUID}" \n}}\n'
    body = base64.b64encode(text.encode()).decode().replace("=", "%3D")
    assert vmess(take_apart("vmess://" + body))[0]["protocol"] == "vmess"


@pytest.mark.parametrize(
    "body",
    ["", "!!!", "AAAA", in_base64("[]"), in_base64("{"), in_base64("null"), in_base64("[" * 9000),
     in_base64('{"port": ' + "9" * 5000 + "}"), in_base64('{"add": "h.com", "port": 443}'),
     in_base64('{"add": "h.com", "id": 1}'), in_base64('{"add": ["h.com"], "port": 1.5}')],
)  # fmt: skip
def test_a_payload_that_is_no_node(body: str) -> None:
    with pytest.raises(BadLink):
        vmess(take_apart("vmess://" + body))
