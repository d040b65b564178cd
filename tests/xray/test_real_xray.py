"""What only the running program can say: any node that we accept it accepts, and its balancers do what ours mean."""

from __future__ import annotations

import random
from urllib.parse import quote

from netpolicy.xray.links import parse_links
from netpolicy.xray.node import Node

from .node_links import EXTRA, KEY, PIN, UUID, in_base64
from .real_xray import culprits

HOW_MANY = 700  # below the limit of links, in one start of Xray
SEED = 20

# For each option, values that are right, wrong, odd or nearly right.
VALUES = {
    "security": ("tls", "reality", "none", "TLS", "xtls"),
    "type": ("tcp", "ws", "grpc", "httpupgrade", "xhttp", "kcp", "h2", "quic"),
    "sni": ("example.com", "1.2.3.4", "a_b", "::1", "a b", "fromMitm"),
    "fp": ("chrome", "random", "randomizednoalpn", "unsafe", "hellochrome_120", "none"),
    "alpn": ("h2", "h3,h2", "http/1.1", "h2,fromMitm"),
    "pbk": (KEY, KEY + "A", "_" * 43, "A" * 42 + "B", ""),
    "sid": ("", "ab", "0123456789abcdef", "abc"),
    "spx": ("/", "/a?p=1&c=2-3", "/%", "/%zz", "/:", "//", "/a/../b", "/?=&=", "/.%00"),
    "pqv": ("A" * 2603, "_" * 2603, "A"),
    "pcs": (PIN, f"{PIN},{PIN}", PIN[:-1]),
    "vcn": ("example.com", "a,b", ","),
    "ech": ("QUJD", "1.2.3.4", "a+udp://1.1.1.1", "%%%"),
    "path": ("/", "/a?ed=2048", "a", "/%zz?ed=x", "/?ed=99999999999999999999", "//", "/a b", "/:[", "?"),
    "host": ("h.com", "a,b", "[", "h:1"),
    "mode": ("auto", "packet-up", "stream-one", "multi", "gun"),
    "serviceName": ("svc", "/a/b|c", "%2F", "///", "a|b"),
    "authority": ("a.com", ":", "[::1"),
    "headerType": ("none", "http", "srtp"),
    "extra": (EXTRA, "{}", '{"xPaddingBytes":"5-1"}', '{"xmux":{}}', '{"headers":{"-":""}}', '{"scMaxBufferedPosts":0}',
              '{"xmux":{"maxConcurrency":1,"maxConnections":"0-0"}}', '{"downloadSettings":{}}', '{"xmux":{"a":1}}'),
    "flow": ("xtls-rprx-vision", "xtls-rprx-vision-udp443", "none", "x"),
    "encryption": ("none", f"mlkem768x25519plus.native.1rtt.{KEY}", f"mlkem768x25519plus.random.0rtt.9-9-9.{KEY}",
                   f"mlkem768x25519plus.random.0rtt.100-35-65553.1-0-0.{KEY}.{KEY}",
                   f"mlkem768x25519plus.native.1rtt.{'A' * 1579}",
                   f"mlkem768x25519plus.native.1rtt.{'_' * 1579}",
                   f"mlkem768x25519plus.native.0rtt.{'_' * 43}", "mlkem768x25519plus.native.0rtt.9-9-9"),
    "obfs": ("salamander", "none"),
    "obfs-password": ("mask", "abc"),
    "insecure": ("0", "1"),
}  # fmt: skip
USERS = {
    "vless": (UUID, UUID.upper()),
    "trojan": ("p%40:w", "%C3%A9%22"),
    "vmess": (UUID,),
    "ss": ("aes-128-gcm:p%22", in_base64("2022-blake3-aes-128-gcm:" + "A" * 22 + "=="), "chacha20-poly1305:p",
           "2022-blake3-aes-128-gcm:" + "A" * 21 + "B==", "2022-blake3-aes-256-gcm:" + "A" * 43 + "="),
    "socks": ("u:p", ""),
    "http": ("u:p", "u"),
    "https": ("", "u:%22"),
    "hysteria2": ("a", "a:b"),
}  # fmt: skip
SERVERS = ("example.com:443", "192.168.1.1:80", "[fd00::1]:1", "8.8.8.8:65535", "a.lan:8443", "x_y.internal:1",
           "nas:443", "0.0.0.0:1", "a.test:9", "224.0.0.1:5", "[::1]:7", "-.lan:1", "lan:2")  # fmt: skip


def random_link(chance: random.Random) -> str:
    scheme = chance.choice(sorted(USERS))
    names = chance.sample(sorted(VALUES), chance.randint(0, 5))
    if scheme in ("vless", "trojan") and chance.random() < 0.7:
        names = sorted({"security", "type", *names})
    options = "&".join(f"{name}={quote(chance.choice(VALUES[name]), safe='')}" for name in names)
    return f"{scheme}://{chance.choice(USERS[scheme])}@{chance.choice(SERVERS)}?{options}#{chance.choice('abc')}"


def accepted_nodes() -> list[Node]:
    chance = random.Random(SEED)
    found: list[Node] = []
    while len(found) < HOW_MANY:
        nodes, _ = parse_links([random_link(chance) for _ in range(900)])
        found += nodes
    # Tags were given per round; in one configuration each is needed once.
    return [
        Node(f"n{number}.", "", {**node.outbound, "tag": f"n{number}."}) for number, node in enumerate(found[:HOW_MANY])
    ]


def test_xray_accepts_every_node_that_we_accept() -> None:
    """One node that it refuses would take all the others with it."""
    assert [node.outbound for node in culprits(accepted_nodes())] == []
