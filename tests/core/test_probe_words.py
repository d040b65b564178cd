"""What a probe asks, and what the configuration refuses because nobody could send it."""

from __future__ import annotations

import pytest

from netpolicy.config.load import load_text
from netpolicy.core.probe_words import take_apart

CONFIG = """config netpolicy 'main'
	option enabled '1'
config outbound 'a'
	option type 'interface'
	option interface 'wan'
	list probe '{}'
"""


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("http:http://h.example/generate_204#204", ("http", "h.example", 80, "/generate_204", "204")),
        ("https://h.example#log%20in", ("https", "h.example", 443, "/", "log%20in")),
        ("https://h.example:8443?a#", ("https", "h.example", 8443, "/?a", "")),
        ("ping:[2620:fe::fe]", ("ping", "2620:fe::fe", 0, "", "")),
    ],
)
def test_a_page_may_have_to_be_a_certain_one(words, wanted):
    assert take_apart(words) == wanted


@pytest.mark.parametrize("words", ["ping:1.2.3", "ping:a:b", "http:ftp://h/", "tcp:h:0", "http://u:p@h/", "dns:a..b"])
def test_what_cannot_be_sent_is_told_with_its_place(words):
    (found,) = [one for one in load_text(CONFIG.format(words)).diagnostics if "NP105" in one.text()]
    assert (found.severity, found.line) == ("error", 6) and found.hint
