"""What may leave the router: secrets planted in every form that a configuration, a log or a listing has."""

from __future__ import annotations

import pytest

from netpolicy.service.doctor_redact import of_configuration, without_secrets

SECRET = "Sw0rdfish-7x"
PLAIN = "swordfish"  # no digit, no length: only its name says what it is

CONFIGURATIONS = [
    f"\toption key '{PLAIN}'\n", f"\toption psk {PLAIN}\n", f"\tlist password '{PLAIN}'\n",
    f"\toption 'preshared_key' \"{PLAIN}\"\n", f"\toption private_key '{SECRET}\n\twith {PLAIN}'\n\toption x '1'\n",
    f"  - password: {PLAIN}\n", f"wifi_psk={PLAIN}\n", f'  "token": "{PLAIN}",\n', f"    passphrase : {PLAIN}\n",
    f"# {PLAIN} is the word\n", f"\toption title 'x' # {PLAIN}\n", f"key: it's {PLAIN}\n",
    f"\toption node 'vless://{PLAIN}@192.0.2.1:443?security=tls#x'\n", f"url: https://me:{PLAIN}@192.0.2.1/\n",
    f"-----BEGIN OPENSSH KEY-----\n{PLAIN}\n{PLAIN}\n-----END OPENSSH KEY-----\n", f"-----BEGIN KEY-----\n{PLAIN}\n",
    f"title: don't\n# {PLAIN}\nother: it's\n",
]  # fmt: skip


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_no_secret_of_a_configuration_is_left(text: str) -> None:
    assert text.count(PLAIN) or SECRET in text
    cleaned = of_configuration(f"config netpolicy 'main'\n{text}")
    assert PLAIN not in cleaned and SECRET not in cleaned
    assert cleaned.startswith("config netpolicy 'main'\n")


LOGS = [
    f"password={SECRET}", f"login with token: {SECRET}", "key wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12345=",
    f"ss://{PLAIN}@192.0.2.1:8388#name", f"Authorization: Bearer {SECRET}abc123=", f"get https://u:{PLAIN}@192.0.2.1/",
    "nonce 0123456789abcdef0123456789abcdef",
]  # fmt: skip


@pytest.mark.parametrize("line", LOGS)
def test_no_secret_of_a_log_is_left(line: str) -> None:
    cleaned = without_secrets(f"before\n{line}\nafter\n")
    assert "[removed]" in cleaned
    assert PLAIN not in cleaned and SECRET not in cleaned and "wJalr" not in cleaned and "abcdef01" not in cleaned
    assert cleaned.startswith("before\n") and cleaned.endswith("after\n")


def test_what_is_no_secret_stays_readable() -> None:
    text = (
        "config rule 'video'\n"
        " list dest_port '443'\n"
        " option route 'wan_b'\n"
        " option title 'no \"# comment\"'\n"
        "rule mail any dest_port 25 block drop\n"
    )
    assert of_configuration(text) == text
    listing = "default via 192.0.2.1 dev wana proto static\n7001: from all fwmark 0x1000000/0x77000000 lookup 7001\n"
    assert without_secrets(listing) == listing


def test_a_value_that_never_ends_takes_a_bounded_number_of_lines() -> None:
    lines = [f"{PLAIN} {number}" for number in range(80)]
    cleaned = of_configuration("option key '\n" + "\n".join(lines))
    assert f"{PLAIN} 70" in cleaned and f"{PLAIN} 30" not in cleaned
