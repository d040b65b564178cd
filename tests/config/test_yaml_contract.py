"""One suite over our YAML reader, libyaml and PyYAML's own parser: the same tree with the same places, or refused.

There is no exception to that equality; what libyaml or PyYAML takes beyond the subset is refused by their adapter.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.config.node import plain
from netpolicy.config.yaml_gate import MAX_DEPTH, MAX_KEY
from tests.config.yaml_case import READERS, places, read, shape

pytestmark = pytest.mark.parametrize("reader", READERS)

RULE = """\
rules:
  - name: zoom_first   # the calls
    priority: 0x10
    match:
      sni: "*.zoom.us"
      protocol: tcp
      port: 443
    when:
      state:
      - NORMAL
      - DEGRADED
    action: {route: 5, log: true}
"""

# Text, kind of the value of `k`, its value, its raw form.
TYPES = {
    "16": ("integer", 16),
    "0x10": ("integer", 16),
    "0o17": ("integer", 15),
    "-5": ("integer", -5),
    "+443": ("integer", 443),
    "0": ("integer", 0),
    "2147483648": ("integer", 2147483648),
    "1.5": ("float", 1.5),
    "1e3": ("float", 1000.0),
    "1.": ("float", 1.0),
    ".5": ("float", 0.5),
    ".inf": ("float", float("inf")),
    "-.INF": ("float", float("-inf")),
    "007": ("text", "007"),
    "0443": ("text", "0443"),
    "-01": ("text", "-01"),
    "00.5": ("text", "00.5"),
    "1_000": ("text", "1_000"),
    "0b11": ("text", "0b11"),
    "-0x10": ("text", "-0x10"),
    "0X10": ("text", "0X10"),
    "12:30": ("text", "12:30"),
    "2001-01-01": ("text", "2001-01-01"),
    "443,80": ("text", "443,80"),
    "1000-2000": ("text", "1000-2000"),
    "４４３": ("text", "４４３"),
    "yes": ("text", "yes"),
    "no": ("text", "no"),
    "on": ("text", "on"),
    "Off": ("text", "Off"),
    "y": ("text", "y"),
    "true": ("boolean", True),
    "False": ("boolean", False),
    "TRUE": ("boolean", True),
    "tRUE": ("text", "tRUE"),
    "null": ("null", None),
    "~": ("null", None),
    "NULL": ("null", None),
    "nULL": ("text", "nULL"),
    "<50": ("text", "<50"),
    "==5": ("text", "==5"),
    "=": ("text", "="),
    "<<": ("text", "<<"),
    "a b": ("text", "a b"),
    "a:b#c": ("text", "a:b#c"),
    "fe80::1": ("text", "fe80::1"),
    "::1": ("text", "::1"),
    "?x": ("text", "?x"),
    "-x": ("text", "-x"),
    "a, b]": ("text", "a, b]"),
    "é\xa0ü": ("text", "é\xa0ü"),
}

QUOTED = {
    '"10"': "10",
    "'yes'": "yes",
    "''": "",
    '""': "",
    "'it''s \\n'": "it's \\n",
    '"a\\tb\\n\\"c\\" \\\\ \\/ \\x41\\u00e9\\U0001F600\\N\\L"': 'a\tb\n"c" \\ / Aé😀\x85\u2028',
    '"*.zoom.us"': "*.zoom.us",
    "'>120'": ">120",
    "'a: b # c'": "a: b # c",
    '"\ttab"': "\ttab",
}

ACCEPTED = {
    "nothing": ("", None),
    "comments only": ("# a\n\n  # b\n", None),
    "a begin marker": ("# c\n---  # d\na: 1\n", {"a": 1}),
    "only a begin marker": ("---\n", None),
    "a bare text": ("hello\n", "hello"),
    "no line feed at the end": ("a: 1", {"a": 1}),
    "CRLF": ("a: 1\r\nb:\r\n- 'x'\r\n", {"a": 1, "b": ["x"]}),
    "lists under the column of their key": ("a:\n- b\n- c:\n  - d\n  e: f\n", {"a": ["b", {"c": ["d"], "e": "f"}]}),
    "a list that ends with its key": ("a:\n- b:\n- c:\nd: e\n", {"a": [{"b": None}, {"c": None}], "d": "e"}),
    "lists in lists": ("- - a\n  - b\n-   - c\n-\n  - d\n- []\n", [["a", "b"], ["c"], ["d"], []]),
    "empty items": ("-\n- # c\n- a\n-\n", [None, None, "a", None]),
    "a value in the next line": ("a:\n  b\nc:\n   [d]\ne:\n\n  'f'\n", {"a": "b", "c": ["d"], "e": "f"}),
    "brackets over lines": ("a: [b,  # c\n\n{d: e,\n 'f':1,},\n\n]\ng:\n", {"a": ["b", {"d": "e", "f": 1}], "g": None}),
    "a comma in the next line": ("[a\n, b # c\n,]", ["a", "b"]),
    "an indented file": ("  a: 1\n  b: 2\n", {"a": 1, "b": 2}),
    "keys of other types are texts": ("5: a\ntrue: b\n'': c\n~: d\n", {"5": "a", "true": "b", "": "c", "~": "d"}),
    "blanks around the colon": ("a  :   1\n'b' : 2\n", {"a": 1, "b": 2}),
    "JSON": ('{"r":[{"n":"a", "m": -1.5e+3,"x" : [true,null]}]}', {"r": [{"n": "a", "m": -1500.0, "x": [True, None]}]}),
    "marks in a text": ("a: b - c, d:e\n", {"a": "b - c, d:e"}),
    "markers that are none": ("---a: 1\nb: ---\nc: ...\n", {"---a": 1, "b": "---", "c": "..."}),
}  # fmt: skip

# What is refused, and where the first finding stands.
REFUSED = {
    "an alias that is a pattern": ("a: *.zoom.us\n", 1, 4),
    "a comparator": ("a: >120\n", 1, 4),
    "a comparator with equal": ("a: >=120\n", 1, 4),
    "a comparator that is a folded text": ("a: >5\n   b\n", 1, 4),
    "a negated value": ("a: !tcp\n", 1, 4),
    "a negated value in brackets": ("a: [x, !tcp]\n", 1, 8),
    "a list name": ("a: @video\n", 1, 4),
    "an anchor": ("a: &x 1\n", 1, 4),
    "an alias": ("a: *x\n", 1, 4),
    "a standard tag": ("a: !!str 1\n", 1, 4),
    "a bare tag": ("a: ! 1\n", 1, 4),
    "a merge key": ("a:\n  <<: b\n", 2, 3),
    "a literal block": ("a: |\n  b\n", 1, 4),
    "a folded block": ("a: >-\n  b\n", 1, 4),
    "a complex key": ("? a\n: b\n", 1, 1),
    "a list as a key": ("[a]: b\n", 0, 0),
    "a key without a value in braces": ("{a, b: c}\n", 1, 2),
    "a colon away from a quoted key": ("{'a' :1}\n", 1, 2),
    "a missing value in braces": ("{a: , b: c}\n", 0, 0),
    "a pair in brackets": ("[a: b]\n", 0, 0),
    "a question mark in brackets": ("[a?b]\n", 0, 0),
    "a leading colon in brackets": ("[::1]\n", 0, 0),
    "a free colon in brackets": ("[a :b]\n", 0, 0),
    "a lone dash in brackets": ("[-]\n", 0, 0),
    "a bracket that nobody closed": ("a: [b\nc: d\n", 0, 0),
    "the wrong bracket": ("a: [b}\n", 0, 0),
    "two commas": ("[a,,b]\n", 0, 0),
    "a lone comma": ("[,]\n", 0, 0),
    "a directive": ("%YAML 1.1\n---\na: 1\n", 1, 1),
    "an unknown directive": ("%FOO\n---\na: 1\n", 1, 1),
    "a second document": ("a: 1\n---\nb: 2\n", 2, 1),
    "a document's end": ("a: 1\n...\n", 2, 1),
    "a value behind the marker": ("--- a\n", 1, 5),
    "a tab as indentation": ("a:\n\tb: 1\n", 2, 1),
    "a tab behind a colon": ("a:\tb\n", 0, 0),
    "a tab in a text": ("a: b\tc\n", 1, 5),
    "a tab behind a text": ("a: 'b'\t\n", 0, 0),
    "a tab in brackets": ("[a,\tb]\n", 0, 0),
    "a comment without a blank": ("a: 'b'#c\n", 0, 0),
    "a comment right behind a bracket": ("[#c\na]\n", 0, 0),
    "a text over two lines": ("a: b\n  c\n", 0, 0),
    "a quoted text over two lines": ("a: 'b\n  c'\n", 1, 4),
    "a text over two lines in brackets": ("[b\n c]\n", 0, 0),
    "a quote that nobody closed": ('a: "b\n', 0, 0),
    "something behind a quoted text": ("a: 'b' c\n", 0, 0),
    "two colons": ("a: b: c\n", 0, 0),
    "a list in its key's line": ("a: - b\n", 0, 0),
    "a deeper neighbour": ("a: 1\n  b: 2\n", 0, 0),
    "a neighbour between two columns": ("a:\n    b: 1\n  c: 2\n", 3, 3),
    "a list beside keys": ("a: 1\n- b\n", 0, 0),
    "keys beside a list": ("- a\nb: 1\n", 0, 0),
    "an unknown escape": ('a: "\\d"\n', 0, 0),
    "half a surrogate pair": ('a: "\\ud800"\n', 0, 0),
    "beyond Unicode": ('a: "\\U00110000"\n', 0, 0),
    "an escaped NUL": ('a: "b\\0"\n', 1, 4),
    "no key": (": a\n", 0, 0),
    "a duplicate key": ("a: 1\nb: 2\na: 3\n", 3, 1),
    "a duplicate key in other quotes": ("{a: 1, 'a': 2}\n", 1, 8),
    "a number too long": (f"a: {'1' * 41}\n", 1, 4),
}  # fmt: skip


@pytest.mark.parametrize("written", TYPES)
def test_a_plain_value_has_the_type_of_yaml_1_2(reader, written):
    kind, value = TYPES[written]
    for text in (f"k: {written}\n", f"- {written} # c\n", written):
        node, findings = read(reader, text)
        assert not findings.all, findings.all
        if node.kind == "map":
            node = node.value[0][1]
        elif node.kind == "list":
            node = node.value[0]
        assert (node.kind, repr(node.value), node.raw, node.quoted) == (kind, repr(value), written, False)


def test_not_a_number_is_a_float(reader):
    node, _ = read(reader, ".nan\n")
    assert (node.kind, repr(node.value)) == ("float", "nan")


@pytest.mark.parametrize("written", QUOTED)
def test_a_quoted_value_is_always_a_text(reader, written):
    for text in (f"k: {written}", f"[{written}]", f"- {written}", f"{{k: {written}}}"):
        node, findings = read(reader, text)
        assert not findings.all, findings.all
        node = node.value[0] if node.kind == "list" else node.value[0][1]
        assert (node.kind, node.value, node.raw, node.quoted) == ("text", QUOTED[written], written, True)


@pytest.mark.parametrize("case", ACCEPTED)
def test_every_reader_understands(reader, case):
    text, expected = ACCEPTED[case]
    node, findings = read(reader, text)
    assert not findings.all, findings.all
    assert plain(node) == expected
    assert shape(node) == shape(read("builtin", text)[0])


@pytest.mark.parametrize("case", REFUSED)
def test_every_reader_refuses(reader, case):
    text, line, column = REFUSED[case]
    node, findings = read(reader, text)
    assert node is None
    assert findings.has_errors
    assert {item.code for item in findings.all} == {"NP003"}
    if line:
        assert places(findings)[0] == ("NP003", line, column)
    assert read(reader, RULE + text)[0] is None


@pytest.mark.parametrize("written", ["*.zoom.us", ">120", ">=5", "!tcp", "@video", "|x", "&a", "`x`", "%5"])
def test_a_value_that_needs_quotes_is_named_with_what_to_write(reader, written):
    for text in (f"a: {written}\n", f"- {written}  # c\n", f"a: [b, {written}]\n"):
        _, findings = read(reader, text)
        found = findings.all[0]
        assert written in found.message
        assert found.hint == f'if it is a text, write "{written}"'
        assert (found.fix, text.index(written) + 1) == (f'"{written}"', found.column)


def test_the_example_of_the_page_is_in_the_subset(reader):
    page = (Path(__file__).parents[2] / "docs/yaml.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    node, findings = read(reader, example)
    assert not findings.all
    assert plain(node)["rules"][0]["match"] == {"sni": "*.zoom.us", "port": [443, "8801-8810"], "rtt_ms": ">120"}


def test_one_document_per_file(reader):
    for text in ("a: 1\n---\nb: 2\n", "a: 1\n...\n"):
        _, findings = read(reader, text)
        assert [item.message for item in findings.all] == [f"{text[5:8]}: one document per file"]


def test_every_value_knows_its_place(reader):
    node, _ = read(reader, RULE)
    rules = node.value[0][1]
    assert (rules.kind, rules.line, rules.column) == ("list", 2, 3)
    rule = rules.value[0]
    assert (rule.kind, rule.line, rule.column) == ("map", 2, 5)
    assert [(key.value, key.line, key.column, value.line, value.column) for key, value in rule.value] == [
        ("name", 2, 5, 2, 11),
        ("priority", 3, 5, 3, 15),
        ("match", 4, 5, 5, 7),
        ("when", 8, 5, 9, 7),
        ("action", 12, 5, 12, 13),
    ]
    route = rule.value[4][1].value[0][1]
    assert (route.kind, route.value, route.raw, route.column) == ("integer", 5, "5", 21)


def test_an_empty_value_stands_behind_its_colon_or_dash(reader):
    node, _ = read(reader, "é:\nb: # c\nc:\n- \n")
    (_, first), (_, second), (_, items) = node.value
    assert [(one.kind, one.raw, one.line, one.column) for one in (first, second, items.value[0])] == [
        ("null", "", 1, 3),
        ("null", "", 2, 3),
        ("null", "", 4, 2),
    ]


def test_both_places_of_a_duplicate_key_are_named(reader):
    _, findings = read(reader, "a:\n  b: 1\n  c: 2\n  'b': 3\n")
    assert places(findings) == [("NP003", 4, 3)]
    assert "line 2, column 3" in findings.all[0].message


def test_depth_is_limited(reader):
    for opening, closing in (("[", "]"), ("- ", ""), ("{a: ", "}")):
        deepest = opening * MAX_DEPTH + "1" + closing * MAX_DEPTH
        assert read(reader, deepest)[0] is not None
        node, findings = read(reader, opening * (MAX_DEPTH + 1) + "1" + closing * (MAX_DEPTH + 1))
        assert node is None
        assert [item.code for item in findings.all] == ["NP004"]


def test_the_length_of_keys_is_limited(reader):
    for text in ("{}: 1", "{{{}: 1}}", "- {}: 1"):
        assert read(reader, text.format("k" * MAX_KEY))[0] is not None
        node, findings = read(reader, text.format("k" * (MAX_KEY + 1)))
        assert node is None
        assert [item.code for item in findings.all] == ["NP004"]


def test_an_alias_bomb_is_refused_at_its_first_anchor(reader):
    bomb = "a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a, *a, *a]\n" for i in range(100))
    assert places(read(reader, bomb)[1])[0] == ("NP003", 1, 4)


TEXTS = ["a", "b c", "x:y", "007", "0x10", "1.5", "yes", "true", "~", "é", "a#b", "k-v", "<5", "=", "1e3", "*x", "?y"]
FLOW_SCALARS = [*TEXTS[:-2], "'q r'", '"s\\tt"', "''", '"é: #"', "'it''s'"]
KEYS = ["a", "b", "long key", "'q'", '"r"', "5", "é", "x:y"]


@cache  # made for each document anew it costs more than reading
def flow(level: int) -> st.SearchStrategy[str]:
    scalars = st.sampled_from(FLOW_SCALARS)
    if level == 0:
        return scalars
    inner = flow(level - 1)
    space = st.sampled_from(["", " ", "\n   ", " # c\n  "])
    lists = st.tuples(st.lists(inner, max_size=3), space, space).map(
        lambda drawn: "[" + drawn[1] + f",{drawn[2] or ' '}".join(drawn[0]) + drawn[2].replace(" # c", "") + "]"
    )
    maps = st.dictionaries(st.sampled_from(KEYS), inner, max_size=2).map(
        lambda drawn: "{" + ", ".join(f"{key}: {value}" for key, value in drawn.items()) + "}"
    )
    return st.one_of(scalars, lists, maps)


@st.composite
def block(draw, level: int = 3, indent: int = 0) -> list[str]:
    """Lines of a value: every line indented, or one line that may also follow its key."""
    kind = draw(st.sampled_from(["scalar", "flow", "map", "map", "list"])) if level else "scalar"
    pad = " " * indent
    if kind == "scalar":
        return [pad + draw(st.sampled_from(FLOW_SCALARS))]
    if kind == "flow":
        return (pad + draw(flow(2))).split("\n")
    lines = []
    for key in draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True)):
        step = draw(st.integers(1, 3))
        head = pad + (key + ":" if kind == "map" else "-")
        form = draw(st.sampled_from(["empty", "inline", "below", "flat"]))
        if form == "empty":
            lines.append(head + draw(st.sampled_from(["", " ", "  # c"])))
        elif form == "inline" and kind == "list":
            inner = draw(block(level - 1, indent + 1 + step))
            lines += [head + " " * step + inner[0].lstrip(" "), *inner[1:]]
        elif form == "inline":
            lines.append(head + " " * step + draw(flow(1)) + draw(st.sampled_from(["", " # c"])))
        elif form == "flat" and kind == "map":
            lines += [head, *(f"{pad}- {one}" for one in draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=2)))]
        else:
            lines += [head, *draw(block(level - 1, indent + step))]
        lines += draw(st.sampled_from([[], [], [""], ["  # c"]]))
    return lines


DOCUMENTS = st.tuples(st.sampled_from(["", "---\n", "# c\n\n"]), block(), st.sampled_from(["", "\n"])).map(
    lambda drawn: drawn[0] + "\n".join(drawn[1]) + drawn[2]
)

PIECES = st.sampled_from([
    "a", ": ", ":", "- ", "-", "\n", "\n  ", "\n- ", " ", "[", "]", "{", "}", ", ", ",", "'", '"', "#", " #", "? ", "?",
    "*a", "&a ", "!", "|", ">", "%", "@", "\n---\n", "...", "\t", "\\", "\\x41", "007", "null", "é", "\r\n", "<<: ",
])  # fmt: skip
MESS = st.lists(st.one_of(PIECES, st.sampled_from(FLOW_SCALARS)), max_size=12).map("".join)


@st.composite
def mutants(draw) -> str:
    text = draw(st.one_of(DOCUMENTS, st.just(RULE)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.one_of(PIECES, st.just(""))) + text[at + draw(st.sampled_from([0, 0, 1, 1, 2, 6])) :]
    return text


@settings(max_examples=250, deadline=None)
@given(text=DOCUMENTS)
def test_documents_of_the_subset_mean_the_same_to_all(reader, text):
    ours, findings = read("builtin", text)
    assert not findings.all, (text, findings.all)
    node, findings = read(reader, text)
    assert not findings.all, (text, findings.all)
    assert shape(node) == shape(ours)


@settings(max_examples=400, deadline=None)
@given(text=st.one_of(mutants(), MESS))
def test_damaged_documents_mean_the_same_to_all_or_are_refused_by_all(reader, text):
    ours, _ = read("builtin", text)
    node, findings = read(reader, text)
    assert shape(node) == shape(ours), text
    assert (node is None) == findings.has_errors
