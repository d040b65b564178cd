"""Addresses of pages: their parts, what is refused, and that nothing secret is shown."""

from __future__ import annotations

import pytest

from netpolicy.core.value import ValueProblem
from netpolicy.core.web_address import joined, parse_web_address


@pytest.mark.parametrize(
    ("text", "parts", "shown"),
    [
        ("https://Lists.Example.net/a.txt", ("https", "", "", "lists.example.net", 443, "/a.txt"), "https://lists.example.net/a.txt"),
        ("http://192.0.2.7:8080", ("http", "", "", "192.0.2.7", 8080, "/"), "http://192.0.2.7:8080/"),
        ("HTTPS://[2001:DB8::1]:443/x?y=1#z", ("https", "", "", "2001:db8::1", 443, "/x?y=1"), "https://[2001:db8::1]/x?…"),
        ("https://me:p%40ss:w@h.example?token=s3", ("https", "me", "p%40ss:w", "h.example", 443, "/?token=s3"), "https://h.example/?…"),
    ],
)  # fmt: skip
def test_an_address_is_taken_apart(text: str, parts: tuple[object, ...], shown: str) -> None:
    found = parse_web_address(text)
    assert (found.scheme, found.user, found.password, found.host, found.port, found.target) == parts
    assert found.shown == shown


@pytest.mark.parametrize(
    "text",
    ["", "x", "file:///etc/passwd", "ftp://x.example/", "https://", "https:///x", "https://x y/", "https://x.example/ü",
     "https://x.example/\x7f", "https://x.example:0/", "https://x.example:99999/", "https://x.example:/",
     "https://[192.0.2.1]/", "https://[::1/", "https://a..b/", "https://@x.example/", "https://192.0.2.999/",
     "https://x.example/" + "a" * 2000, "https://x.example/a\r\nHost: y", "https://" + "a" * 64 + ".example/",
     "https://x.example:٣/"],
)  # fmt: skip
def test_what_names_no_page_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueProblem) as problem:
        parse_web_address(text)
    assert problem.value.text
    assert len(text) < 4 or text not in problem.value.text


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("/b", "https://x.example/b"), ("c?d", "https://x.example/dir/c?…"), ("//y.example/z", "https://y.example/z"),
        ("http://z.example:81/", "http://z.example:81/"), ("/r?to=https://q.example/", "https://x.example/r?…"),
    ],
)  # fmt: skip
def test_a_redirection_leads_to_another_page(location: str, found: str) -> None:
    assert joined(parse_web_address("https://x.example/dir/a?b"), location).shown == found


def test_user_and_password_go_along_on_the_same_host_only() -> None:
    base = parse_web_address("https://me:pw@x.example/a")
    assert joined(base, "/b").user == "me"
    assert joined(base, "https://x.example/b").user == ""


@pytest.mark.parametrize("location", ["file:///etc/passwd", "javascript://x", "https://"])
def test_a_redirection_to_no_page_is_refused(location: str) -> None:
    with pytest.raises(ValueProblem):
        joined(parse_web_address("https://x.example/a"), location)
