"""Who asks name servers elsewhere, hidden in TLS, is noticed; who talks to anybody else is not."""

from __future__ import annotations

import pytest

from netpolicy.flows.model import TCP, UDP, Flow
from netpolicy.service.bypasses import MOST, Bypass, Bypasses

CLIENT = "192.168.1.7"


def a_flow(source: str, address: str, port: int, protocol: int) -> Flow:
    return Flow(1, 6 if ":" in address else 4, protocol, source, 40000, address, port, address, port, source, 40000)


@pytest.mark.parametrize(
    ("protocol", "address", "port", "by"),
    [(TCP, "203.0.113.9", 853, "tls"), (UDP, "203.0.113.9", 853, "tls"), (TCP, "9.9.9.9", 443, "https"),
     (UDP, "2001:4860:4860::8888", 443, "https"), (TCP, "203.0.113.9", 443, ""), (UDP, "9.9.9.9", 53, ""),
     (132, "9.9.9.9", 853, "")],
)  # fmt: skip
def test_a_server_is_known_by_its_port_or_its_address(protocol: int, address: str, port: int, by: str) -> None:
    made = Bypasses()
    source = "fd00::7" if ":" in address else CLIENT
    made.began(a_flow(source, address, port, protocol), 5.0)
    assert made.all() == ((Bypass(source, by, address, 5.0),) if by else ())


def test_a_server_is_known_by_its_name_and_the_latest_stay() -> None:
    made = Bypasses()
    made.named(CLIENT, "www.example.com", 1.0)
    made.named(CLIENT, "chrome.cloudflare-dns.com", 2.0)
    assert made.all() == (Bypass(CLIENT, "https", "chrome.cloudflare-dns.com", 2.0),)
    for number in range(MOST):
        made.named(f"192.168.1.{number}", "dns.google", 3.0)
    assert len(made.all()) == MOST and made.all()[0].client == "192.168.1.0"
