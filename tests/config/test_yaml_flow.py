"""Brackets, as our own reader takes them; the shared cases are in test_yaml_contract.py."""

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.node import plain
from netpolicy.config.yaml_cursor import Cursor
from netpolicy.config.yaml_flow import read_flow
from netpolicy.config.yaml_scalar import YamlFault, YamlLimit
from netpolicy.config.yaml_tree import Tree


def parse(text: str):
    cursor, tree = Cursor(text + "\n"), Tree("f", Findings())
    read_flow(cursor, tree)
    return plain(tree.result()), text[cursor.at :]


def test_nested_brackets_over_lines_are_read_to_their_end():
    assert parse('[a, {b: [1,\n2], "c":d}, []]: rest') == (["a", {"b": [1, 2], "c": "d"}, []], ": rest")


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("[a, b", 1, 1, r"no \] follows"),
        ("{a: [b\n", 1, 1, "no } follows"),
        ("[a\nb: c]", 2, 1, "opened in line 1"),
        ("[a b: c]", 1, 5, "colon behind a value"),
        ("[a}", 1, 3, r"comma or \] is missing"),
        ("{a}", 1, 2, "a has no value"),
        ("{a:1}", 1, 2, "a:1 has no value"),
        ("{a: }", 1, 5, "} without quotes is the end of a map"),
        ("{a: b: c}", 1, 6, "colon behind a value"),
        ("{[a]: b}", 1, 2, "cannot be a key"),
        ("[a:]", 1, 3, "colon without a blank"),
        ("[\n---\n]", 1, 1, r"no \] follows"),
    ],
)
def test_a_mistake_is_named_at_its_place(text, line, column, said):
    with pytest.raises(YamlFault, match=said) as fault:
        parse(text)
    assert (fault.value.line, fault.value.column) == (line, column)


def test_no_nesting_is_deep_enough_to_exhaust_the_stack():
    for opening in ("[", "{a: ", "[{a: "):
        with pytest.raises(YamlLimit):
            parse(opening * 100_000)
