"""What is particular about the reader over PyYAML; the contract suite does the rest."""

from types import SimpleNamespace

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.yaml_library import load_module, read_library

from .yaml_case import places, read


@pytest.fixture
def module():
    found = load_module()
    if found is None:
        pytest.skip("PyYAML is not installed")
    return found


def test_the_first_mistake_is_the_only_one():
    _, findings = read("libyaml", "a: *b\nc: *d\n")
    assert places(findings) == [("NP003", 1, 4)]


def test_duplicate_keys_are_all_listed():
    _, findings = read("libyaml", "a: 1\na: 2\na: 3\n")
    assert places(findings) == [("NP003", 2, 1), ("NP003", 3, 1)]


def test_columns_are_counted_in_characters():
    node, _ = read("libyaml", "é😀: [ü, 'x']\n")
    assert [(one.value, one.column) for one in node.value[0][1].value] == [("ü", 6), ("x", 9)]


def test_what_libyaml_says_is_passed_on_with_its_place():
    _, findings = read("libyaml", "a: 'x' y\n")
    assert findings.all[0].line == 1
    assert "did not find expected" in findings.all[0].message


def test_the_own_parser_of_pyyaml_is_used_where_libyaml_is_not(module):
    without = SimpleNamespace(**{name: getattr(module, name) for name in dir(module) if not name.startswith("C")})
    findings = Findings()
    assert read_library(without, "a: [1]\n", "f", findings).value[0][1].kind == "list"
    assert not findings.all


def test_no_nesting_is_deep_enough_to_exhaust_the_stack(module):
    for opening in ("[", "- ", "{a: ", "[{a: ", "? ", "? - "):
        for in_c in (True, False):
            findings = Findings()
            assert read_library(module, opening * 50_000, "f", findings, in_c) is None
            assert findings.errors == 1
