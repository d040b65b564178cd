"""What is printed is read back as the same, by every reader there is."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.config.node import plain
from netpolicy.config.yaml_library import load_module
from netpolicy.config.yaml_text import WIDTH, is_plain, quote_yaml, to_yaml

from .yaml_case import READERS, read

PLAIN = [
    "a", "zoom_first", "Zoom first", "NORMAL", "example.com", "10.0.0.0/8", "192.168.1.1-192.168.1.9", "fe80::1",
    "2001:db8::1/32", "5G", "é", "/etc/x", "http://a.b/c", "tunnel-1", "a (b)", "1000-2000", ".hidden", "keyword:x",
    "yesterday",
]  # fmt: skip
QUOTED = [
    "", " ", "a ", " a", "*.zoom.us", ">120", "<50", "==5", "!tcp", "@video", "yes", "No", "ON", "off", "y", "N",
    "true", "FALSE", "null", "~", "10", "007", "0x10", "0o7", "0b1", "1_000", "1.5", "1e3", "1.", ".5", ".inf", "-.INF",
    ".nan", "+5", "-5", "12:30", "12:30:45", "00:11:22:33:44:55", "1:2.5", "2001-01-01", "2001-1-1 10:00", "a: b", "a:",
    "a #b", "#a", "- a", "-", "---", "...", "? a", "a, b", "[a", "a]", "{a}", "'a'", '"a"', "a\nb", "a\tb", "a\\b", "=",
    "<<", "%a", "`a", "|", "&a", "\x85", "\ufeff",
]  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_texts_stay_plain(text):
    assert quote_yaml(text) == text


@pytest.mark.parametrize("text", QUOTED)
def test_what_could_be_taken_for_something_else_is_quoted(text):
    assert quote_yaml(text).startswith('"')


def test_a_rule_set_is_printed_in_block_style_with_short_lists_in_brackets():
    rules = {
        "rules": [
            {
                "name": "zoom first",
                "priority": 100,
                "match": {"sni": "*.zoom.us", "port": ["443", "8801-8810"], "any": False},
                "when": {"state": ["NORMAL", "DEGRADED"]},
                "disable": [],
                "action": {"route": None, "log": True},
            },
            {"name": "b", "match": {}, "weights": [0.5, 1]},
        ],
        "nested": [["a"], [["b", {"c": "d"}]]],
    }
    expected = """\
rules:
  - name: zoom first
    priority: 100
    match:
      sni: "*.zoom.us"
      port: ["443", 8801-8810]
      any: false
    when:
      state: [NORMAL, DEGRADED]
    disable: []
    action:
      route: null
      log: true
  - name: b
    match: {}
    weights: [0.5, 1]
nested:
  - [a]
  - - - b
      - c: d
"""
    assert to_yaml(rules) == expected


def test_a_list_that_does_not_fit_has_one_item_per_line():
    for count in (13, 14, 15, 16, 20):
        printed = to_yaml({"rules": [{"entry": ["abcd"] * count}]})
        assert all(len(line) <= WIDTH for line in printed.splitlines())
        assert ("- abcd" in printed) == (len("  - entry: []") + 6 * count - 2 > WIDTH)


def test_what_has_no_form_is_refused():
    deep: object = "x"
    for _ in range(33):
        deep = [deep]
    for value in ({1: "a"}, {"a": object()}, deep, {"k" * 257: 1}, 10**50, b"x"):
        with pytest.raises(ValueError):
            to_yaml(value)


CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # no reader accepts them, however they are written
TEXTS = st.one_of(
    st.sampled_from(PLAIN + QUOTED),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    st.text(st.sampled_from("a1.:-+_ e#,[]{}'\"\\?!*\t\n"), max_size=8),
).filter(lambda text: not CONTROL.search(text))
SCALARS = st.one_of(
    TEXTS, st.none(), st.booleans(), st.integers(-(10**38), 10**38), st.floats(allow_nan=False), st.integers(-5, 5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=15,
)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=250, deadline=None)
@given(value=VALUES)
def test_reading_what_was_printed_gives_the_same(reader, value):
    printed = to_yaml(value)
    node, findings = read(reader, printed)
    assert not findings.all, (printed, findings.all)
    assert plain(node) == value
    assert to_yaml(plain(node)) == printed


@settings(max_examples=500, deadline=None)
@given(text=TEXTS)
def test_plain_texts_are_texts_to_a_reader_of_yaml_1_1(text):
    module = load_module()
    if module is None:
        pytest.skip("PyYAML is not installed")
    assert module.safe_load(f"k: {quote_yaml(text)}\n") == {"k": text}
    assert module.safe_load(f"[{quote_yaml(text)}]\n") == [text]
    if is_plain(text):
        assert quote_yaml(text) == text
