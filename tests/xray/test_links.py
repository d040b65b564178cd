"""Share links to nodes: every vector of the predecessor, and what no link may do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from netpolicy.xray.links import LONGEST, MOST, SCHEMES, parse_links
from netpolicy.xray.node import Node, Problem

from .wording import CORE_PHRASES

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "share_links.json").read_text())
SECRET = "s3cr3t-Zebra"
UUID = "123e4567-e89b-12d3-a456-426614174000"


def only(link: str) -> Node:
    nodes, problems = parse_links([link])
    assert not problems
    return nodes[0]


def reason(link: str) -> str:
    nodes, problems = parse_links([link])
    assert not nodes
    return problems[0].reason


def comparable(outbound: dict[str, Any]) -> dict[str, Any]:
    """As the vectors' own note says: tcp is raw, and the host of ws may stand in two places."""
    text: dict[str, Any] = json.loads(json.dumps(outbound))
    stream = text.get("streamSettings", {})
    if stream.get("network") == "tcp":
        stream["network"] = "raw"
    headers = stream.get("wsSettings", {}).pop("headers", {})
    if "Host" in headers:
        stream["wsSettings"]["host"] = headers["Host"]
    return text


def at(outbound: Any, path: str) -> Any:
    """The value at a path such as settings.servers[0].port."""
    for step in path.replace("[", ".").replace("]", "").split("."):
        outbound = outbound[int(step)] if isinstance(outbound, list) else outbound[step]
    return outbound


@pytest.mark.parametrize("vector", [pytest.param(one, id=one["id"]) for one in VECTORS["share_links"]])
def test_every_vector(vector: dict[str, Any]) -> None:
    expect = vector["expect"]
    if "error" in expect:
        assert CORE_PHRASES[vector["id"]] in reason(vector["url"])
        return
    found = comparable(only(vector["url"]).outbound)
    if vector["status"] == "must":
        assert found == comparable(expect["outbound"])
        return
    for path, value in expect["outbound"].items():
        assert at(found, path) == value


def test_one_bad_link_fails_no_other() -> None:
    text = "\n# mine\nsocks://10.0.0.1#a\n\nvless://nonsense\r\nsocks://10.0.0.2#b\n"
    nodes, problems = parse_links(text)
    assert [node.tag for node in nodes] == ["a", "b"]
    assert problems == [Problem(2, 5, "vless missing port")]


def test_an_unnamed_node_is_called_by_its_number_among_the_links() -> None:
    nodes, _ = parse_links("# first\nsocks://10.0.0.1\n\nsocks://10.0.0.2\n")
    assert [node.tag for node in nodes] == ["proxy-1", "proxy-2"]


def test_labels_are_decoded_and_kept_beside_the_tag() -> None:
    nodes, _ = parse_links(["socks://10.0.0.1#%F0%9F%8E%89%20Tokyo", "socks://10.0.0.2#🎉 Tokyo"])
    assert [node.tag for node in nodes] == ["🎉 Tokyo", "🎉 Tokyo-2"]
    assert [node.label for node in nodes] == ["🎉 Tokyo", "🎉 Tokyo"]
    assert [node.outbound["tag"] for node in nodes] == [node.tag for node in nodes]


@pytest.mark.parametrize("link", ["", "  ", "socks://a#" + "x" * LONGEST, "\x00", "socks://10.0.0.1#\udcff", "no link"])
def test_what_is_no_link_is_a_problem(link: str) -> None:
    assert reason(link)


def test_more_links_than_the_limit_are_one_problem() -> None:
    nodes, problems = parse_links("socks://10.0.0.1#a\n" * (MOST + 50))
    assert len(nodes) == MOST
    assert [(problem.number, problem.line) for problem in problems] == [(MOST + 1, MOST + 1)]


@pytest.mark.parametrize("scheme", [*SCHEMES, "vmess", "ftp"])
@pytest.mark.parametrize(
    "rest",
    [
        f"{SECRET}@{SECRET}:{SECRET}?{SECRET}={SECRET}#{SECRET}",
        f"{SECRET}:{SECRET}@example.com:443?security={SECRET}&type={SECRET}&flow={SECRET}",
        f"{SECRET}:{SECRET}@example.com:443/{SECRET}?security=tls&fp={SECRET}&alpn={SECRET}&sni={SECRET}%20",
        f"{UUID}@example.com:443?security=reality&pbk={SECRET}&sid={SECRET}&spx={SECRET}",
        f"{UUID}@example.com:443?security=tls&type=xhttp&mode={SECRET}&extra={SECRET}&encryption={SECRET}",
        f"{SECRET}%00@example.com:443?obfs={SECRET}&obfs-password={SECRET}&mport={SECRET}",
        SECRET,
    ],
)
def test_no_reason_quotes_the_link(scheme: str, rest: str) -> None:
    nodes, problems = parse_links([f"{scheme}://{rest}"])
    assert SECRET not in repr((nodes, problems)).replace(f"label='{SECRET}'", "").replace(f"tag='{SECRET}'", "")
    assert not [one for one in problems if SECRET.lower() in one.reason.lower()]


def test_no_node_shows_its_password() -> None:
    node = only(f"trojan://{SECRET}@example.com:443#a")
    assert SECRET not in repr(node) + str(node)
    assert node.outbound["settings"]["servers"][0]["password"] == SECRET


PIECES = some.sampled_from(
    [
        *(f"{scheme}://" for scheme in [*SCHEMES, "vmess"]),
        UUID, "@", ":", "443", "/", "?", "#", "&", "=", "%", "%40", "%ff", "[", "]", "::1", "example.com", "10.0.0.1",
        "security", "tls", "reality", "type", "ws", "grpc", "xhttp", "extra", "{", "}", "[1]", '"', "pbk", "A" * 43,
        "YWVzLTI1Ni1nY206cHc=", "eyJhZGQiOiAiaC5jb20ifQ==", "aes-256-gcm", "2022-blake3-aes-128-gcm", "plugin",
        "é", "\u2028", "\ud800", "\x00", " ", "9" * 30,
    ]
)  # fmt: skip


@given(some.one_of(some.text(max_size=200), some.lists(PIECES, max_size=30).map("".join)))
def test_any_text_gives_nodes_and_problems_and_never_an_exception(text: str) -> None:
    nodes, problems = parse_links(text)
    assert all(node.tag and node.outbound["tag"] == node.tag for node in nodes)
    assert all(problem.reason and problem.number > 0 for problem in problems)
    listed, refused = parse_links([text])
    assert len(listed) + len(refused) == 1
