"""One link of each kind that becomes a node, for tests that need them all."""

from __future__ import annotations

import base64
import json

UUID = "123e4567-e89b-12d3-a456-426614174000"
KEY = "A" * 43
PIN = "ab" * 32
REALITY = f"security=reality&sni=a.com&pbk={KEY}&sid=0123abcd"


def vmess(**values: object) -> str:
    """A vmess link of JSON; `add`, `port` and `id` need not be said."""
    document = {"add": "h.example.com", "port": 443, "id": UUID, **values}
    return "vmess://" + base64.b64encode(json.dumps(document).encode()).decode()


def in_base64(text: str, padded: bool = True) -> str:
    made = base64.urlsafe_b64encode(text.encode()).decode()
    return made if padded else made.rstrip("=")


EXTRA = (
    '{"xPaddingBytes":"100-1000","noGRPCHeader":true,"noSSEHeader":false,"scMaxEachPostBytes":1000000,'
    '"scMinPostsIntervalMs":"10-50","scMaxBufferedPosts":30,"scStreamUpServerSecs":"20-80","headers":{"X-A":"b c"},'
    '"xmux":{"maxConcurrency":"16-32","maxConnections":0,"cMaxReuseTimes":"64-128","hMaxRequestTimes":"600-900",'
    '"hMaxReusableSecs":"1800-3000","hKeepAlivePeriod":30}}'
)

VLESS = f"vless://{UUID}@example.com:443"
TLS = "security=tls&sni=example.com"

LINKS = {
    "vless tls": f"{VLESS}?{TLS}&alpn=h2,http/1.1&fp=chrome",
    "vless vision": f"{VLESS}?{TLS}&flow=xtls-rprx-vision&fp=randomized",
    "vless vision udp443": f"{VLESS}?{TLS}&flow=xtls-rprx-vision-udp443",
    "vless ws": f"{VLESS}?{TLS}&type=ws&path=%2Fws%3Fed%3D2048&host=h.example",
    "vless httpupgrade": f"{VLESS}?{TLS}&type=httpupgrade&path=/up&host=h.example",
    "vless grpc": f"{VLESS}?{TLS}&type=grpc&serviceName=svc&mode=multi&authority=h.example",
    "vless xhttp": f"{VLESS}?{TLS}&type=xhttp&path=/x&host=h.example&mode=packet-up&extra={EXTRA}",
    "vless h2": f"{VLESS}?{TLS}&type=h2&path=/h2&host=h.example",
    "vless kcp": f"{VLESS}?{TLS}&type=kcp",
    "vless http header": f"{VLESS}?{TLS}&headerType=http&path=/a,/b&host=h.example,i.example",
    "vless pin": f"{VLESS}?{TLS}&allowInsecure=1&pcs={PIN}&vcn=example.com",
    "vless ech": f"{VLESS}?{TLS}&ech=example.com%2Bhttps://1.1.1.1/dns-query",
    "vless reality": f"{VLESS}?{REALITY}&flow=xtls-rprx-vision&spx=%2Fnews%3Fp%3D1-2&fp=firefox",
    "vless reality pqv": f"{VLESS}?{REALITY}&pqv={'A' * 2603}",
    "vless reality grpc": f"{VLESS}?{REALITY}&type=grpc&serviceName=svc",
    "vless reality xhttp": f"{VLESS}?{REALITY}&type=xhttp&path=/x",
    "vless reality empty sid": f"{VLESS}?security=reality&pbk={KEY}&sid=",
    "vless encryption": f"{VLESS}?encryption=mlkem768x25519plus.native.0rtt.{KEY}&flow=xtls-rprx-vision",
    "vless encryption padded": f"{VLESS}?encryption=mlkem768x25519plus.random.1rtt.100-111-1111.75-0-111.{'A' * 1579}",
    "vless plain private": f"vless://{UUID}@192.168.1.1:443?security=none",
    "vless plain private v6": f"vless://{UUID}@[fd00::1]:443",
    "vless plain private name": f"vless://{UUID}@proxy.lan:443",
    "vless v6": f"vless://{UUID}@[2001:db8::1]:443?{TLS}",
    "trojan": "trojan://p%40ss:word@t.example.com:443?sni=t.example.com",
    "trojan ws": "trojan://password@t.example.com:443?type=ws&path=/t",
    "trojan grpc": "trojan://password@t.example.com:443?type=grpc&serviceName=svc&alpn=h2",
    "trojan reality": f"trojan://password@t.example.com:443?{REALITY}",
    "trojan plain private": "trojan://password@10.0.0.1:443?security=none",
    "vmess tcp": vmess(),
    "vmess ws tls": vmess(net="ws", path="/v", host="hh.com", tls="tls", aid="0", v="2", ps="vm", alpn="http/1.1"),
    "vmess grpc": vmess(net="grpc", path="svc", type="multi", tls="tls", sni="s.com", fp="ios"),
    "vmess http header": vmess(net="tcp", type="http", path="/a", host="a.com,b.com", scy="chacha20-poly1305"),
    "vmess kcp": vmess(net="kcp", type="none"),
    "vmess h2": vmess(net="h2", path="/h", host="h.com", tls="tls"),
    "vmess xhttp": vmess(net="xhttp", path="/x", host="h.com", type="stream-up", tls="tls"),
    "vmess like vless": f"vmess://{UUID}@h.example.com:443?encryption=auto&{TLS}&type=ws",
    "ss plain": "ss://aes-256-gcm:p%3Aw@1.2.3.4:8388",
    "ss sip002": f"ss://{in_base64('aes-128-gcm:pw', padded=False)}@1.2.3.4:8388/",
    "ss legacy": f"ss://{in_base64('chacha20-ietf-poly1305:p@w@1.2.3.4:8388')}",
    "ss v6": f"ss://{in_base64('xchacha20-ietf-poly1305:pw')}@[2001:db8::1]:8388",
    "ss chacha20": "ss://chacha20-poly1305:pw@1.2.3.4:8388",
    "ss xchacha20": "ss://xchacha20-poly1305:pw@1.2.3.4:8388",
    "ss 2022": "ss://2022-blake3-aes-128-gcm:YctPZ6U7xPPcU%2Bgp3u%2B0tA%3D%3D@1.1.1.1:8888",
    "ss 2022 relay": f"ss://2022-blake3-aes-256-gcm:{'A' * 43}%3D:{'B' * 42}A%3D@1.1.1.1:8888",
    "ss 2022 chacha": f"ss://2022-blake3-chacha20-poly1305:{'A' * 43}%3D@1.1.1.1:8888",
    "ss over ws": "ss://aes-128-gcm:pw@1.2.3.4:443?type=ws&path=/s&security=tls&sni=s.com",
    "socks": "socks://10.0.0.1",
    "socks5 user": "socks5://user:p%20w@10.0.0.1:1081",
    "socks base64 user": f"socks://{in_base64('user:pass')}@10.0.0.1:1080",
    "http": "http://user:pass@proxy.example:80",
    "https": "https://proxy.example:443/",
    "hysteria2": "hysteria2://pass%40word@h.example.com:8443/?sni=h.example.com",
    "hysteria2 salamander": f"hy2://user:pass@h.example.com?obfs=salamander&obfs-password=mask&insecure=1&pinSHA256={PIN}",
}  # fmt: skip
