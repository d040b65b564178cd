"""The words of probes: what is taken apart, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config.value import probe
from netpolicy.core.value import ValueProblem
from netpolicy.outbounds.check_target import Target, parse_target
from tests.config import rulesets


@pytest.mark.parametrize(
    ("words", "kind", "host", "port", "path"),
    [
        ("ping:9.9.9.9", "ping", "9.9.9.9", 0, ""),
        ("ping:2620:fe::fe", "ping", "2620:fe::fe", 0, ""),
        ("ping:host.example", "ping", "host.example", 0, ""),
        ("tcp:host.example:443", "tcp", "host.example", 443, ""),
        ("tcp:[2001:db8::1]:443", "tcp", "2001:db8::1", 443, ""),
        ("tcp:2001:db8::1:443", "tcp", "2001:db8::1", 443, ""),
        ("http:http://host.example/204", "http", "host.example", 80, "/204"),
        ("http:https://host.example", "https", "host.example", 443, "/"),
        ("https://host.example?a", "https", "host.example", 443, "/?a"),
        ("https:https://[2001:db8::1]:8443/x", "https", "2001:db8::1", 8443, "/x"),
        ("dns:example.com.", "dns", "example.com", 0, ""),
    ],
)
def test_probes_are_taken_apart(words, kind, host, port, path):
    assert parse_target(words) == Target(words, kind, host, port, path)


@pytest.mark.parametrize(
    "words",
    [
        "", "ping", "ping:", "ping:1.2.3", "ping:1.2.3.4.5", "ping:a b", "ping:a\r\nb", "ping:[9.9.9.9]", "ping:é",
        "tcp:host", "tcp::443", "tcp:host:0", "tcp:host:65536", "tcp:host:44x", "tcp:ho/st:443", "udp:host:53",
        "http:ftp://host/", "http:host.example", "http://user:word@host/", "http:///x", "http://host:/", "http://[::1/",
        "dns:a..b", "dns:" + "a" * 64 + ".example", "dns:" + "a." * 130, "http://host/" + "x" * 300,
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused(words):
    with pytest.raises(ValueProblem):
        parse_target(words)


@pytest.mark.parametrize("words", [words for words in rulesets.PROBES if "'" not in words])
def test_what_the_configuration_takes_can_be_sent(words):
    assert parse_target(probe(words)).words == words


@given(st.one_of(st.text(max_size=60), st.text(alphabet="tcp:h/[]@?#.1a%-", max_size=40).map("http://".__add__)))
def test_garbage_is_refused_and_nothing_worse(words):
    try:
        target = parse_target(words)
    except ValueProblem:
        return
    text = target.host + target.path
    assert text.isascii() and not any(c <= " " for c in text)
