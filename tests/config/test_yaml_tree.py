"""The tree takes what a reader says and holds it to its limits."""

import pytest

from netpolicy.config import yaml_tree
from netpolicy.config.diagnostic import Findings
from netpolicy.config.node import Node, plain
from netpolicy.config.yaml_gate import MAX_DEPTH, MAX_FAULTS, MAX_KEY
from netpolicy.config.yaml_scalar import YamlFault, YamlLimit
from netpolicy.config.yaml_tree import Tree

from .yaml_case import places


def new_tree() -> Tree:
    return Tree("f", Findings())


def word(text: str, line: int = 1) -> Node:
    return Node("text", text, line, 1, text)


def test_what_opens_closes_and_comes_between_is_a_tree():
    tree = new_tree()
    tree.open("map", 1, 1)
    tree.key(word("a"), 1, 3)
    tree.open("list", 1, 4)
    tree.add(word("b"))
    tree.announce(2, 2)
    tree.close()
    tree.key(word("c"), 3, 3)
    assert plain(tree.result()) == {"a": ["b", None], "c": None}


def test_nothing_at_all_is_null_at_the_begin():
    node = new_tree().result()
    assert (node.kind, node.line, node.column) == ("null", 1, 1)


def test_a_duplicate_key_leaves_no_tree():
    tree = new_tree()
    tree.open("map", 1, 1)
    for line in (1, 2):
        tree.key(word("a", line), line, 3)
    assert tree.result() is None
    assert places(tree.findings) == [("NP003", 2, 1)]


def test_a_merge_key_is_refused_and_a_quoted_one_is_a_key():
    tree = new_tree()
    tree.open("map", 1, 1)
    tree.key(Node("text", "<<", 1, 1, "'<<'", True), 1, 6)
    with pytest.raises(YamlFault, match="merge"):
        tree.key(word("<<"), 2, 4)


def test_depth_and_keys_have_limits():
    tree = new_tree()
    for _ in range(MAX_DEPTH):
        tree.open("list", 1, 1)
    with pytest.raises(YamlLimit):
        tree.open("list", 1, 1)
    tree = new_tree()
    tree.open("map", 1, 1)
    with pytest.raises(YamlLimit):
        tree.key(word("k"), 1, MAX_KEY + 3)


def test_the_number_of_values_has_a_limit_that_counts_keys_maps_and_empty_values(monkeypatch):
    monkeypatch.setattr(yaml_tree, "MAX_NODES", 4)
    tree = new_tree()
    tree.open("map", 1, 1)
    tree.key(word("a"), 1, 3)
    tree.key(word("b"), 2, 3)
    tree.fill()
    with pytest.raises(YamlLimit):
        tree.add(word("c"))


def test_a_hundred_faults_are_enough():
    tree = new_tree()
    for line in range(MAX_FAULTS - 1):
        tree.report(YamlFault(line, 1, "wrong"))
    with pytest.raises(YamlLimit):
        tree.report(YamlFault(MAX_FAULTS, 1, "wrong"))
    tree.report(YamlLimit(1, 1, "enough"))
    assert [item.code for item in tree.findings.all] == ["NP003"] * MAX_FAULTS + ["NP004"]
    assert tree.result() is None


def test_what_is_abandoned_is_not_waited_for():
    tree = new_tree()
    tree.open("map", 1, 1)
    tree.key(word("a"), 1, 3)
    depth = len(tree.frames)
    tree.open("list", 1, 4)
    tree.abandon(depth)
    assert (tree.top.kind, tree.top.waiting) == ("map", False)
