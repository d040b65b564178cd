"""The cursor knows where it is, whatever it passes."""

import pytest

from netpolicy.config.yaml_cursor import Cursor
from netpolicy.config.yaml_scalar import YamlFault


def at(text: str, offset: int = 0) -> Cursor:
    cursor = Cursor(text)
    cursor.at = offset
    return cursor


def test_blanks_empty_lines_and_comments_are_passed():
    cursor = at("  # a\n\n   # b\n#\n  x\n")
    cursor.go_on()
    assert (cursor.text[cursor.at], cursor.line, cursor.column) == ("x", 5, 3)
    cursor.skip_line()
    cursor.go_on()
    assert cursor.at_end


def test_a_number_sign_right_behind_something_is_no_comment():
    cursor = at("[#a\n", 1)
    cursor.go_on()
    assert cursor.column == 2


def test_the_rest_of_a_line_is_empty_or_a_comment_or_at_fault():
    at("x  # c\n", 1).finish_line()
    at("x\n", 1).finish_line()
    for text, said in (("x#c\n", "follows"), ("x y\n", "follows"), ("x \t\n", "tab")):
        with pytest.raises(YamlFault, match=said):
            at(text, 1).finish_line()


def test_a_quoted_text_ends_at_its_own_quote():
    cursor = at("'it''s \\' x\n")
    node = cursor.quoted_node()
    assert (node.value, node.raw, cursor.at) == ("it's \\", "'it''s \\'", 9)
    assert at('"a\\"b\\\\" c\n').quoted_node().value == 'a"b\\'


@pytest.mark.parametrize("text", ["'a\n'", '"a\nb"', '"a\\\nb"', "'a''\n", '"a\\"\n'])
def test_a_quote_is_closed_in_its_line(text):
    with pytest.raises(YamlFault, match="not closed") as fault:
        at(text + "\n").quoted_node()
    assert (fault.value.line, fault.value.column) == (1, 1)


def test_a_marker_stands_at_the_begin_of_a_line_and_alone():
    assert [at(text).marker() for text in ("---\n", "... x\n", "---x\n", "--\n")] == ["---", "...", "", ""]
    assert at(" ---\n", 1).marker() == ""


def test_a_word_for_a_message_is_bounded():
    assert at("*.a b # c\n").word(False) == "*.a b"
    assert at("!a, b]\n").word(True) == "!a"
    assert len(at("x" * 1000 + "\n").word(False)) <= 201
