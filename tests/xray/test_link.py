"""A share link taken apart."""

from __future__ import annotations

import pytest

from netpolicy.xray.link import decoded, from_base64, take_apart
from netpolicy.xray.node import BadLink


def test_the_parts() -> None:
    link = take_apart("VLESS://u%3Aser@[::1]:443/p?Type=ws&path=%2Fa+b&empty=#My%20node")
    assert (link.scheme, link.user, link.path, link.label) == ("vless", "u%3Aser", "/p", "My node")
    assert link.options == {"type": "ws", "path": "/a+b"}
    assert link.server() == ("::1", 443)


def test_the_last_at_sign_divides_user_and_server() -> None:
    link = take_apart("trojan://a@b@example.com:443")
    assert (link.user, link.server()) == ("a@b", ("example.com", 443))


@pytest.mark.parametrize("server", ["example.com", "[::1]"])
def test_a_port_may_have_a_default(server: str) -> None:
    link = take_apart(f"socks://{server}")
    assert link.server(1080)[1] == 1080
    with pytest.raises(BadLink, match="socks missing port"):
        link.server()


@pytest.mark.parametrize("server", ["", ":443", "a:", "a:b:443", "::1:443", "[::1]443", "a:443,5000-6000"])
def test_what_is_no_server(server: str) -> None:
    with pytest.raises(BadLink):
        take_apart(f"socks://{server}").server()


def test_an_option_that_contradicts_itself_is_refused() -> None:
    assert take_apart("ss://a?type=ws&type=ws").options == {"type": "ws"}
    with pytest.raises(BadLink, match="twice"):
        take_apart("ss://a?type=ws&TYPE=tcp")


def test_a_label_in_an_old_character_set_does_not_lose_the_node() -> None:
    assert take_apart("ss://a#%B6%AB").label == "\ufffd\ufffd"


@pytest.mark.parametrize("text", ["a%00b", "a%0Ab", "%ff"])
def test_what_does_not_decode_to_text_is_refused(text: str) -> None:
    with pytest.raises(BadLink):
        decoded(text)


@pytest.mark.parametrize("text", ["YWI/Yw==", "YWI_Yw", "YWI_Yw=", "YWI/Yw"])
def test_base64_of_either_alphabet_padded_or_not(text: str) -> None:
    assert from_base64(text) == "ab?c"


@pytest.mark.parametrize("text", ["", "=", "a", "!!!", "a b", "YWI=Yw", "_w", "AA"])
def test_what_is_not_base64_of_text(text: str) -> None:
    with pytest.raises(BadLink):
        from_base64(text)
