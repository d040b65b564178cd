"""What looks like a secret goes, what people need to read stays, and no text takes long."""

from __future__ import annotations

import time

import pytest

from netpolicy.observe.redact import GONE, LONGEST, redact, redacted

UUID = "8c1f2d60-aaaa-4bbb-8ccc-1234567890ab"
WIREGUARD = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
REALITY = "jNXHt1yRo0vDuchQlIP6Z0ZvjT3KtzVI-T4E7RoLJS0"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"vless://{UUID}@vps.example:443?pbk={REALITY}&sid=6ba8#home", UUID),
        ("node ss://YWVzLTI1Ni1nY206cGFzcw==@192.0.2.1:8388, next", "YWVz"),
        ("VMESS://eyJhZGQiOiIxOTIuMC4yLjEifQ==", "eyJ"),
        ("trojan://correct-horse@vps.example:443", "horse"),
        ("hysteria2://letmein@vps.example", "letmein"),
        ("socks5://me:hunter2@192.0.2.1:1080 refused", "hunter2"),
        ("ssh://me:hunter2@vps.example:22", "hunter2"),
        ("https://hunter2@lists.example/a", "hunter2"),
        ("https://me:hun/ter2@lists.example/a", "ter2"),
        ("https://lists.example/a?token=hunter2&b=1", "hunter2"),
        ("curl me:hunter2@lists.example", "hunter2"),
        ("(me:hunter2@lists.example)", "hunter2"),
        ("password=hunter2", "hunter2"),
        ("Password: hunter2", "hunter2"),
        ('{"password": "hunter 2", "a": 1}', "hunter"),
        ("option password 'hunter 2'", "hunter"),
        ("wpa_psk=hunter2", "hunter2"),
        ("set wireless.key with option wpa_key hunter2", "hunter2"),
        ("sshpass --password hunter2 ssh", "hunter2"),
        ('the password "hunter 2" was wrong', "hunter"),
        ("changed the wifi password to hunter2", "hunter2"),
        ("private_key: abc", "abc"),
        ("nonce=0011223344", "0011223344"),
        ("Authorization: Basic bWU6aHVudGVyMg==", "bWU6"),
        ("sent Bearer abc.def123.ghi", "def123"),
        ("key = 0123456789abcdef0123", "0123456789abcdef"),
        (f"the user {UUID} is unknown", UUID),
        (f"the user {UUID.replace('-', '').upper()} is unknown", UUID.replace("-", "").upper()),
        (f"peer {WIREGUARD} does not answer", WIREGUARD[:20]),
        (f"bad key {REALITY}", REALITY[:20]),
        ("-----BEGIN " + "OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----\nafter", "b3Bl"),
        ("-----BEGIN " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXk", "b3Bl"),
    ],
)
def test_a_secret_goes(text, secret):
    found = redact(f"before {text} after")
    assert secret not in found and GONE in found
    assert found.startswith("before ")
    assert redact(found) == found, "what is gone stays gone"


@pytest.mark.parametrize(
    "text",
    [
        "moved the guests to the second line",
        "a password must not stand in the configuration",
        "name the secret with the option key",
        "the basic configuration is unchanged",
        "ssh://me@vps.example:22 is down",
        "mail root@example.com when it fails",
        "https://lists.example/a?b=c,d#e and https://host.example/@name",
        "/etc/netpolicy/generations/000007/Config1 and /usr/lib/python3.11/site-packages/netpolicy/Service",
        "rule video: dest_addr 198.51.100.0/24 → 2001:db8:51::/48",
        "02:00:00:00:00:0a, 12:30, fe80::1%eth0",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "route a → route b, tcp/443",
        "",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


def test_a_text_is_one_line_of_bounded_length():
    assert redact("a\nb\x1b[2J\u2028c\u202ed") == "a b [2J c d"
    long = redact("word " * LONGEST)
    assert len(long) < LONGEST + 50 and long.endswith("more characters)")


def test_a_secret_at_the_end_of_what_is_kept_is_not_cut_in_half():
    assert "hunter" not in redact("x" * (LONGEST - 12) + " password=hunter2hunter2")
    assert WIREGUARD[:5] not in redact("word " * 13102 + WIREGUARD, 1 << 20)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "password",
        "password ",
        "password='",
        'password="',
        "a@",
        "a:b@",
        "://",
        "option ",
        "-",
        "key=",
        "-----BEGIN ",
        "0123abcd-",
        "A1",
        "basic ",
        "password is ",
        "vless://",
        "ss",
        " ",
        "a/",
    ],
)
def test_no_text_takes_long(piece):
    started = time.process_time()
    redact(piece * (1 << 17))
    assert time.process_time() - started < 1.5, "not linear"  # as it is: below 0.1 s


def test_values_within_are_redacted_and_digests_are_not():
    digest = "9f86d081884c7d659a2feaa0c55ad015"
    entry = {
        "why": "user:pw@host", "checks": [{"text": "password=x", "ok": True}], "sha256": digest, "old_sha256": digest,
        "boot_id": UUID, "password": "x", "nonce": "x", "wpa_key": 5, "n": 5, "rate": float("inf"), "none": None,
        "plan": f"password={digest}", "thing": object(), "deep": [[[[[[[[[["x"]]]]]]]]]], "many": list(range(300)),
    }  # fmt: skip
    found = redacted(entry)
    assert isinstance(found, dict)
    assert found["why"] == f"{GONE}@host" and found["checks"] == [{"text": f"password={GONE}", "ok": True}]
    assert found["sha256"] == found["old_sha256"] == digest and found["boot_id"] == UUID
    assert found["password"] == found["nonce"] == GONE
    assert (found["n"], found["rate"], found["none"]) == (5, None, None)
    assert digest not in str(found["plan"]), "the name alone makes no digest"
    assert found["thing"] == "<object>" and "x" not in str(found["deep"])
    assert len(found["many"]) == 201
