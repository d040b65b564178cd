"""One written value at a time; the table of types is in test_yaml_contract.py."""

import pytest

from netpolicy.config.yaml_scalar import (
    YamlFault,
    begins_plain,
    check_value,
    flow_node,
    plain_node,
    start_fault,
    unescaped,
)


def test_a_plain_node_keeps_its_place_and_its_text():
    node = plain_node("0x10", 3, 7)
    assert (node.kind, node.value, node.raw, node.line, node.column, node.quoted) == (
        "integer",
        16,
        "0x10",
        3,
        7,
        False,
    )


def test_a_number_that_takes_long_to_convert_is_refused():
    with pytest.raises(YamlFault, match="41 characters"):
        plain_node("1" * 41, 1, 1)
    assert plain_node("1" * 40, 1, 1).value == int("1" * 40)
    assert plain_node("1" * 41 + "x", 1, 1).kind == "text"


def test_a_tab_in_a_text_is_found_at_its_column():
    with pytest.raises(YamlFault) as fault:
        plain_node("ab\tc", 1, 5)
    assert (fault.value.line, fault.value.column) == (1, 7)


def test_what_yaml_readers_differ_about_in_brackets_needs_quotes():
    for raw in ("a?b", "a :b", "-", "::1"):
        with pytest.raises(YamlFault) as fault:
            flow_node(raw, 1, 1)
        assert fault.value.fix == f'"{raw}"'
    assert flow_node("fe80::1", 1, 1).value == "fe80::1"


def test_a_dash_a_colon_or_a_question_mark_begins_a_text_only_before_something():
    assert [begins_plain(text + "\n", 0, False) for text in ("-a", "- a", "-", ":a", ": a", "?a", "?")] == [
        True, False, False, True, False, True, False,
    ]  # fmt: skip
    assert [begins_plain(text + "\n", 0, True) for text in ("-a", "-]", ":a", "?a")] == [True, False, False, False]


def test_a_refused_start_names_the_text_and_its_quoted_form():
    fault = start_fault('*.a"b', 1, 4)
    assert (fault.text, fault.fix, fault.length) == (
        '*.a"b without quotes is an alias in YAML, which is not supported',
        '"*.a\\"b"',
        5,
    )
    assert "tag" in start_fault("!x", 1, 1).text
    assert "tab" in start_fault("\tx", 1, 1).text


@pytest.mark.parametrize("header", ["|", ">", "|-", ">+2", "> # c"])
def test_a_block_text_is_told_from_a_comparator(header):
    assert "several lines" in start_fault(header, 1, 1).text


def test_a_very_long_word_is_shortened_in_the_message():
    assert len(start_fault("*" * 1000, 1, 1).text) < 150


def test_escapes_become_their_characters():
    assert unescaped('\\x41\\u00e9\\U0001F600\\n\\\\ \\"', 1, 2) == 'Aé😀\n\\ "'


@pytest.mark.parametrize(
    ("text", "wrong"), [("ab\\d", "\\d"), ("\\x4", "\\x"), ("\\U00110000", "\\U00110000"), ("\\u12", "\\u")]
)
def test_an_unknown_escape_is_named_at_its_place(text, wrong):
    with pytest.raises(YamlFault) as fault:
        unescaped(text, 1, 2)
    assert (fault.value.text, fault.value.column) == (f"{wrong} is no escape", 2 + text.index("\\"))


def test_a_text_holds_no_control_character_however_it_was_escaped():
    check_value("a\t\n\r é\x85", 1, 1)
    for character in "\0\x1b\x7f\ud800":
        with pytest.raises(YamlFault, match=r"U\+"):
            check_value("a" + character, 1, 1)
