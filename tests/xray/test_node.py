"""Records that show no secret."""

from __future__ import annotations

from netpolicy.xray.node import Node


def test_a_node_says_its_protocol_and_hides_its_outbound() -> None:
    node = Node("a", "a", {"tag": "a", "protocol": "trojan", "settings": {"password": "Zebra"}})
    assert node.protocol == "trojan"
    assert "Zebra" not in repr(node)
